"""Drift and contract as expectations on a table with one row a feature.

The rows of the data were counted once, when they were profiled; what Great Expectations sees
grows with the number of features alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from promotion_assets.adapters.expectations.outcome import ExpectationOutcome
from promotion_assets.adapters.expectations.suites import great_expectations, run_suite
from promotion_assets.errors import EvidenceMissing, UsageError
from promotion_assets.gates.contract import GateResult, Measurement, Outcome

DRIFT_COLUMNS = ("present_in_production", "psi", "limit")
CONTRACT_COLUMNS = ("model_type", "pipeline_type", "fits_contract")


def profile_table(
    drift: GateResult | None = None, schema: GateResult | None = None
) -> pd.DataFrame:
    """Return what the drift and the schema gate measured, one row a feature.

    Columns ``feature``; from drift ``present_in_production``, ``psi`` (what the gate held
    against the limit: the corrected estimate, or its upper end where the policy decides on that)
    and ``limit``; from schema ``model_type``, ``pipeline_type`` and ``fits_contract``. A feature
    that only one of the two knows is missing in the other's columns, and does not hold there.

    Raises:
        EvidenceMissing: neither gate measured a feature.
    """
    parts = []
    if drift is not None:
        rows = [_drift_row(m) for m in drift.measurements if m.name == "psi" and m.outcome]
        parts.append(pd.DataFrame(rows, columns=["feature", *DRIFT_COLUMNS]))
    if schema is not None:
        parts.append(pd.DataFrame(_contract_rows(schema), columns=["feature", *CONTRACT_COLUMNS]))
    parts = [part for part in parts if len(part)]
    if not parts:
        raise EvidenceMissing(
            "Building the profile table",
            "neither the drift nor the schema gate measured a feature",
            "read the two gates' reasons; they say what is missing",
        )
    return parts[0] if len(parts) == 1 else parts[0].merge(parts[1], on="feature", how="outer")


def validate_profile_table(
    table: pd.DataFrame, *, suite_name: str, docs_dir: Path
) -> tuple[list[ExpectationOutcome], Path]:
    """Hold a profile table against its limits; returns outcomes and the Data Docs' index.

    Args:
        table: one row a feature, with the columns of :func:`profile_table`: those of drift,
            those of the contract, or both.
        suite_name: the suite's name, with model and version.
        docs_dir: where the Data Docs page goes; an earlier one there is replaced.

    Raises:
        EvidenceMissing: the table has no rows.
        UsageError: its columns are not those of a profile table.
        StorageUnreachable: Data Docs cannot be written.
    """
    doing = f"Validating the profile table of {suite_name}"
    if table.empty:
        raise EvidenceMissing(doing, "it has no features", "profile the data again")
    kinds = _kinds(table, doing)
    great_expectations()
    expectations = [item for kind in kinds for item in kind()]
    types = () if _of_drift in kinds else CONTRACT_COLUMNS[:2]
    return run_suite(
        _told(table),
        expectations,
        suite_name=suite_name,
        docs_dir=docs_dir,
        row_names=("feature", *types),
    )


def _kinds(table: pd.DataFrame, doing: str) -> list[Any]:
    kinds = []
    for kind, names in ((_of_drift, DRIFT_COLUMNS), (_of_contract, CONTRACT_COLUMNS)):
        present = [name for name in names if name in table.columns]
        if present and len(present) < len(names):
            absent = next(name for name in names if name not in present)
            raise UsageError(
                doing,
                f"it has {present[0]!r} and lacks {absent!r}",
                f"give all of {', '.join(names)}",
            )
        if present:
            kinds.append(kind)
    if not kinds or "feature" not in table.columns:
        raise UsageError(
            doing,
            f"it has the columns {', '.join(map(str, table.columns))}",
            f"give feature with {', '.join(DRIFT_COLUMNS)} or {', '.join(CONTRACT_COLUMNS)}",
        )
    return kinds


def _told(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with flags that are true or false and numbers that are numbers.

    What is neither does not hold: a missing flag is false, a missing number at most nothing.
    """
    told = table.copy()
    for name in ("present_in_production", "fits_contract"):
        if name in told.columns:
            told[name] = [isinstance(v, bool | np.bool_) and bool(v) for v in told[name]]
    for name in ("psi", "limit"):
        if name in told.columns:
            told[name] = pd.to_numeric(told[name], errors="coerce").astype(float)
    return told


def _of_drift() -> Iterator[Any]:
    from promotion_assets.adapters.expectations import custom

    yield custom.ExpectFeatureToBePresentInProduction(
        meta={"sentence": "production sends every feature of the training data"}
    )
    yield custom.ExpectFeaturePsiToBeAtMostItsLimit(
        meta={"sentence": "the PSI of every feature is at most its limit"}
    )


def _of_contract() -> Iterator[Any]:
    from promotion_assets.adapters.expectations import custom

    yield custom.ExpectFeatureToFitItsContract(
        meta={"sentence": "the pipeline delivers every input of the model in a type that fits"}
    )


def _drift_row(measurement: Measurement) -> dict[str, Any]:
    held = measurement.observed
    interval = measurement.interval
    if (
        held is not None
        and interval is not None
        and interval.high is not None
        and measurement.outcome in (Outcome.INCONCLUSIVE, Outcome.ERROR)
    ):
        held = max(held, interval.high)
    return {
        "feature": measurement.subject,
        "present_in_production": held is not None,
        "psi": held,
        "limit": measurement.limit,
    }


def _contract_rows(schema: GateResult) -> list[dict[str, Any]]:
    diff = schema.details.get("diff")
    rows = [row for row in diff if isinstance(row, dict)] if isinstance(diff, list) else []
    passed = schema.outcome is Outcome.PASSED
    # What a policy tolerates, and whether it tolerates extra columns, is known to the gate alone.
    extra = not passed and all(row["fits"] for row in rows)
    return [
        {
            "feature": row["column"],
            "model_type": row["model"],
            "pipeline_type": row["pipeline"],
            "fits_contract": passed
            or not (row["verdict"] == "extra" if extra else not row["fits"]),
        }
        for row in rows
    ]
