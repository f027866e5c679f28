"""Drills in the queue: opened when one is due, reminded, ended; votes on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from random import Random

from promotion_assets.canonical import digest_of
from promotion_assets.errors import Conflict, PromotionError
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.lifecycle.drill_events import (
    AnyDrillEvent,
    DrillAnswered,
    DrillEnded,
    DrillOpened,
    DrillRefused,
    DrillReminded,
    journal_of,
)
from promotion_assets.lifecycle.events import (
    ReviewDecided,
    ReviewRefused,
    ShadowReported,
    Stage,
)
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.pipeline.drill_case import (
    DrillCase,
    drill_case,
    evidence_for_drill,
    facts_for_drill,
    keep_case,
    read_case,
)
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.evidence_store import KeptEvidence, evidence_folder
from promotion_assets.pipeline.files import read_value
from promotion_assets.pipeline.past_drills import all_drills
from promotion_assets.pipeline.production_facts import authors_of
from promotion_assets.pipeline.review_case import Gathered
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.review.case import Case
from promotion_assets.review.defects import spoil
from promotion_assets.review.drills import Drill, chance, is_due
from promotion_assets.review.requests import assign, eligible
from promotion_assets.review.rules import counting

# How far ahead of the newest version a drill's number is: the registry gets there late.
NEAREST, FARTHEST = 2, 6
# A round of housekeeping must stay quick where nothing fits.
MOST_LOOKED_AT = 20


@dataclass(frozen=True)
class Source:
    """A real version that a drill can be made of."""

    version: str
    decision: str
    candidate: Candidate
    shadow: ShadowReported | None


def keep_drills(workspace: Workspace, model: str) -> bool:
    """Open, remind of or end a drill where that is due; return whether anything was recorded.

    Raises:
        PromotionError: it cannot be looked at; nothing was recorded.
    """
    past = all_drills(workspace, model)
    now = workspace.clock()
    waiting = next((drill for drill in past if drill.ended is None), None)
    event: AnyDrillEvent | None
    if waiting is not None:
        event = _due_of(workspace, waiting, now)
    else:
        event = next_drill(workspace, model, past, now)
    if event is None:
        return False
    sequence = workspace.ledger.state(journal_of(model)).sequence
    try:
        workspace.ledger.append([event], expect_sequence=sequence)
    except Conflict:
        # Somebody else does the same, or has just voted; the next round sees what is left.
        return False
    return True


def withdraw(workspace: Workspace, drill: Drill, reason: str) -> None:
    """End a drill without a verdict on anybody."""
    workspace.ledger.append([_ended(drill, "withdrawn", reason)])


def events_of_vote(found: Gathered, decided: ReviewDecided, now: datetime) -> list[AnyDrillEvent]:
    """Return what is recorded of a vote on a drill: the answer, and the end if it is one."""
    drill = found.drill
    assert drill is not None
    answer = DrillAnswered(
        **{**dict(decided), "kind": "DRILL_ANSWERED", "model": journal_of(drill.model)}
    )
    events: list[AnyDrillEvent] = [answer]
    approvals = len(counting(found.case, now)) + 1
    if decided.verdict == "rejected":
        events.append(_ended(drill, "caught", f"{decided.actor} has rejected it"))
    elif approvals >= found.case.quorum:
        events.append(_ended(drill, "missed", f"{approvals} have approved it"))
    return events


def refused_in_drill(drill: Drill, refused: ReviewRefused) -> DrillRefused:
    """Return what is recorded of a vote on a drill that the rules refused."""
    return DrillRefused(
        model=journal_of(drill.model),
        version=refused.version,
        segment=refused.segment,
        actor=refused.actor,
        request_id=drill.opened.request_id,
        verdict=refused.verdict,
        surface=refused.surface,
        problems=refused.problems,
    )


def told_of(drill: Drill) -> tuple[str, ...]:
    """Return what is said to whoever has voted on a drill."""
    return (
        f"It was a drill: there is no version {drill.opened.version} of {drill.model}, and nothing "
        "follows from the vote.",
        *drill.opened.told,
    )


def _due_of(workspace: Workspace, drill: Drill, now: datetime) -> AnyDrillEvent | None:
    opened, policy = drill.opened, workspace.policy_of(drill.model)
    if now > opened.expires_at:
        return _ended(drill, "expired", "nobody has decided on it in time")
    why = _void(workspace, drill)
    if why is not None:
        return _ended(drill, "withdrawn", why)
    waited = (now - opened.requested_at).days >= policy.review.remind_days
    if waited and not drill.reminded and not drill.answers:
        return DrillReminded(
            model=journal_of(drill.model),
            version=opened.version,
            segment=opened.segment,
            request_id=opened.request_id,
            assigned=opened.assigned,
        )
    return None


def _void(workspace: Workspace, drill: Drill) -> str | None:
    """Say why a drill can no longer go on, from the ledger and the registry's index."""
    opened, policy = drill.opened, workspace.policy_of(drill.model)
    if not policy.review.drill.enabled:
        return "drills were switched off"
    if opened.segment not in policy.segments:
        return f"segment {opened.segment} is no longer in the policy"
    pinned = {"policy": policy.digest, "review": policy.review_digest}
    changed = [name for name, digest in pinned.items() if opened.evidence.get(name) != digest]
    if changed:
        return f"changed since: {', '.join(changed)}"
    state = workspace.ledger.state(drill.model)
    try:
        judged_against = read_case(workspace, opened.case_digest).spoiled.decision.pins
    except PromotionError as error:
        return error.problem
    if judged_against.champion_version != state.champions.get(opened.segment):
        return "the champion has changed"
    known = opened.version in state.versions()
    if known or workspace.registry.find(drill.model, opened.version) is not None:
        return f"a version {opened.version} was registered"
    return None


