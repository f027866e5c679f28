"""The shadow report: whether a shadow's answers may go before people who decide.

Each number is held against its limit by its whole interval: passed where all of it is inside,
failed where all of it is outside, inconclusive in between. Too little time, too few pairs and no
traffic are inconclusive, and inconclusive never passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from pydantic import AwareDatetime, JsonValue

from promotion_assets.canonical import digest_of
from promotion_assets.gates.contract import Frozen, GateResult, Measurement, Outcome
from promotion_assets.gates.verdict import conclude
from promotion_assets.policy.shadow import ShadowPolicy
from promotion_assets.rollout.shadow_decisions import decision_measurements, group_measurements
from promotion_assets.rollout.shadow_labels import label_measurements
from promotion_assets.rollout.shadow_limits import at_most
from promotion_assets.rollout.shadow_scores import latency_measurements, score_measurements
from promotion_assets.statistics.intervals import wilson

if TYPE_CHECKING:
    # Pandas takes half a second to import, and whoever reads a report needs none of it.
    from promotion_assets.rollout.labelled_pairs import LabelledPairs
    from promotion_assets.rollout.shadow_tally import ShadowTally

GATE = "shadow"
PICTURE_POINTS = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Curve(Frozen):
    """Quantiles of one number under both versions, at evenly spaced probabilities."""

    champion: tuple[float, ...] = ()
    shadow: tuple[float, ...] = ()


class ShadowReport(Frozen):
    """What a shadow showed.

    Attributes:
        champion: the version that it was held against.
        model_digest, champion_digest: of either artifact.
        rules_digest: of the policy's shadow stanza that it was judged by.
        first, last: time of the first and the last pair; ``None`` without any.
        result: the verdict with every number.
        scores, latencies: for pictures.
    """

    model: str
    version: str
    segment: str
    champion: str
    model_digest: str
    champion_digest: str
    rules_digest: str
    made_at: AwareDatetime
    first: AwareDatetime | None
    last: AwareDatetime | None
    pairs: int
    result: GateResult
    scores: Curve = Curve()
    latencies: Curve = Curve()

    @property
    def passed(self) -> bool:
        """Whether it lets the version go before reviewers."""
        return self.result.outcome is Outcome.PASSED

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form: what a ledger entry and an approval pin."""
        return digest_of(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Subject:
    """What a report is about; see :class:`ShadowReport`."""

    model: str
    version: str
    segment: str
    champion: str
    model_digest: str
    champion_digest: str


def report_on(
    subject: Subject,
    found: ShadowTally,
    policy: ShadowPolicy,
    now: datetime,
    *,
    dropped: int = 0,
    labelled: LabelledPairs | None = None,
) -> ShadowReport:
    """Judge what was counted.

    Args:
        dropped: copies that the server dropped before the shadow saw them.
        labelled: matured pairs whose outcome is known; ``None`` where nobody looked.
    """
    first, last = _moment(found.first_us), _moment(found.last_us)
    measured = list(_measurements(found, policy, dropped, labelled))
    result = conclude(
        GATE,
        measured,
        passed_reason=_passed(found, policy),
        details=_details(found, policy, labelled),
        also=_warnings(found, policy, labelled),
    )
    return ShadowReport(
        **vars(subject),
        rules_digest=policy.rules_digest,
        made_at=now,
        first=first,
        last=last,
        pairs=found.pairs,
        result=result,
        scores=_curve(found, "score"),
        latencies=_curve(found, "latency_ms"),
    )


def _measurements(
    found: ShadowTally, policy: ShadowPolicy, dropped: int, labelled: LabelledPairs | None
) -> Iterator[Measurement]:
    yield from _enough(found, policy)
    if found.asked:
        yield at_most(
            wilson(found.failed, found.asked, confidence=policy.confidence),
            name="errors",
            limit=policy.limits.errors,
            called="the share of copies that the shadow failed to answer is",
        )
    if found.asked + dropped:
        yield _drops(found, policy, dropped)
    if not found.pairs:
        return
    yield from decision_measurements(found, policy)
    yield from group_measurements(found, policy)
    yield from score_measurements(found, policy)
    yield from latency_measurements(found, policy)
    if labelled is not None:
        yield from label_measurements(labelled, policy, found.rules.task)


def _enough(found: ShadowTally, policy: ShadowPolicy) -> Iterator[Measurement]:
    hours = _hours(found)
    need = policy.minimum_time / timedelta(hours=1)
    none = "the shadow has answered no copy of any request: no traffic says nothing"
    yield Measurement(
        name="pairs",
        observed=float(found.pairs),
        limit=float(policy.minimum_pairs),
        sample_size=found.pairs,
        needed_sample_size=policy.minimum_pairs if found.pairs < policy.minimum_pairs else None,
        outcome=Outcome.PASSED if found.pairs >= policy.minimum_pairs else Outcome.INCONCLUSIVE,
        reason=none
        if not found.pairs
        else f"{found.pairs:,} pairs of {policy.minimum_pairs:,} that it takes",
    )
    yield Measurement(
        name="hours",
        observed=hours,
        limit=need,
        unit="h",
        sample_size=found.pairs,
        outcome=Outcome.PASSED if hours >= need else Outcome.INCONCLUSIVE,
        reason=f"{hours:.1f} h from the first pair to the last, of {need:g} h that it takes",
    )


def _drops(found: ShadowTally, policy: ShadowPolicy, dropped: int) -> Measurement:
    """A broken limit makes it inconclusive: what is left may not be typical of the traffic."""
    total = found.asked + found.unpaired + dropped
    measured = at_most(
        wilson(dropped, total, confidence=policy.confidence),
        name="drops",
        limit=policy.limits.drops,
        called="the share of copies that were dropped before the shadow saw them is",
    )
    if measured.outcome is Outcome.FAILED:
        return measured.model_copy(update={"outcome": Outcome.INCONCLUSIVE})
    return measured


def _passed(found: ShadowTally, policy: ShadowPolicy) -> str:
    words = f"{found.pairs:,} pairs over {_hours(found):.0f} h"
    if found.rules.task == "regression":
        return f"{words}, everything within its limits"
    share = found.disagreed / found.pairs if found.pairs else 0.0
    return f"{words}: decided differently in {share:.1%}, everything within its limits"


def _warnings(found: ShadowTally, policy: ShadowPolicy, labelled: LabelledPairs | None) -> str:
    said = [labelled.selective(policy.confidence) if labelled is not None else ""]
    missing = missing_groups(found)
    if missing and found.pairs:
        said.append(
            f"not told apart by {', '.join(missing)}: the events carry no such column "
            "(the policy decides which features are logged)"
        )
    return "; ".join(text for text in said if text)


def missing_groups(found: ShadowTally) -> tuple[str, ...]:
    """Return the protected attributes that no event carried."""
    return tuple(g.label for g in found.rules.groups if not found.grouped.get(g.label))


def _details(
    found: ShadowTally, policy: ShadowPolicy, labelled: LabelledPairs | None
) -> Mapping[str, JsonValue]:
    details: dict[str, JsonValue] = {
        "outcomes": [{"outcome": k, "copies": v} for k, v in sorted(found.outcomes.items())],
        "unpaired": found.unpaired,
        "sample": len(found.sample),
    }
    if found.errors:
        details["errors"] = [{"error": k[:300], "times": v} for k, v in found.errors.items()]
    missing = missing_groups(found)
    if missing:
        details["groups not logged"] = ", ".join(missing)
    small = [
        f"{attribute}={name} ({int(cells.sum())} pairs)"
        for (attribute, name), cells in sorted(found.groups.items())
        if cells.sum() < policy.minimum_group_pairs
    ]
    if small:
        details["groups too small to judge"] = ", ".join(small)
    if labelled is not None:
        details["labels"] = [
            {
                "pairs": of,
                "matured": matured,
                "outcome known": known,
            }
            for of, (known, matured) in (
                ("production decided positively", labelled.positive),
                ("production decided negatively", labelled.negative),
            )
        ]
        details["labels of immature pairs, not used"] = labelled.immature
        details["late labels, not used"] = labelled.late
    return details


def _hours(found: ShadowTally) -> float:
    if found.first_us is None or found.last_us is None:
        return 0.0
    return (found.last_us - found.first_us) / 3.6e9


def _moment(time_us: int | None) -> datetime | None:
    return None if time_us is None else _EPOCH + timedelta(microseconds=time_us)


def _curve(found: ShadowTally, what: str) -> Curve:
    if not len(found.sample):
        return Curve()
    at = (np.arange(PICTURE_POINTS) + 0.5) / PICTURE_POINTS
    champion, shadow = (found.sample.values(f"{arm}_{what}") for arm in ("production", "shadow"))
    if not (np.isfinite(champion).all() and np.isfinite(shadow).all()):
        return Curve()
    return Curve(
        champion=tuple(float(v) for v in np.quantile(champion, at)),
        shadow=tuple(float(v) for v in np.quantile(shadow, at)),
    )
