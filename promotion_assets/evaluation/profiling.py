"""Making feature profiles: what training data looked like, and production data in its bins.

One reference profile settles kinds, bins and categories (see
:mod:`promotion_assets.evaluation.feature_counting`); everything profiled against it can be
compared with it and merged with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from promotion_assets.evaluation.feature_counting import feature_like, new_feature
from promotion_assets.evaluation.profile import CategoricalFeature, FeatureProfile, NumericFeature
from promotion_assets.evaluation.profile_files import profile_parquet
from promotion_assets.evaluation.profile_merge import merge

__all__ = ["merge", "profile_frame", "profile_parquet"]

THREADS = 2
# Values; fewer are counted before threads have begun.
WORTH_A_THREAD = 1_000_000


def profile_frame(
    frame: pd.DataFrame,
    *,
    edges_from: FeatureProfile | None = None,
    bins: int = 10,
    max_categories: int = 200,
) -> FeatureProfile:
    """Return the profile of all rows of ``frame``.

    Args:
        frame: the rows.
        edges_from: the profile whose features, bins and categories are used, usually the
            training data's. A feature of it that ``frame`` lacks is left out; a column that it
            lacks is not profiled.
        bins: for numeric features of a new profile, by quantiles; fewer where values repeat.
        max_categories: kept by name in a new profile, the most frequent ones first.
    """
    if edges_from is None:
        features = tuple(
            new_feature(frame[name], bins=bins, max_categories=max_categories)
            for name in frame.columns
        )
    else:
        features = _like([f for f in edges_from.features if f.name in frame.columns], frame)
    return FeatureProfile(rows=len(frame), features=features)


def _like(
    references: Sequence[NumericFeature | CategoricalFeature], frame: pd.DataFrame
) -> tuple[NumericFeature | CategoricalFeature, ...]:
    """Count each column into its reference's bins; numpy counts without the interpreter's lock."""
    columns = [frame[reference.name] for reference in references]
    if len(frame) * len(columns) < WORTH_A_THREAD:
        return tuple(map(feature_like, columns, references))
    with ThreadPoolExecutor(THREADS) as pool:
        return tuple(pool.map(feature_like, columns, references))
