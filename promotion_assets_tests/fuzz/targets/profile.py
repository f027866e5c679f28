"""Feature profiles: what training code logs, as an artifact and as a run parameter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promotion_assets.evaluation.profile import CategoricalFeature, FeatureProfile, NumericFeature
from promotion_assets.evaluation.profile_io import digest, dump, load, read_feature_stats
from promotion_assets.evaluation.profile_merge import merge
from promotion_assets_tests.fuzz.contract import Run, Target, holds, only_our_errors

STATS = (
    b'{"x": {"buckets": [0, 1, 2.5], "counts": [4, 6]}, "y": {"buckets": [1], "counts": [2, 3]},'
    b' "c": {"buckets": ["a", "b"], "counts": [7, 3]}}'
)


def examples() -> list[bytes]:
    """Return a profile in either form."""
    profile = FeatureProfile(
        rows=10,
        features=(
            NumericFeature(name="x", type="double", edges=(0.0, 1.0), counts=(2, 3, 4), missing=1),
            CategoricalFeature(name="c", type="string", counts={"a": 7, "b": 1}, other=2),
        ),
        source="train.parquet",
    )
    return [dump(profile).encode(), STATS]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Read each input in both forms; one that is read is written and merged."""

    def run(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        for read in (load, read_feature_stats):
            with only_our_errors():
                profile = read(text)
                holds(digest(load(dump(profile))) == digest(profile), "it reads back as another")
                holds(merge([profile, profile]).rows == 2 * profile.rows, "it does not add up")

    yield run


TARGET = Target("profile", "json", examples, prepare, inputs=1500)
