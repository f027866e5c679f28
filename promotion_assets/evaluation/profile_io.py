"""Feature profiles as text: written with a digest, read with suspicion."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

from pydantic import ValidationError

from promotion_assets.canonical import canonical_json, digest_bytes
from promotion_assets.errors import EvidenceMissing
from promotion_assets.evaluation.profile import CategoricalFeature, FeatureProfile, NumericFeature

FORM = "promotion-assets/feature-profile/1"
PARAM_LIMIT = 6_000
"""MLflow cuts run parameters at this many characters, with no more than a log line."""
MOST_ROWS = 2**53 - 1
"""Canonical JSON has no larger whole number; nor has a double."""

_NEXT = "log one in the training run with promotion_assets.log_feature_profile(df)"


def dump(profile: FeatureProfile) -> str:
    """Return ``profile`` as canonical JSON: equal profiles give equal text."""
    return canonical_json({"form": FORM, **profile.model_dump(mode="json")}).decode()


def digest(profile: FeatureProfile) -> str:
    """Return the SHA-256 of :func:`dump`, as 64 hexadecimal digits."""
    return digest_bytes(dump(profile).encode())


def load(text: str | None, *, doing: str = "Reading a feature profile") -> FeatureProfile:
    """Return the profile in ``text``.

    Args:
        text: what :func:`dump` gave; ``None`` where there is none.
        doing: begins the error's message.

    Raises:
        EvidenceMissing: it is absent, empty, corrupt, contradicts itself, or counts no rows.
    """
    data = _json_object(text, doing, _NEXT)
    form = data.pop("form", FORM)
    if form != FORM:
        raise EvidenceMissing(
            doing,
            f"its form is {form!r}, and {FORM!r} is understood",
            "upgrade promotion-assets here to the release that wrote it",
        )
    try:
        profile = FeatureProfile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "profile"
        raise EvidenceMissing(
            doing, f"the profile is corrupt: {place}: {first['msg']}", _NEXT
        ) from error
    problem = fault_of(profile)
    if problem:
        raise EvidenceMissing(doing, problem, _NEXT)
    return profile


def fault_of(profile: FeatureProfile) -> str | None:
    """Return why nothing can be compared with ``profile``, or ``None``."""
    if not profile.features:
        return "the profile is empty: it has no features"
    if profile.rows <= 0:
        return "the profile counts no rows"
    if profile.rows > MOST_ROWS:
        return "the profile is corrupt: it counts more rows than there can be"
    for feature in profile.features:
        rows = _rows_of(feature)
        if rows != profile.rows:
            return (
                f"the profile is corrupt: feature {feature.name!r} counts {rows} rows "
                f"and the profile {profile.rows}"
            )
        if isinstance(feature, CategoricalFeature) and (
            sum(feature.unlisted.values()) > feature.other
        ):
            return (
                f"the profile is corrupt: the unlisted categories of feature {feature.name!r} "
                "count more rows than all its others"
            )
    names = [feature.name for feature in profile.features]
    repeated = next((name for name in names if names.count(name) > 1), None)
    return None if repeated is None else f"the profile is corrupt: {repeated!r} is there twice"


def read_feature_stats(
    text: str | None, *, doing: str = "Reading the run parameter feature_stats"
) -> FeatureProfile:
    """Return the profile in a run parameter of the form ``{feature: {buckets, counts}}``.

    What the form does not say is assumed, and ``source`` of the profile says so. With one
    bucket more than counts, buckets are the outer and inner edges of a histogram and its
    outermost bins are taken to be open; with one fewer, they are the inner edges. Text buckets,
    one for each count, are categories. A feature that counts fewer rows than another one has
    the rest missing. A value on an edge belongs to the bin below it.

    Raises:
        EvidenceMissing: it is absent, cut off by MLflow, corrupt, or counts nothing.
    """
    if text and len(text) >= PARAM_LIMIT and not text.rstrip().endswith("}"):
        raise EvidenceMissing(
            doing,
            f"it ends after {len(text)} characters: MLflow cut it at {PARAM_LIMIT}",
            _NEXT + ", which writes an artifact",
        )
    data = _json_object(text, doing, _NEXT)
    features = [_stats_feature(str(name), stats, doing) for name, stats in data.items()]
    rows = {_rows_of(feature) for feature in features}
    # Features that counted fewer rows than the others left some out as missing.
    whole = max(rows)
    return FeatureProfile(
        rows=whole,
        features=tuple(
            feature.model_copy(update={"missing": whole - _rows_of(feature)})
            for feature in features
        ),
        source="feature_stats: outer bins taken as open, rows that were not counted as missing",
    )


def _stats_feature(name: str, stats: Any, doing: str) -> NumericFeature | CategoricalFeature:
    buckets = stats.get("buckets") if isinstance(stats, dict) else None
    counts = stats.get("counts") if isinstance(stats, dict) else None
    if not isinstance(buckets, list) or not isinstance(counts, list):
        raise _corrupt(doing, name, "has no lists `buckets` and `counts`")
    if not all(_is_count(count) for count in counts):
        raise _corrupt(doing, name, f"has a count that is no whole number from 0 up: {counts[:12]}")
    if not sum(counts):
        raise _corrupt(doing, name, "counts no values: all its counts are 0")
    whole = [int(count) for count in counts]
    if all(isinstance(bucket, str) for bucket in buckets) and len(buckets) == len(counts):
        named = dict(zip(buckets, whole, strict=True))
        if len(named) < len(buckets):
            raise _corrupt(doing, name, "names a category twice")
        return CategoricalFeature(name=name, type="string", counts=named)
    if not all(_is_number(bucket) for bucket in buckets):
        raise _corrupt(doing, name, f"has a bucket that is no number: {buckets[:12]}")
    edges = [float(bucket) for bucket in buckets]
    if any(not low < high for low, high in itertools.pairwise(edges)):
        raise _corrupt(doing, name, f"has buckets that do not ascend: {buckets[:12]}")
    outer = len(buckets) == len(counts) + 1
    if not outer and len(buckets) != len(counts) - 1:
        raise _corrupt(
            doing,
            name,
            f"has {len(buckets)} buckets for {len(counts)} counts; there must be one more "
            "(outer edges) or one fewer (inner edges)",
        )
    inner = edges[1:-1] if outer else edges
    if not all(math.isfinite(edge) for edge in inner):
        raise _corrupt(doing, name, f"has an infinite inner edge: {buckets[:12]}")
    return NumericFeature(
        name=name,
        type="double",
        edges=tuple(inner),
        counts=tuple(whole),
        minimum=edges[0] if outer and math.isfinite(edges[0]) else None,
        maximum=edges[-1] if outer and math.isfinite(edges[-1]) else None,
    )


def _json_object(text: str | None, doing: str, next_step: str) -> dict[str, Any]:
    if text is None:
        raise EvidenceMissing(doing, "there is none", next_step)
    if not text.strip():
        raise EvidenceMissing(doing, "it is empty", next_step)
    try:
        data = json.loads(text)
        # Half a character is valid JSON, and can be neither shown nor digested.
        json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise EvidenceMissing(doing, f"it is corrupt: no JSON{where}", next_step) from error
    if not isinstance(data, dict):
        raise EvidenceMissing(doing, f"it is a JSON {type(data).__name__}, no object", next_step)
    if not data:
        raise EvidenceMissing(doing, "it is empty", next_step)
    return data


def _rows_of(feature: NumericFeature | CategoricalFeature) -> int:
    if isinstance(feature, NumericFeature):
        return sum(feature.counts) + feature.missing
    return sum(feature.counts.values()) + feature.other + feature.missing


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return not math.isnan(value)
    except OverflowError:
        # A whole number that no double holds.
        return False


def _is_count(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= MOST_ROWS and float(value).is_integer()


def _corrupt(doing: str, name: str, how: str) -> EvidenceMissing:
    return EvidenceMissing(doing, f"it is corrupt: feature {name!r} {how}", _NEXT)
