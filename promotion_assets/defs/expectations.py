"""Outcomes of Great Expectations as asset checks."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from promotion_assets.adapters.expectations import ExpectationOutcome
from promotion_assets.defs.metadata import table
from promotion_assets.errors import PromotionError

MEETS_EXPECTATIONS = "meets_expectations"


def met(
    key: dg.AssetKey,
    outcomes: Sequence[ExpectationOutcome],
    docs: Path,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """Return the check result of a validation, with every expectation and its Data Docs."""
    failed = [outcome for outcome in outcomes if not outcome.success]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=MEETS_EXPECTATIONS,
        passed=bool(outcomes) and not failed,
        severity=severity,
        description="; ".join(outcome.sentence for outcome in failed)
        or f"all {len(outcomes)} expectations are met",
        metadata={
            "expectations": table(
                [
                    {
                        "met": "yes" if outcome.success else "NO",
                        "column": outcome.column or "",
                        "expectation": outcome.sentence,
                        "observed": outcome.observed,
                    }
                    for outcome in sorted(outcomes, key=lambda outcome: outcome.success)
                ]
            ),
            "met": len(outcomes) - len(failed),
            "not_met": len(failed),
            "data_docs": dg.MetadataValue.path(str(docs)),
        },
    )


def unmet(
    key: dg.AssetKey,
    error: PromotionError,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """Return a failed check for what could not be validated at all."""
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=MEETS_EXPECTATIONS,
        passed=False,
        severity=severity,
        description=f"{error.problem}. Next: {error.next_step}",
    )
