"""Making a shadow's report from the event log, keeping it, and recording what it found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from promotion_assets.errors import Conflict, EvidenceMissing, IntegrityError
from promotion_assets.gates.contract import Outcome
from promotion_assets.lifecycle.events import DEFAULT_SEGMENT, ShadowReported
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.pipeline.files import read_value, write_value
from promotion_assets.pipeline.shadowing import keep_shadows
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.rollout.labelled_pairs import Horizon, LabelledPairs, label_pairs
from promotion_assets.rollout.shadow_report import ShadowReport, Subject, report_on
from promotion_assets.rollout.shadow_tally import ShadowRules, ShadowTally, tally
from promotion_assets.serving.events import EventReader

SUMMARY_LENGTH = 600


def make_report(
    workspace: Workspace,
    events: EventReader,
    model: str,
    version: str,
    segment: str = DEFAULT_SEGMENT,
) -> ShadowReport:
    """Judge a version's shadow by everything that was logged of it until now.

    Raises:
        EvidenceMissing: the version has had no stage, or the segment has no champion.
        StorageUnreachable: the event log does not answer.
    """
    policy, now = workspace.policy_of(model), workspace.clock()
    subject = subject_of(workspace.ledger.state(model), version, segment)
    rules = ShadowRules(
        task=policy.task,
        shadow=version,
        digest=subject.model_digest,
        champion=subject.champion,
        threshold=policy.shadow.threshold,
        groups=policy.groups,
    )
    found = tally(events.batches("shadow", model, segment=segment, until=now), rules)
    return report_on(
        subject,
        found,
        policy.shadow,
        now,
        dropped=events.drops(model, until=now).get(f"shadow:{version}", 0),
        labelled=_labelled(events, model, found, policy, now),
    )


def subject_of(state: ModelState, version: str, segment: str) -> Subject:
    """Return what the report of a version is about.

    Raises:
        EvidenceMissing: the version has had no stage, or the segment has no champion.
    """
    champion = state.champions.get(segment)
    doing = f"reporting on the shadow of {state.model} version {version}"
    if champion is None:
        raise EvidenceMissing(
            doing,
            f"segment {segment!r} has no champion whose requests it could be shown",
            f"take in what serves today: `promotion adopt {state.model} VERSION --reason …`",
        )
    if version not in state.digests:
        raise EvidenceMissing(
            doing,
            "it was never in Staging",
            f"evaluate it first: `promotion evaluate {state.model} {version}`",
        )
    return Subject(
        model=state.model,
        version=version,
        segment=segment,
        champion=champion,
        model_digest=state.digests[version],
        champion_digest=state.digests[champion],
    )


def keep_report(workspace: Workspace, report: ShadowReport) -> ShadowReported | None:
    """Keep a report in the store, and record it in the ledger where it says something new.

    New is another verdict, or the same one on another artifact, champion or policy. A report
    that saw less than the recorded one replaces nothing: a log that was pruned, or a clock that
    went back, takes no evidence away.

    Returns:
        What was recorded, if anything was.
    """
    state = workspace.ledger.state(report.model)
    event = reported(report)
    if not is_news(state.shadows.get((report.segment, report.version)), event):
        return None
    write_value(report_path(workspace, event.report_digest), report)
    try:
        workspace.ledger.append([event], expect_sequence=state.sequence)
    except Conflict:
        # Something else was recorded in between; the next report is judged with it.
        return None
    workspace.checkpointer.publish()
    return event


def reported(report: ShadowReport) -> ShadowReported:
    """Return the ledger's entry for a report."""
    return ShadowReported(
        model=report.model,
        version=report.version,
        segment=report.segment,
        passed=report.passed,
        model_digest=report.model_digest,
        summary=report.result.reason[:SUMMARY_LENGTH],
        report=report.model_dump(mode="json"),
        report_digest=report.digest,
        outcome=str(report.result.outcome),
        champion_digest=report.champion_digest,
        rules_digest=report.rules_digest,
        pairs=report.pairs,
        last=report.last,
    )


def is_news(before: ShadowReported | None, now: ShadowReported) -> bool:
    """Whether a report belongs into the ledger, after the one that stands there."""
    if before is None:
        # Until there is a verdict the ledger says that there is none; it needs no entry an hour.
        return now.outcome != Outcome.INCONCLUSIVE
    basis = ("model_digest", "champion_digest", "rules_digest")
    if any(getattr(before, name) != getattr(now, name) for name in basis):
        return True
    return now.pairs >= before.pairs and now.outcome != before.outcome


def report_path(workspace: Workspace, digest: str) -> Path:
    """Return where the report with ``digest`` is kept."""
    return workspace.store / "shadow" / f"{digest}.json"


def recorded_report(workspace: Workspace, event: ShadowReported) -> ShadowReport | None:
    """Return the report that the ledger pins; ``None`` where it came without one.

    Raises:
        IntegrityError: what is kept is not what was recorded.
    """
    if not event.report_digest:
        return None
    found = read_value(report_path(workspace, event.report_digest), ShadowReport)
    if found is None:
        found = _from_ledger(workspace, event)
    if found is not None and found.digest != event.report_digest:
        raise IntegrityError(
            f"reading the shadow report of {event.model} version {event.version}",
            "what is kept under its digest is not what the ledger recorded",
            "run `promotion audit verify`, and make the report again",
        )
    return found


def _from_ledger(workspace: Workspace, event: ShadowReported) -> ShadowReport | None:
    for recorded in workspace.ledger.events(event.model):
        one = recorded.event
        if isinstance(one, ShadowReported) and one.report_digest == event.report_digest:
            return ShadowReport.model_validate(one.report) if one.report else None
    return None


def _labelled(
    events: EventReader, model: str, found: ShadowTally, policy: ModelPolicy, now: datetime
) -> LabelledPairs | None:
    if policy.task == "multiclass" or not found.pairs:
        return None
    horizon = Horizon(now, policy.shadow.label_delay, policy.shadow.outcome_window)
    return label_pairs(
        found.sample,
        events.batches("outcome", model, until=now),
        horizon,
        policy.shadow.threshold,
    )


def running_shadows(workspace: Workspace, model: str) -> Iterator[tuple[str, str]]:
    """Yield segment and version of every shadow that runs now."""
    plan = workspace.ledger.state(model).traffic
    for segment in plan.segments if plan else ():
        if segment.shadow is not None:
            yield segment.name, segment.shadow.version


@dataclass(frozen=True)
class RunningShadow:
    """A shadow that runs; ``share`` in basis points, ``outcome`` of the recorded report."""

    model: str
    segment: str
    version: str
    share: int
    outcome: str
    summary: str


def shadow_status(workspace: Workspace, model: str) -> tuple[RunningShadow, ...]:
    """Return the shadows of a model, after beginning and ending what is due."""
    if keep_shadows(workspace, model):
        workspace.checkpointer.publish()
    state = workspace.ledger.state(model)
    return tuple(
        RunningShadow(
            model=model,
            segment=segment.name,
            version=segment.shadow.version,
            share=segment.shadow_share,
            outcome=said.outcome if said else "",
            summary=said.summary if said else "",
        )
        for segment in (state.traffic.segments if state.traffic else ())
        if segment.shadow is not None
        for said in [state.shadows.get((segment.name, segment.shadow.version))]
    )
