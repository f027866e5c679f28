"""What to do with a rollout now: a pure function of plan, policy, statistics and clock.

The order of questions is the order of precedence: a latch, then harm, go back whatever a person
has paused; then a pause or a hold waits; then time, units and guardrails must all allow the next
step. Nothing goes on without data, and what cannot tell in its longest time is held or taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from promotion_assets.policy.rollout import RolloutPolicy
from promotion_assets.rollout.findings import Finding, Verdict, named, worst
from promotion_assets.rollout.guardrails import judge
from promotion_assets.rollout.statistics import Statistics

Kind = Literal["wait", "start", "advance", "bake", "hold", "roll_back", "complete"]


@dataclass(frozen=True)
class RolloutPlan:
    """Where a rollout stands.

    Attributes:
        version: what is rolling out.
        step: number on the way, from 0; ``None`` before it begins.
        since: when the step began, or was resumed.
        paused, held: the reason, where a person has paused it, or it holds.
        latched: why its artifact must not be live, if so.
        not_ready: what keeps it from its first share.
        deployment: what a pipeline has reported last.
        recommended: what the experiment says, ``None`` where it has not come to an end.
    """

    version: str
    step: int | None = None
    since: datetime | None = None
    paused: str | None = None
    held: str | None = None
    latched: str | None = None
    not_ready: tuple[str, ...] = ()
    deployment: Literal["good", "bad", "none"] = "none"
    recommended: Literal["promote", "keep"] | None = None


@dataclass(frozen=True)
class Action:
    """What is to be done.

    Attributes:
        step: that it is at afterwards; ``None`` before it begins.
        share: basis points of the candidate afterwards.
        reason: in a sentence, with the numbers that decided.
        findings: of every guardrail at this look.
        not_before: when the next step may begin at the earliest, while it waits for time.
    """

    kind: Kind
    step: int | None
    share: int
    reason: str
    findings: tuple[Finding, ...] = ()
    not_before: datetime | None = None


def decide(
    plan: RolloutPlan, policy: RolloutPolicy, statistics: Statistics, now: datetime
) -> Action:
    """Return what to do with the rollout at this look.

    Deciding again from the same arguments gives the same; it needs nothing from earlier looks.
    """
    if plan.step is None:
        return _begin(plan, policy)
    findings = judge(policy, statistics, plan.step)
    share = policy.share_at(plan.step)

    def _act(kind: Kind, reason: str, not_before: datetime | None = None) -> Action:
        at = 0 if kind == "roll_back" else share
        return Action(kind, plan.step, at, reason, findings, not_before)

    stopped = _stopped(plan, policy, findings)
    if stopped is not None:
        return _act("roll_back", stopped)
    if plan.paused is not None:
        return _act("wait", f"paused: {plan.paused}")
    if plan.held is not None:
        return _act("wait", f"held: {plan.held}")
    step = policy.way[plan.step]
    since = plan.since or now
    # A clock that went back makes it wait longer, never less.
    elapsed = max(now - since, timedelta(0))
    if elapsed < step.minimum:
        until = since + step.minimum
        left = _spoken(step.minimum - elapsed)
        return _act("wait", f"its shortest time is not over for another {left}", until)
    lacking = _lacking(plan, policy, statistics, findings)
    if not lacking:
        return _onward(plan, policy, findings)
    if plan.recommended == "keep" and plan.step == policy.experiment_ends:
        return _act("hold", lacking[-1])
    if elapsed < step.maximum:
        return _act("wait", "; ".join(lacking), since + step.maximum)
    waited = f"{_spoken(step.maximum)} were not enough: {'; '.join(lacking)}"
    return _act("roll_back" if policy.on_timeout == "roll_back" else "hold", waited)


def _begin(plan: RolloutPlan, policy: RolloutPolicy) -> Action:
    if plan.latched is not None:
        return Action("roll_back", None, 0, f"its artifact is latched: {plan.latched}")
    if plan.paused is not None:
        return Action("wait", None, 0, f"paused: {plan.paused}")
    lacking = list(plan.not_ready)
    if policy.needs_deployment(0) and plan.deployment != "good":
        lacking.append(_deployment(plan))
    if lacking:
        return Action("wait", None, 0, "; ".join(lacking))
    return Action("start", 0, policy.share_at(0), "it is loaded, verified and has answered")


def _stopped(plan: RolloutPlan, policy: RolloutPolicy, findings: Sequence[Finding]) -> str | None:
    """Say why it must go back, or ``None``."""
    if plan.latched is not None:
        return f"its artifact is latched: {plan.latched}"
    if worst(findings) is Verdict.FAIL:
        return named(findings, Verdict.FAIL)
    assert plan.step is not None
    if plan.deployment == "bad" and policy.needs_deployment(plan.step):
        return _deployment(plan)
    return None


def _lacking(
    plan: RolloutPlan,
    policy: RolloutPolicy,
    statistics: Statistics,
    findings: Sequence[Finding],
) -> list[str]:
    """Name everything that keeps it from its next step; its shortest time is over."""
    assert plan.step is not None
    said = []
    for verdict in (Verdict.ERROR, Verdict.INCONCLUSIVE):
        if any(f.verdict is verdict for f in findings):
            said.append(named(findings, verdict))
    needed = policy.way[plan.step].minimum_units
    units = statistics.step(plan.step).candidate.units
    if units < needed:
        said.append(f"{units:,} of {needed:,} units were answered by the candidate")
    following = plan.step + 1
    if (
        following < len(policy.way)
        and policy.needs_deployment(following)
        and plan.deployment != "good"
    ):
        said.append(_deployment(plan))
    if plan.step == policy.experiment_ends and plan.recommended != "promote":
        said.append(
            "the experiment recommends to keep the champion"
            if plan.recommended == "keep"
            else "the experiment has not come to a recommendation"
        )
    return said


def _onward(plan: RolloutPlan, policy: RolloutPolicy, findings: tuple[Finding, ...]) -> Action:
    assert plan.step is not None
    following = plan.step + 1
    reason = named(findings, Verdict.SUCCESS)
    if following == len(policy.way):
        return Action("complete", plan.step, policy.share_at(plan.step), reason, findings)
    kind: Kind = "bake" if following == len(policy.way) - 1 else "advance"
    return Action(kind, following, policy.share_at(following), reason, findings)


def _deployment(plan: RolloutPlan) -> str:
    if plan.deployment == "bad":
        return "the pipeline reported its deployment as failed or unhealthy"
    return "no pipeline has reported it deployed and healthy"


def _spoken(span: timedelta) -> str:
    seconds = span.total_seconds()
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"
