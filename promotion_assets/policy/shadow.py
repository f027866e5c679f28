"""The policy on shadows: how much a shadow sees, for how long, and what its report must show."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from promotion_assets.canonical import digest_of
from promotion_assets.policy.strict import Strict

WHOLE = 10_000
Share = Annotated[float, Field(ge=0, le=1)]
MINIMUM_HOURS, WEEKLY_HOURS = 48.0, 168.0


class ShadowLimits(Strict):
    """What a shadow's answers are held against; ``null`` only reports.

    Attributes:
        disagreement: share of the pairs in which the two decide differently.
        shift: change of the share that is decided positively, up or down.
        group_shift: the same within any one group.
        psi: of the shadow's scores against the champion's.
        errors: share of the copies that the shadow failed to answer.
        latency_ms: how much slower its 95th percentile may be.
        drops: share of the copies that were dropped before they were answered; above it the rest
            may not be typical.
        auc_loss: how much less AUC on labelled pairs, once there are labels (binary).
    """

    disagreement: Share | None = 0.15
    shift: Share | None = 0.05
    group_shift: Share | None = 0.05
    psi: Annotated[float, Field(gt=0)] | None = 0.2
    errors: Share | None = 0.01
    latency_ms: Annotated[float, Field(ge=0)] | None = 50.0
    drops: Share | None = 0.1
    auc_loss: Share | None = 0.01


class ShadowPolicy(Strict):
    """What is asked of a version's shadow.

    Attributes:
        waive: the reason why no shadow report is asked for; recorded with every promotion.
        sampling: share of the requests that are copied. All of them are advised before a
            promotion: a group of one in a hundred is not seen in one request in a hundred.
        weekly: whether requests differ by the day of the week, so that it takes seven days.
        minimum_hours: from the first pair to the last; 48, or 168 where ``weekly``.
        minimum_pairs: pairs of answers that a report needs.
        minimum_group_pairs: pairs below which a group is named and not judged.
        threshold: score from which a decision is positive (binary).
        label_delay_days: how long an outcome takes to be known of everybody. Younger pairs are
            never compared with their labels: what is known early is not typical.
        outcome_days: outcomes told later than this after their request count as late and are
            not used.
        confidence: of every interval.
        report_hours: how often the report is made while the shadow runs.
        limits: what the report must show.
    """

    waive: Annotated[str | None, Field(min_length=10)] = None
    sampling: Annotated[float, Field(gt=0, le=1)] = 0.01
    weekly: bool = False
    minimum_hours: Annotated[float | None, Field(gt=0)] = None
    minimum_pairs: Annotated[int, Field(ge=1)] = 1000
    minimum_group_pairs: Annotated[int, Field(ge=1)] = 200
    threshold: float = 0.5
    label_delay_days: Annotated[float, Field(gt=0)] = 30.0
    outcome_days: Annotated[float, Field(gt=0)] = 90.0
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    report_hours: Annotated[float, Field(gt=0)] = 1.0
    limits: ShadowLimits = ShadowLimits()

    @property
    def share(self) -> int:
        """``sampling`` in basis points, at least one."""
        return max(1, round(self.sampling * WHOLE))

    @property
    def minimum_time(self) -> timedelta:
        """How long a shadow runs at least."""
        usual = WEEKLY_HOURS if self.weekly else MINIMUM_HOURS
        return timedelta(hours=self.minimum_hours or usual)

    @property
    def label_delay(self) -> timedelta:
        """``label_delay_days`` as a time span."""
        return timedelta(days=self.label_delay_days)

    @property
    def outcome_window(self) -> timedelta:
        """``outcome_days`` as a time span."""
        return timedelta(days=self.outcome_days)

    @property
    def rules_digest(self) -> str:
        """SHA-256 of what a report is judged by; how much is copied and reported is none of it."""
        return digest_of(self.model_dump(mode="json", exclude={"sampling", "report_hours"}))
