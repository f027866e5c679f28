"""The policy on rollouts: in which steps traffic moves, what stops it, and how often it may err."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from promotion_assets.canonical import digest_of
from promotion_assets.policy.strict import Strict

BASIS_POINTS = 10_000
_DAY = 1440.0
Alpha = Annotated[float, Field(gt=0, lt=0.5)]
Ratio = Annotated[float, Field(gt=1, le=100)]
Rate = Annotated[float, Field(gt=0, lt=1)]


class RolloutStep(Strict):
    """One share of the traffic and how long it is kept.

    Attributes:
        share: part of the units that the candidate answers; the last step's is 1, of which
            ``holdback`` is kept back.
        minimum_minutes: sooner it does not go on, whatever the data say.
        maximum_minutes: so long it waits for data that can tell; then ``on_timeout`` holds.
        minimum_units: different units that the candidate must have answered in this step.
        require_deployment: whether a pipeline must have reported the version well before this
            step begins.
    """

    share: Annotated[float, Field(gt=0, le=1)]
    minimum_minutes: Annotated[float, Field(ge=0)] = 60.0
    maximum_minutes: Annotated[float, Field(gt=0)] = 1440.0
    minimum_units: Annotated[int, Field(ge=1)] = 1000
    require_deployment: bool = False

    @model_validator(mode="after")
    def _times_fit(self) -> RolloutStep:
        if self.minimum_minutes > self.maximum_minutes:
            raise ValueError(
                f"minimum_minutes {self.minimum_minutes:g} is more than maximum_minutes "
                f"{self.maximum_minutes:g}"
            )
        return self

    @property
    def minimum(self) -> timedelta:
        """``minimum_minutes`` as a time span."""
        return timedelta(minutes=self.minimum_minutes)

    @property
    def maximum(self) -> timedelta:
        """``maximum_minutes`` as a time span."""
        return timedelta(minutes=self.maximum_minutes)


class Errors(Strict):
    """Units to whom the candidate did not answer, against the champion's.

    Attributes:
        alpha: chance of ever rolling back a candidate that errs no more than the champion.
        max_ratio: at this ratio of error rates a candidate must not pass for safe.
        max_rate: a rate of errors shown to be below this is safe as well, whatever the ratio;
            without it nothing could be said where nobody errs.
    """

    alpha: Alpha = 0.05
    max_ratio: Ratio = 2.0
    max_rate: Rate = 0.01


class Latency(Strict):
    """Units who waited longer than the champion's quantiles as they were frozen at the start.

    Attributes:
        alpha, max_ratio, max_rate: as for errors, of waiting longer than the highest quantile.
        quantiles: of the champion's latencies, ascending. A slowdown of everything shows at the
            lower ones first, one of the slowest few at the highest only.
        freeze_requests: champion's answers that must be there before they are frozen.
    """

    alpha: Alpha = 0.05
    max_ratio: Ratio = 2.0
    max_rate: Rate = 0.03
    quantiles: Annotated[tuple[Rate, ...], Field(min_length=1, max_length=4)] = (0.5, 0.9, 0.99)
    freeze_requests: Annotated[int, Field(ge=20)] = 500

    @model_validator(mode="after")
    def _quantiles_ascend(self) -> Latency:
        if list(self.quantiles) != sorted(set(self.quantiles)):
            raise ValueError(f"quantiles must ascend, got {list(self.quantiles)}")
        return self


class DecisionRate(Strict):
    """Share of units that are decided positively, against the champion's; binary tasks.

    Attributes:
        alpha: chance of ever rolling back where the rates differ by no more than ``limit``.
        limit: greatest difference, either way.
        threshold: from this score on the decision is positive.
    """

    alpha: Alpha = 0.01
    limit: Rate = 0.05
    threshold: float = 0.5


class SampleRatio(Strict):
    """Units of either arm against the planned share: whether what is counted can be believed.

    Attributes:
        alpha: chance of ever distrusting counts that are as planned.
    """

    alpha: Alpha = 0.01


class Drops(Strict):
    """Events that were lost before they were counted.

    Attributes:
        limit: above this share of an arm's events nothing is concluded from them.
    """

    limit: Rate = 0.01


class Experiment(Strict):
    """A rollout that is held at some share until outcomes tell which version is better.

    Attributes:
        shares: ascending; one is a fixed share, several grow by ``grow_after_days``.
        grow_after_days: how long each share but the last is kept.
        label_delay_days: an exposure counts when it is older than this, and never before.
        metric: what is compared per unit once the outcome is there.
        margin: the candidate may be worse by this much and still be recommended.
        alpha: of the always-valid interval.
        looks: times at which the planned experiment is looked at.
        planned_units: units an arm that the experiment is planned for; with it ``looks`` are
            planned too and the group-sequential boundary is shown beside the interval.
        minimum_units: matured units an arm before anything is recommended.
        maximum_days: so long it waits for a recommendation.
    """

    shares: Annotated[tuple[Rate, ...], Field(min_length=1)] = (0.05,)
    grow_after_days: Annotated[float, Field(gt=0)] = 7.0
    label_delay_days: Annotated[float, Field(ge=0)] = 30.0
    metric: Literal["brier", "accuracy", "log_loss"] = "brier"
    margin: Annotated[float, Field(ge=0)] = 0.0
    alpha: Alpha = 0.05
    planned_units: Annotated[int | None, Field(ge=10)] = None
    looks: Annotated[int, Field(ge=1, le=50)] = 5
    minimum_units: Annotated[int, Field(ge=2)] = 200
    maximum_days: Annotated[float, Field(gt=0)] = 90.0

    @model_validator(mode="after")
    def _shares_ascend(self) -> Experiment:
        _check_ascending("experiment.shares", self.shares)
        return self

    @property
    def steps(self) -> tuple[RolloutStep, ...]:
        """The experiment's shares as steps of a rollout."""
        days = [self.grow_after_days] * (len(self.shares) - 1) + [0.0]
        return tuple(
            RolloutStep(
                share=share,
                minimum_minutes=day * _DAY,
                maximum_minutes=self.maximum_days * _DAY,
                minimum_units=self.minimum_units,
            )
            for share, day in zip(self.shares, days, strict=True)
        )

    @model_validator(mode="after")
    def _days_fit(self) -> Experiment:
        if len(self.shares) > 1 and self.grow_after_days > self.maximum_days:
            raise ValueError("grow_after_days is more than maximum_days")
        return self


