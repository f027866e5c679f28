"""An evaluation dataset that is read shard by shard, with answers that no model had to give."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.large.counting import RowSource
from promotion_assets.evaluation.large.intake import snapshot_large
from promotion_assets.evaluation.large.local import StreamingEngine
from promotion_assets.evaluation.large.score_file import ScoreReader, sidecar, writing_scores
from promotion_assets.evaluation.large.shards import Shard, Snapshot, shards_of
from promotion_assets.evaluation.large.tally import Asked, ScoreTally, tally
from promotion_assets.evaluation.scores import Scores, StoredScores
from promotion_assets.evaluation.snapshot import snapshot
from promotion_assets.policy.model import ModelPolicy
from promotion_assets_tests.evidence import answers_of, candidate

SHARD_ROWS = 512
ASKED = Asked(
    thresholds=(0.5,), metrics=("neg_brier_score", "neg_log_loss"), max_order=2
)  # fmt: skip


@dataclass(frozen=True)
class Large:
    """One dataset, held in memory and read shard by shard, and what two versions answered.

    Attributes:
        streamed, held: the same version of the dataset, either way.
        own, theirs: the versions; their answers are ``own_values`` and ``their_values``.
    """

    policy: ModelPolicy
    streamed: EvaluationDataset
    held: EvaluationDataset
    own: Candidate
    theirs: Candidate
    own_values: npt.NDArray[np.float64]
    their_values: npt.NDArray[np.float64]
    own_stored: StoredScores
    their_stored: StoredScores
    _counted: dict[tuple[str, int], ScoreTally] = field(default_factory=dict, repr=False)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The shards of the dataset."""
        return shards_of(self.streamed.rows, self.policy.evaluation.shard_rows)

    def source(self) -> RowSource:
        """Return where counting reads from."""
        task = self.policy.task
        return RowSource(
            snapshot=Snapshot.of(self.streamed.path),
            task=task,
            label=self.policy.dataset.label,
            positive=self.policy.dataset.positive,
            groups=self.policy.groups,
            names={n: tuple(s) for n, s in self.streamed.summary.group_sizes.items()},
            own=ScoreReader(self.own_stored, task),
            theirs=ScoreReader(self.their_stored, task),
        )

    def tally(self, asked: Asked = ASKED, engine: Any = None) -> ScoreTally:
        """Count the answers, once for each question where no engine is given."""
        shard_rows = self.policy.evaluation.shard_rows
        key = (asked.model_dump_json(), shard_rows)
        if engine is None and key in self._counted:
            return self._counted[key]
        made = tally(
            engine or StreamingEngine(),
            self.source(),
            self.streamed.summary,
            asked,
            shards=self.shards,
            shard_rows=shard_rows,
        )
        self._counted[key] = made
        return made

    def evidence(self, *, counted: bool, asked: Asked = ASKED, **changes: Any) -> Evidence:
        """Return evidence from counts of shards, or from rows."""
        found: dict[str, Any] = {
            "model": "credit-risk",
            "version": self.own.version,
            "policy": self.policy,
            "candidate": self.own,
            "champion": self.theirs,
        }
        if counted:
            found |= {
                "dataset": self.streamed,
                "candidate_scores": self.own_stored,
                "champion_scores": self.their_stored,
                "tally": self.tally(asked),
            }
        else:
            digest = self.held.digest
            found |= {
                "dataset": self.held,
                "candidate_scores": Scores(self.own_values, self.own.digest, digest),
                "champion_scores": Scores(self.their_values, self.theirs.digest, digest),
            }
        return Evidence(**{**found, **changes})


def frame(rows: int = 4000, seed: int = 7) -> pd.DataFrame:
    """Return labelled rows with two protected attributes, one with missing values."""
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(
        {
            "customer": np.arange(rows),
            "x": rng.normal(size=rows),
            "age": rng.integers(18, 90, rows),
            "sex": rng.choice(["f", "m"], rows),
            "region": rng.choice(["north", "south", None], rows, p=[0.6, 0.35, 0.05]),
            "default": (rng.random(rows) < 0.3).astype(np.int64),
        }
    )
    made.loc[::9, "x"] = np.nan
    return made


def policy_of(source: Path, **changes: Any) -> ModelPolicy:
    """Return a policy that reads ``source`` shard by shard."""
    stanza: dict[str, Any] = {
        "task": "binary",
        "dataset": {"uri": str(source), "label": "default", "id": "customer", "min_rows": 1},
        "groups": [{"column": "sex"}, {"column": "region"}],
        "gates": {"accuracy": {}, "fairness": {}},
        "evaluation": {"engine": "streaming", "shard_rows": SHARD_ROWS},
    }
    return ModelPolicy.model_validate({**stanza, **changes})


def large(root: Path, rows: int = 4000, **changes: Any) -> Large:
    """Return a dataset of ``rows`` rows below ``root``, scored by two imagined versions."""
    made = frame(rows)
    made.to_parquet(root / "rows.parquet", row_group_size=700)
    policy = policy_of(root / "rows.parquet", **changes)
    streamed = snapshot_large(policy, root / "store", model="m")
    held = snapshot(policy, root / "held", model="m")
    truth = made["default"].to_numpy()
    own, theirs = candidate(), candidate(version="1", files={"MLmodel": b"champion\n"})
    # Few distinct values, so that there are ties within and between the cells.
    values = np.round(answers_of(truth, 1.3), 3), answers_of(truth, 1.0, seed=12)
    return Large(
        policy, streamed, held, own, theirs, *values,
        *(
            store_answers(root / f"{version.version}.arrow", v, version, streamed)
            for version, v in zip((own, theirs), values, strict=True)
        ),
    )  # fmt: skip


def store_answers(
    path: Path,
    values: npt.NDArray[np.float64],
    version: Candidate,
    dataset: EvaluationDataset,
    shard_rows: int = SHARD_ROWS,
) -> StoredScores:
    """Write answers as the scoring step would."""
    with writing_scores(path) as writer:
        for first in range(0, len(values), shard_rows):
            writer.add(values[first : first + shard_rows])
    stored = StoredScores(
        path=path,
        rows=writer.rows,
        batch_rows=shard_rows,
        sha256=writer.sha256,
        model_digest=version.digest,
        dataset_digest=dataset.digest,
    )
    sidecar(path).write_text(stored.model_dump_json())
    return stored
