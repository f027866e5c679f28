"""Every asset check specification is built here: the partitioned form is a preview of Dagster's."""

from __future__ import annotations

import warnings

import dagster as dg

PASSED = "passed"
ALL_GATES_PASSED = "all_gates_passed"


def check_spec(
    name: str,
    asset: dg.AssetKey,
    description: str,
    *,
    partitions: dg.PartitionsDefinition[str] | None = None,
    blocking: bool = False,
) -> dg.AssetCheckSpec:
    """Return a check specification, per partition where ``partitions`` is given."""
    with warnings.catch_warnings():
        # Without a partitions definition a check in a partitioned run records no partition.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name,
            asset=asset,
            description=description,
            partitions_def=partitions,
            blocking=blocking,
        )
