"""The daemon's work in this process: ticks of a sensor, and the runs that they ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg

from promotion_assets.defs.factory import promotion_definitions
from promotion_assets.defs.platform import Platform
from promotion_assets.pipeline.workspace import Workspace

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Daemon:
    """Ticks one sensor, with its cursor, and starts each run key once, as Dagster does."""

    workspace: Workspace
    instance: dg.DagsterInstance
    sensor: str = "new_versions"
    cursor: str | None = None
    started: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        opened = self.workspace
        self.definitions = promotion_definitions(
            opened.policy, config=opened.config, home=opened.home, look_seconds=0
        )
        self.platform = Platform(config=str(opened.config), home=str(opened.home))

    def tick(self) -> dg.SensorResult:
        """Tick once and keep the cursor; what is asked for is not started."""
        return self._tick(self.definitions.resolve_sensor_def(self.sensor))

    def _tick(self, sensor: dg.SensorDefinition) -> dg.SensorResult:
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            resources={"platform": self.platform},
        )
        found = sensor(context)
        assert isinstance(found, dg.SensorResult)
        self.cursor = found.cursor
        return found

    def start(self, found: dg.SensorResult) -> Iterator[dg.ExecuteInProcessResult]:
        """Run what a tick has asked for, each key once."""
        for added in found.dynamic_partitions_requests or []:
            name = added.partitions_def_name
            self.instance.add_dynamic_partitions(name, list(added.partition_keys))
        for request in found.run_requests or []:
            assert request.run_key is not None
            assert request.job_name is not None
            if request.run_key in self.started:
                continue
            self.started.add(request.run_key)
            yield self.definitions.resolve_job_def(request.job_name).execute_in_process(
                instance=self.instance,
                partition_key=request.partition_key,
                raise_on_error=False,
                tags=dict(request.tags),
                run_config=QUIET,
            )
