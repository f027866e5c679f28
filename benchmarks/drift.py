"""Drift of fifty features on a million rows, against training profiles that are stored."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.evidently_peer import measured_seconds
from benchmarks.measuring import Line, Timed, best, cost, growth, ratio, seconds
from promotion_assets.evaluation.profile import NumericFeature
from promotion_assets.evaluation.profiling import profile_frame, profile_parquet
from promotion_assets.statistics.divergence import psi

ROWS, FEATURES, KL_FEATURES, PEER_FEATURES = 1_000_000, 50, 5, 5


def results() -> list[Line]:
    """Measure against numpy, Parquet, and Great Expectations on raw data."""
    rng = np.random.default_rng(0)
    names = [f"f{i:02}" for i in range(FEATURES)]
    training = pd.DataFrame({n: rng.normal(size=100_000) for n in names})
    current = pd.DataFrame({n: rng.normal(0.1, 1, ROWS) for n in names})
    stored = profile_frame(training)

    def ours() -> list[float]:
        now = profile_frame(current, edges_from=stored)
        return [
            psi(was.counts, is_.counts)
            for was, is_ in zip(stored.features, now.features, strict=True)
            if isinstance(was, NumericFeature) and isinstance(is_, NumericFeature)
        ]

    def histograms() -> list[float]:
        found = []
        for feature in stored.features:
            assert isinstance(feature, NumericFeature)
            # Bins are open on the left: a value on an edge belongs to the bin below it.
            places = np.searchsorted(feature.edges, current[feature.name].to_numpy(), side="left")
            counts = np.bincount(places, minlength=len(feature.counts))
            found.append(psi(feature.counts, counts))
        return found

    values = current.to_numpy()
    drift, plain = best(ours), best(histograms, 1)
    read = best(lambda: values.sum())
    assert np.allclose(drift.result, plain.result)
    job = "drift of 50 features, 1M rows, against stored profiles"
    tenth = current.head(ROWS // 10).copy()
    small = best(lambda: profile_frame(tenth, edges_from=stored))
    return [
        growth(job, small, drift),
        cost(job, drift, "one numpy sum of the array", read, 8),
        ratio(job, drift, "numpy searchsorted and bincount", plain, 1),
        *_expectations(job, drift, current, stored.features),
        *_evidently(job, drift),
        *seconds(job, drift),
        *_parquet(current, stored, drift.result),
    ]


def rows_of(current: pd.DataFrame) -> Any:
    """Return the rows as Great Expectations takes them."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return (
        context.data_sources.add_pandas("bench")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": current})
    )


def kl_seconds(batch: Any, features: Sequence[NumericFeature]) -> float:
    """Return how long Great Expectations takes for the divergence of each feature."""
    import great_expectations.expectations as gxe

    began = time.perf_counter()
    for feature in features:
        weights = np.array(feature.counts, dtype=float)
        inner = list(feature.edges)
        partition = {
            "bins": [inner[0] - 10, *inner, inner[-1] + 10],
            "weights": (weights / weights.sum()).tolist(),
        }
        result = batch.validate(
            gxe.ExpectColumnKLDivergenceToBeLessThan(
                column=feature.name, partition_object=partition, threshold=0.1
            )
        )
        assert result.success
    return time.perf_counter() - began


def _expectations(job: str, ours: Timed, current: pd.DataFrame, features: object) -> list[Line]:
    assert isinstance(features, tuple)
    theirs = Timed(kl_seconds(rows_of(current), features[:KL_FEATURES]), 0.0, None)
    peer = "Great Expectations' KL on raw data"
    return [ratio(job, ours, peer, theirs, 25, FEATURES / KL_FEATURES)]


def _evidently(job: str, ours: Timed) -> list[Line]:
    """Compare with a preset that bins both data sets itself, in other bins: time alone."""
    spent = measured_seconds(ROWS, PEER_FEATURES)
    if spent is None:
        return []
    peer = f"evidently's PSI preset, {PEER_FEATURES} features"
    return [ratio(job, ours, peer, Timed(spent, 0.0, None), 1000, FEATURES / PEER_FEATURES)]


def _parquet(current: pd.DataFrame, stored: object, expected: list[float]) -> list[Line]:
    from promotion_assets.evaluation.profile import FeatureProfile

    assert isinstance(stored, FeatureProfile)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        current.to_parquet(path, row_group_size=100_000)
        names = [f.name for f in stored.features]
        bare = best(lambda: pd.read_parquet(path), 2)
        streamed = best(lambda: profile_parquet(path, edges_from=stored, columns=names), 3)
    found = [
        psi(was.counts, now.counts)
        for was, now in zip(stored.features, streamed.result.features, strict=True)
        if isinstance(was, NumericFeature) and isinstance(now, NumericFeature)
    ]
    assert np.allclose(found, expected)
    job = "the same from Parquet, in bounded memory"
    return [cost(job, streamed, "pandas.read_parquet", bare, 2.5)]


if __name__ == "__main__":
    for line in results():
        print(line)
