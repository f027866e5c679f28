"""What a drill shows: a real version's evidence with a defect, kept under its digest."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from promotion_assets.canonical import digest_of
from promotion_assets.errors import IntegrityError, Unreachable
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.gates.documentation import model_card_of
from promotion_assets.lifecycle.drill_events import journal_of
from promotion_assets.lifecycle.events import ShadowReported, Stage
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import Facts, Request, evidence_of
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.files import read_value, write_value
from promotion_assets.pipeline.production_facts import authors_of, with_review
from promotion_assets.pipeline.promoting import facts_of
from promotion_assets.pipeline.review_case import CARD_LENGTH, Gathered, earlier_answers
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.review.case import Case
from promotion_assets.review.defects import Spoiled
from promotion_assets.review.drills import Drill
from promotion_assets.review.limitations import limitations_of
from promotion_assets.review.questionnaire import YES
from promotion_assets.review.slices import slices_of
from promotion_assets.review.texts import EarlierAnswer


class DrillCase(BaseModel):
    """A drill's evidence; a later release shows it as this one made it.

    Attributes:
        candidate: the real version under the drill's number, without its title.
        source: the real version and the digest of the decision on it.
        model_digest: in the place of an artifact's; no artifact has it.
    """

    model_config = ConfigDict(frozen=True)

    spoiled: Spoiled
    candidate: Candidate
    card: str
    limitations: tuple[str, ...]
    shadow: ShadowReported | None
    source: tuple[str, str]
    model_digest: str

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form: what the ledger pins."""
        return digest_of(self.model_dump(mode="json"))


def drill_case(
    spoiled: Spoiled,
    candidate: Candidate,
    source_decision: str,
    shadow: ShadowReported | None,
) -> DrillCase:
    """Return what is shown of ``candidate`` with a defect, under the number of the decision."""
    version = spoiled.decision.version
    card = model_card_of(candidate)
    text = card.text[:CARD_LENGTH] if card else ""
    limitations = limitations_of(card)
    if spoiled.limitation:
        limitations = (spoiled.limitation, *(limitations if card else ()))
        text += f"\n\n## Known limitations, added\n\n- {spoiled.limitation}\n"
    # The title is what its author calls it; it would name the real one.
    tags = {name: text for name, text in candidate.tags.items() if name != "title"}
    return DrillCase(
        spoiled=spoiled,
        candidate=candidate.model_copy(update={"version": version, "tags": tags}),
        card=text,
        limitations=limitations,
        shadow=shadow.model_copy(update={"version": version}) if shadow else None,
        source=(candidate.version, source_decision),
        model_digest=digest_of(["a drill", version, source_decision, spoiled.told]),
    )


def keep_case(workspace: Workspace, case: DrillCase) -> str:
    """Keep it in the store; return its digest."""
    write_value(workspace.store / "drills" / f"{case.digest}.json", case)
    return case.digest


def read_case(workspace: Workspace, digest: str) -> DrillCase:
    """Return what a drill shows.

    Raises:
        IntegrityError: the store has it not, or another one under its digest.
    """
    case = read_value(workspace.store / "drills" / f"{digest}.json", DrillCase)
    if case is None or case.digest != digest:
        raise IntegrityError(
            "reading a request for review",
            f"what is stored under {digest[:12]} is not what the ledger recorded",
            "restore the store of PROMOTION_HOME; the request ends by itself otherwise",
        )
    return case


def facts_for_drill(evaluator: Evaluator, case: DrillCase) -> Facts:
    """Return what is true now of what the drill was made of."""
    return with_review(evaluator, case.candidate, facts_of(evaluator, case.candidate))


def evidence_for_drill(
    evaluator: Evaluator, state: ModelState, facts: Facts, case: DrillCase
) -> dict[str, str]:
    """Return the digests that a vote is bound to; the model's is that of no artifact."""
    request = Request(
        model=evaluator.model,
        version=case.candidate.version,
        to=Stage.PRODUCTION,
        segment=evaluator.segment,
        actor="promotion",
    )
    found = {
        **evidence_of(state, request, facts),
        "model": case.model_digest,
        "decision": case.spoiled.decision.digest,
    }
    if case.shadow is not None and case.shadow.report_digest:
        found["shadow"] = case.shadow.report_digest
    return found


def gather_drill(evaluator: Evaluator, drill: Drill) -> Gathered:
    """Return a drill's case as it stands now, like that of a version.

    Raises:
        IntegrityError: its evidence is gone.
        Unreachable: a part does not answer.
    """
    workspace = evaluator.workspace
    kept = read_case(workspace, drill.opened.case_digest)
    state = workspace.ledger.state(evaluator.model)
    journal = workspace.ledger.state(journal_of(evaluator.model))
    facts = facts_for_drill(evaluator, kept)
    policy = evaluator.policy
    case = Case(
        model=evaluator.model,
        version=drill.opened.version,
        segment=evaluator.segment,
        stage=Stage.STAGING if drill.ended is None else Stage.ARCHIVED,
        risk_class=policy.risk_class,
        policy=policy.review,
        evidence=evidence_for_drill(evaluator, state, facts, kept),
        request=drill.request,
        authors=authors_of(kept.candidate),
        reviews=drill.votes,
        earlier=(*earlier_answers(state), *_answers(drill)),
        limitations=kept.limitations,
        slices=slices_of(kept.spoiled.decision.results, policy.review.borderline),
        frozen_by=facts.frozen_by,
    )
    return Gathered(
        case=case,
        state=state,
        facts=facts,
        decision=kept.spoiled.decision,
        candidate=kept.candidate,
        sequence=journal.sequence,
        card=kept.card,
        shadow=kept.shadow,
        pictured=kept.source,
        undrawn=kept.spoiled.undrawn,
        drill=drill,
    )


def gates_of_drill(workspace: Workspace, drill: Drill) -> tuple[tuple[str, str, str], ...]:
    """Return gate, outcome and reason, as a message to reviewers has them."""
    try:
        results = read_case(workspace, drill.opened.case_digest).spoiled.decision.results
    except (IntegrityError, Unreachable):
        return ()
    return tuple((r.gate, str(r.outcome), r.reason) for r in results)


def _answers(drill: Drill) -> list[EarlierAnswer]:
    return [
        EarlierAnswer(str(answer), vote.actor, vote.version)
        for vote in drill.votes
        for answer in vote.answers.values()
        if answer != YES
    ]
