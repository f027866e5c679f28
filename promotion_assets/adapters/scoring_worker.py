"""The child that loads one model and answers for it: all that runs beside untrusted code.

Started by :class:`promotion_assets.evaluation.session.Session` inside the sandbox. It reads
frames from standard input and answers on descriptor 3; whatever the model prints goes to a log.
After the model is loaded nothing in this process can be trusted any more: the parent checks
each answer and measures with its own clock.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import json
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from numbers import Real
from pathlib import Path
from threading import Lock
from typing import Any

from promotion_assets.evaluation.confinement import REPLY_DESCRIPTOR
from promotion_assets.evaluation.frames import Frame, FrameReader

MAX_REQUEST_BYTES = 16 * 1024**2
MAX_NAMES = 4096
# Flavors whose classifiers answer ``predict`` with labels, and keep the estimator at hand.
ANSWER_LABELS = ("mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm", "mlflow.catboost")


class LazyModules(MetaPathFinder):
    """Puts off importing packages until something in them is used.

    ``import mlflow`` loads its language-model evaluation and its gateway (a quarter of its
    import time), which no scoring needs.
    """

    def __init__(self, *names: str) -> None:
        self._names = set(names)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find a module as the next finders would, and wrap its loader."""
        if name not in self._names:
            return None
        self._names.discard(name)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


class Unanswerable(Exception):
    """Why the model gives no answer, in the words of ``ScoringFailure.kind``."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason


class Channel:
    """Frames from the parent and to it; replies may come from several threads."""

    def __init__(self, requests: int, replies: int) -> None:
        self._requests = requests
        self._replies = replies
        self._reader = FrameReader(MAX_REQUEST_BYTES)
        self._lock = Lock()

    def receive(self) -> Frame | None:
        """Return the next frame, or ``None`` when the parent is gone."""
        while (frame := self._reader.take()) is None:
            data = os.read(self._requests, 65536)
            if not data:
                return None
            self._reader.feed(data)
        return frame

    def accept(self, max_payload: int) -> None:
        """Accept payloads of this size from now on."""
        self._reader.max_payload = max_payload

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Send one frame whole."""
        rest = memoryview(Frame(header, payload).encode())
        with self._lock:
            while rest:
                rest = rest[os.write(self._replies, rest) :]


class Worker:
    """One loaded model and what is asked of it."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.model: Any = None
        self.classes: list[Any] | None = None
        self.max_columns = 1
        self.requests: dict[str, Any] = {}
        self.pool: ThreadPoolExecutor | None = None

    def serve(self) -> None:
        """Answer until the parent is gone."""
        operations: dict[str, Callable[[dict[str, Any]], None]] = {
            "load": self.load,
            "score": self.score,
            "hold": self.hold,
            "predict": self.predict,
        }
        while (frame := self.channel.receive()) is not None:
            header = frame.header
            if header["op"] == "predict" and self.pool is not None:
                self.pool.submit(self._answer, self.predict, header)
            else:
                self._answer(operations[header["op"]], header)

    def _answer(self, operation: Callable[[dict[str, Any]], None], header: dict[str, Any]) -> None:
        try:
            operation(header)
        except Unanswerable as why:
            self._fail(header, why.kind, why.reason)
        except MemoryError as error:
            self._fail(header, "out_of_memory", _first_line(error))
        except Exception as error:
            with contextlib.suppress(Exception):
                traceback.print_exc()
            self._fail(header, *_kind_of(error, header["op"]))

    def _fail(
        self, header: dict[str, Any], kind: str, reason: str, because_of: str | None = None
    ) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        why = {"kind": kind, "reason": reason, "because_of": because_of}
        self.channel.send({"op": "failure", "id": header.get("id"), **why})

    def load(self, header: dict[str, Any]) -> None:
        """Load the model, once."""
        began = time.perf_counter()
        self.max_columns = header["max_columns"]
        sys.meta_path.insert(0, LazyModules("mlflow.genai", "mlflow.gateway"))
        import mlflow.pyfunc

        imported = time.perf_counter()
        directory = private_view(Path(header["directory"]), header["mlmodel"])
        model = mlflow.pyfunc.load_model(str(directory), suppress_warnings=True)
        self.model = model
        if header["task"] != "regression" and model.loader_module in ANSWER_LABELS:
            estimator = model._model_impl.get_raw_model()
            if hasattr(estimator, "predict_proba"):
                # MLflow's own wrapper around another method: the input schema is still
                # enforced, and the answer is not the label.
                self.model = mlflow.pyfunc.PyFuncModel(
                    model_meta=model.metadata,
                    model_impl=estimator,
                    predict_fn="predict_proba",
                    model_id=model.model_id,
                )
                self.classes = _plain(getattr(estimator, "classes_", None))
        self.channel.send(
            {
                "op": "loaded",
                "import_seconds": imported - began,
                "load_seconds": time.perf_counter() - imported,
            }
        )

    def score(self, header: dict[str, Any]) -> None:
        """Answer for a file of rows, one batch in memory at a time."""
        import pyarrow as pa

        began = time.perf_counter()
        with pa.OSFile(header["path"]) as file:
            reader = pa.ipc.open_file(file)
            for number in range(reader.num_record_batches):
                frame = reader.get_batch(number).to_pandas()
                self.channel.send(*self._ask(frame))
        self.channel.send(
            {
                "op": "scored",
                "seconds": time.perf_counter() - began,
                "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )

    def hold(self, header: dict[str, Any]) -> None:
        """Prepare requests of a set number of rows, to be asked for by number."""
        import pyarrow as pa

        with pa.OSFile(header["path"]) as file:
            rows = pa.ipc.open_file(file).read_all().to_pandas()
        size = header["rows"]
        self.requests = {
            f"{size}:{start // size}": rows.iloc[start : start + size].reset_index(drop=True)
            for start in range(0, len(rows) - size + 1, size)
        }
        threads = header["concurrency"]
        if self.pool is not None:
            self.pool.shutdown()
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self.channel.send({"op": "holding", "requests": len(self.requests)})

    def predict(self, header: dict[str, Any]) -> None:
        """Answer for one prepared request."""
        answer, payload = self._ask(self.requests[header["request"]])
        self.channel.send({**answer, "id": header["id"]}, payload)

    def _ask(self, frame: Any) -> tuple[dict[str, Any], bytes]:
        """Return the model's answer as a header and an Arrow stream of float64."""
        from promotion_assets.evaluation.arrow_values import encode_values

        raw = self.model.predict(frame)
        columns = _plain(raw.columns) if hasattr(raw, "columns") else None
        kind, values = _numbers(raw)
        if values.ndim == 2 and values.shape[1] > self.max_columns:
            raise Unanswerable("wrong_length", f"it answered an array of shape {values.shape}")
        header = {
            "op": "answer",
            "shape": list(values.shape),
            "kind": kind,
            "classes": self.classes,
            "columns": columns,
        }
        return header, encode_values(values)


