"""Row bootstrap of confusion counts: resampling the cells is resampling the rows.

A bootstrap of ``n`` rows draws cell counts from a multinomial with the observed shares, so 1,000
resamples of a table cost 1,000 small draws, whatever the number of rows. From them come intervals
of the largest gap between groups, which has no closed form, and the critical value that makes
the intervals of all groups hold at once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from promotion_assets.statistics.checks import Floats, Ints, as_binary, as_codes, as_confidence
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.groups import (
    ConfusionTable,
    Disparity,
    Rate,
    _count,
    _disparity,
    _rates,
    disparity,
    gaps_to_overall,
)
from promotion_assets.statistics.intervals import newcombe_paired
from promotion_assets.statistics.simultaneous import max_t_critical, simultaneous_level
