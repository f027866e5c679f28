"""A shadow's process: the version loaded in the sandbox that judged it, and asked copy by copy."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from promotion_assets.adapters.served_model import Trust
from promotion_assets.errors import IntegrityError, StorageUnreachable
from promotion_assets.evaluation.artifact import verify
from promotion_assets.evaluation.frames import Frame
from promotion_assets.evaluation.isolation import detect_isolation
from promotion_assets.evaluation.mlmodel import loads_without_pickle, read_mlmodel
from promotion_assets.evaluation.sandbox import ChildFailure, SandboxedProcess, printable
from promotion_assets.policy.model import Sandbox
from promotion_assets.policy.serving import ShadowWorker
from promotion_assets.serving.plan import Arm
from promotion_assets.serving.shadow import BATCH, Answered, Copy, Outcome, ShadowGone

WORKER = ("-m", "promotion_assets.adapters.shadow_worker")
# It serves for weeks: what limits one evaluation's processor time must not end it.
UNLIMITED_CPU = 2**31 - 1
MAX_ANSWER = 16 * 1024**2
PATIENCE_SECONDS = 0.005
_SAID = 300


def start_shadow(
    arm: Arm,
    directory: Path,
    *,
    limits: Sandbox,
    worker: ShadowWorker,
    trust: Trust,
    positive: object,
) -> SandboxedShadow:
    """Start a process and load the version; wait until it is loaded.

    Raises:
        IntegrityError: its bytes are others, or it cannot be loaded, or must not be here.
        StorageUnreachable: the sandbox cannot be started.
    """
    doing = f"starting the shadow, version {arm.version}"
    verify(directory, arm.digest)
    isolation = detect_isolation()
    weak = isolation == "limits"
    if weak and (
        limits.require == "namespaces" or not loads_without_pickle(read_mlmodel(directory))
    ):
        raise IntegrityError(
            doing,
            "this host offers no namespaces, and the policy or the version's format needs them",
            "install bubblewrap where the server runs",
        )
    try:
        child = SandboxedProcess(
            WORKER,
            limits=limits.model_copy(update={"cpu_seconds": UNLIMITED_CPU}),
            isolation=isolation,
            readable=(directory,),
            max_payload=MAX_ANSWER,
        )
    except OSError as error:
        raise StorageUnreachable(
            doing,
            f"the sandbox cannot be started ({error})",
            "see that the host's temporary folder has room and that this user may start processes; "
            "requests are answered without this shadow",
        ) from error
    load = {
        "op": "load",
        "version": arm.version,
        "digest": arm.digest,
        "directory": str(directory),
        "trust": trust._asdict(),
        "positive": positive,
        "max_payload": worker.payload_bytes * BATCH,
    }
    try:
        deadline = time.monotonic() + worker.load_seconds
        child.send(Frame(load), deadline)
        said = child.receive(deadline).header
        if said.get("op") != "loaded":
            raise ChildFailure("load_error", printable(str(said.get("error")))[:_SAID])
    except ChildFailure as failure:
        child.stop()
        raise IntegrityError(
            doing,
            failure.reason,
            "install what it needs where the server runs, or archive the version; requests are "
            "answered without this shadow",
        ) from failure
    return SandboxedShadow(child, worker.timeout_seconds)


class SandboxedShadow:
    """A :class:`promotion_assets.serving.shadow.ShadowProcess` in a sandbox."""

    def __init__(self, child: SandboxedProcess, timeout_seconds: float) -> None:
        self._child = child
        self._timeout = timeout_seconds

    def answers(self, copies: Sequence[Copy]) -> Iterator[Answered]:
        """Send copies and yield their answers as they come; see the protocol."""
        items = [{"form": c.form, "size": len(c.body), "rows": c.rows} for c in copies]
        frame = Frame({"op": "answer", "items": items}, b"".join(c.body for c in copies))
        try:
            self._child.send(frame, time.monotonic() + self._timeout)
            # Most answers are read at once then, and not each as it comes.
            time.sleep(min(PATIENCE_SECONDS, self._timeout / 10))
            for copy in copies:
                said = self._child.receive(time.monotonic() + self._timeout).header
                yield _answered(said, copy)
        except ChildFailure as failure:
            outcome: Outcome = "timeout" if failure.kind == "timeout" else "crashed"
            raise ShadowGone(outcome, failure.reason[:_SAID]) from failure

    def close(self) -> None:
        """End the process."""
        self._child.stop()


def _answered(said: dict[str, Any], copy: Copy) -> Answered:
    """Read an answer of a process in which nothing can be trusted."""
    latency, error = said.get("latency_ms"), said.get("error")
    measured = float(latency) if isinstance(latency, int | float) and latency >= 0 else 0.0
    if error is not None:
        return Answered("error", measured, error=printable(str(error))[:_SAID])
    predictions, scores = said.get("predictions"), said.get("scores")
    whole = (
        isinstance(predictions, list)
        and isinstance(scores, list)
        and len(predictions) == len(scores) == copy.rows
        and all(isinstance(p, str) for p in predictions)
        and all(s is None or isinstance(s, int | float) for s in scores)
    )
    if not whole:
        return Answered("error", measured, error="it did not answer every row")
    assert isinstance(predictions, list)
    assert isinstance(scores, list)
    numbers = [float("nan") if s is None else float(s) for s in scores]
    return Answered("answered", measured, tuple(predictions), numbers)
