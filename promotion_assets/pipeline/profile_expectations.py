"""Drift and contract as Great Expectations sees them: on the table that a gate measured."""

from __future__ import annotations

from pathlib import Path

from promotion_assets.adapters.expectations import (
    ExpectationOutcome,
    profile_table,
    validate_profile_table,
)
from promotion_assets.gates.contract import GateResult
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.files import safe_name

# Gates whose measurements are a table of features.
ON_FEATURES = ("drift", "schema")


def profile_expectations(
    evaluator: Evaluator, version: str, result: GateResult
) -> tuple[tuple[ExpectationOutcome, ...], Path]:
    """Hold what a gate measured against a suite; return outcomes and the Data Docs.

    Raises:
        EvidenceMissing: the gate measured no feature.
    """
    table = profile_table(
        drift=result if result.gate == "drift" else None,
        schema=result if result.gate == "schema" else None,
    )
    name = f"{evaluator.model} {version} {result.gate}"
    docs = evaluator.workspace.home / "data_docs" / safe_name(name)
    outcomes, page = validate_profile_table(table, suite_name=name, docs_dir=docs)
    return tuple(outcomes), page
