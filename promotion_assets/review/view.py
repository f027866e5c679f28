"""What a reviewer is shown, as one value: frozen, named by its digest, the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from promotion_assets.canonical import digest_of
from promotion_assets.decision.decide import Decision
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.gates.contract import GateResult, Interval, Measurement, Outcome
from promotion_assets.lifecycle.events import ShadowReported
from promotion_assets.review.case import Case
from promotion_assets.review.questionnaire import Question
from promotion_assets.review.shadow_rows import ShadowRow, shadow_rows
from promotion_assets.review.slices import Slice
from promotion_assets.rollout.shadow_report import ShadowReport

# Digits that a person compares; the whole numbers are in the ledger.
DIGITS = 4


class Shown(BaseModel):
    """Base of the values in this module."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GateRow(Shown):
    """One gate in the table of gates."""

    gate: str
    outcome: str
    reason: str
    observed: str
    limit: str
    interval: str
    sample_size: str


class GroupRow(Shown):
    """One group in the table of candidate against champion; ``change`` is what it gains."""

    group: str
    rows: int
    candidate: float | None
    champion: float | None
    change: float | None
    low: float | None
    high: float | None
    outcome: str


class Difference(Shown):
    """One thing that is not the same in candidate and champion."""

    subject: str
    name: str
    candidate: str
    champion: str


class HistoryRow(Shown):
    """One line of what happened before."""

    at: str
    actor: str
    what: str


class ReviewView(Shown):
    """Everything on the page of a request that was decided by the platform.

    Attributes:
        metric: of the group table.
        harmed: groups that lose against the champion beyond their limit, in sentences.
        differences: what is not as in the champion.
        pictures: SHA-256 of each picture by its title.
        evidence: digests by name; what an approval is signed over.
    """

    model: str
    version: str
    segment: str
    risk_class: str
    title: str
    author: str
    request_id: str
    verdict: str
    reason: str
    champion: str | None
    metric: str
    harmed: tuple[str, ...]
    gates: tuple[GateRow, ...]
    groups: tuple[GroupRow, ...]
    slices: tuple[Slice, ...]
    shadow: str
    shadow_rows: tuple[ShadowRow, ...] = ()
    limitations: tuple[str, ...]
    model_card: str
    differences: tuple[Difference, ...]
    history: tuple[HistoryRow, ...]
    questions: tuple[Question, ...]
    evidence: Mapping[str, str]
    pictures: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form: what a vote is signed with."""
        return digest_of(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Material:
    """What a view is made of."""

    case: Case
    decision: Decision
    candidate: Candidate
    champion: Candidate | None
    shadow: ShadowReported | None
    shadow_waiver: str | None
    model_card: str
    history: tuple[HistoryRow, ...]
    pictures: Mapping[str, str]
    shadow_report: ShadowReport | None = None


def view_of(material: Material) -> ReviewView:
    """Return what a reviewer is shown."""
    case, decision, candidate = material.case, material.decision, material.candidate
    groups, metric = _groups(decision.results)
    return ReviewView(
        model=case.model,
        version=case.version,
        segment=case.segment,
        risk_class=case.risk_class,
        title=candidate.tags.get("title", ""),
        author=candidate.author or "unknown",
        request_id=case.request.request_id if case.request else "",
        verdict=decision.verdict,
        reason=decision.reason,
        champion=decision.pins.champion_version,
        metric=metric,
        harmed=tuple(_harmed(decision.results)),
        gates=tuple(_gate_row(result) for result in decision.results),
        groups=groups,
        slices=case.slices,
        shadow=_shadow(material),
        shadow_rows=shadow_rows(material.shadow_report),
        limitations=case.limitations,
        model_card=material.model_card,
        differences=tuple(_differences(decision, candidate, material.champion)),
        history=material.history,
        questions=case.questions,
        evidence=dict(case.evidence),
        pictures=dict(material.pictures),
    )


def interval_text(interval: Interval | None) -> str:
    """Return an interval in words."""
    if interval is None:
        return ""
    low = "-∞" if interval.low is None else number(interval.low)
    high = "∞" if interval.high is None else number(interval.high)
    return f"{low} … {high} ({interval.confidence * 100:.4g} %)"


def limit_text(measurement: Measurement) -> str:
    """Return a limit with its direction."""
    if measurement.limit is None:
        return ""
    return f"{'≥' if measurement.direction == 'min' else '≤'} {number(measurement.limit)}"


def number(value: float | None) -> str:
    """Return a number with the digits that a person compares."""
    return "" if value is None else f"{value:.{DIGITS}g}"


def _gate_row(result: GateResult) -> GateRow:
    return GateRow(
        gate=result.gate,
        outcome=str(result.outcome),
        reason=result.reason,
        observed=number(result.observed),
        limit=number(result.limit),
        interval=interval_text(result.interval),
        sample_size="" if result.sample_size is None else f"{result.sample_size:,}",
    )


def _harmed(results: Iterable[GateResult]) -> Iterator[str]:
    for result in results:
        bad = [m for m in result.measurements if m.outcome is Outcome.FAILED]
        if result.gate != "fairness":
            continue
        for measurement in sorted(bad, key=lambda m: m.subject.count(" & ")):
            yield measurement.reason.partition(". Next:")[0] or (
                f"{measurement.subject}: {measurement.name} {number(measurement.observed)}, "
                f"limit {limit_text(measurement)}"
            )


def _groups(results: Sequence[GateResult]) -> tuple[tuple[GroupRow, ...], str]:
    """Return a row a group, the one that loses most on top, and the metric's name."""
    fairness = next((r for r in results if r.gate == "fairness"), None)
    if fairness is None:
        return (), ""
    outcomes: dict[str, Outcome] = {}
    for m in fairness.measurements:
        if m.outcome is not None and outcomes.get(m.subject) not in (Outcome.FAILED, Outcome.ERROR):
            outcomes[m.subject] = m.outcome
    raw = fairness.details.get("groups")
    rows = [row for row in raw if isinstance(row, dict)] if isinstance(raw, list) else []
    found = []
    for row in rows:
        name = str(row.get("group", ""))
        found.append(
            GroupRow(
                group=name,
                rows=int(_float(row.get("rows")) or 0),
                candidate=_float(row.get("candidate")),
                champion=_float(row.get("champion")),
                # The gate measures the loss; people compare by what is gained.
                change=_negative(row.get("drop_vs_champion")),
                low=_negative(row.get("drop_high")),
                high=_negative(row.get("drop_low")),
                outcome=str(outcomes.get(name, "reported")),
            )
        )
    # Single attributes first: an intersection says little before its parts are known.
    found.sort(key=lambda g: (g.outcome != "failed", g.group.count(" & "), _or_zero(g.change)))
    return tuple(found), str(fairness.details.get("metric", ""))


