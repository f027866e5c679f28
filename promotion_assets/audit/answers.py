"""The pinned answers of a version and its champion, in one table, and the statistics of them again.

What a bundle carries of the evidence is what the gates that look at answers alone read: labels,
answers, groups. From it those gates are put their questions again, and every number is compared
with the one in the signed decision.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from promotion_assets.decision.decide import Decision
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.dataset import DatasetSummary, EvaluationDataset
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.large.tally import ScoreTally
from promotion_assets.evaluation.scores import Floats, Scores, StoredScores
from promotion_assets.gates.catalogue import BUILT_IN, settings_for
from promotion_assets.gates.contract import GateResult
from promotion_assets.gates.run import run_gate
from promotion_assets.policy.model import ModelPolicy

# Gates that read labels, answers and groups and nothing else.
RECOMPUTED = ("accuracy", "fairness", "calibration")
TOLERANCE = 1e-9
_GROUP = "group:"


class Context(BaseModel):
    """What was judged and by which policy, without the answers and without any local path."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: ModelPolicy
    candidate: Candidate
    champion: Candidate | None
    dataset: DatasetSummary | None
    classes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    judged_before: int = 0


@dataclass(frozen=True)
class Disagreement:
    """A number that comes out otherwise than the signed decision says."""

    where: str
    recorded: Any
    recomputed: Any


def context_of(evidence: Evidence) -> Context:
    """Return the context of ``evidence``."""
    dataset = evidence.dataset
    return Context(
        policy=evidence.policy,
        candidate=_portable(evidence.candidate),
        champion=_portable(evidence.champion) if evidence.champion else None,
        dataset=dataset.summary if dataset else None,
        classes=dataset.classes if dataset else (),
        features=dataset.features if dataset else (),
        judged_before=evidence.judged_before,
    )


def answers_of(evidence: Evidence) -> bytes | None:
    """Return labels, answers and groups as Parquet; ``None`` where the version was not scored."""
    dataset, scores = evidence.dataset, evidence.candidate_scores
    if dataset is None or not isinstance(scores, Scores):
        return None
    columns: dict[str, Any] = {"label": dataset.labels, **_columns("candidate", scores.values)}
    if isinstance(evidence.champion_scores, Scores):
        columns |= _columns("champion", evidence.champion_scores.values)
    for name, groups in dataset.groups.items():
        columns[f"{_GROUP}{name}"] = [None if g is None else str(g) for g in groups]
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written, compression="zstd")
    return written.getvalue()


def tally_of(evidence: Evidence) -> bytes | None:
    """Return what was counted of answers to rows that nobody held, or ``None``."""
    return None if evidence.tally is None else evidence.tally.model_dump_json(indent=1).encode()


def recompute_tally(
    context: Context, counted: bytes, decision: Decision
) -> tuple[int, tuple[Disagreement, ...]]:
    """Put the questions again that were put to counts; as :func:`recompute`.

    Raises:
        ValueError: if the counts are not of the form that :func:`tally_of` gives.
    """
    if context.dataset is None:
        raise ValueError("there are counts and no description of the rows")
    tally = ScoreTally.model_validate_json(counted)
    dataset = EvaluationDataset(
        summary=context.dataset,
        path=Path(),
        frame=pd.DataFrame(),
        labels=np.empty(0, dtype=np.int64),
        classes=context.classes,
        features=context.features,
        streamed=True,
    )
    champion = context.champion
    evidence = Evidence(
        model=decision.model,
        version=decision.version,
        policy=context.policy,
        candidate=context.candidate,
        dataset=dataset,
        champion=champion,
        candidate_scores=_stored(tally, tally.model_digest, tally.candidate_sha256),
        champion_scores=_stored(tally, tally.champion_digest, tally.champion_sha256)
        if champion is not None
        else None,
        tally=tally,
        judged_before=context.judged_before,
        as_of=decision.decided_at,
    )
    return _again(evidence, decision)


def _stored(tally: ScoreTally, model: str | None, sha256: str | None) -> StoredScores | None:
    if model is None or sha256 is None:
        return None
    return StoredScores(
        path=Path(),
        rows=tally.rows,
        batch_rows=tally.shard_rows,
        sha256=sha256,
        model_digest=model,
        dataset_digest=tally.dataset_digest,
    )


