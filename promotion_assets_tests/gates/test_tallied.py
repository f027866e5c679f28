"""Gates on counts of shards, held against the same gates on rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from promotion_assets.errors import IntegrityError, UsageError
from promotion_assets.evaluation.large.tally import Asked, ScoreTally
from promotion_assets.evaluation.scores import Scores, ScoringFailure
from promotion_assets.gates.asked import asked_by
from promotion_assets.gates.catalogue import settings_for
from promotion_assets.gates.contract import GateResult, Measurement, Outcome
from promotion_assets.gates.power import gate_power
from promotion_assets_tests.evidence import judge, probe
from promotion_assets_tests.large_rows import ASKED, Large, large, policy_of

MEASURES = ("drop_vs_champion", "gap_to_overall", "selection_rate_ratio", "tpr_gap", "fpr_gap")
# Twice the tolerance of the AUC of the smallest group; counts and means are exact.
AUC_TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Large:
    """A dataset in memory and in shards."""
    return large(tmp_path_factory.mktemp("large"))


def both(gate: str, rows: Large, **settings: Any) -> tuple[GateResult, GateResult]:
    """Return a gate's result on rows and on counts."""
    return (
        judge(gate, rows.evidence(counted=False), **settings),
        judge(gate, rows.evidence(counted=True), **settings),
    )


def close(exact: Measurement, counted: Measurement, tolerance: float) -> None:
    """Assert that two measurements say the same of the same."""
    about = f"{exact.name} of {exact.subject}"
    for name in ("name", "subject", "limit", "direction", "sample_size", "outcome"):
        assert getattr(exact, name) == getattr(counted, name), about
    for name in ("observed", "baseline"):
        one, other = getattr(exact, name), getattr(counted, name)
        assert (one is None) == (other is None), about
        if one is not None:
            assert one == pytest.approx(other, abs=tolerance), about
    if exact.interval is None or counted.interval is None:
        assert exact.interval == counted.interval, about
        return
    for end in ("low", "high"):
        one, other = getattr(exact.interval, end), getattr(counted.interval, end)
        assert one == pytest.approx(other, abs=2 * tolerance), about


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "neg_brier_score", "neg_log_loss"])
def test_accuracy_from_counts_is_accuracy_from_rows(rows: Large, metric: str) -> None:
    """Estimate, paired difference, intervals and outcome agree; but for the AUC to the digit."""
    exact, counted = both("accuracy", rows, metric=metric, minimum=-9, improvement=-0.02)
    assert (exact.outcome, len(exact.measurements)) == (counted.outcome, len(counted.measurements))
    tolerance = AUC_TOLERANCE if metric == "roc_auc" else 1e-9
    for one, other in zip(exact.measurements, counted.measurements, strict=True):
        close(one, other, tolerance)


def test_the_interval_of_a_counted_auc_includes_its_tolerance(rows: Large) -> None:
    """The exact AUC lies within the tolerance, and the exact interval within the counted one."""
    exact, counted = both("accuracy", rows)
    tolerance = rows.tally().overall.candidate.tolerance  # type: ignore[union-attr]
    assert abs(exact.observed - counted.observed) <= tolerance  # type: ignore[operator]
    assert exact.interval is not None
    assert counted.interval is not None
    assert counted.interval.low < exact.interval.low + 1e-6  # type: ignore[operator]
    assert counted.interval.high > exact.interval.high - 1e-6  # type: ignore[operator]


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "neg_brier_score"])
@pytest.mark.parametrize("favourable", ["positive", "negative"])
def test_fairness_from_counts_is_fairness_from_rows(
    rows: Large, metric: str, favourable: str
) -> None:
    """Every measure of every group and pair of groups agrees; so does what is too small."""
    settings = {"metric": metric, "favourable": favourable, "gate_on": MEASURES}
    exact, counted = both("fairness", rows, **settings, min_group_rows=150)
    assert exact.outcome is counted.outcome
    assert exact.details["too_small"] == counted.details["too_small"] != []
    again = {(m.name, m.subject): m for m in counted.measurements}
    assert len(again) == len(exact.measurements) == len(counted.measurements)
    for one in exact.measurements:
        exactly = one.name not in MEASURES[:2] or metric != "roc_auc"
        close(one, again[one.name, one.subject], 1e-9 if exactly else AUC_TOLERANCE)


