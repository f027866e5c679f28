"""Profiles of shards as the profile of the whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from promotion_assets.errors import UsageError
from promotion_assets.evaluation.columns import wider_type
from promotion_assets.evaluation.feature_counting import UNLISTED_NAMES, saturated
from promotion_assets.evaluation.profile import CategoricalFeature, FeatureProfile, NumericFeature

Feature = NumericFeature | CategoricalFeature


def merge(profiles: Iterable[FeatureProfile]) -> FeatureProfile:
    """Return the profile of all rows together.

    Exact where all were made against one profile: counts, missing values, extremes and named
    values are those of the whole; sums agree to rounding.

    Raises:
        UsageError: there is none, or they do not have the same features, bins and categories.
    """
    shards = list(profiles)
    if not shards:
        raise UsageError("Merging feature profiles", "there are none", "give at least one")
    names = [feature.name for feature in shards[0].features]
    for shard in shards[1:]:
        odd = sorted(set(names) ^ {feature.name for feature in shard.features})
        if odd:
            raise _unlike(odd[0], "is not in all of them")
    by_name = [{feature.name: feature for feature in shard.features} for shard in shards]
    sources = {shard.source for shard in shards}
    return FeatureProfile(
        rows=sum(shard.rows for shard in shards),
        features=tuple(_merged([features[name] for features in by_name]) for name in names),
        source=sources.pop() if len(sources) == 1 else "",
    )


def _merged(parts: Sequence[Feature]) -> Feature:
    numeric = [part for part in parts if isinstance(part, NumericFeature)]
    categorical = [part for part in parts if isinstance(part, CategoricalFeature)]
    if numeric and categorical:
        raise _unlike(parts[0].name, "is numeric in one and categorical in another")
    return _merged_numeric(numeric) if numeric else _merged_categorical(categorical)


def _merged_numeric(parts: Sequence[NumericFeature]) -> NumericFeature:
    first = parts[0]
    if any(part.edges != first.edges for part in parts):
        raise _unlike(first.name, "has other bins in one than in another")
    return NumericFeature(
        name=first.name,
        type=_common_type(parts),
        edges=first.edges,
        counts=tuple(sum(column) for column in zip(*(part.counts for part in parts), strict=True)),
        missing=sum(part.missing for part in parts),
        minimum=min((p.minimum for p in parts if p.minimum is not None), default=None),
        maximum=max((p.maximum for p in parts if p.maximum is not None), default=None),
        total=_sum(part.total for part in parts),
        total_squares=_sum(part.total_squares for part in parts),
    )


def _merged_categorical(parts: Sequence[CategoricalFeature]) -> CategoricalFeature:
    first = parts[0]
    same = all(part.counts.keys() == first.counts.keys() for part in parts)
    if not same and any(part.other for part in parts):
        raise _unlike(first.name, "keeps other categories in one than in another")
    names = list(first.counts) if same else sorted({name for p in parts for name in p.counts})
    # The first names of every shard hold the first names of the whole, with their whole counts.
    unlisted = sorted({name for part in parts for name in part.unlisted})[:UNLISTED_NAMES]
    return CategoricalFeature(
        name=first.name,
        type=_common_type(parts),
        counts={name: sum(part.counts.get(name, 0) for part in parts) for name in names},
        missing=sum(part.missing for part in parts),
        other=sum(part.other for part in parts),
        unlisted={name: sum(part.unlisted.get(name, 0) for part in parts) for name in unlisted},
    )


def _common_type(parts: Sequence[Feature]) -> str:
    """Return the type of all; a shard without any value says nothing about it."""
    told = [part.type for part in parts if _present(part)] or [part.type for part in parts]
    common = told[0]
    for type_ in told[1:]:
        common = wider_type(common, type_)
    return common


def _present(part: Feature) -> int:
    if isinstance(part, NumericFeature):
        return sum(part.counts)
    return sum(part.counts.values()) + part.other


def _sum(numbers: Iterable[float]) -> float:
    try:
        return saturated(math.fsum(numbers))
    except OverflowError:
        return saturated(math.inf)


def _unlike(feature: str, how: str) -> UsageError:
    return UsageError(
        "Merging feature profiles",
        f"feature {feature!r} {how}",
        "profile every shard against one profile (`edges_from=`)",
    )