def signed(value: float | None) -> str:
    """Return a change with its sign."""
    return "" if value is None else f"{value:+.{DIGITS - 1}f}"


def _or_zero(value: float | None) -> float:
    return 0.0 if value is None else value


def _negative(value: object) -> float | None:
    number_ = _float(value)
    return None if number_ is None else -number_


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _shadow(material: Material) -> str:
    if material.shadow is not None:
        word = "passed" if material.shadow.passed else "did not pass"
        return f"The shadow report {word}: {material.shadow.summary}"
    if material.shadow_waiver is not None:
        return f"No shadow report; the policy waives it: {material.shadow_waiver}"
    return "No shadow report is recorded, and the policy does not waive it."


def _differences(
    decision: Decision, candidate: Candidate, champion: Candidate | None
) -> Iterator[Difference]:
    for result in decision.results:
        for m in result.measurements:
            if m.subject == "overall" and m.baseline is not None and m.unit in ("", "ms"):
                if "improvement" in m.name:
                    continue
                yield Difference(
                    subject="metric",
                    name=m.name,
                    candidate=number(m.observed),
                    champion=number(m.baseline),
                )
    if champion is None:
        return
    yield from _mapped("parameter", candidate.params, champion.params)
    yield from _mapped("feature", _features(candidate), _features(champion))
    yield from _mapped("requirement", _pins(candidate), _pins(champion))
    yield from _mapped("training data", _data(candidate), _data(champion))


def _mapped(
    subject: str, own: Mapping[str, str], theirs: Mapping[str, str]
) -> Iterator[Difference]:
    for name in sorted(own.keys() | theirs.keys()):
        if own.get(name) != theirs.get(name):
            yield Difference(
                subject=subject,
                name=name,
                candidate=own.get(name, "absent"),
                champion=theirs.get(name, "absent"),
            )


def _features(version: Candidate) -> dict[str, str]:
    inputs = version.signature.inputs if version.signature else ()
    return {c.name: f"{c.type}{'' if c.required else ', optional'}" for c in inputs}


def _pins(version: Candidate) -> dict[str, str]:
    split = (line.partition("==") for line in version.requirements)
    return {name.strip(): pinned.strip() or "not pinned" for name, _, pinned in split}


def _data(version: Candidate) -> dict[str, str]:
    return {"rows": f"{version.profile.rows:,}"} if version.profile else {}
