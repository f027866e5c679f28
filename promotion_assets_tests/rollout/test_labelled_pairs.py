"""Which pairs are compared with their outcome, and what is said of those that are not."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from promotion_assets.rollout.labelled_pairs import Horizon, LabelledPairs, label_pairs
from promotion_assets.rollout.pair_sample import PairSample
from promotion_assets.rollout.shadow_tally import tally
from promotion_assets_tests.rollout.shadows import (
    DAY_US,
    NOW,
    RULES,
    batches,
    microseconds,
    outcome_frame,
    shadow_frame,
)

HORIZON = Horizon(NOW, timedelta(days=1), timedelta(days=90))


def labelled(
    shadows: pd.DataFrame, outcomes: pd.DataFrame, horizon: Horizon = HORIZON
) -> LabelledPairs:
    """Join the pairs of ``shadows`` with ``outcomes``."""
    sample = tally(batches(shadows), RULES).sample
    return label_pairs(sample, batches(outcomes, "outcome"), horizon, 0.5)


def test_only_pairs_older_than_the_delay_are_compared() -> None:
    """A label that is there early is counted as such and not used, whatever it says."""
    rng = np.random.default_rng(1)
    shadows = shadow_frame(rng.random(960), rng.random(960), hours=95)
    found = labelled(shadows, outcome_frame(shadows, rng.random(960) < 0.3, after_days=0.01))
    old = shadows["time_us"] <= microseconds(NOW - timedelta(days=1))
    assert (found.matured, found.known) == (int(old.sum()), int(old.sum()))
    assert found.immature == int((~old).sum()) > 200


def test_labels_so_far_are_biased_and_matured_cohorts_are_not() -> None:
    """A failure shows in a day and a success in thirty: at any moment most labels are failures.

    Both versions are right equally often. Taking whatever labels there are finds a difference in
    almost every run, since one of them is better at failures; the matured cohort finds it as
    rarely as its 5 % says.
    """
    rng = np.random.default_rng(93)
    early_finds = matured_finds = 0
    runs, n = 30, 2400
    horizon = Horizon(NOW, timedelta(days=30), timedelta(days=90))
    for _ in range(runs):
        fails = rng.random(n) < 0.5
        # Production finds 60 % of the failures and 80 % of the successes, the shadow the reverse.
        right_one = rng.random(n) < np.where(fails, 0.6, 0.8)
        right_two = rng.random(n) < np.where(fails, 0.8, 0.6)
        one = np.where(right_one == fails, 0.9, 0.1)
        two = np.where(right_two == fails, 0.9, 0.1)
        # Requests of the last sixty days.
        times = microseconds(NOW) - np.linspace(60, 0.5, n) * DAY_US
        shadows = shadow_frame(one, two, time_us=times.astype(np.int64))
        outcomes = outcome_frame(shadows, fails, after_days=np.where(fails, 1.0, 30.0))
        sample = PairSample.empty().add(pa.Table.from_pandas(shadows))
        found = label_pairs(sample, batches(outcomes, "outcome"), horizon, 0.5)
        matured_finds += p_value(found.labels, found.production, found.shadow) < 0.05
        known = outcomes["time_us"] <= microseconds(NOW)
        early_finds += p_value(fails[known].astype(float), one[known], two[known]) < 0.05
    assert early_finds / runs > 0.9
    assert matured_finds / runs <= 0.2


def p_value(labels: np.ndarray, one: np.ndarray, two: np.ndarray) -> float:
    """McNemar's test by SciPy."""
    from scipy.stats import binomtest

    right_one, right_two = (one >= 0.5) == labels, (two >= 0.5) == labels
    only_one, only_two = int((right_one & ~right_two).sum()), int((~right_one & right_two).sum())
    return float(binomtest(only_one, only_one + only_two).pvalue)


def test_what_was_told_last_holds_and_what_came_too_late_does_not() -> None:
    """A corrected label replaces the first; a label after the window is counted as late."""
    shadows = shadow_frame([0.2] * 10, [0.8] * 10, hours=1)
    first = outcome_frame(shadows, np.zeros(10))
    second = outcome_frame(shadows.head(4), np.ones(4), after_days=2).assign(
        event_id=[f"correction-{i}" for i in range(4)]
    )
    late = outcome_frame(shadows.tail(3), np.ones(3), after_days=2.5).assign(
        event_id=[f"late-{i}" for i in range(3)]
    )
    told = pd.concat([second, first, late])
    found = labelled(shadows, told, Horizon(NOW, timedelta(days=1), timedelta(days=2, hours=6)))
    assert sorted(found.labels) == [0, 0, 0, 1, 1, 1, 1]
    assert (found.matured, found.known, found.late) == (10, 7, 3)


def test_outcomes_that_are_still_to_come_are_not_read() -> None:
    """An observation dated after now does not exist yet."""
    shadows = shadow_frame([0.2] * 5, [0.8] * 5, hours=1)
    assert labelled(shadows, outcome_frame(shadows, np.ones(5), after_days=30)).known == 0


@pytest.mark.parametrize(
    ("positive", "negative", "says"),
    [
        ((500, 500), (500, 500), ""),
        ((10, 500), (495, 500), "of 2.0% of those that production decided positively"),
        ((400, 500), (402, 500), "19.8% of the matured pairs have no outcome"),
        ((0, 500), (0, 500), ""),
    ],
)
def test_selective_labels_are_called_out(
    positive: tuple[int, int], negative: tuple[int, int], says: str
) -> None:
    """Outcomes known more often on one side of the decision, or not at all of many, are named."""
    known = positive[0] + negative[0]
    found = LabelledPairs(
        labels=np.zeros(known),
        production=np.zeros(known),
        shadow=np.zeros(known),
        matured=positive[1] + negative[1],
        positive=positive,
        negative=negative,
    )
    warned = found.selective(0.95)
    assert says in warned
    assert bool(says) == bool(warned)
