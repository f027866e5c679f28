"""What comes back from scoring a version: numbers, or the reason why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

Floats = npt.NDArray[np.float64]

FailureKind = Literal[
    "not_loaded",  # a gate that comes before loading refused it; see because_of
    "missing_input",  # it asks for a column that the evaluation dataset does not have
    "missing_dependency",
    "load_error",
    "exception",
    "timeout",
    "out_of_memory",
    "crash",  # killed by a signal, or left with an exit code
    "output_limit",  # printed or wrote more than allowed
    "wrong_length",
    "not_finite",
    "not_numeric",
    "not_probability",
    "no_isolation",  # this host cannot isolate what the policy says must be isolated
]


@dataclass(frozen=True)
class Scores:
    """One version's answers on one evaluation dataset version, in the dataset's row order.

    Attributes:
        values: binary: shape (rows,), probability of the positive class. Multiclass: shape
            (rows, classes), columns in the order of ``classes``. Regression: shape (rows,).
        classes: the labels of ``values``' columns; empty for binary and regression.
        model_digest: digest of the artifact that answered.
        dataset_digest: digest of the rows that it was asked about.
        seconds: wall time of the scoring pass, without loading.
        peak_memory_bytes: of the child process.
        isolation: ``bubblewrap``, ``unshare`` or ``limits``.
    """

    values: Floats
    model_digest: str
    dataset_digest: str
    classes: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    isolation: str = "bubblewrap"


class StoredScores(BaseModel):
    """One version's answers on a dataset version that is larger than memory, kept in a file.

    Attributes:
        path: an Arrow IPC file, ``rows`` answers in the dataset's row order.
        batch_rows: answers in each batch of the file but the last.
        sha256: of the answers as little-endian float64, one after the other.
        seconds, peak_memory_bytes, isolation: as in :class:`Scores`; the sum and the largest of
            all children that answered.
        engine: who scored, for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    rows: int
    batch_rows: int
    sha256: str
    model_digest: str
    dataset_digest: str
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    isolation: str = "bubblewrap"
    engine: str = "streaming"


class ScoringFailure(BaseModel):
    """Why there are no scores.

    Attributes:
        reason: one sentence that a person can act on; no traceback.
        because_of: the gate whose refusal was the cause, for ``not_loaded`` and
            ``missing_input``.
        output: the last lines that the child printed, cut to 2,000 characters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FailureKind
    reason: str
    because_of: str | None = None
    output: str = ""


@dataclass(frozen=True)
class LatencySample:
    """Wall times of predictions, in milliseconds, in the order in which they were made.

    Attributes:
        rows: rows in one request (1 for single-row).
        concurrency: requests under way at once.
        threads: the thread count that the model was given (``OMP_NUM_THREADS`` and the like).
        cpu: the processor's name.
        interleaved: whether candidate and champion took turns in the same run.
    """

    milliseconds: Floats
    rows: int
    concurrency: int = 1
    threads: int = 1
    cpu: str = ""
    interleaved: bool = False


@dataclass(frozen=True)
class Probe:
    """Answers on a deliberately changed copy of some evaluation rows (robustness).

    Attributes:
        name: ``perturbed``, ``missing:<feature>``, ``out_of_range:<feature>``.
        rows: indices into the evaluation dataset, shape (n,).
        values: answers as in :class:`Scores`; ``None`` where the model failed, see ``failure``.
    """

    name: str
    rows: npt.NDArray[np.int64]
    values: Floats | None
    failure: ScoringFailure | None = None
