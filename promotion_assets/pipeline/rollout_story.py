"""A version's rollout as a whole, while it is under way and after it has ended."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from promotion_assets.lifecycle.events import RolloutStepped
from promotion_assets.pipeline.rollout_look import Look, look_at, policy_of_today
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.rollout import RolloutPolicy
from promotion_assets.rollout.decide import Action
from promotion_assets.rollout.findings import Finding
from promotion_assets.rollout.guardrails import judge
from promotion_assets.rollout.statistics import Statistics, parse_statistics
from promotion_assets.serving.events import EventReader


@dataclass(frozen=True)
class RolloutStory:
    """One version's rollout in one segment.

    Attributes:
        steps: what was recorded, in order.
        action: what the next tick would do; ``None`` once the rollout has ended.
        findings: of every guardrail, as they are now or stood at the last recorded step.
    """

    segment: str
    policy: RolloutPolicy
    steps: tuple[RolloutStepped, ...]
    statistics: Statistics
    findings: tuple[Finding, ...]
    action: Action | None = None

    def next_step(self) -> str:
        """Say what comes next and why it waits, or how it ended."""
        if self.action is not None:
            moment = self.action.not_before
            when = f", not before {moment:%Y-%m-%d %H:%M:%S}" if moment else ""
            return f"{self.action.kind.replace('_', ' ')}{when}: {self.action.reason}"
        if not self.steps:
            return "it has not begun"
        last = self.steps[-1]
        return f"ended ({last.action.replace('_', ' ')}): {last.reason}"


def stories(
    workspace: Workspace, events: EventReader, model: str, version: str
) -> list[RolloutStory]:
    """Return the version's rollouts, one a segment.

    Raises:
        LedgerUnreachable, RegistryUnreachable: as they say.
    """
    state = workspace.ledger.state(model)
    recorded: dict[str, list[RolloutStepped]] = {}
    for entry in workspace.ledger.events(model):
        if isinstance(entry.event, RolloutStepped) and entry.event.version == version:
            recorded.setdefault(entry.event.segment, []).append(entry.event)
    found = []
    for segment in dict.fromkeys([*recorded, *state.rolling]):
        if state.rolling.get(segment) == version:
            look = look_at(workspace, events, model, segment, prove=lambda *_: ())
            found.append(_under_way(look, tuple(recorded.get(segment, ()))))
        elif segment in recorded:
            found.append(_ended(workspace, model, segment, tuple(recorded[segment])))
    return found


def _under_way(look: Look, steps: tuple[RolloutStepped, ...]) -> RolloutStory:
    assert look.action is not None
    return RolloutStory(
        look.segment, look.policy, steps, look.statistics, look.action.findings, look.action
    )


def _ended(
    workspace: Workspace, model: str, segment: str, steps: tuple[RolloutStepped, ...]
) -> RolloutStory:
    policy = policy_of_today(workspace, model)
    statistics = Statistics()
    for step in steps:
        try:
            if "policy" in step.statistics:
                policy = RolloutPolicy.model_validate(step.statistics["policy"])
            if "counts" in step.statistics:
                statistics = parse_statistics(step.statistics["counts"])
        except ValidationError:
            continue
    at = max((s.step for s in statistics.steps), default=0)
    findings = judge(policy, statistics, at) if at < len(policy.way) else ()
    return RolloutStory(segment, policy, steps, statistics, findings)
