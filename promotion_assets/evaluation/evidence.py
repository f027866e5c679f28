"""All that is known about a candidate when it is judged: what every gate reads, and all of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.contract import FeatureContract
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.large.tally import ScoreTally
from promotion_assets.evaluation.profile import FeatureProfile
from promotion_assets.evaluation.scores import (
    LatencySample,
    Probe,
    Scores,
    ScoringFailure,
    StoredScores,
)
from promotion_assets.policy.model import ModelPolicy


@dataclass(frozen=True)
class Evidence:
    """Everything one evaluation has gathered.

    A part that could not be had is ``None`` or a :class:`ScoringFailure` that says why; no gate
    passes on it. ``champion`` is ``None`` only where the segment has no champion, and then
    ``policy.first_version`` says what stands in for the comparison.

    Attributes:
        missing: why a part is ``None``, by its attribute's name.
        tally: what both versions' answers come to, where the dataset is larger than memory: then
            scores are :class:`StoredScores`, and this is what gates read.
        sample_scores: the candidate's answers to the rows of ``dataset.frame``, in that case.
        judged_before: how many candidates were judged on this dataset version before this one
            (the holdout budget).
        as_of: the time at which it is judged, for what expires; set where a gate is run.
    """

    model: str
    version: str
    policy: ModelPolicy
    candidate: Candidate
    dataset: EvaluationDataset | None = None
    contract: FeatureContract | None = None
    production_profile: FeatureProfile | None = None
    candidate_scores: Scores | StoredScores | ScoringFailure | None = None
    champion: Candidate | None = None
    champion_scores: Scores | StoredScores | ScoringFailure | None = None
    tally: ScoreTally | None = None
    sample_scores: Scores | ScoringFailure | None = None
    candidate_latency: tuple[LatencySample, ...] | ScoringFailure | None = None
    champion_latency: tuple[LatencySample, ...] | ScoringFailure | None = None
    candidate_probes: tuple[Probe, ...] | ScoringFailure | None = None
    judged_before: int = 0
    as_of: datetime | None = None
    missing: dict[str, str] = field(default_factory=dict)
