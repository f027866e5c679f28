"""Score once: one model's answers on one evaluation dataset version, from a sandbox of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from promotion_assets.evaluation.answers import Question
from promotion_assets.evaluation.features import BATCH_ROWS, Features
from promotion_assets.evaluation.isolation import Isolation
from promotion_assets.evaluation.scores import Scores, ScoringFailure
from promotion_assets.evaluation.session import Session
from promotion_assets.policy.model import Sandbox, Task


def score(
    candidate_dir: Path,
    model_digest: str,
    features: Features,
    *,
    dataset_digest: str,
    task: Task,
    sandbox: Sandbox,
    classes: tuple[str, ...] = (),
    positive: JsonValue = 1,
    trusted_types: Sequence[str] = (),
    allow_pickle: bool = False,
    isolation: Isolation | None = None,
    batch_rows: int = BATCH_ROWS,
) -> Scores | ScoringFailure:
    """Return one version's scores, or why there are none.

    For scores, probes and latency of one model open a
    :class:`~promotion_assets.evaluation.session.Session` instead: the child's start costs seconds.

    Args:
        candidate_dir: the artifact as it was taken in.
        model_digest: its digest.
        features: the rows, without label; as a frame or as columns of a Parquet file.
        dataset_digest: names the rows.
        task: what the model does.
        sandbox: limits of the child.
        classes: the label values in order (multiclass).
        positive: the label value whose probability is asked for (binary).
        trusted_types: types that skops may build, besides its own list.
        allow_pickle: whether formats that can carry code may be loaded.
        isolation: the host's strongest where not given.
        batch_rows: rows in memory at a time.

    Raises:
        UsageError: the features cannot be written as Arrow, which is no fault of the model.
    """
    with Session(
        candidate_dir,
        model_digest,
        question=Question(task, positive, classes),
        limits=sandbox,
        trusted_types=trusted_types,
        allow_pickle=allow_pickle,
        isolation=isolation,
    ) as session:
        return session.score(features, dataset_digest=dataset_digest, batch_rows=batch_rows)
