"""Scoring a candidate and its champion: once each, on the same rows, timed in turns."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pandas as pd

from promotion_assets.evaluation.answers import Question
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.features import ParquetFeatures
from promotion_assets.evaluation.latency import LatencyPlan, Measured, measure_latency
from promotion_assets.evaluation.probing import ProbingPlan, probe
from promotion_assets.evaluation.scores import Scores, ScoringFailure, StoredScores
from promotion_assets.evaluation.session import Session
from promotion_assets.gates.artifact import ArtifactSettings, allowed
from promotion_assets.gates.contract import GateResult
from promotion_assets.pipeline.records import (
    VersionFolder,
    read_scores,
    scores_path,
    write_latency,
    write_probes,
    write_scores,
)
from promotion_assets.policy.model import ModelPolicy

Answer = Scores | ScoringFailure
AnyAnswer = Scores | StoredScores | ScoringFailure
A = TypeVar("A", bound=AnyAnswer)


@dataclass(frozen=True)
class ScoringPlan:
    """What is asked of the models beside their scores; ``None`` leaves a part out."""

    artifact: ArtifactSettings = field(default_factory=ArtifactSettings)
    latency: LatencyPlan | None = None
    probing: ProbingPlan | None = None


def score_both(
    folder: VersionFolder,
    home: Path,
    policy: ModelPolicy,
    plan: ScoringPlan,
    *,
    candidate: Candidate,
    champion: Candidate | None,
    dataset: EvaluationDataset,
    refused: GateResult | None,
) -> tuple[Answer, Answer | None]:
    """Score both versions and keep what they answered; return candidate's and champion's.

    Scores that are kept for an artifact and a dataset version are not computed again. A failure
    is kept with this evaluation only, so that a later one tries afresh.

    Args:
        refused: the result of a gate that comes before loading and did not let the candidate
            through: then nothing of it is loaded.
    """
    why_not = unloadable(candidate, refused)
    with ExitStack() as stack:
        own: Session | None = None
        if why_not is None:
            own = stack.enter_context(open_session(candidate, policy, plan, dataset))
        theirs: Session | None = None
        if champion is not None and champion.artifact_dir is not None:
            theirs = stack.enter_context(open_session(champion, policy, plan, dataset))
        features = dataset.frame[list(dataset.features)]
        answered = blaming_schema(candidate, why_not or _score(own, home, dataset))
        baseline = _champions(theirs, champion, home, dataset)
        time_versions(folder, own, theirs, features, plan, answered)
        probe_version(folder, own, features, plan, answered)
    folder.write_failure("scores", answered if isinstance(answered, ScoringFailure) else None)
    folder.write_failure("champion", baseline if isinstance(baseline, ScoringFailure) else None)
    return answered, baseline


def score_afresh(
    version: Candidate, policy: ModelPolicy, plan: ScoringPlan, dataset: EvaluationDataset
) -> Answer:
    """Score a version in a sandbox of its own, whatever was kept before, and keep nothing."""
    why_not = unloadable(version, None)
    if why_not is not None:
        return why_not
    with open_session(version, policy, plan, dataset) as session:
        return session.score(_features(dataset), dataset_digest=dataset.digest)


def _features(dataset: EvaluationDataset) -> ParquetFeatures:
    # Streamed from the snapshot, so that memory is bounded by a batch and not by the data.
    return ParquetFeatures(dataset.path, dataset.features)


def open_session(
    version: Candidate, policy: ModelPolicy, plan: ScoringPlan, dataset: EvaluationDataset
) -> Session:
    """Open a sandbox of its own in which ``version``, an artifact without problems, answers."""
    assert version.artifact_dir is not None
    allows = allowed(plan.artifact)
    question = Question(policy.task, policy.dataset.positive, dataset.classes)
    return Session(
        version.artifact_dir,
        version.digest,
        question=question,
        limits=policy.sandbox,
        trusted_types=sorted(allows.trusted_types),
        allow_pickle=allows.allow_pickle,
    )


def unloadable(candidate: Candidate, refused: GateResult | None) -> ScoringFailure | None:
    """Return why nothing of a candidate may be loaded, or ``None``."""
    if refused is not None:
        return ScoringFailure(
            kind="not_loaded",
            reason=f"nothing of it was loaded, because the {refused.gate} gate refused it: "
            f"{refused.reason}",
            because_of=refused.gate,
        )
    if candidate.artifact_dir is None or candidate.problems:
        problem = "; ".join(candidate.problems) or "its artifact could not be taken in"
        return ScoringFailure(
            kind="not_loaded", reason=f"nothing of it was loaded: {problem}", because_of="artifact"
        )
    return None


def _score(session: Session | None, home: Path, dataset: EvaluationDataset) -> Answer:
    assert session is not None
    path = scores_path(home, session.digest, dataset.digest)
    kept = read_scores(path)
    if kept is not None:
        return kept
    answered = session.score(_features(dataset), dataset_digest=dataset.digest)
    if isinstance(answered, Scores):
        write_scores(path, answered)
    return answered


def blaming_schema(candidate: Candidate, answered: A) -> A | ScoringFailure:
    """A version that does not say which columns it needs was given all: then that is the cause."""
    undeclared = candidate.signature is None and candidate.artifact is not None
    if undeclared and isinstance(answered, ScoringFailure) and answered.because_of is None:
        return answered.model_copy(update={"because_of": "schema"})
    return answered


def _champions(
    session: Session | None,
    champion: Candidate | None,
    home: Path,
    dataset: EvaluationDataset,
) -> Answer | None:
    if champion is None:
        return None
    if session is None:
        return champion_unloadable(champion)
    return _score(session, home, dataset)


def champion_unloadable(champion: Candidate) -> ScoringFailure | None:
    """Return why the champion cannot be loaded, or ``None``."""
    if champion.artifact_dir is not None:
        return None
    return ScoringFailure(
        kind="not_loaded",
        reason=f"the champion, version {champion.version}, cannot be loaded: "
        + ("; ".join(champion.problems) or "its artifact could not be taken in"),
    )


def time_versions(
    folder: VersionFolder,
    own: Session | None,
    theirs: Session | None,
    features: pd.DataFrame,
    plan: ScoringPlan,
    answered: AnyAnswer,
) -> None:
    """Time both versions in turns, where the plan says so, and keep what was measured."""
    if plan.latency is None:
        return
    measured: Measured
    champions: Measured | None
    if own is None or isinstance(answered, ScoringFailure):
        assert isinstance(answered, ScoringFailure)
        measured, champions = answered, None
    else:
        measured, champions = measure_latency(own, theirs, features, plan.latency)
    folder.write_failure("latency", measured if isinstance(measured, ScoringFailure) else None)
    if not isinstance(measured, ScoringFailure):
        write_latency(folder.root / "latency.arrow", measured)
    failed = champions if isinstance(champions, ScoringFailure) else None
    folder.write_failure("champion_latency", failed)
    if champions is not None and not isinstance(champions, ScoringFailure):
        write_latency(folder.root / "champion_latency.arrow", champions)


def probe_version(
    folder: VersionFolder,
    own: Session | None,
    features: pd.DataFrame,
    plan: ScoringPlan,
    answered: AnyAnswer,
) -> None:
    """Ask for answers to changed rows, where the plan says so, and keep them."""
    if plan.probing is None:
        return
    if own is None or isinstance(answered, ScoringFailure):
        assert isinstance(answered, ScoringFailure)
        folder.write_failure("probes", answered)
        return
    found = probe(own, features, plan.probing)
    folder.write_failure("probes", found if isinstance(found, ScoringFailure) else None)
    if not isinstance(found, ScoringFailure):
        write_probes(folder.root / "probes.arrow", found)
