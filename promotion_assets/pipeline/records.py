"""What an evaluation leaves behind for its later steps: one folder a version, one file a part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from promotion_assets.decision.decide import Decision
from promotion_assets.errors import IntegrityError
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.contract import FeatureContract
from promotion_assets.evaluation.scores import LatencySample, Probe, Scores, ScoringFailure
from promotion_assets.gates.contract import GateResult
from promotion_assets.pipeline.files import read_value, safe_name, write_bytes, write_value


class Pointer(BaseModel):
    """Which dataset version, or which production sample, a model is judged on now.

    ``digest`` is empty where the source cannot be judged on; ``problem`` says why.
    """

    model_config = ConfigDict(frozen=True)

    digest: str
    contract: FeatureContract | None = None
    problem: str | None = None


@dataclass(frozen=True)
class VersionFolder:
    """The parts of the evaluation of one version."""

    root: Path

    @classmethod
    def of(cls, home: Path, model: str, version: str) -> VersionFolder:
        """Return the folder of a version below ``home``."""
        return cls(home / "evaluations" / safe_name(model) / safe_name(version))

    def candidate(self) -> Candidate | None:
        """Return the candidate as it was last taken in."""
        return read_value(self.root / "candidate.json", Candidate)

    def write_candidate(self, candidate: Candidate) -> None:
        """Keep the candidate, and drop what was found out about an earlier taking in."""
        stale = ("decision.json", "*.arrow", "gates/*.json", "failures/*.json")
        for file in (found for pattern in stale for found in self.root.glob(pattern)):
            file.unlink()
        write_value(self.root / "candidate.json", candidate)

    def result(self, gate: str) -> GateResult | None:
        """Return a gate's result."""
        return read_value(self.root / "gates" / f"{safe_name(gate)}.json", GateResult)

    def write_result(self, result: GateResult) -> None:
        """Keep a gate's result."""
        write_value(self.root / "gates" / f"{safe_name(result.gate)}.json", result)

    def results(self, gates: Iterable[str]) -> tuple[GateResult, ...]:
        """Return the results that are there, in the order of ``gates``."""
        found = (self.result(gate) for gate in gates)
        return tuple(result for result in found if result is not None)

    def decision(self) -> Decision | None:
        """Return the decision that the last evaluation made."""
        return read_value(self.root / "decision.json", Decision)

    def write_decision(self, decision: Decision) -> None:
        """Keep the decision until it is recorded in the ledger."""
        write_value(self.root / "decision.json", decision)

    def failure(self, part: str) -> ScoringFailure | None:
        """Return why ``part`` (``scores``, ``champion`` …) is missing, or ``None``."""
        return read_value(self.root / "failures" / f"{part}.json", ScoringFailure)

    def write_failure(self, part: str, failure: ScoringFailure | None) -> None:
        """Keep or clear the reason why ``part`` is missing."""
        path = self.root / "failures" / f"{part}.json"
        if failure is None:
            path.unlink(missing_ok=True)
        else:
            write_value(path, failure)


def scores_path(home: Path, model_digest: str, dataset_digest: str) -> Path:
    """Return where the scores of an artifact on a dataset version are kept, for all to read."""
    return home / "store" / "scores" / model_digest / f"{dataset_digest}.arrow"


def write_scores(path: Path, scores: Scores) -> None:
    """Write scores as Arrow IPC, with what pins them in the schema's metadata."""
    matrix = scores.values.reshape(len(scores.values), -1)
    table = pa.table({f"score_{i}": matrix[:, i] for i in range(matrix.shape[1])})
    pins = {
        "model_digest": scores.model_digest,
        "dataset_digest": scores.dataset_digest,
        "classes": "\x1f".join(scores.classes),
        "seconds": repr(scores.seconds),
        "peak_memory_bytes": str(scores.peak_memory_bytes),
        "isolation": scores.isolation,
        "dimensions": str(scores.values.ndim),
    }
    write_bytes(path, _ipc(table.replace_schema_metadata(pins)))


