"""The scores that gates read: present, finite, of the right rows and the right artifact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.scores import Floats, Scores, ScoringFailure, StoredScores
from promotion_assets.gates.contract import Outcome
from promotion_assets.gates.verdict import NotJudged, naming

EVALUATE_AGAIN = "evaluate the version again; if it stays, look at the candidate_scores asset"


@dataclass(frozen=True)
class Answers:
    """Labels and answers in the same row order.

    Attributes:
        labels: as in ``EvaluationDataset.labels``, shape (rows,).
        candidate: its answers, as in ``Scores.values``.
        champion: the same of the champion; ``None`` where the segment has none.
    """

    labels: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    candidate: Floats
    champion: Floats | None
    dataset: EvaluationDataset

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.labels)


def answers(gate: str, evidence: Evidence) -> Answers:
    """Return what candidate and champion answered.

    Raises:
        NotJudged: the dataset is absent or empty, either version was not scored, or the scores
            are not of these rows or not of this artifact; or, inconclusive, the dataset is larger
            than memory, so that nobody holds the answers.
    """
    if evidence.dataset is not None and evidence.dataset.streamed:
        raise NotJudged(
            naming(gate, evidence),
            "the gate needs every row's answer, and of a dataset that is read shard by shard only "
            "counts are kept",
            "set evaluation.engine: memory for a dataset that memory holds, or make the gate "
            "required: false knowingly",
            outcome=Outcome.INCONCLUSIVE,
        )
    dataset = _dataset(gate, evidence)
    candidate = _values(
        gate, evidence, "candidate", evidence.candidate, evidence.candidate_scores, dataset
    )
    champion = None
    if evidence.champion is not None:
        champion = _values(
            gate, evidence, "champion", evidence.champion, evidence.champion_scores, dataset
        )
    return Answers(dataset.labels, candidate, champion, dataset)


def sample_answers(gate: str, evidence: Evidence) -> Floats:
    """Return what the candidate answered to the rows of ``evidence.dataset.frame``.

    They are all rows of a dataset that is held, and a sample of one that is larger than memory.

    Raises:
        NotJudged: as :func:`answers`; or the sample was not scored.
    """
    dataset = evidence.dataset
    if dataset is None or not dataset.streamed:
        return answers(gate, evidence).candidate
    found = evidence.sample_scores
    if isinstance(evidence.candidate_scores, ScoringFailure):
        raise not_scored(gate, evidence, "candidate", evidence.candidate_scores)
    if not isinstance(found, Scores):
        raise not_scored(gate, evidence, "candidate", found)
    digests = (found.model_digest, found.dataset_digest)
    if digests != (evidence.candidate.digest, dataset.digest) or not evidence.candidate.digest:
        words = "the sample's scores are of another artifact, or of other rows"
        raise NotJudged(naming(gate, evidence), words, EVALUATE_AGAIN)
    if len(found.values) != len(dataset.frame) or not np.isfinite(found.values).all():
        words = f"the sample's scores are {len(found.values)} for {len(dataset.frame)} rows, or NaN"
        raise NotJudged(naming(gate, evidence), words, EVALUATE_AGAIN)
    return found.values


def without_champion(gate: str, evidence: Evidence) -> NotJudged:
    """Return the refusal for a comparison that no champion is there for."""
    return NotJudged(
        naming(gate, evidence),
        "there is no champion to compare with, and the policy does not say what stands in for it",
        "add a first_version stanza with the reason to the policy, or adopt what serves now with "
        "`promotion adopt`",
        outcome=Outcome.INCONCLUSIVE,
    )


def not_scored(
    gate: str, evidence: Evidence, who: str, scores: StoredScores | ScoringFailure | None
) -> NotJudged:
    """Return the refusal for a candidate's or champion's scores that cannot be had."""
    doing = naming(gate, evidence)
    if scores is None:
        words = evidence.missing.get(f"{who}_scores", f"the {who} was not scored")
        return NotJudged(doing, words, EVALUATE_AGAIN)
    if isinstance(scores, StoredScores):
        return NotJudged(doing, f"the {who} was scored shard by shard", EVALUATE_AGAIN)
    # What refuses the champion is no gate of this candidate, so it explains nothing here.
    cause = scores.because_of if who == "candidate" else None
    return NotJudged(
        doing,
        f"the {who} could not be scored ({scores.kind}): {scores.reason.rstrip('. ')}",
        "mend the model and register a new version"
        if who == "candidate"
        else "look at the champion_scores asset",
        because_of=cause,
    )


def _dataset(gate: str, evidence: Evidence) -> EvaluationDataset:
    dataset = evidence.dataset
    if dataset is None:
        raise NotJudged(
            naming(gate, evidence),
            evidence.missing.get("dataset", "there is no evaluation dataset version"),
            "materialise the evaluation_dataset asset",
        )
    if len(dataset.labels) == 0:
        raise NotJudged(
            naming(gate, evidence),
            "the evaluation dataset has no rows",
            "point dataset.uri at labelled rows",
        )
    if not np.isfinite(np.asarray(dataset.labels, dtype=np.float64)).all():
        raise NotJudged(
            naming(gate, evidence),
            "labels of the evaluation dataset are not all numbers",
            "remove or mend the rows without a label",
        )
    return dataset


def _values(
    gate: str,
    evidence: Evidence,
    who: str,
    version: Candidate,
    scores: Scores | StoredScores | ScoringFailure | None,
    dataset: EvaluationDataset,
) -> Floats:
    doing = naming(gate, evidence)
    if not isinstance(scores, Scores):
        raise not_scored(gate, evidence, who, scores)
    problem = _mismatch(scores, version, dataset)
    if problem:
        raise NotJudged(doing, f"the {who}'s scores {problem}", EVALUATE_AGAIN)
    return scores.values


def _mismatch(scores: Scores, version: Candidate, dataset: EvaluationDataset) -> str:
    if scores.dataset_digest != dataset.digest:
        return "are of another version of the evaluation dataset"
    if not version.digest or scores.model_digest != version.digest:
        return "are of another artifact than the one that is judged"
    if len(scores.values) != len(dataset.labels):
        return f"are {len(scores.values)} for {len(dataset.labels)} rows"
    if not np.isfinite(scores.values).all():
        count = int(np.count_nonzero(~np.isfinite(scores.values)))
        return f"hold {count} values that are not finite numbers"
    return ""