def test_brier_from_counts_is_brier_from_rows(rows: Large) -> None:
    """The Brier score and its increase agree; the calibration error is not guessed."""
    exact, counted = both("calibration", rows, ece=None, brier=0.3, brier_increase=0.01)
    for one, other in zip(exact.measurements, counted.measurements, strict=True):
        close(one, other, 1e-9)
    refused = judge("calibration", rows.evidence(counted=True))
    assert refused.outcome is Outcome.INCONCLUSIVE
    assert "set ece: null" in refused.reason


def test_a_gate_that_needs_rows_says_so_and_what_to_do(rows: Large) -> None:
    """Nothing passes on a sample: another metric, a business rule and small power are refused."""
    counted = rows.evidence(counted=True)
    for gate, settings in (
        ("accuracy", {"metric": "f1"}),
        ("fairness", {"metric": "f1"}),
        ("custom", {"rules": [{"name": "sane", "rule": "mean_score <= 1"}]}),
    ):
        result = judge(gate, counted, **settings)
        assert result.outcome is Outcome.INCONCLUSIVE, result.reason
        assert "evaluation.engine: memory" in result.reason
        assert result.observed is None
    with pytest.raises(UsageError, match="engine: memory"):
        gate_power(counted)


def test_robustness_is_judged_on_the_sample(rows: Large) -> None:
    """Flips are those of the rows in ``frame``; without their answers, or others', none passes."""
    sample = Scores(np.full(len(rows.streamed.frame), 0.3), rows.own.digest, rows.streamed.digest)
    probes = (probe(sample.values),)
    settings = {"missing_flips": None, "out_of_range_flips": None}
    evidence = rows.evidence(counted=True, sample_scores=sample, candidate_probes=probes)
    assert judge("robustness", evidence, **settings).outcome is Outcome.PASSED
    other = dataclasses.replace(sample, dataset_digest="0" * 64)
    short = dataclasses.replace(sample, values=sample.values[:-1])
    said = {
        "was not scored": None,
        "of another artifact, or of other rows": other,
        f"are {len(short.values)} for {len(sample.values)} rows": short,
        "or NaN": dataclasses.replace(sample, values=np.full(len(sample.values), np.nan)),
    }
    for words, wrong in said.items():
        result = judge("robustness", dataclasses.replace(evidence, sample_scores=wrong), **settings)
        assert result.outcome is Outcome.ERROR
        assert words in result.reason
        assert "evaluate the version again" in result.reason


def test_counts_of_something_else_are_no_evidence(rows: Large) -> None:
    """Counts of another artifact, champion or dataset, and of none, end in an error."""
    evidence = rows.evidence(counted=True)
    assert evidence.tally is not None
    wrong: dict[str, Any] = {
        "another artifact": {"model_digest": "0" * 64},
        "another champion": {"champion_digest": None},
        "another version of the evaluation dataset": {"dataset_digest": "0" * 64},
    }
    for words, change in wrong.items():
        changed = evidence.tally.model_copy(update=change)
        result = judge("accuracy", dataclasses.replace(evidence, tally=changed))
        assert (result.outcome, words in result.reason) == (Outcome.ERROR, True), result.reason
    nothing = dataclasses.replace(evidence, tally=None, missing={"tally": "the disk is on fire"})
    assert "the disk is on fire" in judge("fairness", nothing).reason
    failed = ScoringFailure(kind="crash", reason="it left", because_of="artifact")
    result = judge("accuracy", dataclasses.replace(evidence, candidate_scores=failed))
    assert (result.outcome, result.because_of) == (Outcome.ERROR, "artifact")


