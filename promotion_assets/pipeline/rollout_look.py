"""One look at a rollout: what is read, and what is decided from it. Nothing is recorded here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import ValidationError

from promotion_assets.errors import StorageUnreachable
from promotion_assets.lifecycle.events import RolloutStepped
from promotion_assets.lifecycle.rollouts import segment_plan, standing, steps_of
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.pipeline.alive_servers import servers
from promotion_assets.pipeline.rollout_data import (
    Source,
    count,
    counting,
    freeze_before,
    freeze_since,
    recount,
)
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.rollout import RolloutPolicy
from promotion_assets.rollout.decide import Action, RolloutPlan, decide
from promotion_assets.rollout.statistics import Statistics
from promotion_assets.serving.events import EventReader

Prove = Callable[[Workspace, ModelState, str], Iterable[str]]
_GOES_ON = ("advance", "bake", "complete")


@dataclass(frozen=True)
class Look:
    """What one look at a rollout saw.

    Attributes:
        policy: the one that holds for this rollout: of its start, or of its last resumption.
        action: what is to be done; ``None`` where nothing is rolling out.
        note: what else a reader should know.
    """

    model: str
    segment: str
    state: ModelState
    policy: RolloutPolicy
    plan: RolloutPlan | None = None
    action: Action | None = None
    statistics: Statistics = field(default_factory=Statistics)
    note: str = ""


def look_at(
    workspace: Workspace,
    events: EventReader,
    model: str,
    segment: str,
    *,
    prove: Prove | None = None,
) -> Look:
    """Look at a rollout and decide, without recording anything.

    Args:
        prove: says what is wrong with candidate and predecessor of a rollout that has not begun;
            by default both are loaded and answer, which takes seconds.

    Raises:
        LedgerUnreachable, RegistryUnreachable: as they say.
    """
    state = workspace.ledger.state(model)
    policy = policy_of(workspace, state, segment)
    plan = standing(state, segment)
    if plan is None:
        return Look(model, segment, state, policy)
    look = Look(model, segment, state, policy, plan)
    if plan.step is None:
        return _before_it_begins(workspace, events, look, plan, prove or _by_loading)
    return _under_way(workspace, events, look, plan)


def policy_of(workspace: Workspace, state: ModelState, segment: str) -> RolloutPolicy:
    """Return the policy by which the segment's rollout goes.

    It is the one of its start: an approval was given on it, and nobody loosens it under way. A
    person who resumes the rollout puts the one of that day in its place.
    """
    for step in reversed(steps_of(state, segment)):
        pinned = step.statistics.get("policy")
        if pinned is not None:
            try:
                return RolloutPolicy.model_validate(pinned)
            except ValidationError:
                break
    return policy_of_today(workspace, state.model)


def policy_of_today(workspace: Workspace, model: str) -> RolloutPolicy:
    """Return the policy that a rollout would begin by now.

    Only a binary task has a rate of positive decisions.
    """
    stanza = workspace.policy_of(model)
    if stanza.task == "binary":
        return stanza.rollout
    return stanza.rollout.model_copy(update={"decision_rate": None})


def _before_it_begins(
    workspace: Workspace, events: EventReader, look: Look, plan: RolloutPlan, prove: Prove
) -> Look:
    note = ""
    problems: list[str] = []
    if plan.latched is None and plan.paused is None:
        try:
            alive, problems = servers(events, look.state, look.segment, workspace.clock())
            note = "" if alive else "no server is known, so none was asked whether it has it"
        except StorageUnreachable as error:
            problems = [f"nobody knows which servers run: {error.problem}"]
        if not look.policy.require_acknowledged:
            problems = []
        # Loading takes seconds: only when nothing else is missing.
        problems = problems or list(prove(workspace, look.state, look.segment))
    plan = replace(plan, not_ready=tuple(problems))
    action = decide(plan, look.policy, Statistics(), workspace.clock())
    if action.kind != "start":
        return replace(look, plan=plan, action=action, note=note)
    thresholds: Mapping[str, float] = {}
    if look.policy.latency is not None:
        source = _source(workspace, events, look.state, look.segment)
        try:
            thresholds = freeze_before(source, look.policy.latency, workspace.clock())
        except StorageUnreachable as error:
            action = replace(action, kind="wait", step=None, share=0, reason=error.problem)
    statistics = Statistics(thresholds=thresholds)
    return replace(look, plan=plan, action=action, statistics=statistics, note=note)


def _by_loading(workspace: Workspace, state: ModelState, segment: str) -> Iterable[str]:
    # What judges takes seconds to import, and a rollout under way needs none of it.
    from promotion_assets.pipeline.evaluator import Evaluator
    from promotion_assets.pipeline.preflight import preflight

    return preflight(Evaluator(workspace, state.model, segment), state)


def _under_way(workspace: Workspace, events: EventReader, look: Look, plan: RolloutPlan) -> Look:
    now = workspace.clock()
    try:
        statistics = read_statistics(workspace, events, look)
        if look.policy.experiment is not None:
            from promotion_assets.pipeline.challenger_reporting import (
                make_challenger_report,
                recommended,
            )

            report = make_challenger_report(
                workspace, events, look.model, look.segment, look.policy.experiment
            )
            plan = replace(plan, recommended=recommended(report))
    except StorageUnreachable as error:
        # Without data everything is inconclusive: shares stay, and the longest time still ends.
        action = decide(plan, look.policy, Statistics(), now)
        return replace(look, action=action, note=f"{error.doing}: {error.problem}")
    action = decide(plan, look.policy, statistics, now)
    if action.kind in _GOES_ON:
        # Before more traffic follows, everything is counted afresh: what came late is in it.
        statistics = read_statistics(workspace, events, look, afresh=True)
        action = decide(plan, look.policy, statistics, now)
    return replace(look, action=action, statistics=statistics)


def read_statistics(
    workspace: Workspace, events: EventReader, look: Look, *, afresh: bool = False
) -> Statistics:
    """Return the statistics of a rollout that has begun.

    Raises:
        StorageUnreachable: the event log does not answer.
    """
    steps = steps_of(look.state, look.segment)
    began: dict[int, datetime] = {}
    for step in steps:
        if step.action in ("start", "advance", "bake", "skip"):
            began.setdefault(step.step, step.at)
    start = min(began.values())
    source = _source(workspace, events, look.state, look.segment)
    thresholds = _frozen(steps)
    if not thresholds and look.policy.latency is not None:
        thresholds = freeze_since(source, look.policy.latency, start)
    what = counting(look.policy, source.salt, began, thresholds)
    return (recount if afresh else count)(source, what, start)


def _frozen(steps: tuple[RolloutStepped, ...]) -> dict[str, float]:
    for step in steps:
        counts = step.statistics.get("counts")
        kept = counts.get("thresholds") if isinstance(counts, Mapping) else None
        if isinstance(kept, Mapping) and kept:
            return {kind: float(str(value)) for kind, value in kept.items()}
    return {}


def _source(workspace: Workspace, events: EventReader, state: ModelState, segment: str) -> Source:
    planned = segment_plan(state, segment)
    assert planned.candidate is not None
    return Source(
        events=events,
        home=workspace.home,
        model=state.model,
        segment=segment,
        candidate=planned.candidate.version,
        champion=planned.stable.version,
        salt=planned.salt,
    )