class RolloutPolicy(Strict):
    """How traffic moves from the champion to a candidate that was approved.

    Attributes:
        steps: in order; their shares ascend to 1.
        holdback: share that the champion keeps during the last step, the bake, so that there is
            something to compare with.
        errors, latency, decision_rate, sample_ratio, drops: the guardrails; ``null`` switches
            one off, except errors and drops.
        on_timeout: what becomes of a step whose data could not tell in its maximum time.
        rollback_window_days: a candidate whose artifact was champion so recently may skip steps.
        require_deployment: whether every step needs a pipeline's good report.
        require_acknowledged: whether every live server must have loaded the candidate before
            the first step.
        tick_seconds: how often somebody looks.
        experiment: comes before the steps that have a larger share than it.
    """

    steps: Annotated[tuple[RolloutStep, ...], Field(min_length=1, max_length=12)] = (
        RolloutStep(share=0.05),
        RolloutStep(share=0.25),
        RolloutStep(share=1, minimum_minutes=1440, maximum_minutes=4320),
    )
    holdback: Annotated[float, Field(ge=0, le=0.2)] = 0.02
    errors: Errors = Errors()
    latency: Latency | None = Latency()
    decision_rate: DecisionRate | None = DecisionRate()
    sample_ratio: SampleRatio | None = SampleRatio()
    drops: Drops = Drops()
    on_timeout: Literal["hold", "roll_back"] = "hold"
    rollback_window_days: Annotated[int, Field(ge=0)] = 30
    require_deployment: bool = False
    require_acknowledged: bool = True
    tick_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    experiment: Experiment | None = None

    @model_validator(mode="after")
    def _steps_lead_to_all(self) -> RolloutPolicy:
        shares = tuple(step.share for step in self.steps)
        _check_ascending("steps", shares)
        if shares[-1] != 1:
            raise ValueError(f"the last step's share is {shares[-1]:g}, not 1")
        before = self.way[-2].share if len(self.way) > 1 else 0.0
        if 1 - self.holdback <= before:
            raise ValueError(f"holdback {self.holdback:g} leaves the last step no larger share")
        return self

    @property
    def way(self) -> tuple[RolloutStep, ...]:
        """All steps that a rollout goes: those of the experiment first, then the larger ones."""
        if self.experiment is None:
            return self.steps
        first = self.experiment.steps
        return (*first, *(step for step in self.steps if step.share > first[-1].share))

    @property
    def experiment_ends(self) -> int | None:
        """The step that ends with the experiment's recommendation; ``None`` where there is none."""
        return None if self.experiment is None else len(self.experiment.shares) - 1

    def share_at(self, step: int) -> int:
        """Return the basis points of a step of the way; the last one's without the holdback."""
        share = self.way[step].share
        if step == len(self.way) - 1:
            share -= self.holdback
        return round(share * BASIS_POINTS)

    def needs_deployment(self, step: int) -> bool:
        """Whether a step begins only after a pipeline's good report."""
        return self.require_deployment or self.way[step].require_deployment

    @property
    def family_rate(self) -> float:
        """Bound on the chance that a candidate as good as the champion is ever rolled back."""
        guards = (self.errors, self.latency, self.decision_rate, self.sample_ratio)
        return min(1.0, sum(guard.alpha for guard in guards if guard is not None))

    @property
    def rules_digest(self) -> str:
        """SHA-256 of what a reviewer agrees to; how often somebody looks is no part of it."""
        return digest_of(self.model_dump(mode="json", exclude={"tick_seconds"}))


def _check_ascending(what: str, shares: tuple[float, ...]) -> None:
    if list(shares) != sorted(set(shares)):
        raise ValueError(f"{what}: shares must ascend, got {list(shares)}")