def next_drill(
    workspace: Workspace, model: str, past: tuple[Drill, ...], now: datetime
) -> DrillOpened | None:
    """Return the drill that is to be opened now, its case kept; ``None`` where none is due."""
    review = workspace.policy_of(model).review
    if not review.drill.enabled:
        return None
    state = workspace.ledger.state(model)
    asked = [r.requested_at for r in state.requests.values() if r.requested_at is not None]
    first = min(asked, default=None)
    if not is_due(review.drill, model, past, state.requested, first, now):
        return None
    dice = chance(review.drill, f"{model} made", len(past))
    segments = list(workspace.policy_of(model).segments)
    dice.shuffle(segments)
    for segment in segments:
        evaluator = Evaluator(workspace, model, segment)
        for source in _sources(evaluator, state, dice):
            made = _made(evaluator, state, source, past, dice)
            event = _request(evaluator, state, made, past, now) if made else None
            if event is not None:
                return event
    return None


def _sources(evaluator: Evaluator, state: ModelState, dice: Random) -> Iterator[Source]:
    """Yield some versions that were judged as one is now, and whose evidence is here."""
    workspace, segment = evaluator.workspace, evaluator.segment
    champion = state.champions.get(segment)
    waived = evaluator.policy.shadow.waive is not None
    fitting = [
        (version, judged.decision_digest)
        for (where, version), judged in sorted(state.for_segment.items())
        if where == segment
        and champion is not None
        and version != champion
        and judged.champion_version == champion
        and judged.policy_digest == evaluator.policy.digest
    ]
    dice.shuffle(fitting)
    for version, decision in fitting[:MOST_LOOKED_AT]:
        folder = evidence_folder(workspace.home, decision).root
        kept = read_value(folder / "evidence.json", KeptEvidence)
        shadow = None if waived else _shadow(state, segment, version)
        if kept is None or kept.candidate.artifact_dir is None or kept.candidate.problems:
            continue
        if waived or shadow is not None:
            yield Source(version, decision, kept.candidate, shadow)


def _shadow(state: ModelState, segment: str, version: str) -> ShadowReported | None:
    """Return a shadow report that passed: of the version, or else of the last that had one."""
    own = state.shadows.get((segment, version))
    if own is not None and own.passed:
        return own
    passed = [r for (where, _), r in state.shadows.items() if where == segment and r.passed]
    return passed[-1] if passed else None


def _made(
    evaluator: Evaluator,
    state: ModelState,
    source: Source,
    past: tuple[Drill, ...],
    dice: Random,
) -> DrillCase | None:
    decision = evidence_folder(evaluator.workspace.home, source.decision).decision()
    if decision is None or decision.digest != source.decision:
        return None
    number = _free_number(evaluator, state, past, dice)
    spoiled = spoil(decision, number, dice)
    if spoiled is None:
        return None
    return drill_case(spoiled, source.candidate, source.decision, source.shadow)


def _free_number(
    evaluator: Evaluator, state: ModelState, past: tuple[Drill, ...], dice: Random
) -> str:
    """Return a number that no version has: MLflow gives them out one by one, without gaps."""
    known = [int(v) for v in state.versions() if v.isdecimal()]
    known += [int(drill.opened.version) for drill in past]
    highest = max(known, default=0)
    while True:
        later = evaluator.workspace.registry.versions_after(evaluator.model, highest)
        if not later:
            return str(highest + dice.randint(NEAREST, FARTHEST))
        highest = max(int(v) for v in later)


def _request(
    evaluator: Evaluator,
    state: ModelState,
    made: DrillCase,
    past: tuple[Drill, ...],
    now: datetime,
) -> DrillOpened | None:
    policy = evaluator.policy
    facts = facts_for_drill(evaluator, made)
    evidence = evidence_for_drill(evaluator, state, facts, made)
    case = Case(
        model=evaluator.model,
        version=made.candidate.version,
        segment=evaluator.segment,
        stage=Stage.STAGING,
        risk_class=policy.risk_class,
        policy=policy.review,
        evidence=evidence,
        authors=authors_of(made.candidate),
    )
    history = (*state.assignments, *(name for drill in past for name in drill.opened.assigned))
    assigned = assign(eligible(case), history, case.quorum)
    if not assigned:
        return None
    return DrillOpened(
        model=journal_of(evaluator.model),
        version=case.version,
        segment=case.segment,
        request_id=digest_of([case.model, case.version, evidence, now.isoformat()])[:20],
        evidence=evidence,
        assigned=assigned,
        requested_at=now,
        expires_at=policy.review.expiry(now),
        source_version=made.source[0],
        defect=made.spoiled.defect,
        told=(
            f"It was made of version {made.source[0]}.",
            f"What is wrong with it ({made.spoiled.defect}): {made.spoiled.told}",
        ),
        case_digest=keep_case(evaluator.workspace, made),
        after_requests=state.requested,
    )


def _ended(drill: Drill, outcome: str, reason: str) -> DrillEnded:
    return DrillEnded.model_validate(
        {
            "model": journal_of(drill.model),
            "version": drill.opened.version,
            "segment": drill.opened.segment,
            "request_id": drill.opened.request_id,
            "outcome": outcome,
            "reason": reason,
        }
    )