def read_scores(path: Path) -> Scores | None:
    """Read scores back, or ``None`` where they were never computed.

    Raises:
        IntegrityError: the file is damaged.
    """
    table = _read_ipc(path)
    if table is None:
        return None
    pins = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    columns = [table.column(i).to_numpy() for i in range(table.num_columns)]
    values = columns[0] if pins["dimensions"] == "1" else np.column_stack(columns)
    return Scores(
        values=np.array(values, dtype=np.float64),
        model_digest=pins["model_digest"],
        dataset_digest=pins["dataset_digest"],
        classes=tuple(pins["classes"].split("\x1f")) if pins["classes"] else (),
        seconds=float(pins["seconds"]),
        peak_memory_bytes=int(pins["peak_memory_bytes"]),
        isolation=pins["isolation"],
    )


def write_latency(path: Path, samples: tuple[LatencySample, ...]) -> None:
    """Write latency samples as Arrow IPC, a row a request."""
    rows = [
        (ms, s.rows, s.concurrency, s.threads, s.cpu, s.interleaved, number)
        for number, s in enumerate(samples)
        for ms in s.milliseconds.tolist()
    ]
    names = ("milliseconds", "rows", "concurrency", "threads", "cpu", "interleaved", "sample")
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    write_bytes(path, _ipc(pa.table(dict(zip(names, map(list, columns), strict=True)))))


def read_latency(path: Path) -> tuple[LatencySample, ...] | None:
    """Read latency samples back, or ``None`` where none were taken."""
    table = _read_ipc(path)
    if table is None:
        return None
    frame = table.to_pandas()
    return tuple(
        LatencySample(
            milliseconds=part["milliseconds"].to_numpy(dtype=np.float64),
            rows=int(part["rows"].iloc[0]),
            concurrency=int(part["concurrency"].iloc[0]),
            threads=int(part["threads"].iloc[0]),
            cpu=str(part["cpu"].iloc[0]),
            interleaved=bool(part["interleaved"].iloc[0]),
        )
        for _, part in frame.groupby("sample", sort=True)
    )


def write_probes(path: Path, probes: tuple[Probe, ...]) -> None:
    """Write robustness probes as Arrow IPC, a row a probe."""
    table = pa.table(
        {
            "name": [p.name for p in probes],
            "rows": [p.rows.tolist() for p in probes],
            "values": [None if p.values is None else p.values.ravel().tolist() for p in probes],
            "width": [
                1 if p.values is None or p.values.ndim == 1 else p.values.shape[1] for p in probes
            ],
            "failure": [p.failure.model_dump_json() if p.failure else None for p in probes],
        }
    )
    write_bytes(path, _ipc(table))


def read_probes(path: Path) -> tuple[Probe, ...] | None:
    """Read robustness probes back, or ``None`` where none were made."""
    table = _read_ipc(path)
    if table is None:
        return None
    return tuple(_probe(row) for row in table.to_pylist())


def _probe(row: dict[str, object]) -> Probe:
    width, values = row["width"], row["values"]
    assert isinstance(width, int)
    array = None if values is None else np.asarray(values, dtype=np.float64)
    if array is not None and width > 1:
        array = array.reshape(-1, width)
    failure = row["failure"]
    return Probe(
        name=str(row["name"]),
        rows=np.asarray(row["rows"], dtype=np.int64),
        values=array,
        failure=ScoringFailure.model_validate_json(str(failure)) if failure else None,
    )


def _ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _read_ipc(path: Path) -> pa.Table | None:
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()
    except FileNotFoundError:
        return None
    except (pa.ArrowInvalid, OSError) as error:
        raise IntegrityError(
            f"reading {path.name}",
            f"{path} is damaged ({error})",
            "delete that file and evaluate the version again",
        ) from error
