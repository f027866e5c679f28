"""Defects that are put into a real version's evidence to make a drill of it.

The numbers stay those of the real version wherever the defect does not touch them, and the result
that it touches is shown as it is: failed. The decision says of it what decisions say of a gate that
is not required; whoever reads the page sees it, and whoever does not, does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from pydantic import BaseModel, ConfigDict, JsonValue

from promotion_assets.decision.decide import Decision
from promotion_assets.gates.contract import GateResult, Interval, Measurement, Outcome
from promotion_assets.review.view import number

FEWEST_ROWS = 200
HARMED, FAILING, LIMITATION, REPLAYED = (
    "harmed group",
    "failing gate",
    "damning limitation",
    "rejected version",
)
LIMITATIONS = (
    "The months of the evaluation data were part of the training data; nothing else was at hand.",
    "One of the features is filled in only after the decision that the score is meant to support.",
    "It was tuned on the evaluation data until its figures were as wanted.",
)
# Gates whose picture is drawn from the result itself, which has the defect.
_DRAWN_FROM_RESULT = {"fairness", "drift"}


class Spoiled(BaseModel):
    """A real version's evidence with a defect in it, as it is shown.

    Attributes:
        decision: of the drill's own number, approving.
        told: what is wrong, for whoever has voted.
        limitation: what the model card says besides; empty for nothing.
        undrawn: gates of which no picture may be drawn, since it would show other numbers.
    """

    model_config = ConfigDict(frozen=True)

    decision: Decision
    defect: str
    told: str
    limitation: str = ""
    undrawn: tuple[str, ...] = ()


def spoil(decision: Decision, version: str, dice: Random) -> Spoiled | None:
    """Return ``decision`` as one on ``version`` with a defect, or ``None`` where none fits.

    A rejected decision is its own defect: what failed is shown as it was.
    """
    if not decision.approved:
        return _replayed(decision, version)
    ways: list[Callable[[Decision, str, Random], Spoiled | None]] = [_harm, _fail, _limit]
    dice.shuffle(ways)
    # A limitation fits every decision.
    return next(made for way in ways if (made := way(decision, version, dice)) is not None)


def _replayed(decision: Decision, version: str) -> Spoiled | None:
    failed = [r for r in decision.results if r.outcome is Outcome.FAILED]
    if not failed or any(r.outcome is Outcome.ERROR for r in decision.results):
        return None
    return Spoiled(
        decision=_approving(decision, version, decision.results),
        defect=REPLAYED,
        told=f"version {decision.version} was rejected for this: {decision.reason}",
    )


def _harm(decision: Decision, version: str, dice: Random) -> Spoiled | None:
    result = next((r for r in decision.results if r.gate == "fairness"), None)
    if result is None:
        return None
    fit = [
        m
        for m in result.measurements
        if m.name == "drop_vs_champion"
        and m.outcome is Outcome.PASSED
        and (m.sample_size or 0) >= FEWEST_ROWS
        and None not in (m.observed, m.limit, m.baseline, m.interval)
        and " & " not in m.subject
    ]
    if not fit:
        return None
    # A small group's loss goes with the overall figure that is shown; a large one's does not.
    fit.sort(key=lambda m: (m.sample_size or 0, m.subject))
    chosen = dice.choice(fit[: (len(fit) + 1) // 2])
    assert chosen.limit is not None
    drop = chosen.limit * dice.uniform(1.5, 2.2) + 0.01
    metric = str(result.details.get("metric", "the metric"))
    harmed = _dropped(chosen, drop, metric)
    rest = tuple(m for m in result.measurements if m is not chosen)
    failed = result.model_copy(
        update={
            "outcome": Outcome.FAILED,
            "observed": drop,
            "limit": chosen.limit,
            "interval": harmed.interval,
            "sample_size": chosen.sample_size,
            "reason": harmed.reason,
            "measurements": (harmed, *rest),
            "details": {**result.details, "groups": _groups(result, chosen, drop)},
        }
    )
    results = tuple(failed if r is result else r for r in decision.results)
    return Spoiled(
        decision=_approving(decision, version, results),
        defect=HARMED,
        told=harmed.reason,
    )


def _dropped(measurement: Measurement, drop: float, metric: str) -> Measurement:
    assert measurement.observed is not None
    assert measurement.baseline is not None
    assert measurement.interval is not None
    interval = _moved(measurement.interval, drop - measurement.observed)
    reason = (
        f"{measurement.subject}: {metric} {number(measurement.baseline - drop)} against the "
        f"champion's {number(measurement.baseline)}, a drop of {number(drop)} "
        f"[{number(interval.low)}, {number(interval.high)}]; limit at most "
        f"{number(measurement.limit)}, {measurement.sample_size or 0:,} rows"
    )
    return measurement.model_copy(
        update={
            "observed": drop,
            "interval": interval,
            "outcome": Outcome.FAILED,
            "reason": reason,
        }
    )


def _groups(result: GateResult, chosen: Measurement, drop: float) -> list[JsonValue]:
    rows = result.details.get("groups")
    assert chosen.baseline is not None
    found: list[JsonValue] = []
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("group") == chosen.subject:
            moved = drop - float(str(row.get("drop_vs_champion", 0.0)))
            spoiled: dict[str, JsonValue] = {
                **row,
                "candidate": chosen.baseline - drop,
                "drop_vs_champion": drop,
            }
            for end in ("drop_low", "drop_high"):
                if isinstance(row.get(end), float):
                    spoiled[end] = float(str(row[end])) + moved
            found.append(spoiled)
        else:
            found.append(row)
    return found


def _fail(decision: Decision, version: str, dice: Random) -> Spoiled | None:
    fit = [
        (result, m)
        for result in decision.results
        for m in result.measurements
        if result.gate not in ("fairness", "artifact", "schema", "documentation")
        and m.outcome is Outcome.PASSED
        and m.observed is not None
        and m.limit
        and m.name != "logged_minus_measured"
    ]
    if not fit:
        return None
    result, chosen = dice.choice(fit)
    assert chosen.observed is not None
    assert chosen.limit is not None
    away = abs(chosen.limit) * dice.uniform(0.06, 0.12)
    observed = chosen.limit - away if chosen.direction == "min" else chosen.limit + away * 4
    word = "least" if chosen.direction == "min" else "most"
    reason = (
        f"{chosen.name.replace('_', ' ')} of {chosen.subject} is {number(observed)}, "
        f"limit at {word} {number(chosen.limit)}"
    )
    moved = _moved(chosen.interval, observed - chosen.observed) if chosen.interval else None
    failing = chosen.model_copy(
        update={
            "observed": observed,
            "interval": moved,
            "outcome": Outcome.FAILED,
            "reason": reason,
        }
    )
    failed = result.model_copy(
        update={
            "outcome": Outcome.FAILED,
            "observed": observed,
            "limit": chosen.limit,
            "interval": moved,
            "reason": reason,
            "measurements": tuple(failing if m is chosen else m for m in result.measurements),
        }
    )
    results = tuple(failed if r is result else r for r in decision.results)
    return Spoiled(
        decision=_approving(decision, version, results),
        defect=FAILING,
        told=f"the {result.gate} gate failed: {reason}",
        undrawn=() if result.gate in _DRAWN_FROM_RESULT else (result.gate,),
    )


def _limit(decision: Decision, version: str, dice: Random) -> Spoiled:
    limitation = dice.choice(LIMITATIONS)
    return Spoiled(
        decision=_approving(decision, version, decision.results),
        defect=LIMITATION,
        told=f"its model card says: {limitation}",
        limitation=limitation,
    )


def _approving(decision: Decision, version: str, results: Sequence[GateResult]) -> Decision:
    stopped = [r.gate for r in results if not r.lets_through]
    reason = f"all {len(results) - len(stopped)} required gates let it through"
    if stopped:
        reason += f"; only informing: {', '.join(stopped)} did not pass"
    return decision.model_copy(
        update={
            "version": version,
            "verdict": "approved",
            "deciding_gates": (),
            "reason": reason,
            "results": tuple(results),
        }
    )


def _moved(interval: Interval, by: float) -> Interval:
    return interval.model_copy(
        update={
            "low": None if interval.low is None else interval.low + by,
            "high": None if interval.high is None else interval.high + by,
        }
    )
