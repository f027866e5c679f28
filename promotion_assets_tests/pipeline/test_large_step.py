"""An evaluation of a dataset that is read shard by shard, from inputs to what gates are given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from promotion_assets.audit.answers import context_of, recompute_tally, tally_of
from promotion_assets.decision.decide import decide, pins_of
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.large.engine import Scoring, ShardAnswers
from promotion_assets.evaluation.large.local import StreamingEngine
from promotion_assets.evaluation.large.shards import Shard
from promotion_assets.evaluation.scores import ScoringFailure, StoredScores
from promotion_assets.gates.catalogue import settings_for
from promotion_assets.gates.contract import Outcome
from promotion_assets.gates.run import run_gate
from promotion_assets.pipeline.answers_read import with_answers
from promotion_assets.pipeline.inputs import Inputs
from promotion_assets.pipeline.large_step import score_into, stored, stored_path
from promotion_assets.pipeline.records import VersionFolder
from promotion_assets.pipeline.scoring_step import ScoringPlan
from promotion_assets_tests.evidence import NOON, candidate, clock
from promotion_assets_tests.large_rows import frame, policy_of, store_answers

ROWS = 1500


class Imagined(StreamingEngine):
    """Counts as the streaming engine; scores without a model, and fails where it is told to."""

    def __init__(self, fails_at: int = -1, stops_at: int = 10**9) -> None:
        self.fails_at = fails_at
        self.stops_at = stops_at
        self.asked = 0

    def score(
        self, scoring: Scoring, shards: Sequence[Shard]
    ) -> Iterator[ShardAnswers | ScoringFailure]:
        """Answer one half to every row."""
        self.asked += 1
        for shard in shards[: self.stops_at]:
            if shard.number == self.fails_at:
                yield ScoringFailure(kind="not_finite", reason="it answered NaN")
                return
            yield ShardAnswers(np.full(shard.rows, 0.5), 0.1, 2**20, "bubblewrap")


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Inputs of a model whose rows and whose production sample are read shard by shard."""
    frame(ROWS).to_parquet(tmp_path / "rows.parquet", row_group_size=400)
    frame(ROWS, seed=9).to_parquet(tmp_path / "production.parquet", row_group_size=400)
    gates = {"accuracy": {"minimum": 0.6}, "fairness": {}, "robustness": {}, "custom": RULE}
    policy = policy_of(
        tmp_path / "rows.parquet",
        production={"uri": str(tmp_path / "production.parquet")},
        gates=gates,
    )
    return Inputs(tmp_path / "home", "scorer", policy)


RULE = {"rules": [{"name": "sane", "rule": "mean_score <= 1"}]}


def test_inputs_are_kept_without_being_held(inputs: Inputs) -> None:
    """Dataset and production sample go to the store, are found again, and can be profiled."""
    taken = inputs.take_dataset()
    assert taken.streamed
    again = Inputs(inputs.home, "scorer", inputs.policy).dataset()
    assert (again.digest, again.summary) == (taken.digest, taken.summary)
    sample = inputs.take_production()
    assert inputs.production() == sample
    assert sample.profile().rows == ROWS
    names = [column.name for column in inputs.contract().columns]
    assert names == list(frame(1).columns)


def judged(inputs: Inputs, evidence: Evidence) -> dict[str, Any]:
    """Return every gate's result."""
    return {
        name: run_gate(gate, evidence, settings, clock)
        for name, (gate, settings) in settings_for(inputs.policy).items()
    }


