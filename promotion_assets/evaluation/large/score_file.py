"""The answers of all shards, kept in the dataset's row order."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from promotion_assets.errors import IntegrityError
from promotion_assets.evaluation.large.shards import Shard
from promotion_assets.evaluation.scores import Floats, StoredScores
from promotion_assets.policy.model import Task

SCHEMA = pa.schema([pa.field("score_0", pa.float64())])


@dataclass
class ScoreWriter:
    """Takes the answers of one shard after the other."""

    _writer: Any
    _digest: Any = field(default_factory=hashlib.sha256)
    rows: int = 0

    def add(self, values: Floats) -> None:
        """Append the answers of the next shard."""
        array = np.ascontiguousarray(values, dtype="<f8")
        self._digest.update(array.tobytes())
        self._writer.write_batch(pa.RecordBatch.from_arrays([pa.array(array)], schema=SCHEMA))
        self.rows += len(array)

    @property
    def sha256(self) -> str:
        """The digest of all answers so far."""
        return str(self._digest.hexdigest())


@contextmanager
def writing_scores(path: Path) -> Iterator[ScoreWriter]:
    """Write answers to ``path``: whole when the block ends well, else not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".scores-")
    os.close(handle)
    draft = Path(name)
    try:
        with pa.OSFile(name, "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            yield ScoreWriter(writer)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def sidecar(path: Path) -> Path:
    """Return where the description of the answers in ``path`` is kept."""
    return path.with_suffix(".json")


def kept_scores(path: Path) -> StoredScores | None:
    """Return the answers that are kept in ``path``, or ``None`` where there are none.

    Raises:
        IntegrityError: their description is damaged.
    """
    try:
        text = sidecar(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        found = StoredScores.model_validate_json(text)
    except ValidationError as error:
        raise _damaged(path, "their description is not readable") from error
    # The store may have moved since.
    return found.model_copy(update={"path": path}) if path.exists() else None


@dataclass(frozen=True)
class ScoreReader:
    """Reads the answers of a shard; what is not what it should be is an :class:`IntegrityError`."""

    scores: StoredScores
    task: Task

    def verify(self) -> None:
        """Prove that the file holds the answers that were written."""
        digest, rows = hashlib.sha256(), 0
        for values in self._batches():
            digest.update(values.tobytes())
            rows += len(values)
        if rows != self.scores.rows or digest.hexdigest() != self.scores.sha256:
            raise _damaged(self.scores.path, "they are not the answers that were given")

    def read(self, shard: Shard) -> Floats:
        """Return the answers to the rows of ``shard``."""
        size, end = self.scores.batch_rows, shard.first + shard.rows
        parts = []
        for number in range(shard.first // size, min(-(-end // size), self._count())):
            at = number * size
            parts.append(self._batch(number)[max(shard.first - at, 0) : end - at])
        values = np.concatenate(parts) if parts else np.empty(0)
        if len(values) != shard.rows:
            raise _damaged(self.scores.path, f"{len(values)} for the {shard.rows} rows of a shard")
        if not np.isfinite(values).all():
            raise _damaged(self.scores.path, "some are not finite numbers")
        if self.task == "binary" and not ((values >= 0) & (values <= 1)).all():
            raise _damaged(self.scores.path, "some are no probabilities")
        return values

    def _count(self) -> int:
        with self._opened() as reader:
            return int(reader.num_record_batches)

    def _batch(self, number: int) -> Floats:
        with self._opened() as reader:
            return np.asarray(reader.get_batch(number).column(0), dtype=np.float64)

    def _batches(self) -> Iterator[Floats]:
        for number in range(self._count()):
            yield self._batch(number)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with pa.OSFile(str(self.scores.path)) as file:
                yield pa.ipc.open_file(file)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(self.scores.path, str(error)[:120]) from error


def _damaged(path: Path, how: str) -> IntegrityError:
    return IntegrityError(
        f"reading the stored scores {path.name}",
        f"{path} is not what was written: {how}",
        "delete that file and its .json, and evaluate the version again",
    )
