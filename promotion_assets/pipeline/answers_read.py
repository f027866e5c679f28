"""What models answered, read back from where the scoring step left it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.scores import Scores, ScoringFailure
from promotion_assets.pipeline.records import (
    VersionFolder,
    read_latency,
    read_probes,
    read_scores,
    scores_path,
)

NOT_SCORED = ScoringFailure(
    kind="not_loaded",
    reason="the version has not been scored; materialise candidate_scores first",
)


def with_answers(
    evidence: Evidence, dataset: EvaluationDataset, folder: VersionFolder, home: Path
) -> Evidence:
    """Return ``evidence`` with scores, latencies and probes; what is missing says so."""
    champion = evidence.champion
    theirs: Scores | ScoringFailure | None = None
    if champion is not None:
        theirs = folder.failure("champion") or read_scores(
            scores_path(home, champion.digest, dataset.digest)
        )
    own = folder.failure("scores") or read_scores(
        scores_path(home, evidence.candidate.digest, dataset.digest)
    )
    return replace(
        evidence,
        candidate_scores=own or NOT_SCORED,
        champion_scores=(theirs or NOT_SCORED) if champion else None,
        candidate_latency=folder.failure("latency")
        or read_latency(folder.root / "latency.arrow")
        or NOT_SCORED,
        champion_latency=folder.failure("champion_latency")
        or read_latency(folder.root / "champion_latency.arrow"),
        candidate_probes=folder.failure("probes")
        or read_probes(folder.root / "probes.arrow")
        or NOT_SCORED,
    )
