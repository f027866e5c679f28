"""Making the challenger report of a version that is rolling out."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from promotion_assets.errors import EvidenceMissing
from promotion_assets.lifecycle.events import DEFAULT_SEGMENT, RolloutStepped
from promotion_assets.lifecycle.rollouts import segment_plan
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.rollout import Experiment
from promotion_assets.rollout.challenger import ChallengerReport, challenger_report
from promotion_assets.rollout.labelled_pairs import Horizon
from promotion_assets.rollout.unit_outcomes import Trial, unit_outcomes
from promotion_assets.serving.events import EventReader, microseconds


def make_challenger_report(
    workspace: Workspace,
    events: EventReader,
    model: str,
    segment: str = DEFAULT_SEGMENT,
    experiment: Experiment | None = None,
) -> ChallengerReport:
    """Compare the version that is rolling out with the champion, on matured outcomes.

    Args:
        experiment: by which the rollout goes; the policy's where not given. A rollout without one
            is compared by an experiment's defaults, for information.

    Raises:
        EvidenceMissing: nothing is rolling out, or it has not begun.
        StorageUnreachable: the event log does not answer.
    """
    policy, now = workspace.policy_of(model), workspace.clock()
    state = workspace.ledger.state(model)
    trial = trial_of(state, segment)
    experiment = experiment or policy.rollout.experiment or Experiment()
    horizon = Horizon(
        now=now,
        delay=timedelta(days=experiment.label_delay_days),
        window=policy.shadow.outcome_window,
    )
    begun = _steps(state, segment)[0].at
    found = unit_outcomes(
        events.batches("exposure", model, segment=segment, since=begun, until=now),
        events.batches("outcome", model, since=begun, until=now),
        trial,
        horizon,
    )
    threshold = policy.shadow.threshold
    return challenger_report(model, segment, found, experiment, now, threshold=threshold)


def recommended(report: ChallengerReport) -> Literal["promote", "keep"] | None:
    """Return what an experiment has come to; ``None`` while it goes on."""
    return None if report.recommendation == "go on" else report.recommendation


def trial_of(state: ModelState, segment: str) -> Trial:
    """Return which exposures a rollout's report compares.

    Raises:
        EvidenceMissing: nothing is rolling out, or it has not begun.
    """
    steps = _steps(state, segment)
    candidate = state.rolling.get(segment)
    if candidate is None or not steps:
        raise EvidenceMissing(
            f"comparing a challenger of {state.model} in segment {segment!r}",
            "nothing is rolling out there" if candidate is None else "its rollout has not begun",
            f"see `promotion rollout status {state.model}`",
        )
    return Trial(
        candidate=candidate,
        champion=state.champions[segment],
        salt=segment_plan(state, segment).salt,
        periods=tuple((microseconds(step.at), step.share_to) for step in steps),
    )


def _steps(state: ModelState, segment: str) -> list[RolloutStepped]:
    """Return the steps of what is rolling out that changed its share, in order."""
    candidate = state.rolling.get(segment)
    recorded = state.rollout_steps.get(segment, ())
    return [
        step for step in recorded if step.version == candidate and step.share_to != step.share_from
    ]
