"""Schema and drift checked by Great Expectations: on a million rows, and on a table of features.

Both ask the same of fifty columns: no missing values, within bounds, of one type, and distributed
as in training. The first way has Great Expectations read the rows; the second counts them once
and gives it one row a feature. Plain numpy is the floor: the counting without anybody to tell.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.drift import FEATURES, KL_FEATURES, ROWS, kl_seconds, rows_of
from benchmarks.measuring import Line, Timed, best, cost, ratio
from promotion_assets.adapters.expectations import validate_profile_table
from promotion_assets.evaluation.profile import FeatureProfile, NumericFeature
from promotion_assets.evaluation.profiling import profile_frame
from promotion_assets.statistics.divergence import psi

LOW, HIGH, LIMIT = -8.0, 8.0, 0.2


def results() -> list[Line]:
    """Measure both ways and the floor; all of them let the data through."""
    rng = np.random.default_rng(0)
    names = [f"f{i:02}" for i in range(FEATURES)]
    stored = profile_frame(pd.DataFrame({n: rng.normal(size=100_000) for n in names}))
    current = pd.DataFrame({n: rng.normal(0.1, 1, ROWS) for n in names})
    theirs = _on_rows(current, stored)
    with tempfile.TemporaryDirectory() as folder:
        ours = best(lambda: _on_table(current, stored, Path(folder)), 3)
    plain = best(lambda: _in_numpy(current, stored), 3)
    assert len(ours.result) == 3
    assert all(outcome.success for outcome in ours.result)
    assert plain.result
    job = "schema and drift, 50 features, 1M rows, through a table of features"
    return [
        ratio(job, ours, "Great Expectations on the rows (KL of all from 5)", theirs, 15),
        cost(job, ours, "the same counts in plain numpy", plain, 3),
    ]


def _on_rows(current: pd.DataFrame, stored: FeatureProfile) -> Timed:
    import great_expectations as gx
    import great_expectations.expectations as gxe

    batch = rows_of(current)
    suite = gx.ExpectationSuite(name="schema")
    for name in current.columns:
        suite.add_expectation(gxe.ExpectColumnValuesToNotBeNull(column=name))
        between = gxe.ExpectColumnValuesToBeBetween(column=name, min_value=LOW, max_value=HIGH)
        suite.add_expectation(between)
        suite.add_expectation(gxe.ExpectColumnValuesToBeOfType(column=name, type_="float64"))
    began = time.perf_counter()
    assert batch.validate(suite).success
    schema = time.perf_counter() - began
    numeric = [f for f in stored.features if isinstance(f, NumericFeature)]
    drift = kl_seconds(batch, numeric[:KL_FEATURES]) * FEATURES / KL_FEATURES
    return Timed(schema + drift, 0.0, None)


def _on_table(current: pd.DataFrame, stored: FeatureProfile, folder: Path) -> list[Any]:
    now = profile_frame(current, edges_from=stored)
    rows = []
    for was, found in zip(stored.features, now.features, strict=True):
        assert isinstance(was, NumericFeature)
        assert isinstance(found, NumericFeature)
        kind = str(current[found.name].dtype)
        fits = found.missing == 0 and found.minimum >= LOW and found.maximum <= HIGH
        value = psi(was.counts, found.counts)
        rows.append((found.name, True, value, LIMIT, "float64", kind, fits and kind == "float64"))
    drift = ("present_in_production", "psi", "limit")
    contract = ("model_type", "pipeline_type", "fits_contract")
    table = pd.DataFrame(rows, columns=["feature", *drift, *contract])
    outcomes, _ = validate_profile_table(table, suite_name="bench", docs_dir=folder)
    return outcomes


def _in_numpy(current: pd.DataFrame, stored: FeatureProfile) -> bool:
    well = True
    for feature in stored.features:
        assert isinstance(feature, NumericFeature)
        values = current[feature.name].to_numpy()
        well &= not np.isnan(values).any() and values.min() >= LOW and values.max() <= HIGH
        places = np.searchsorted(feature.edges, values, side="left")
        counts = np.bincount(places, minlength=len(feature.counts))
        well &= psi(feature.counts, counts) < LIMIT
    return bool(well)


if __name__ == "__main__":
    for line in results():
        print(line)