def test_thresholds_that_were_not_counted_are_no_pass(rows: Large) -> None:
    """A policy that asks for more than was counted gets an error, and never a figure."""
    evidence = rows.evidence(counted=True, asked=Asked(thresholds=(0.5,), max_order=2))
    result = judge("accuracy", evidence, metric="accuracy", threshold=0.4, minimum=0.1)
    assert result.outcome is Outcome.ERROR
    assert "threshold 0.4" in result.reason


def test_a_first_version_is_judged_on_counts_alone(rows: Large) -> None:
    """Without a champion nothing is compared, and without a stanza nothing passes."""
    evidence = rows.evidence(counted=True)
    assert evidence.tally is not None
    alone = dataclasses.replace(rows.source(), theirs=None)
    counted = _counted(rows, alone)
    first = dataclasses.replace(evidence, champion=None, champion_scores=None, tally=counted)
    assert judge("accuracy", first, minimum=0.6).outcome is Outcome.INCONCLUSIVE
    stanza = {"accept": "absolute", "reason": "there is none to compare with"}
    policy = policy_of(Path("rows.parquet"), first_version=stanza)
    allowed = dataclasses.replace(first, policy=policy)
    assert judge("accuracy", allowed, minimum=0.6).outcome is Outcome.PASSED
    assert judge("fairness", allowed).outcome in (Outcome.PASSED, Outcome.INCONCLUSIVE)


def _counted(rows: Large, source: Any) -> ScoreTally:
    from promotion_assets.evaluation.large.local import StreamingEngine
    from promotion_assets.evaluation.large.tally import tally

    return tally(
        StreamingEngine(), source, rows.streamed.summary, ASKED, shards=rows.shards, shard_rows=512
    )


def test_what_the_gates_ask_for_is_what_is_counted() -> None:
    """Every threshold, every metric that is a mean, and as many attributes as are crossed."""
    gates = {
        "accuracy": {"metric": "neg_log_loss", "threshold": 0.3, "minimum": -1, "improvement": 0},
        "fairness": {"intersections": 3},
        "calibration": {},
        "drift": {},
    }
    policy = policy_of(Path("rows.parquet"), gates=gates)
    assert asked_by(settings_for(policy), policy) == Asked(
        auc=True,
        thresholds=(0.3, 0.5),
        metrics=("neg_brier_score", "neg_log_loss"),
        max_order=3,
    )


def test_answers_that_were_changed_are_not_counted(tmp_path: Path) -> None:
    """Stored answers are proven before they are counted; labels and rows while they are read."""
    rows = large(tmp_path, rows=1200)
    data = bytearray(rows.own_stored.path.read_bytes())
    at = data.find(np.float64(rows.own_values[700]).tobytes())
    data[at + 6] ^= 1
    rows.own_stored.path.write_bytes(data)
    with pytest.raises(IntegrityError, match="not the answers that were given"):
        rows.tally()


def test_the_size_of_shards_changes_no_count(tmp_path: Path) -> None:
    """Counts are the same for any shards; sums agree to rounding."""
    small = large(tmp_path, rows=1500)
    policy = small.policy.model_copy(
        update={"evaluation": small.policy.evaluation.model_copy(update={"shard_rows": 977})}
    )
    one, other = small.tally(), dataclasses.replace(small, policy=policy).tally()
    for a, b in zip(one.groups, other.groups, strict=True):
        assert (a.name, a.rows, a.positives, a.decisions) == (
            b.name, b.rows, b.positives, b.decisions,
        )  # fmt: skip
        assert a.candidate == b.candidate
        assert a.gap_squares == pytest.approx(b.gap_squares, rel=1e-9)
        assert a.joint == pytest.approx(b.joint, rel=1e-9)
