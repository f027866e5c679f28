"""The smallest detectable effects, by simulating samples that have them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from promotion_assets.statistics.divergence import psi_estimate
from promotion_assets.statistics.intervals import newcombe
from promotion_assets.statistics.power import (
    detectable_auc_difference,
    detectable_from,
    detectable_proportion_gap,
    detectable_psi,
)
from promotion_assets.statistics.roc import auc_difference_by_group
from promotion_assets_tests.statistics.simulation import binormal


def test_detectable_auc_difference_is_caught_in_four_of_five_samples() -> None:
    """A difference of the size named is told from 0 with about the power named."""
    shift = math.sqrt(2) * norm.ppf(0.76)
    correlation = 0.6
    effect = detectable_auc_difference(150, 450, auc=0.76, correlation=correlation)
    weaker = math.sqrt(2) * norm.ppf(0.76 - effect)
    labels, first, second, codes = binormal(
        np.random.default_rng(0), 800, 150, 450, (shift, weaker), correlation
    )
    differences = auc_difference_by_group(labels, first, second, codes, 800)
    caught = np.mean([d is not None and d.p_value < 0.05 for d in differences])
    assert 0.72 <= caught <= 0.9
    assert ndtr(shift / math.sqrt(2)) == pytest.approx(0.76)


def test_detectable_from_scales_with_the_rows() -> None:
    """Four times the rows halve what can be detected, from a measured standard error."""
    labels, first, second, codes = binormal(np.random.default_rng(1), 1, 60, 200, (1.0, 1.0))
    difference = auc_difference_by_group(labels, first, second, codes, 1)[0]
    assert difference is not None
    here = detectable_from(difference)
    assert here == pytest.approx(2.801585 * difference.std_error, rel=1e-5)
    assert detectable_from(difference, 4 * 260) == pytest.approx(here / 2)


def test_detectable_gap_is_caught_in_four_of_five_samples() -> None:
    """A gap of the size named between a group and the rest is found with the power named."""
    rng = np.random.default_rng(2)
    gap = detectable_proportion_gap(200, 1000, proportion=0.4)
    group, rest = rng.binomial(200, 0.4 - gap, 800), rng.binomial(1000, 0.4, 800)
    found = [newcombe(int(a), 200, int(b), 1000).high < 0 for a, b in zip(group, rest, strict=True)]
    assert 0.75 <= np.mean(found) <= 0.86


def test_forty_rows_show_only_a_large_gap() -> None:
    """A group of 40 rows cannot show a gap below a fifth, and a rate of 0 does not change that."""
    assert detectable_proportion_gap(40, 10_000) > 0.2
    assert detectable_proportion_gap(40, 10_000, proportion=0.0) > 0.03


def test_detectable_psi_is_caught_in_four_of_five_samples() -> None:
    """Drift of the size named leaves the range of chance with the power named."""
    rng = np.random.default_rng(3)
    size = detectable_psi(3000, 2000, 10)
    expected = np.full(10, 0.1)
    tilt = np.linspace(-1, 1, 10)
    actual = expected * np.exp(tilt * math.sqrt(size / np.mean(tilt**2)))
    actual /= actual.sum()
    reached = float(np.sum((actual - expected) * np.log(actual / expected)))
    assert reached == pytest.approx(size, rel=0.05)
    pairs = zip(
        rng.multinomial(3000, expected, 1000), rng.multinomial(2000, actual, 1000), strict=True
    )
    found = np.mean([psi_estimate(e, a).p_value < 0.05 for e, a in pairs])
    assert 0.75 <= found <= 0.85


def test_more_rows_always_show_smaller_effects() -> None:
    """Every detectable effect falls as the rows grow."""
    sizes = (50, 200, 1000, 10_000)
    for effects in (
        [detectable_auc_difference(n, 3 * n) for n in sizes],
        [detectable_proportion_gap(n, 5 * n) for n in sizes],
        [detectable_psi(n, n, 10) for n in sizes],
    ):
        assert effects == sorted(effects, reverse=True)
        assert len(set(effects)) == len(sizes)


@pytest.mark.parametrize("power", [0.0, 1.0, 80.0])
def test_power_is_a_share(power: float) -> None:
    """A power of 80 instead of .8 is refused."""
    with pytest.raises(ValueError, match="power must lie between 0 and 1"):
        detectable_auc_difference(10, 10, power=power)


def test_samples_without_rows_are_refused() -> None:
    """No rows detect nothing: an error, not a number."""
    with pytest.raises(ValueError, match="both classes"):
        detectable_auc_difference(0, 10)
    with pytest.raises(ValueError, match="rows on both sides"):
        detectable_proportion_gap(0, 10)
    with pytest.raises(ValueError, match="PSI needs 2 bins"):
        detectable_psi(10, 10, 1)
