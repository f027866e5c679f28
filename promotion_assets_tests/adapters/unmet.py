"""What Great Expectations found not to be met."""

from __future__ import annotations

from promotion_assets.adapters.expectations import ExpectationOutcome


def failures(outcomes: list[ExpectationOutcome]) -> list[tuple[str, str]]:
    """Return name and column of what is not met."""
    return [(outcome.name, outcome.column) for outcome in outcomes if not outcome.success]
