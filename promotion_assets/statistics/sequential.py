"""Verdicts that may be looked at at any time; what a rollout is watched with.

Each takes sufficient statistics only, so a look is computed from counts that any process can read
back, and has a file of its own:

- :mod:`~promotion_assets.statistics.evalues`: what evidence is, and when it *shows* something;
- :mod:`~promotion_assets.statistics.event_counts`: rates of errors and decisions in two arms;
- :mod:`~promotion_assets.statistics.exceedance`: latency against the champion's frozen quantiles;
- :mod:`~promotion_assets.statistics.mean_sequences`: means, with a floor for rare values;
- :mod:`~promotion_assets.statistics.sample_ratio`: whether each arm got its share;
- :mod:`~promotion_assets.statistics.paired_counts`: two versions on the same units;
- :mod:`~promotion_assets.statistics.group_sequential`: a comparison with a planned end, which alone
  counts its looks.
"""

from __future__ import annotations

from promotion_assets.statistics.evalues import EValue, average, no_evidence
from promotion_assets.statistics.event_counts import (
    RATIOS,
    EventCounts,
    event_change,
    event_harm,
    event_ratio,
    event_safe,
)
from promotion_assets.statistics.exceedance import QUANTILES, rate_above, slowdown
from promotion_assets.statistics.group_sequential import (
    SequentialLook,
    SequentialPlan,
    Sides,
    Spending,
    analyse,
    boundaries,
)
from promotion_assets.statistics.mean_sequences import (
    mean_difference_sequence,
    mean_higher,
    mean_lower,
    mean_sequence,
)
from promotion_assets.statistics.moments import MeanCounts, Moments, moments, winsorise
from promotion_assets.statistics.paired_counts import paired_change, paired_harm
from promotion_assets.statistics.sample_ratio import ArmCounts, sample_ratio

__all__ = [
    "QUANTILES",
    "RATIOS",
    "ArmCounts",
    "EValue",
    "EventCounts",
    "MeanCounts",
    "Moments",
    "SequentialLook",
    "SequentialPlan",
    "Sides",
    "Spending",
    "analyse",
    "average",
    "boundaries",
    "event_change",
    "event_harm",
    "event_ratio",
    "event_safe",
    "mean_difference_sequence",
    "mean_higher",
    "mean_lower",
    "mean_sequence",
    "moments",
    "no_evidence",
    "paired_change",
    "paired_harm",
    "rate_above",
    "sample_ratio",
    "slowdown",
    "winsorise",
]
