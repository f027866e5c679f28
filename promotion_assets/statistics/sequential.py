"""Verdicts that may be looked at at any time; what a rollout is watched with.

Each takes sufficient statistics only, so a look is computed from counts that any process can read
back, and has a file of its own:

- :mod:`~promotion_assets.statistics.evalues`: what evidence is, and when it *shows* something;
- :mod:`~promotion_assets.statistics.event_counts`: rates of errors and decisions in two arms;
- :mod:`~promotion_assets.statistics.exceedance`: latency against the champion's frozen quantiles;
- :mod:`~promotion_assets.statistics.sample_ratio`: whether each arm got its share;
- :mod:`~promotion_assets.statistics.paired_counts`: two versions on the same units.
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
from promotion_assets.statistics.paired_counts import paired_change, paired_harm
from promotion_assets.statistics.sample_ratio import ArmCounts, sample_ratio

__all__ = [
    "QUANTILES",
    "RATIOS",
    "ArmCounts",
    "EValue",
    "EventCounts",
    "average",
    "event_change",
    "event_harm",
    "event_ratio",
    "event_safe",
    "no_evidence",
    "paired_change",
    "paired_harm",
    "rate_above",
    "sample_ratio",
    "slowdown",
]
