"""Entry point of Dagster: definitions built from ``promotion.yaml``."""

from __future__ import annotations

from promotion_assets.quiet import silence_telemetry

silence_telemetry()

import dagster as dg  # noqa: E402 - telemetry is off before the first import

from promotion_assets.defs.factory import promotion_definitions  # noqa: E402
from promotion_assets.pipeline.workspace import Workspace  # noqa: E402

_workspace = Workspace.open()
defs: dg.Definitions = promotion_definitions(
    _workspace.policy, config=_workspace.config, home=_workspace.home
)