def recompute(
    context: Context, answers: bytes, decision: Decision
) -> tuple[int, tuple[Disagreement, ...]]:
    """Put the questions again that need only answers; return how many numbers were compared.

    Raises:
        ValueError: if the answers are not of the form that :func:`answers_of` gives.
    """
    return _again(_evidence(context, answers, decision), decision)


def _again(evidence: Evidence, decision: Decision) -> tuple[int, tuple[Disagreement, ...]]:
    recorded = {result.gate: result for result in decision.results}
    compared = 0
    found: list[Disagreement] = []
    for name, (gate, settings) in settings_for(_built_in_only(evidence.policy)).items():
        if name not in recorded:
            continue
        again = run_gate(gate, evidence, settings, lambda: decision.decided_at)
        for where, old, new in _pairs(name, recorded[name], again):
            compared += 1
            if not _same(old, new):
                found.append(Disagreement(where, old, new))
    return compared, tuple(found)


def read_answers(data: bytes) -> dict[str, Any]:
    """Return the columns of the answers, as numpy arrays.

    Raises:
        ValueError: if ``data`` is no such table.
    """
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"the answers cannot be read ({error})") from error
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}


def _evidence(context: Context, data: bytes, decision: Decision) -> Evidence:
    columns = read_answers(data)
    if context.dataset is None or "label" not in columns:
        raise ValueError("there are answers and no description of the rows")
    groups = {
        name.removeprefix(_GROUP): np.asarray(values, dtype=object)
        for name, values in columns.items()
        if name.startswith(_GROUP)
    }
    dataset = EvaluationDataset(
        summary=context.dataset,
        path=Path(),
        frame=pd.DataFrame(groups),
        labels=columns["label"],
        classes=context.classes,
        features=context.features,
        groups=groups,
    )
    candidate, champion = context.candidate, context.champion
    champion_values = _values("champion", columns)
    values = _values("candidate", columns)
    if values is None:
        raise ValueError("the candidate's answers are not there")
    return Evidence(
        model=decision.model,
        version=decision.version,
        policy=context.policy,
        candidate=candidate,
        dataset=dataset,
        champion=champion,
        candidate_scores=Scores(values, candidate.digest, dataset.digest, context.classes),
        champion_scores=Scores(champion_values, champion.digest, dataset.digest, context.classes)
        if champion is not None and champion_values is not None
        else None,
        judged_before=context.judged_before,
        as_of=decision.decided_at,
    )


def _built_in_only(policy: ModelPolicy) -> ModelPolicy:
    """Leave out what cannot be asked again here: a team's own gates are not installed."""
    assert set(RECOMPUTED) <= set(BUILT_IN)
    kept = {n: stanza for n, stanza in policy.gates.items() if n in RECOMPUTED}
    return policy.model_copy(update={"gates": kept, "gate_paths": {}})


def _pairs(name: str, old: GateResult, new: GateResult) -> Iterator[tuple[str, Any, Any]]:
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    for field in ("outcome", "observed", "limit", "interval", "sample_size"):
        yield f"{name}.{field}", before[field], after[field]
    again: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for measured in after["measurements"]:
        again.setdefault((measured["name"], measured["subject"]), []).append(measured)
    for measured in before["measurements"]:
        key = (measured["name"], measured["subject"])
        where = f"{name}.{key[0]} of {key[1]}"
        found = again[key].pop(0) if again.get(key) else {}
        for field in ("observed", "baseline", "limit", "interval", "sample_size", "outcome"):
            yield f"{where}.{field}", measured[field], found.get(field)
    for key, left in again.items():
        if left:
            yield f"{name}.{key[0]} of {key[1]}", "not recorded", "measured"


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, float) and isinstance(new, int | float):
        return math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(old[key], new[key]) for key in old)
    return bool(old == new)


def _columns(name: str, values: Floats) -> dict[str, Floats]:
    if values.ndim == 1:
        return {name: values}
    return {f"{name}:{at}": values[:, at] for at in range(values.shape[1])}


def _values(name: str, columns: Mapping[str, Any]) -> Floats | None:
    if name in columns:
        return np.asarray(columns[name], dtype=np.float64)
    several = [columns[key] for key in columns if key.startswith(f"{name}:")]
    return np.column_stack(several).astype(np.float64) if several else None


def _portable(candidate: Candidate) -> Candidate:
    return candidate.model_copy(update={"artifact_dir": None, "source": "", "profile": None})
