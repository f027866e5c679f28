"""The Dagster instance that commands use, and evaluating a version through it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.instance import DagsterInstanceOverrides
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file

from promotion_assets.decision.decide import Decision
from promotion_assets.defs.factory import promotion_definitions
from promotion_assets.defs.names import Names
from promotion_assets.errors import EvidenceMissing, PromotionError, UsageError
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.workspace import Workspace

Progress = Callable[[str], None]

_DEFAULT_CONFIG = "telemetry:\n  enabled: false\n"


@contextlib.contextmanager
def open_instance(workspace: Workspace) -> Iterator[dg.DagsterInstance]:
    """Open the instance of ``DAGSTER_HOME``, else one of the workspace's own.

    What steps print goes where the UI shows it, and not to the terminal as well: Dagster would
    start processes for that, which answer Ctrl-C with tracebacks.
    """
    named = workspace.environ.get("DAGSTER_HOME")
    if not named:
        workspace.make_home()
    home = Path(named) if named else workspace.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(_DEFAULT_CONFIG)
    ref = InstanceRef.from_dir(str(home), overrides=_logs(config))
    with dg.DagsterInstance.from_ref(ref) as instance:
        yield instance


def evaluate_version(
    workspace: Workspace,
    model: str,
    version: str,
    instance: dg.DagsterInstance,
    progress: Progress = lambda _: None,
) -> Decision:
    """Evaluate one version in this process, as the assets do it, and return the decision.

    Raises:
        UsageError: no such model or version.
        PromotionError: a part failed; the message is that part's own.
        KeyboardInterrupt: the run was interrupted; what it had recorded stays.
    """
    evaluator = Evaluator(workspace, model)
    workspace.registry.facts(model, version)
    names = _names_of(workspace, model)
    definitions = promotion_definitions(
        workspace.policy, config=workspace.config, home=workspace.home
    )
    instance.add_dynamic_partitions(names.partitions.name or "", [version])
    progress(f"evaluating {model} version {version}")
    result = definitions.resolve_job_def(names.job).execute_in_process(
        instance=instance,
        partition_key=version,
        raise_on_error=False,
        tags={"promotion/model": model[:255], "promotion/version": version},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    if any(_is_interrupt(event) for event in result.all_events):
        # Dagster ends the run and goes on; whoever pressed Ctrl-C meant this process.
        raise KeyboardInterrupt
    decision = evaluator.folder(version).decision()
    recorded = workspace.ledger.state(model).decisions.get(version)
    if decision and recorded and recorded.decision_digest == decision.digest:
        return decision
    raise _failure(model, version, result)


def _logs(config: Path) -> DagsterInstanceOverrides:
    if "compute_logs" in (yaml.safe_load(config.read_text()) or {}):
        return {}
    ours = {"module": __name__, "class": LogsInFiles.__name__}
    return {"compute_logs": {**ours, "config": {"base_dir": str(config.parent / "storage")}}}


class LogsInFiles(LocalComputeLogManager):
    """Dagster's own logs of steps, kept at the same place, without the copy on the terminal."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> LogsInFiles:
        """Make it of what the instance's configuration says."""
        return cls(inst_data=inst_data, **config_value)

    @contextlib.contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Send what this process prints to files while a step runs."""
        out = self.get_captured_local_path(log_key, "out")
        err = self.get_captured_local_path(log_key, "err")
        ensure_file(out)
        with redirect_to_file(sys.stdout, out), redirect_to_file(sys.stderr, err):
            yield CapturedLogContext(log_key)
        Path(self.get_captured_local_path(log_key, "complete")).touch()


def _names_of(workspace: Workspace, model: str) -> Names:
    workspace.policy_of(model)
    taken: set[str] = set()
    return next(
        n for n in [Names.of(m, taken) for m in workspace.policy.models] if n.model == model
    )


def _is_interrupt(event: dg.DagsterEvent) -> bool:
    failure = event.step_failure_data if event.is_step_failure else None
    source = failure.error_source if failure is not None else None
    return source is not None and source.name == "INTERRUPT"


def _failure(model: str, version: str, result: dg.ExecuteInProcessResult) -> PromotionError:
    doing = f"evaluating {model} version {version}"
    for event in result.all_events:
        failure = event.step_failure_data if event.is_step_failure else None
        if failure is None:
            continue
        told = failure.user_failure_data
        if told is not None:
            said = {name: str(value.value) for name, value in told.metadata.items()}
            return EvidenceMissing(
                said.get("doing", doing),
                said.get("problem", told.description or "a step failed"),
                said.get("next", f"see run {result.run_id} in the Dagster UI"),
            )
        message = failure.error_display_string.strip().splitlines()[0] if failure else ""
        return PromotionError(
            doing,
            f"step {event.step_key} failed: {message[:300]}",
            f"nothing was promoted; see run {result.run_id} in the Dagster UI, and "
            f"`promotion doctor` for what this installation lacks; then run "
            f"`promotion evaluate {model} {version}` again",
        )
    return UsageError(
        doing,
        "the run ended without a decision and without a step that failed",
        f"see run {result.run_id} in the Dagster UI, and run "
        f"`promotion evaluate {model} {version}` again",
    )
