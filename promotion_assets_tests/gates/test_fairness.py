"""The fairness gate: who is worse off, who is too small to tell, and what chance may do."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from sklearn.metrics import roc_auc_score

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates.contract import GateResult, Outcome
from promotion_assets.gates.fairness import FairnessSettings
from promotion_assets.gates.partitions import partitions
from promotion_assets_tests import evidence as make

FIRST = {"accept": "absolute", "reason": "nothing has served before"}


def harmed(rows: int = 8000, noise: float = 2.5) -> Evidence:
    """Return a better candidate that lost its signal for the high-school group."""
    given = make.evidence(truth=make.labels(rows), strength=1.8, champion_strength=1.4)
    assert given.dataset is not None
    group = given.dataset.groups["education"] == "high school"
    values = given.candidate_scores.values.copy()
    logit = np.log(values / (1 - values))
    logit[group] += np.random.default_rng(1).normal(scale=noise, size=int(group.sum()))
    values = 1 / (1 + np.exp(-logit))
    return dataclasses.replace(given, candidate_scores=make.scores(values, given.candidate))


def of_group(result: GateResult, subject: str, name: str = "drop_vs_champion") -> Any:
    """Return a group's measurement."""
    return next(m for m in result.measurements if (m.subject, m.name) == (subject, name))


def test_the_harmed_group_is_named_first_though_accuracy_rose() -> None:
    """A group that falls stops a candidate that is better overall, and heads the reason."""
    given = harmed()
    assert make.judge("accuracy", given).outcome is Outcome.PASSED
    result = make.judge("fairness", given)
    assert result.outcome is Outcome.FAILED
    assert result.reason.startswith("education=high school: roc_auc ")
    assert result.observed is not None
    assert result.observed > 0.05
    assert result.interval is not None
    assert result.interval.low is not None
    assert result.interval.low > 0


def test_figures_are_scikit_learns_on_the_groups_rows() -> None:
    """The drop of a group is the difference of both AUCs on its rows."""
    given = harmed()
    assert given.dataset is not None
    rows = given.dataset.groups["education"] == "high school"
    truth = given.dataset.labels[rows]
    own = roc_auc_score(truth, given.candidate_scores.values[rows])
    theirs = roc_auc_score(truth, given.champion_scores.values[rows])
    found = of_group(make.judge("fairness", given), "education=high school")
    assert found.observed == pytest.approx(theirs - own)
    assert found.baseline == pytest.approx(theirs)


def test_gaps_are_fairlearns() -> None:
    """Selection rates, TPR and FPR gaps add up to what fairlearn's MetricFrame says."""
    given = harmed()
    assert given.dataset is not None
    chosen = given.candidate_scores.values >= 0.4
    frame = MetricFrame(
        metrics={"rate": selection_rate, "tpr": true_positive_rate, "fpr": false_positive_rate},
        y_true=given.dataset.labels,
        y_pred=chosen,
        sensitive_features=given.dataset.groups["education"],
    )
    result = make.judge(
        "fairness",
        given,
        gate_on=["selection_rate_ratio", "tpr_gap", "fpr_gap"],
        threshold=0.4,
        intersections=False,
    )
    worst = {
        name: [m.observed for m in result.measurements if m.name == name and "edu" in m.subject]
        for name in ("selection_rate_ratio", "tpr_gap", "fpr_gap")
    }
    assert min(worst["selection_rate_ratio"]) == pytest.approx(frame.ratio()["rate"])
    assert max(worst["tpr_gap"]) == pytest.approx(frame.difference()["tpr"])
    assert max(worst["fpr_gap"]) == pytest.approx(frame.difference()["fpr"])


def test_a_gap_to_overall_is_switched_on_by_the_policy() -> None:
    """The absolute gap is reported beside the drop, and decides where the policy says so."""
    given = harmed()
    given = dataclasses.replace(
        given, champion_scores=make.scores(given.candidate_scores.values, given.champion)
    )
    assert make.judge("fairness", given).outcome is Outcome.PASSED
    result = make.judge("fairness", given, gate_on=["gap_to_overall"])
    assert result.outcome is Outcome.FAILED
    assert "high school" in result.reason
    assert any("gap_to_overall" in row for row in make.judge("fairness", given).details["groups"])


def small_group(harm: float) -> Evidence:
    """Return evidence with a group of 104 rows, 8 of them positive, that fares ``harm`` worse."""
    given = make.evidence(truth=make.labels(6000))
    assert given.dataset is not None
    truth = given.dataset.labels
    names = given.dataset.groups["education"].copy()
    rows = np.concatenate([np.flatnonzero(truth == 1)[:8], np.flatnonzero(truth == 0)[:96]])
    names[rows] = "undocumented"
    values = given.candidate_scores.values.copy()
    values[rows[:8]] -= harm * values[rows[:8]]
    by = {**given.dataset.groups, "education": names}
    return dataclasses.replace(
        given,
        dataset=make.dataset(truth, by),
        candidate_scores=make.scores(values, given.candidate),
    )


