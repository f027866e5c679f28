"""What models answered, read back from where the scoring step left it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.large.score_file import kept_scores
from promotion_assets.evaluation.large.tally import ScoreTally
from promotion_assets.evaluation.scores import Scores, ScoringFailure, StoredScores
from promotion_assets.gates.asked import asked_by
from promotion_assets.gates.catalogue import settings_for
from promotion_assets.pipeline.engines import engine_of
from promotion_assets.pipeline.large_step import SAMPLE, stored_path, tally_of_stored
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
    if dataset.streamed:
        return _with_tally(evidence, dataset, folder, home)
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
        **_timed_and_probed(folder),
    )


def _with_tally(
    evidence: Evidence, dataset: EvaluationDataset, folder: VersionFolder, home: Path
) -> Evidence:
    """Return ``evidence`` with what the answers come to; it is counted where it was not yet."""
    champion, policy = evidence.champion, evidence.policy
    own = folder.failure("scores") or kept_scores(
        stored_path(home, evidence.candidate.digest, dataset.digest)
    )
    theirs: StoredScores | ScoringFailure | None = None
    if champion is not None:
        theirs = folder.failure("champion") or kept_scores(
            stored_path(home, champion.digest, dataset.digest)
        )
    counted: ScoreTally | str | None = None
    ready = champion is None or isinstance(theirs, StoredScores)
    if isinstance(own, StoredScores) and ready:
        engine = engine_of(policy.evaluation)
        try:
            counted = tally_of_stored(
                home,
                policy,
                asked_by(settings_for(policy), policy),
                engine,
                dataset,
                own,
                theirs if isinstance(theirs, StoredScores) else None,
            )
        finally:
            engine.close()
    missing = evidence.missing
    if isinstance(counted, str):
        missing = {**missing, "tally": counted}
    return replace(
        evidence,
        candidate_scores=own or NOT_SCORED,
        champion_scores=(theirs or NOT_SCORED) if champion else None,
        tally=counted if isinstance(counted, ScoreTally) else None,
        sample_scores=folder.failure("sample") or read_scores(folder.root / SAMPLE),
        missing=missing,
        **_timed_and_probed(folder),
    )


def _timed_and_probed(folder: VersionFolder) -> dict[str, Any]:
    return {
        "candidate_latency": folder.failure("latency")
        or read_latency(folder.root / "latency.arrow")
        or NOT_SCORED,
        "champion_latency": folder.failure("champion_latency")
        or read_latency(folder.root / "champion_latency.arrow"),
        "candidate_probes": folder.failure("probes")
        or read_probes(folder.root / "probes.arrow")
        or NOT_SCORED,
    }
