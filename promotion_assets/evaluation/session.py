"""One model, loaded once in its own sandbox, and asked for scores, probes and single answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast, get_args

import numpy as np

from promotion_assets.errors import IntegrityError
from promotion_assets.evaluation.answers import Question, interpret
from promotion_assets.evaluation.candidate import MLmodelFacts, Signature
from promotion_assets.evaluation.features import BATCH_ROWS, Features, column_names, write_features
from promotion_assets.evaluation.frames import Frame
from promotion_assets.evaluation.isolation import Isolation, detect_isolation
from promotion_assets.evaluation.mlmodel import (
    loads_without_pickle,
    read_mlmodel,
    read_signature,
)
from promotion_assets.evaluation.sandbox import (
    ChildFailure,
    SandboxedProcess,
    printable,
)
from promotion_assets.evaluation.scores import FailureKind, Floats, Scores, ScoringFailure
from promotion_assets.policy.model import Sandbox

WORKER = ("-m", "promotion_assets.adapters.scoring_worker")
Result = TypeVar("Result")


class Session:
    """A context in which one model answers.

    Opening returns at once: the child starts and loads beside us, so that opening two sessions
    costs little more than one. Open, use and close it in one thread; the kernel ends the child
    with the thread that opened it. Whatever goes wrong is a :class:`ScoringFailure`, never an
    exception of the model's.

    Args:
        directory: the artifact, taken in and judged by the artifact gate before.
        digest: its model digest.
        question: what the model is asked for.
        limits: the policy's sandbox.
        trusted_types: types that skops may build, besides its own list. What the artifact asks
            to be trusted is not read.
        allow_pickle: whether formats that can carry code may be loaded, in namespaces.
        isolation: for tests; the strongest that the host has where not given.
        workspace: where private files are put.
    """

    def __init__(
        self,
        directory: Path,
        digest: str,
        *,
        question: Question,
        limits: Sandbox,
        trusted_types: Sequence[str] = (),
        allow_pickle: bool = False,
        isolation: Isolation | None = None,
        workspace: Path | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self.digest = digest
        self.question = question
        self.limits = limits
        self.isolation: Isolation = isolation or detect_isolation()
        self.signature: Signature | None = None
        self.failure: ScoringFailure | None = None
        self._child: SandboxedProcess | None = None
        self._loading = 0.0
        self._loaded = False
        self._files = 0
        try:
            facts = read_mlmodel(self.directory)
            self.signature = read_signature(facts)
        except IntegrityError as error:
            self.failure = ScoringFailure(kind="load_error", reason=error.problem)
            return
        self.failure = self._refusal(facts, allow_pickle)
        if self.failure is None:
            self._open(facts, trusted_types, workspace)

    def _refusal(self, facts: MLmodelFacts, allow_pickle: bool) -> ScoringFailure | None:
        """Say why this artifact must not be loaded here, before anything is started."""
        if self.isolation == "limits" and self.limits.require == "namespaces":
            return ScoringFailure(
                kind="no_isolation",
                reason="the policy requires namespaces and this host offers neither bubblewrap "
                "nor user namespaces; install bubblewrap, or set sandbox.require: limits",
            )
        if self.limits.env_manager != "local":
            return ScoringFailure(
                kind="no_isolation",
                reason=f"the policy asks for an environment of the model's own "
                f"(sandbox.env_manager: {self.limits.env_manager}), which is not built here; "
                "install its requirements beside the platform and set env_manager: local",
            )
        if loads_without_pickle(facts):
            return None
        how = facts.serialization_format or facts.loader_module or "unknown"
        if not allow_pickle:
            return ScoringFailure(
                kind="not_loaded",
                reason=f"its format ({how}) can carry code and the policy does not allow that; "
                "log the model with serialization_format='skops'",
                because_of="artifact",
            )
        if self.isolation == "limits":
            return ScoringFailure(
                kind="no_isolation",
                reason=f"its format ({how}) can carry code and this host offers neither "
                "bubblewrap nor user namespaces to load it in; install bubblewrap",
            )
        return None

    def _open(
        self, facts: MLmodelFacts, trusted_types: Sequence[str], workspace: Path | None
    ) -> None:
        try:
            self._child = SandboxedProcess(
                WORKER,
                limits=self.limits,
                isolation=self.isolation,
                readable=(self.directory,),
                max_payload=BATCH_ROWS * self._columns() * 8 + 1024**2,
                workspace=workspace,
            )
            request = {
                "op": "load",
                "directory": str(self.directory),
                "task": self.question.task,
                "max_columns": self._columns(),
                "mlmodel": with_trusted_types(facts, trusted_types),
            }
            self._child.send(Frame(request), time.monotonic() + self.limits.wall_seconds)
        except ChildFailure as failure:
            self._fail(failure)
        except OSError as error:
            self.failure = ScoringFailure(
                kind="no_isolation", reason=f"the sandbox cannot be started ({error})"
            )

    def _columns(self) -> int:
        """How many values for a row are looked at."""
        return max(16, len(self.question.classes))

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child; it is gone, with all that it started, when this returns."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self.failure is None:
            self.failure = ScoringFailure(kind="crash", reason="the session is closed")

    def load(self) -> ScoringFailure | None:
        """Wait until the model is loaded; return why it is not, or ``None``.

        Every question waits for it by itself; call this before a budget of time begins.
        """
        return self.ask(lambda _: None)

    def score(
        self, features: Features, *, dataset_digest: str, batch_rows: int = BATCH_ROWS
    ) -> Scores | ScoringFailure:
        """Return the model's answers for all rows of ``features``, in their order."""
        if self.failure is None and (absent := self.missing_input(features)) is not None:
            return absent
        if (failure := self.load()) is not None:
            return failure
        # Loading and one scoring pass share the policy's wall time; our own work is not in it.
        deadline = time.monotonic() + max(1.0, self.limits.wall_seconds - self._loading)
        batch_rows = min(batch_rows, BATCH_ROWS)

        def _answers(child: SandboxedProcess) -> Scores:
            values, done = self._answers(child, features, batch_rows, deadline)
            return Scores(
                values=values,
                model_digest=self.digest,
                dataset_digest=dataset_digest,
                classes=self.question.classes if self.question.task == "multiclass" else (),
                seconds=_number(done.get("seconds")),
                peak_memory_bytes=int(_number(done.get("peak_memory"))),
                isolation=self.isolation,
            )

        return self.ask(_answers)

    def answer(self, features: Features, deadline: float) -> Floats | ScoringFailure:
        """Return the model's answers for a few rows, by ``deadline`` on the monotonic clock."""
        return self.ask(lambda child: self._answers(child, features, BATCH_ROWS, deadline)[0])

    def ask(self, work: Callable[[SandboxedProcess], Result]) -> Result | ScoringFailure:
        """Run ``work`` on the child once the model is loaded; any failure is returned."""
        if self.failure is not None:
            return self.failure
        assert self._child is not None
        try:
            self._wait_until_loaded(self._child)
            return work(self._child)
        except ChildFailure as failure:
            return self._fail(failure)

    def expect(self, child: SandboxedProcess, deadline: float) -> Frame:
        """Return the child's next frame.

        Raises:
            ChildFailure: it reports that the model failed, or does not answer.
        """
        frame = child.receive(deadline)
        if frame.header.get("op") == "failure":
            kind = frame.header.get("kind")
            if kind not in get_args(FailureKind):
                raise ChildFailure("crash", "it broke the protocol with an unknown failure")
            raise AnsweredFailure(
                cast(FailureKind, kind),
                printable(str(frame.header.get("reason")))[:500],
                _gate(frame.header.get("because_of")),
            )
        return frame

    def place(self, features: Features, batch_rows: int = BATCH_ROWS) -> tuple[Path, int]:
        """Write ``features`` where the child can read them; return the file and its rows."""
        assert self._child is not None
        self._files += 1
        path = self._child.data / f"{self._files}.arrow"
        return path, write_features(features, path, batch_rows)

    def _answers(
        self, child: SandboxedProcess, features: Features, batch_rows: int, deadline: float
    ) -> tuple[Floats, dict[str, Any]]:
        path, rows = self.place(features, batch_rows)
        try:
            self.request(child, path, deadline)
            return self.collect(child, rows, batch_rows, deadline)
        finally:
            path.unlink()

    def request(self, child: SandboxedProcess, path: Path, deadline: float) -> None:
        """Ask for the answers to a file of rows; :meth:`collect` returns them."""
        child.send(Frame({"op": "score", "path": str(path)}), deadline)

    def collect(
        self,
        child: SandboxedProcess,
        rows: int,
        batch_rows: int,
        deadline: float,
        first_row: int = 0,
    ) -> tuple[Floats, dict[str, Any]]:
        """Return the answers to the file that was asked about first, and the child's last words.

        Args:
            rows: rows in that file.
            batch_rows: rows in each of its batches but the last.
            first_row: number of its first row, for messages.

        Raises:
            ChildFailure: it answers otherwise than it should.
        """
        parts: list[Floats] = []
        rejected: ChildFailure | None = None
        first = 0
        while (frame := self.expect(child, deadline)).header.get("op") == "answer":
            expected = min(batch_rows, rows - first)
            if expected == 0:
                raise ChildFailure("crash", "it broke the protocol with too many answers")
            try:
                if rejected is None:
                    parts.append(interpret(frame, expected, first_row + first, self.question))
            except ChildFailure as failure:
                # Its other batches are on their way; only after them can it be asked again.
                rejected = AnsweredFailure(failure.kind, failure.reason)
            first += expected
        if rejected is not None:
            raise rejected
        if frame.header.get("op") != "scored" or first != rows:
            raise ChildFailure("wrong_length", f"it answered {first:,} of {rows:,} rows")
        return (np.concatenate(parts) if parts else np.empty(0)), frame.header

    def _wait_until_loaded(self, child: SandboxedProcess) -> None:
        if self._loaded:
            return
        began = time.monotonic()
        deadline = child.started + self.limits.wall_seconds
        try:
            self.expect(child, deadline)
        except ChildFailure as failure:
            raise ChildFailure("no_isolation", f"the sandbox: {failure.reason}") from failure
        if self.expect(child, deadline).header.get("op") != "loaded":
            raise ChildFailure("crash", "it broke the protocol while loading")
        self._loaded = True
        self._loading = time.monotonic() - began

    def missing_input(self, features: Features) -> ScoringFailure | None:
        """Return that a required input is not among the columns of ``features``, if so."""
        if self.signature is None or self.signature.kind == "tensor":
            return None
        here = set(column_names(features))
        absent = [
            c.name for c in self.signature.inputs if c.required and c.name and c.name not in here
        ]
        if not absent:
            return None
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        return ScoringFailure(
            kind="missing_input",
            reason=f"its signature requires {', '.join(absent[:5])}{more}, "
            "which the evaluation dataset does not have or lists under `dataset.ignore`",
            because_of="schema",
        )

    def _fail(self, failure: ChildFailure) -> ScoringFailure:
        """Return the failure; unless the child reported it itself, that is the end of the child."""
        output = self._child.output_tail() if self._child else ""
        reported = ScoringFailure(
            kind=failure.kind,
            reason=failure.reason,
            because_of=failure.because_of,
            output=output,
        )
        if not self._loaded or not isinstance(failure, AnsweredFailure):
            self.failure = reported
            if self._child is not None:
                self._child.stop()
                self._child = None
        return reported


def _number(value: Any) -> float:
    """Return a figure that the child gave, or zero where it is none."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and 0 <= value < 2**53 else 0.0


class AnsweredFailure(ChildFailure):
    """The model failed and the child said so: it can be asked again."""


def with_trusted_types(facts: MLmodelFacts, trusted_types: Sequence[str]) -> dict[str, Any]:
    """Return the content of ``MLmodel`` with our own list of types for skops, in every flavor."""
    raw = dict(facts.raw)
    flavors = cast(dict[str, dict[str, Any]], raw["flavors"])
    raw["flavors"] = {
        name: flavor
        | (
            {"skops_trusted_types": list(trusted_types)}
            if "skops_trusted_types" in flavor or flavor.get("serialization_format") == "skops"
            else {}
        )
        for name, flavor in flavors.items()
    }
    return raw


def _gate(name: Any) -> str | None:
    """Return the gate that a failure belongs to, if the child names one of the two it may."""
    return name if name in ("schema", "artifact") else None
