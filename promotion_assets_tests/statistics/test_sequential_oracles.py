"""Our sequential statistics against seqabpy's, which computes some of them another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from seqabpy.gatsby import ldBounds
from seqabpy.gavi import AlwaysValidInference, sequential_p_value

from promotion_assets.statistics.group_sequential import (
    SequentialPlan,
    Sides,
    Spending,
    boundaries,
)
from promotion_assets.statistics.mean_sequences import mean_sequence
from promotion_assets.statistics.moments import Moments
from promotion_assets.statistics.sample_ratio import ArmCounts, sample_ratio


def test_sample_ratio_equals_seqabpy() -> None:
    """The sample-ratio p-value is that of seqabpy's sequential_p_value, whatever the counts."""
    rng = np.random.default_rng(5)
    for total in rng.integers(1, 5000, 50):
        units = rng.multinomial(total, (0.06, 0.94)).tolist()
        theirs = sequential_p_value(units, [0.05, 0.95], [50, 950])
        ours = sample_ratio([ArmCounts((0.05, 0.95), (units[0], units[1]))], concentration=1000)
        assert ours.p_value == pytest.approx(float(theirs), rel=1e-6)


@pytest.mark.parametrize(
    ("spending", "theirs"), [(Spending.OBRIEN_FLEMING, 1), (Spending.POCOCK, 2)]
)
def test_boundaries_equal_seqabpy(spending: Spending, theirs: int) -> None:
    """One-sided boundaries are ldBounds', which integrates multivariate normals by chance."""
    times = (0.15, 0.4, 0.7, 1.0)
    ours = boundaries(times, SequentialPlan(times, 1.0, 0.025, spending, Sides.HIGHER))
    upper = ldBounds(np.array(times), iuse=theirs, alpha=0.025)["upper.bounds"]
    assert ours == pytest.approx(upper.tolist(), abs=2e-4)


@pytest.mark.parametrize("n", [60, 500, 20_000])
def test_mean_boundary_equals_seqabpy(n: int) -> None:
    """A mean's bounds are those of GAVI, which states the difference of two arms of that size."""
    deviation = 1.7
    squares = deviation**2 * (n - 1)
    ours = mean_sequence(Moments(n, 0.0, squares, n))
    for step, significant in ((0.999, False), (1.001, True)):
        # Two arms of n each: the variance of the difference is twice that of one mean.
        estimate = ours.high * math.sqrt(2) * step
        test = AlwaysValidInference(np.array([n]), deviation**2, estimate, alpha=0.05, sides=2)
        assert bool(test.GAVI(phi=500)[0]) is significant