def test_a_small_group_does_not_stop_a_sound_candidate_and_is_named() -> None:
    """104 rows with 8 positives say nothing: the gate passes and names the group."""
    result = make.judge("fairness", small_group(harm=0.9))
    assert result.outcome is Outcome.PASSED
    assert "education=undocumented (104 rows, 8 of the rarer class)" in result.reason
    found = of_group(result, "education=undocumented", "group_rows")
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.needed_sample_size == 390
    assert "education=undocumented" in result.details["too_small"]


def test_the_policy_may_let_a_small_group_count() -> None:
    """With small_groups: fail a group under the floor makes the gate inconclusive."""
    result = make.judge("fairness", small_group(harm=0.0), small_groups="fail")
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "education=undocumented" in result.reason


def test_no_group_large_enough_is_no_pass() -> None:
    """Where every group is under the floor nothing was judged."""
    result = make.judge("fairness", make.evidence(truth=make.labels(120)))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "no group has 100 rows with 30 of each class" in result.reason


def test_no_protected_groups_is_no_pass() -> None:
    """A policy without groups cannot pass a fairness gate."""
    result = make.judge("fairness", make.evidence(policy=make.policy(groups=[])))
    assert result.outcome is Outcome.ERROR
    assert "no protected groups" in result.reason


def test_a_group_that_the_dataset_lacks_is_an_error() -> None:
    """A configured attribute without rows is named."""
    policy = make.policy(groups=[{"column": "education"}, {"column": "religion"}])
    result = make.judge("fairness", make.evidence(policy=policy))
    assert result.outcome is Outcome.ERROR
    assert "religion" in result.reason


def test_a_loss_that_may_be_chance_is_inconclusive_with_the_sample_needed() -> None:
    """Above the limit without showing that there is a loss: the data cannot tell."""
    given = harmed(rows=800, noise=1.5)
    result = make.judge("fairness", given, intersections=False, min_group_rows=50, min_per_class=10)
    found = of_group(result, "education=high school")
    assert found.observed > 0.05
    assert found.interval.low < 0
    assert result.outcome is Outcome.INCONCLUSIVE
    assert found.needed_sample_size is not None
    assert found.needed_sample_size > found.sample_size
    assert "the data cannot tell" in result.reason


def test_upper_bound_asks_for_proof_of_no_harm() -> None:
    """With decide_on: upper_bound a wide interval is inconclusive where a point passes."""
    given = make.evidence(truth=make.labels(1500), strength=1.6, champion_strength=1.6)
    other = make.answers_of(given.dataset.labels, 1.6, seed=99)
    given = dataclasses.replace(given, champion_scores=make.scores(other, given.champion))
    settings_ = {"intersections": False, "drop_vs_champion": 0.08}
    point = make.judge("fairness", given, **settings_)
    bound = make.judge("fairness", given, **settings_, decide_on="upper_bound")
    assert point.outcome is Outcome.PASSED
    assert bound.outcome is Outcome.INCONCLUSIVE


def test_intersections_are_judged_and_counted_apart() -> None:
    """Pairs are judged with their own correction, so they hide no single attribute's loss."""
    given = harmed()
    alone = make.judge("fairness", given, intersections=False)
    pairs = make.judge("fairness", given, intersections=True)
    assert of_group(alone, "education=high school") == of_group(pairs, "education=high school")
    subjects = {m.subject for m in pairs.measurements}
    assert "education=high school & sex=female" in subjects
    assert not any(" & " in m.subject for m in alone.measurements)


