"""A past decision made again from what it was made on, and every number compared."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from promotion_assets.decision.decide import Decision, decide
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.large.score_file import ScoreReader
from promotion_assets.evaluation.large.shards import shards_of
from promotion_assets.evaluation.scores import Scores, ScoringFailure, StoredScores
from promotion_assets.gates.artifact import ArtifactSettings
from promotion_assets.gates.catalogue import run_gate, settings_for
from promotion_assets.pipeline.engines import engine_of
from promotion_assets.pipeline.evidence_store import evidence_folder, last_decision, load_evidence
from promotion_assets.pipeline.large_step import score_into
from promotion_assets.pipeline.scoring_step import ScoringPlan, score_afresh
from promotion_assets.pipeline.workspace import Workspace

# How long a gate took is measured anew each time and is no part of what it found.
NOT_COMPARED = {"duration_seconds"}
SCORE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Difference:
    """A number or word that came out otherwise: where, what was recorded, what comes out now."""

    where: str
    recorded: Any
    now: Any


@dataclass(frozen=True)
class Replay:
    """The outcome of a replay."""

    model: str
    version: str
    decision_digest: str
    compared: int
    differences: tuple[Difference, ...]
    rescored: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether everything came out as it was recorded."""
        return not self.differences


def replay(workspace: Workspace, model: str, version: str, *, rescore: bool = False) -> Replay:
    """Judge a version again from the pinned evidence of its last decision.

    Args:
        rescore: load the pinned artifacts again, too, and compare their answers with the kept
            ones.

    Raises:
        EvidenceMissing: the version was never judged, or its evidence is not in this store.
        IntegrityError: a part of the evidence is not what it is named by.
    """
    digest = last_decision(workspace, model, version)
    evidence = load_evidence(workspace.home, model, version, digest)
    recorded = evidence_folder(workspace.home, digest).decision()
    assert recorded is not None
    results = [
        run_gate(gate, evidence, settings, workspace.clock)
        for gate, settings in settings_for(evidence.policy).values()
    ]
    again = decide(
        results,
        evidence.policy,
        model=model,
        version=version,
        pins=recorded.pins,
        # A waiver that has run out since would be another question than the one of then.
        decided_at=recorded.decided_at,
        segment=recorded.segment,
    )
    before, after = _comparable(recorded), _comparable(again)
    differences = list(_differences("", before, after))
    rescored = list(_rescored(evidence, differences)) if rescore else []
    return Replay(model, version, digest, _count(before), tuple(differences), tuple(rescored))


def _comparable(decision: Decision) -> Any:
    return json.loads(decision.model_dump_json())


def _differences(where: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys()):
            if key not in NOT_COMPARED:
                place = f"{where}.{key}" if where else str(key)
                yield from _differences(place, before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{where}[{_named(one, number)}]", one, other)
    elif before != after:
        yield Difference(where, before, after)


def _named(value: Any, number: int) -> str:
    if isinstance(value, Mapping):
        if "gate" in value:
            return str(value["gate"])
        if "name" in value and "subject" in value:
            return f"{value['name']} of {value['subject']}"
    return str(number)


def _count(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_count(v) for k, v in value.items() if k not in NOT_COMPARED)
    if isinstance(value, list):
        return sum(map(_count, value))
    return 1


def _rescored(evidence: Evidence, differences: list[Difference]) -> Iterator[str]:
    dataset = evidence.dataset
    if dataset is None:
        return
    stanza = evidence.policy.gates.get("artifact")
    settings = ArtifactSettings.model_validate(dict(stanza)) if stanza else ArtifactSettings()
    pairs: list[tuple[Candidate | None, Scores | StoredScores | ScoringFailure | None]] = [
        (evidence.candidate, evidence.candidate_scores),
        (evidence.champion, evidence.champion_scores),
    ]
    for version, kept in pairs:
        if version is not None and isinstance(kept, StoredScores):
            yield from _rescored_large(evidence, version, kept, settings, differences)
        if version is None or not isinstance(kept, Scores):
            continue
        now = score_afresh(version, evidence.policy, ScoringPlan(artifact=settings), dataset)
        where = f"scores of version {version.version}"
        if isinstance(now, ScoringFailure):
            differences.append(Difference(where, "scored", f"{now.kind}: {now.reason}"))
            continue
        if now.values.shape != kept.values.shape:
            differences.append(Difference(where, kept.values.shape, now.values.shape))
            continue
        largest = float(np.max(np.abs(now.values - kept.values), initial=0.0))
        if largest > SCORE_TOLERANCE:
            differences.append(Difference(where, "as kept", f"differ by up to {largest:.3g}"))
        rows = f"{len(now.values):,} rows"
        yield f"version {version.version}: {rows}, largest difference {largest:.3g}"


def _rescored_large(
    evidence: Evidence,
    version: Candidate,
    kept: StoredScores,
    settings: ArtifactSettings,
    differences: list[Difference],
) -> Iterator[str]:
    """Score shard by shard into a file of its own, and compare the two without holding either."""
    policy, dataset = evidence.policy, evidence.dataset
    assert dataset is not None
    where = f"scores of version {version.version}"
    with tempfile.TemporaryDirectory(prefix="promotion-") as folder:
        path = Path(folder) / "again.arrow"
        plan = ScoringPlan(artifact=settings)
        engine = engine_of(policy.evaluation)
        try:
            now = score_into(path, policy, plan, engine, version, dataset)
        finally:
            engine.close()
        if isinstance(now, ScoringFailure):
            differences.append(Difference(where, "scored", f"{now.kind}: {now.reason}"))
            return
        before, after = ScoreReader(kept, policy.task), ScoreReader(now, policy.task)
        largest = max(
            float(np.max(np.abs(before.read(shard) - after.read(shard)), initial=0.0))
            for shard in shards_of(dataset.rows, policy.evaluation.shard_rows)
        )
    if largest > SCORE_TOLERANCE:
        differences.append(Difference(where, "as kept", f"differ by up to {largest:.3g}"))
    yield f"version {version.version}: {dataset.rows:,} rows, largest difference {largest:.3g}"
