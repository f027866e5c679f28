"""Making feature profiles: what training data looked like, and production data in its bins.

One reference profile settles kinds, bins and categories (see
:mod:`promotion_assets.evaluation.feature_counting`); everything profiled against it can be
compared with it and merged with each other.
"""

from __future__ import annotations

import pandas as pd

from promotion_assets.evaluation.feature_counting import feature_like, new_feature
from promotion_assets.evaluation.profile import FeatureProfile
from promotion_assets.evaluation.profile_files import profile_parquet
from promotion_assets.evaluation.profile_merge import merge

__all__ = ["merge", "profile_frame", "profile_parquet"]


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
        features = tuple(
            feature_like(frame[reference.name], reference)
            for reference in edges_from.features
            if reference.name in frame.columns
        )
    return FeatureProfile(rows=len(frame), features=features)