def private_view(directory: Path, mlmodel: dict[str, Any]) -> Path:
    """Return a directory like ``directory`` with an ``MLmodel`` of ours.

    MLflow reads from that file which types skops may build; an artifact must not decide that.
    """
    view = Path(tempfile.mkdtemp(prefix="model-"))
    for entry in directory.iterdir():
        if entry.name != "MLmodel":
            (view / entry.name).symlink_to(entry)
    # JSON is YAML, and means the same to every parser.
    (view / "MLmodel").write_text(json.dumps(mlmodel))
    return view


def _numbers(raw: Any) -> tuple[str, Any]:
    """Return what kind of numbers an answer holds, and the numbers as float64."""
    import numpy as np

    if hasattr(raw, "toarray"):
        raw = raw.toarray()
    if raw is None or isinstance(raw, str | bytes | dict | set):
        raise Unanswerable("not_numeric", f"it answered {type(raw).__name__}, not numbers")
    array = np.asarray(raw.to_numpy() if hasattr(raw, "to_numpy") else raw)
    if array.dtype == object:
        bad = next((v for v in array.ravel() if not isinstance(v, Real | None)), None)
        if bad is not None:
            raise Unanswerable("not_numeric", f"it answered values like {bad!r:.80}, not numbers")
        labels = all(isinstance(v, bool | int | np.integer) for v in array.ravel())
        return ("integers" if labels else "floats"), array.astype(np.float64)
    kinds = {"f": "floats", "i": "integers", "u": "integers", "b": "booleans"}
    if array.dtype.kind not in kinds:
        example = f"{array.ravel()[0]!r:.80}" if array.size else str(array.dtype)
        raise Unanswerable("not_numeric", f"it answered values like {example}, not numbers")
    if array.ndim not in (1, 2):
        raise Unanswerable("wrong_length", f"it answered an array of shape {array.shape}")
    return kinds[array.dtype.kind], array.astype(np.float64)


def _plain(labels: Any) -> list[Any] | None:
    """Return labels as JSON values, or ``None`` where they are not a short plain list."""
    try:
        plain = [v.item() if hasattr(v, "item") else v for v in list(labels)[:MAX_NAMES]]
    except TypeError:
        return None
    return plain if all(isinstance(v, bool | int | float | str) for v in plain) else None


def _kind_of(error: Exception, operation: str) -> tuple[str, str, str | None]:
    """Return the failure's kind, a sentence, and the gate it belongs to, for an exception."""
    said = f"{type(error).__name__}: {_first_line(error)}"
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return "output_limit", "it wrote more than it may", None
    if "Cannot allocate memory" in said or "failed to map segment" in said or not _headroom():
        return "out_of_memory", said, None
    if isinstance(error, ImportError):
        return "missing_dependency", f"it needs a library that is not installed here ({said})", None
    if type(error).__name__ == "UntrustedTypesFoundException":
        return "load_error", f"it is built of types that nobody trusts here ({said})", "artifact"
    if operation == "load":
        return "load_error", said, None
    return "exception", said, "schema" if "enforce schema" in said else None


def _headroom() -> bool:
    """Whether there is memory left; what fails for lack of it often says something else."""
    try:
        return bool(bytearray(32 * 1024**2))
    except MemoryError:
        return False


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:500]


def take_pipes_away() -> tuple[int, int]:
    """Return the pipes from and to the parent, out of reach of what the model prints or reads."""
    requests = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.set_inheritable(requests, False)
    os.set_inheritable(REPLY_DESCRIPTOR, False)
    return requests, REPLY_DESCRIPTOR


def main() -> None:
    """Take the pipes away from the model's reach, then serve."""
    channel = Channel(*take_pipes_away())
    channel.send({"op": "started"})
    Worker(channel).serve()


if __name__ == "__main__":
    main()