def test_gates_are_given_counts_and_the_bundle_carries_them(inputs: Inputs) -> None:
    """What was scored is counted once and kept; whoever has the bundle gets the same numbers."""
    dataset = inputs.take_dataset()
    own, theirs = candidate(), candidate(version="1", files={"MLmodel": b"champion\n"})
    truth = frame(ROWS)["default"].to_numpy()
    rng = np.random.default_rng(5)
    for version, strength in ((own, 1.0), (theirs, 0.4)):
        values = 1 / (1 + np.exp(-(rng.normal(size=ROWS) + 2 * strength * truth - 1)))
        path = stored_path(inputs.home, version.digest, dataset.digest)
        path.parent.mkdir(parents=True)
        store_answers(path, values, version, dataset)
    bare = Evidence("scorer", own.version, inputs.policy, own, dataset, champion=theirs)
    folder = VersionFolder.of(inputs.home, "scorer", own.version)
    evidence = with_answers(bare, dataset, folder, inputs.home)
    assert evidence.tally is not None
    assert evidence.tally == with_answers(bare, dataset, folder, inputs.home).tally
    results = judged(inputs, evidence)
    assert {name: result.outcome for name, result in results.items()} == {
        "accuracy": Outcome.PASSED,
        "fairness": Outcome.PASSED,
        # The sample was not asked for its answers here, and nothing passes for that.
        "robustness": Outcome.ERROR,
        "custom": Outcome.INCONCLUSIVE,
    }
    decision = decide(
        list(results.values()),
        inputs.policy,
        model="scorer",
        version=own.version,
        pins=pins_of(evidence, "0", {}),
        decided_at=NOON,
    )
    assert decision.verdict == "rejected"
    counted = tally_of(evidence)
    assert counted is not None
    compared, disagreements = recompute_tally(context_of(evidence), counted, decision)
    assert compared > 50
    assert disagreements == ()
    forged = counted.replace(b'"auc": 0.', b'"auc": 0.0', 1)
    assert recompute_tally(context_of(evidence), forged, decision)[1] != ()


def test_a_failing_shard_leaves_no_scores(inputs: Inputs, tmp_path: Path) -> None:
    """A failure in any shard, and too few answers, are recorded; nothing half written stays."""
    dataset = inputs.take_dataset()
    version = candidate(tmp_path / "artifact")
    (tmp_path / "scores").mkdir()
    path = tmp_path / "scores" / "own.arrow"
    failing = {"not_finite": Imagined(fails_at=1), "wrong_length": Imagined(stops_at=2)}
    for kind, engine in failing.items():
        found = score_into(path, inputs.policy, ScoringPlan(), engine, version, dataset)
        assert isinstance(found, ScoringFailure)
        assert found.kind == kind
        assert list(path.parent.iterdir()) == []


def test_what_is_scored_once_is_not_scored_again(inputs: Inputs, tmp_path: Path) -> None:
    """Stored scores of an artifact on a dataset version are taken as they are."""
    dataset = inputs.take_dataset()
    version, engine = candidate(tmp_path / "artifact"), Imagined()
    arguments = (inputs.home, inputs.policy, ScoringPlan(), engine, version, dataset)
    first = stored(*arguments)
    assert isinstance(first, StoredScores)
    assert (first.rows, first.isolation, first.seconds) == (ROWS, "bubblewrap", pytest.approx(0.3))
    assert stored(*arguments) == first
    assert engine.asked == 1


def test_a_dataset_that_changes_is_a_recorded_outcome(inputs: Inputs) -> None:
    """Where the snapshot is not what it was, scores and counts are absent and say why."""
    dataset = inputs.take_dataset()
    own = candidate()
    path = stored_path(inputs.home, own.digest, dataset.digest)
    path.parent.mkdir(parents=True)
    store_answers(path, np.full(ROWS, 0.5), own, dataset)
    dataset.path.chmod(0o644)
    frame(ROWS + 1).to_parquet(dataset.path)
    bare = Evidence("scorer", own.version, inputs.policy, own, dataset)
    folder = VersionFolder.of(inputs.home, "scorer", own.version)
    evidence = with_answers(bare, dataset, folder, inputs.home)
    assert evidence.tally is None
    result = judged(inputs, evidence)["accuracy"]
    assert result.outcome is Outcome.ERROR
    assert "rows" in result.reason
    gone = dataclasses.replace(dataset, path=dataset.path.with_name("gone.parquet"))
    assert with_answers(bare, gone, folder, inputs.home).tally is None
