"""The type of a feature that several shards hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_assets.evaluation.profile_merge import merge
from promotion_assets.evaluation.profiling import profile_frame


@pytest.mark.parametrize(
    ("left", "right", "common"),
    [
        (np.array([1, 2], dtype=np.int32), np.array([3, 2**40]), "long"),
        (np.array([1, 2], dtype=np.int64), np.array([0.5, 1.5]), "double"),
        (np.array([1, 2], dtype=np.int64), np.array([1, 2], dtype=np.int64), "long"),
        (np.array([1, 2], dtype=np.int64), np.array([], dtype=np.float64), "long"),
    ],
    ids=["wider", "fractions", "alike", "a shard without a value"],
)
def test_merged_shards_have_the_type_that_holds_the_values_of_all(
    left: Any, right: Any, common: str
) -> None:
    """A shard that happens to hold small numbers does not narrow what the others hold."""
    reference = profile_frame(pd.DataFrame({"x": np.concatenate([left, right])}))
    parts = [
        profile_frame(pd.DataFrame({"x": values}), edges_from=reference) for values in (left, right)
    ]
    for order in (parts, parts[::-1]):
        assert merge(order).features[0].type == common
