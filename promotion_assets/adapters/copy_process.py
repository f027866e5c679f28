"""A copy's target in a process of its own, so that neither registry hears of the other.

MLflow's client takes credentials, and at places the registry itself, from the environment of the
whole process. The source has this process; the target has a child whose environment names the
target alone, with the credentials in ``PROMOTION_TARGET_MLFLOW_…`` in place of the source's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from promotion_assets import errors
from promotion_assets.adapters.patience import FILES, LIMITS
from promotion_assets.lifecycle.copy_values import Held, SourceVersion, without_credentials
from promotion_assets.lifecycle.copying import NewVersion, Placed, TargetVersion
from promotion_assets.quiet import SILENT

PREFIX = "PROMOTION_TARGET_"
QUIET = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}
_SHARED = "MLFLOW_HTTP_RE"


def target_environment(environ: Mapping[str, str], uri: str) -> dict[str, str]:
    """Return the environment of the process that speaks to the registry at ``uri``."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("MLFLOW_", "PROMOTION_"))
        # What this process has limited is no wish of the user's.
        or (name.startswith(_SHARED) and value != LIMITS.get(name))
    }
    own = {
        name.removeprefix(PREFIX): value
        for name, value in environ.items()
        if name.startswith(PREFIX)
    }
    named = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri}
    return SILENT | FILES | QUIET | kept | own | named


@contextmanager
def open_target(
    uri: str, environ: Mapping[str, str], *, keep: Sequence[int] = ()
) -> Iterator[TargetProcess]:
    """Start the target's process, and end it on the way out.

    Args:
        keep: descriptors that the process holds as long as it lives, such as a lock's.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "promotion_assets.adapters.copy_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=target_environment(environ, uri),
        pass_fds=tuple(keep),
        encoding="utf-8",
    )
    try:
        yield TargetProcess(process, uri)
    finally:
        with suppress(OSError):
            process.stdin and process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout and process.stdout.close()


class TargetProcess:
    """A :class:`promotion_assets.lifecycle.copying.CopyTarget` behind a pipe."""

    def __init__(self, process: subprocess.Popen[str], uri: str) -> None:
        self.process = process
        self._uri = without_credentials(uri)

    def find(self, name: str, copy: str) -> TargetVersion | None:
        """Return the version that this copy has registered, if it has."""
        found = self._ask("find", name=name, copy=copy)
        return None if found is None else TargetVersion.model_validate(found)

    def make_run(self, source: SourceVersion, copy: str, tags: Mapping[str, str]) -> str:
        """Return the run of this copy, made if it is not there."""
        return str(self._ask("make_run", source=source, copy=copy, tags=tags))

    def make_model(self, source: SourceVersion, copy: str, run_id: str) -> Placed:
        """Return the model of this copy, made if it is not there."""
        made = self._ask("make_model", source=source, copy=copy, run_id=run_id)
        return Placed.model_validate(made)

    def write_records(self, source: SourceVersion, copy: str, placed: Placed) -> None:
        """Log parameters, metrics, tags and inputs of the run and of the model."""
        self._ask("write_records", source=source, copy=copy, placed=placed)

    def read_records(self, copy: str, placed: Placed) -> Held:
        """Return what is logged."""
        return TypeAdapter(Held).validate_python(
            self._ask("read_records", copy=copy, placed=placed)
        )

    def upload(self, placed: Placed, folder: Path) -> None:
        """Write the model's files and finish the model."""
        self._ask("upload", placed=placed, folder=folder)

    def attach(self, placed: Placed, folder: Path) -> None:
        """Write the attestation's files to the run."""
        self._ask("attach", placed=placed, folder=folder)

    def download(self, placed: Placed, folder: Path) -> None:
        """Read the model's files into ``folder``."""
        self._ask("download", placed=placed, folder=folder)

    def download_attached(self, placed: Placed, folder: Path) -> None:
        """Read the attestation's files into ``folder``."""
        self._ask("download_attached", placed=placed, folder=folder)

    def register(self, new: NewVersion, copy: str) -> str:
        """Register the version, with the model where it is new; return its number."""
        return str(self._ask("register", new=new, copy=copy))

    def _end(self) -> str:
        try:
            code = self.process.wait(1)
        except subprocess.TimeoutExpired:
            return "says nothing more"
        return f"has ended (signal {-code})" if code < 0 else f"has ended (exit code {code})"

    def _ask(self, call: str, **arguments: Any) -> Any:
        request = json.dumps({"call": call, "arguments": to_jsonable_python(arguments)})
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        line = ""
        with suppress(BrokenPipeError):
            stdin.write(request + "\n")
            stdin.flush()
            line = stdout.readline()
        if not line:
            raise errors.RegistryUnreachable(
                f"{call.replace('_', ' ')} at {self._uri}",
                f"the process that speaks to it {self._end()}",
                "signal 9 is most often want of memory; else its own words are above, on stderr. "
                "Then repeat the same command: it goes on from here",
            )
        answer = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["error"])(*answer["parts"])
        return answer["value"]