def test_a_loss_only_in_an_intersection_is_found() -> None:
    """A group that is hidden in both of its attributes is found as a pair."""
    given = make.evidence(truth=make.labels(12000), strength=1.8, champion_strength=1.6)
    by = given.dataset.groups
    rows = (by["education"] == "university") & (by["sex"] == "male")
    values = given.candidate_scores.values.copy()
    shuffled = np.random.default_rng(0).permutation(np.flatnonzero(rows))
    half = shuffled[: len(shuffled) // 3]
    values[half] = np.random.default_rng(1).permutation(values[half])
    given = dataclasses.replace(given, candidate_scores=make.scores(values, given.candidate))
    result = make.judge("fairness", given)
    failed = [m.subject for m in result.measurements if m.outcome is Outcome.FAILED]
    assert "education=university & sex=male" in failed
    assert make.judge("fairness", given, intersections=False, drop_vs_champion=0.1).lets_through


def test_without_champion_or_stanza_it_is_inconclusive() -> None:
    """The comparison is never silently skipped."""
    result = make.judge("fairness", make.evidence(champion_strength=None))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "first_version" in result.reason


def test_a_first_version_is_judged_by_its_gaps() -> None:
    """Without a champion the gap to overall stands in, with its own limit."""
    harm = harmed()
    given = dataclasses.replace(
        harm,
        champion=None,
        champion_scores=None,
        policy=make.policy(first_version=FIRST),
    )
    result = make.judge("fairness", given)
    assert result.outcome is Outcome.FAILED
    assert "gap_to_overall" in result.reason
    assert result.limit == 0.1
    assert make.judge("fairness", given, first_version_gap=0.5).outcome is Outcome.PASSED


def test_other_tasks_and_metrics_are_judged_by_group() -> None:
    """A regression's error is compared by group with a paired interval."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=1200)
    by = make.groups(1200)
    bad = by["sex"] == "male"
    own = truth + rng.normal(scale=0.3, size=1200)
    own[bad] += rng.normal(scale=2.0, size=int(bad.sum()))
    theirs = truth + rng.normal(scale=0.5, size=1200)
    version, champion = make.candidate(), make.candidate(version="1", files={"MLmodel": b"c"})
    given = make.evidence(
        dataset=make.dataset(truth, by),
        policy=make.policy(task="regression"),
        candidate=version,
        candidate_scores=make.scores(own, version),
        champion=champion,
        champion_scores=make.scores(theirs, champion),
        candidate_probes=None,
    )
    result = make.judge("fairness", given, metric="neg_mean_absolute_error", drop_vs_champion=0.2)
    assert result.outcome is Outcome.FAILED
    assert "sex=male" in result.reason
    expected = np.abs(own[bad] - truth[bad]).mean() - np.abs(theirs[bad] - truth[bad]).mean()
    assert of_group(result, "sex=male").observed == pytest.approx(expected)


def test_false_alarms_stay_below_their_level() -> None:
    """Of 200 sound candidates with 11 groups at most 5 % fail, at a limit of 0."""
    failed = 0
    for seed in range(200):
        truth = make.labels(1500, seed=seed)
        given = make.evidence(
            truth=truth,
            dataset=make.dataset(truth, make.groups(1500, seed=seed)),
        )
        one, two = (make.answers_of(truth, 1.5, seed=1000 + 2 * seed + i) for i in (0, 1))
        given = dataclasses.replace(
            given,
            candidate_scores=make.scores(one, given.candidate),
            champion_scores=make.scores(two, given.champion),
        )
        result = make.judge("fairness", given, drop_vs_champion=0.0, min_group_rows=50)
        failed += result.outcome is Outcome.FAILED
    # Two families of 2.5 % each; 20 of 200 would be beyond any doubt more than 5 %.
    assert failed <= 17


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gate_on": []}, "gate_on is empty"),
        ({"gate_on": ["tpr_gap", "tpr_gap"]}, "twice"),
        ({"gate_on": ["tpr"]}, "Input should be"),
        ({"intersections": 0}, "at least 1"),
        ({"drop_vs_champion": -0.1}, "greater than or equal to 0"),
    ],
)
def test_contradictory_settings_are_refused(values: dict[str, object], words: str) -> None:
    """Settings under which nothing, or nonsense, would be judged are an error."""
    with pytest.raises(ValueError, match=words):
        FairnessSettings.model_validate(values)


def test_settings_must_fit_the_policy() -> None:
    """No groups, and decision rates of a regression, are contradictions of the policy."""
    chosen = FairnessSettings(gate_on=("tpr_gap",), metric="r2")
    found = chosen.contradictions(make.policy(task="regression", groups=[]))
    assert any("no protected groups" in words for words in found)
    assert any("gate_on names tpr_gap" in words for words in found)


def test_partitions_name_only_groups_that_have_rows() -> None:
    """Crossing attributes gives the combinations that occur, every row in exactly one."""
    by = {
        "a": np.array(["x", "x", "y"], dtype=object),
        "b": np.array(["1", "2", "1"], dtype=object),
        "c": np.array(["k", "k", "k"], dtype=object),
    }
    found = partitions(by, 3)
    assert [part.attributes for part in found] == [
        ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c"),
    ]  # fmt: skip
    crossed = found[3]
    assert crossed.names == ("a=x & b=1", "a=x & b=2", "a=y & b=1")
    assert [crossed.names[code] for code in crossed.codes] == [
        "a=x & b=1", "a=x & b=2", "a=y & b=1",
    ]  # fmt: skip
    assert all(part.sizes.sum() == 3 for part in found)
