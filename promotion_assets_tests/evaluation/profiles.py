"""Profiles of single columns, and what of two profiles must be equal to the bit."""

from __future__ import annotations

from typing import Any

import pandas as pd

from promotion_assets.evaluation.profile import CategoricalFeature, FeatureProfile, NumericFeature
from promotion_assets.evaluation.profiling import profile_frame


def one(values: Any, **options: Any) -> NumericFeature | CategoricalFeature:
    """Return the profile of a single column."""
    (feature,) = profile_frame(pd.DataFrame({"x": values}), **options).features
    return feature


def numeric(values: Any, **options: Any) -> NumericFeature:
    """Return the profile of a column that must be numeric."""
    feature = one(values, **options)
    assert isinstance(feature, NumericFeature)
    return feature


def categorical(values: Any, **options: Any) -> CategoricalFeature:
    """Return the profile of a column that must be categorical."""
    feature = one(values, **options)
    assert isinstance(feature, CategoricalFeature)
    return feature


def without_sums(profile: FeatureProfile) -> FeatureProfile:
    """Return ``profile`` without the sums, which agree only to rounding."""
    features = tuple(
        f.model_copy(update={"total": 0.0, "total_squares": 0.0})
        if isinstance(f, NumericFeature)
        else f
        for f in profile.features
    )
    return profile.model_copy(update={"features": features, "source": ""})
