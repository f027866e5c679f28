"""What a shadow's events add up to."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_assets.policy.model import Group
from promotion_assets.rollout.shadow_tally import NO_NUMBER, ShadowTally, tally
from promotion_assets_tests.rollout.shadows import RULES, batches, shadow_frame

GROUPS = replace(RULES, groups=(Group(column="EDUCATION", name="education"),))


def mixed(n: int, seed: int) -> pd.DataFrame:
    """Events of every kind, with features."""
    rng = np.random.default_rng(seed)
    frame = shadow_frame(rng.random(n), rng.random(n))
    frame["outcome"] = rng.choice(
        ["answered", "error", "timeout", "crashed"], n, p=[0.7, 0.1, 0.1, 0.1]
    )
    frame["error"] = np.where(frame["outcome"] == "answered", "", "it broke")
    frame["features"] = [json.dumps({"EDUCATION": int(v)}) for v in rng.integers(1, 4, n)]
    frame.loc[rng.random(n) < 0.1, "production_prediction"] = ""
    frame.loc[frame["production_prediction"] == "", "production_score"] = np.nan
    frame.loc[rng.random(n) < 0.1, "shadow_score"] = np.nan
    return frame


def flat(found: ShadowTally) -> dict[str, object]:
    """A tally as values that compare."""
    return {
        **{k: v for k, v in vars(found).items() if k not in ("sample", "cells", "groups")},
        "cells": found.cells.tolist(),
        "groups": {place: cells.tolist() for place, cells in sorted(found.groups.items())},
        "sample": found.sample.table.to_pylist(),
    }


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 80), st.integers(0, 2**16), st.integers(9, 40), st.integers(0, 80))
def test_batches_and_readers_do_not_matter(n: int, seed: int, rows: int, cut: int) -> None:
    """Read whole, in batches of any size, or by two readers and merged, the tally is the same."""
    frame = mixed(n, seed)
    whole = flat(tally(batches(frame, rows=10_000), GROUPS))
    assert flat(tally(batches(frame, rows=rows), GROUPS)) == whole
    one, two = (tally(batches(part), GROUPS) for part in (frame.iloc[:cut], frame.iloc[cut:]))
    assert flat(two.merge(one)) == whole


def test_every_copy_is_counted_once_by_what_became_of_it() -> None:
    """Answered, failed and not comparable add up to the copies, counted apart from pandas."""
    frame = mixed(3000, 7)
    found = tally(batches(frame), GROUPS)
    of_production = frame[frame["production_score"].notna()]
    answered = of_production["outcome"] == "answered"
    number = of_production["shadow_score"].notna()
    assert found.unpaired == len(frame) - len(of_production)
    assert found.asked == len(of_production)
    assert found.pairs == int((answered & number).sum())
    assert found.outcomes[NO_NUMBER] == int((answered & ~number).sum())
    assert found.failed == int((~answered | ~number).sum())
    assert found.errors == {"it broke": int((~answered).sum())}
    pairs = of_production[answered & number]
    expected = pd.crosstab(pairs["production_score"] >= 0.5, pairs["shadow_score"] >= 0.5)
    assert found.cells.tolist() == expected.to_numpy().tolist()
    by_group = {k: int(v.sum()) for k, v in found.groups.items()}
    sizes = pairs["features"].value_counts()
    assert by_group == {
        ("education", str(v)): int(sizes[json.dumps({"EDUCATION": v})]) for v in (1, 2, 3)
    }


def test_events_of_other_versions_are_not_its_own() -> None:
    """Pairs with another shadow, another artifact or another champion are left out."""
    n = 10
    frames = [
        shadow_frame([0.1] * n, [0.9] * n, begin=i * n, **other)
        for i, other in enumerate(
            (
                {},
                {"shadow_version": "3"},
                {"shadow_digest": "c" * 64},
                {"production_version": "9"},
            )
        )
    ]
    found = tally(batches(pd.concat(frames)), RULES)
    assert (found.pairs, found.asked, found.unpaired) == (n, n, 0)


def test_groups_are_found_only_where_the_event_carries_them() -> None:
    """Without the features, or with others, nobody is put into a group."""
    rng = np.random.default_rng(3)
    frame = shadow_frame(rng.random(50), rng.random(50))
    assert tally(batches(frame), GROUPS).groups == {}
    frame["features"] = ['{"AGE": 30}', "no json", "[1]", "null", ""] * 10
    assert tally(batches(frame), GROUPS).groups == {}
    frame["features"] = ['{"EDUCATION": null}'] * 25 + ['{"AGE": 30}'] * 25
    found = tally(batches(frame), GROUPS)
    assert set(found.groups) == {("education", "missing")}
    assert found.grouped == {"education": 25}


@pytest.mark.parametrize(
    ("production", "shadow", "differs"),
    [
        ("[0.2, 0.7, 0.1]", "[0.1, 0.5, 0.4]", 0),
        ("[0.2, 0.7, 0.1]", "[0.6, 0.3, 0.1]", 1),
        ('"versicolor"', '"versicolor"', 0),
        ("2", "1", 1),
    ],
)
def test_a_multiclass_answer_is_its_most_likely_class(
    production: str, shadow: str, differs: int
) -> None:
    """Probabilities and class names are compared by the class that they name."""
    frame = shadow_frame(
        [np.nan] * 4,
        [np.nan] * 4,
        production_prediction=production,
        shadow_prediction=shadow,
    )
    found = tally(batches(frame), replace(RULES, task="multiclass"))
    assert (found.pairs, found.disagreed) == (4, 4 * differs)


def test_a_regression_decides_nothing() -> None:
    """Numbers are paired, and no threshold is laid on them."""
    found = tally(batches(shadow_frame([1.0, 9.0], [8.0, 2.0])), replace(RULES, task="regression"))
    assert (found.pairs, found.disagreed, int(found.cells.sum())) == (2, 0, 0)
