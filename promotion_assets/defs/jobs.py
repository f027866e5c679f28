"""Jobs: a name, the assets that they materialise, and one process that runs their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg


def job_of(
    name: str,
    assets: Sequence[dg.AssetsDefinition],
    description: str,
    tags: Mapping[str, str] | None = None,
) -> Any:
    """Return the job that materialises ``assets``.

    One process runs its steps: a candidate is isolated by us in a child of its own, and a
    process a step costs seconds each. Another executor is a matter of configuration.
    """
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*(key for asset in assets for key in asset.keys)),
        executor_def=dg.in_process_executor,
        description=description,
        tags=tags,
    )
