"""From a decision to its entry in the ledger, and from the ledger to a stage."""

from __future__ import annotations

from promotion_assets.adapters.tracing import span
from promotion_assets.decision.decide import Decision
from promotion_assets.errors import PromotionError, Unreachable
from promotion_assets.evaluation.artifact import verify
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.intake import take_candidate
from promotion_assets.lifecycle.events import Recorded, Stage
from promotion_assets.lifecycle.promotion import adopt as adopt_version
from promotion_assets.lifecycle.promotion import promote as promote_version
from promotion_assets.lifecycle.record import Stands, record_evaluation, same_decision
from promotion_assets.lifecycle.transitions import Facts, Request, check_transition
from promotion_assets.pipeline.champions import report_champions
from promotion_assets.pipeline.environments import check_arrival
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.evidence_store import keep_evidence
from promotion_assets.pipeline.production_facts import with_predecessor, with_review
from promotion_assets.pipeline.shadowing import keep_shadows


def record_decision(
    evaluator: Evaluator, decision: Decision, *, stands: Stands = same_decision
) -> Recorded:
    """Keep the decision's evidence, append it to the ledger, and tag the version with it.

    Repeating changes nothing. What returns is what the ledger holds: where the last evaluation
    ``stands``, that one.

    Raises:
        StorageUnreachable, LedgerUnreachable: nothing was recorded.
    """
    with span("audit record", model=evaluator.model, version=decision.version) as traced:
        keep_evidence(
            evaluator.workspace.home,
            evaluator.folder(decision.version),
            evaluator.evidence(decision.version, only_declared=True),
            decision,
        )
        recorded = record_evaluation(
            evaluator.workspace.ledger,
            evaluator.workspace.registry,
            decision,
            auto_to_staging=evaluator.policy.auto_to_staging and decision.approved,
            registered_at=evaluator.candidate(decision.version).created_at,
            stands=stands,
        )
        report_champions(evaluator.workspace, evaluator.model)
        evaluator.workspace.checkpointer.publish()
        traced.note(sequence=recorded.sequence, decision=decision.digest)
    return recorded


def facts_now(evaluator: Evaluator, version: str) -> Facts:
    """Return what is true now: artifact bytes in the registry, dataset source, policy, champion.

    Everything is read afresh; nothing that an evaluation left behind is believed.
    """
    return facts_of(evaluator, taken_now(evaluator, version))


def taken_now(evaluator: Evaluator, version: str) -> Candidate:
    """Return the version as the registry has it now."""
    workspace = evaluator.workspace
    return take_candidate(
        workspace.registry, evaluator.model, version, workspace.store / "artifacts"
    )


def facts_of(evaluator: Evaluator, current: Candidate) -> Facts:
    """Return what is true now of a version that was just taken from the registry."""
    workspace, policy = evaluator.workspace, evaluator.policy
    if current.artifact and current.artifact_dir:
        verify(current.artifact_dir, current.artifact.digest)
    champion = workspace.ledger.state(evaluator.model).champions.get(evaluator.segment)
    return Facts(
        model_digest=current.digest,
        dataset_digest=_dataset_digest(evaluator),
        policy_digest=policy.digest,
        decision_ttl=policy.decision_ttl,
        champion_digest=evaluator.champion.digest if champion and evaluator.champion else None,
    )


def facts_for(evaluator: Evaluator, request: Request) -> Facts:
    """Return what is true now of all that ``request`` needs.

    For Production that includes the reviews' rules, freeze windows, and a proof that the champion
    loads and answers.
    """
    if request.to is not Stage.PRODUCTION:
        return facts_now(evaluator, request.version)
    return with_predecessor(evaluator, _reviewed_facts(evaluator, request))


def _reviewed_facts(evaluator: Evaluator, request: Request) -> Facts:
    candidate = taken_now(evaluator, request.version)
    facts = facts_of(evaluator, candidate)
    return with_review(evaluator, candidate, facts, actor=request.actor)


def _refuse_before_proof(evaluator: Evaluator, request: Request) -> None:
    """Refuse what lacks something else, before a champion is started only to say so."""
    workspace = evaluator.workspace
    state = workspace.ledger.state(evaluator.model)
    if state.stage(request.version, request.segment) is request.to or state.intent is not None:
        return
    supposed = _reviewed_facts(evaluator, request).model_copy(update={"predecessor": "ready"})
    check_transition(state, request, supposed, workspace.clock())


def promote(
    evaluator: Evaluator, version: str, to: Stage, *, actor: str, reason: str = ""
) -> Stage:
    """Move a version to ``to`` if everything that it needs is there; return its stage after it.

    Raises:
        TransitionRefused: naming everything that is missing.
        Conflict: another change of the model was first.
        RegistryUnreachable, LedgerUnreachable: the next reconciliation finishes what was begun.
    """
    request = Request(
        model=evaluator.model,
        version=version,
        to=to,
        segment=evaluator.segment,
        actor=actor,
        reason=reason,
    )
    with span(
        "promotion",
        model=request.model,
        version=version,
        segment=request.segment,
        to=str(to),
    ) as traced:
        stage = _promoted(evaluator, request)
        traced.note(stage=str(stage))
    return stage


def _promoted(evaluator: Evaluator, request: Request) -> Stage:
    workspace, version, to = evaluator.workspace, request.version, request.to
    if to in (Stage.STAGING, Stage.PRODUCTION):
        check_arrival(workspace, evaluator.model, version)
    if to is Stage.PRODUCTION:
        _refuse_before_proof(evaluator, request)
    state = promote_version(
        workspace.ledger,
        workspace.registry,
        request,
        facts_for(evaluator, request),
        workspace.clock(),
    )
    if to is Stage.STAGING:
        keep_shadows(workspace, evaluator.model)
    workspace.checkpointer.publish()
    return state.stage(version, evaluator.segment)


def to_staging(evaluator: Evaluator, version: str, *, actor: str) -> tuple[str, Stage]:
    """Move an approved version to Staging, unless it is past it or the policy waits for a person.

    Returns:
        A sentence that says what happened, and the version's stage.
    """
    held = evaluator.workspace.ledger.state(evaluator.model).stage(version, evaluator.segment)
    if held in (Stage.STAGING, Stage.PRODUCTION):
        return f"version {version} is in {held} already", held
    if not evaluator.policy.auto_to_staging:
        return (
            "approved; the policy leaves the move to a person: "
            f"`promotion promote {evaluator.model} {version} --to staging`",
            held,
        )
    reason = "all required gates let it through"
    stage = promote(evaluator, version, Stage.STAGING, actor=actor, reason=reason)
    return f"version {version} is in {stage} now", stage


def adopt(evaluator: Evaluator, version: str, *, actor: str, reason: str) -> Stage:
    """Take in a version that served before the ledger began, as the segment's champion.

    Raises:
        TransitionRefused: the segment has or had a champion, or the reason is too short.
    """
    taken = evaluator.take(version)
    state = adopt_version(
        evaluator.workspace.ledger,
        evaluator.workspace.registry,
        evaluator.model,
        version,
        model_digest=taken.digest,
        actor=actor,
        reason=reason,
        segment=evaluator.segment,
    )
    evaluator.workspace.checkpointer.publish()
    return state.stage(version, evaluator.segment)


def _dataset_digest(evaluator: Evaluator) -> str:
    try:
        return evaluator.inputs.take_dataset().digest
    except Unreachable:
        raise
    except PromotionError:
        # What cannot be judged on is no current version; the decision's dataset is then not it.
        return ""
