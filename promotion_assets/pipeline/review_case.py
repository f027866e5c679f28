"""A version's case for review, gathered afresh: decision, evidence of now, votes, limitations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from textwrap import shorten

from promotion_assets.canonical import digest_bytes
from promotion_assets.decision.decide import Decision
from promotion_assets.errors import EvidenceMissing, IntegrityError, PromotionError, UsageError
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.gates.documentation import model_card_of
from promotion_assets.lifecycle.events import (
    EvaluationFinished,
    ReviewDecided,
    ShadowReported,
    Stage,
)
from promotion_assets.lifecycle.stages import ModelState, version_key
from promotion_assets.lifecycle.transitions import (
    Facts,
    Request,
    decision_problems,
    evidence_of,
    shadow_problems,
)
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.evidence_store import evidence_folder, load_evidence
from promotion_assets.pipeline.files import write_bytes
from promotion_assets.pipeline.pictures import pictures_of
from promotion_assets.pipeline.production_facts import authors_of, requesters_of, with_review
from promotion_assets.pipeline.promoting import facts_of, taken_now
from promotion_assets.pipeline.shadow_pictures import shadow_pictures
from promotion_assets.pipeline.shadow_reporting import recorded_report
from promotion_assets.review.case import Case
from promotion_assets.review.drills import Drill
from promotion_assets.review.limitations import limitations_of
from promotion_assets.review.questionnaire import YES
from promotion_assets.review.slices import slices_of
from promotion_assets.review.texts import EarlierAnswer
from promotion_assets.review.view import HistoryRow, Material, ReviewView, view_of
from promotion_assets.rollout.shadow_report import ShadowReport

MOST_CHARACTERS = 300
MOST_HISTORY = 20
CARD_LENGTH = 20_000
# Pictures of other gates say nothing that their table does not.
DRAWN = ("accuracy", "fairness", "drift", "latency")


@dataclass(frozen=True)
class Gathered:
    """A case with what it was gathered from.

    Attributes:
        sequence: that the case was gathered at, for compare-and-set.
        card: the model card's text.
        pictured: version and decision whose evidence the pictures are drawn from.
        undrawn: gates of which there is no picture.
        drill: the drill that it is; ``None`` for a real request.
    """

    case: Case
    state: ModelState
    facts: Facts
    decision: Decision
    candidate: Candidate
    sequence: int
    card: str
    shadow: ShadowReported | None
    pictured: tuple[str, str]
    undrawn: tuple[str, ...] = ()
    drill: Drill | None = None


def gather(evaluator: Evaluator, version: str) -> Gathered:
    """Return the case of a version as it stands now; nothing kept is believed.

    Raises:
        UsageError: the version was never evaluated, or there is no such version.
        Unreachable: a part does not answer.
    """
    workspace, model, segment = evaluator.workspace, evaluator.model, evaluator.segment
    state = workspace.ledger.state(model)
    recorded = state.decision(version, segment)
    if recorded is None:
        raise UsageError(
            f"opening the review of {model} version {version[:60]}",
            "no decision on it is recorded",
            f"see that this version is meant, and evaluate it: `promotion evaluate {model} "
            f"{version[:60]}`",
        )
    candidate = taken_now(evaluator, version)
    facts = with_review(evaluator, candidate, facts_of(evaluator, candidate))
    decision = decision_of(evaluator, recorded)
    request = Request(
        model=model, version=version, to=Stage.PRODUCTION, segment=segment, actor="promotion"
    )
    policy = evaluator.policy
    now = workspace.clock()
    problems = [
        *decision_problems(recorded, request, facts, now),
        *shadow_problems(state, request, facts),
        *_standing_in_the_way(state, request, facts),
    ]
    case = Case(
        model=model,
        version=version,
        segment=segment,
        stage=state.stage(version, segment),
        risk_class=policy.risk_class,
        policy=policy.review,
        evidence=evidence_of(state, request, facts),
        request=state.requests.get((segment, version)),
        problems=tuple(problems),
        authors=authors_of(candidate),
        requesters=requesters_of(state, segment, version),
        reviews=state.reviews.get((segment, version), ()),
        earlier=tuple(earlier_answers(state)),
        limitations=limitations_of(model_card_of(candidate)),
        slices=slices_of(decision.results, policy.review.borderline),
        frozen_by=facts.frozen_by,
    )
    card = model_card_of(candidate)
    return Gathered(
        case=case,
        state=state,
        facts=facts,
        decision=decision,
        candidate=candidate,
        sequence=state.sequence,
        card=card.text[:CARD_LENGTH] if card else "",
        shadow=state.shadows.get((segment, version)),
        pictured=(version, decision.digest),
    )


def decision_of(evaluator: Evaluator, recorded: EvaluationFinished) -> Decision:
    """Return a decision in full, from the store, or from the ledger where the store has it not.

    Raises:
        IntegrityError: what is stored is not what was recorded.
    """
    home = evaluator.workspace.home
    decision = evidence_folder(home, recorded.decision_digest).decision()
    if decision is None:
        for entry in evaluator.workspace.ledger.events(evaluator.model):
            event = entry.event
            if isinstance(event, EvaluationFinished) and (
                event.decision_digest == recorded.decision_digest
            ):
                decision = Decision.model_validate(event.decision)
    if decision is None or decision.digest != recorded.decision_digest:
        raise IntegrityError(
            f"reading the decision on {recorded.model} version {recorded.version}",
            "what is stored under its digest is not what the ledger recorded",
            "run `promotion audit verify`, and evaluate the version again",
        )
    return decision


def picture_files(evaluator: Evaluator, found: Gathered) -> dict[str, bytes]:
    """Return the pictures of decision and shadow by title, drawn once and kept by digest."""
    home, case = evaluator.workspace.home, found.case
    folder = home / "store" / "pictures" / found.decision.digest
    if not (folder / ".done").exists():
        try:
            version, digest = found.pictured
            evidence = load_evidence(home, case.model, version, digest)
        except EvidenceMissing:
            return _shadow_pictures(evaluator, found)
        for result in found.decision.results:
            if result.gate in DRAWN and result.gate not in found.undrawn:
                try:
                    drawn = pictures_of(result, replace(evidence, version=case.version))
                except (ValueError, KeyError, PromotionError):
                    # A picture is a help; a defect in one must not close the review.
                    continue
                for name, picture in drawn.items():
                    write_bytes(folder / f"{result.gate} {name}.png", picture.png)
        write_bytes(folder / ".done", b"")
    kept = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.png"))}
    return kept | _shadow_pictures(evaluator, found)


def frozen_view(evaluator: Evaluator, found: Gathered, pictures: dict[str, bytes]) -> ReviewView:
    """Return what a reviewer is shown, kept in the store under its digest."""
    material = Material(
        case=found.case,
        decision=found.decision,
        candidate=found.candidate,
        champion=evaluator.compared_with(found.case.version),
        shadow=found.shadow,
        shadow_waiver=found.facts.shadow_waiver,
        model_card=found.card,
        history=_history(found.state, found.case.version),
        pictures={title: digest_bytes(png) for title, png in pictures.items()},
        shadow_report=_shadow_report(evaluator, found),
    )
    view = view_of(material)
    path = evaluator.workspace.store / "views" / f"{view.digest}.json"
    if not path.exists():
        write_bytes(path, view.model_dump_json(indent=1).encode())
    return view


def _shadow_report(evaluator: Evaluator, found: Gathered) -> ShadowReport | None:
    return recorded_report(evaluator.workspace, found.shadow) if found.shadow else None


def _shadow_pictures(evaluator: Evaluator, found: Gathered) -> dict[str, bytes]:
    """Return the pictures of the shadow report, drawn once and kept under its digest."""
    report = _shadow_report(evaluator, found)
    if report is None:
        return {}
    folder = evaluator.workspace.home / "store" / "pictures" / report.digest
    if not (folder / ".done").exists():
        for title, picture in shadow_pictures(report, evaluator.policy).items():
            write_bytes(folder / f"{title}.png", picture.png)
        write_bytes(folder / ".done", b"")
    return {path.stem: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def _standing_in_the_way(state: ModelState, request: Request, facts: Facts) -> list[str]:
    found = []
    latch = state.latches.get(facts.model_digest)
    if latch is not None:
        found.append(f"its artifact was rejected in production: {latch.reason}")
    champion = state.champions.get(request.segment)
    if champion is not None and version_key(request.version) < version_key(champion):
        found.append(f"version {champion} is the champion and this one is older")
    return found


def earlier_answers(state: ModelState) -> list[EarlierAnswer]:
    """Return what was written in any review of the model."""
    return [
        EarlierAnswer(str(answer), vote.actor, vote.version)
        for votes in state.reviews.values()
        for vote in votes
        for answer in vote.answers.values()
        if answer != YES
    ]


def _history(state: ModelState, version: str) -> tuple[HistoryRow, ...]:
    """Return earlier decisions and votes on other versions, the newest first.

    Votes on this version are left out, so that a second reviewer decides for herself.
    """
    rows = [
        HistoryRow(
            at=d.decided_at.isoformat(timespec="minutes"),
            actor=d.actor,
            what=f"version {other} {d.verdict}: {_in_short(d.reason)}",
        )
        for other, d in state.decisions.items()
        if other != version
    ]
    votes: list[ReviewDecided] = [v for given in state.reviews.values() for v in given]
    rows += [
        HistoryRow(
            at=v.reviewed_at.isoformat(timespec="minutes"),
            actor=v.actor,
            what=f"version {v.version} {v.verdict} by a reviewer"
            + (f": {_in_short(v.comment)}" if v.comment else ""),
        )
        for v in votes
        if v.version != version
    ]
    return tuple(sorted(rows, key=lambda row: row.at, reverse=True)[:MOST_HISTORY])


def _in_short(text: str) -> str:
    return shorten(text, MOST_CHARACTERS, placeholder=" …")
