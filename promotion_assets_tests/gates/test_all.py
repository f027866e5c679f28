"""What holds for every gate, built-in or not: absence, NaN and order of rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.scores import LatencySample, Probe, ScoringFailure
from promotion_assets.gates.catalogue import BUILT_IN, catalogue, run_gate
from promotion_assets.gates.contract import GateResult, Outcome
from promotion_assets_tests import evidence as make

# Settings under which the evidence of `sound` passes; required keys of gates without defaults.
SETTINGS: dict[str, dict[str, Any]] = {
    "custom": {"rules": [{"name": "catches", "rule": "tpr - champion_tpr >= -0.02"}]},
    "documentation": {"dataset_card": "optional"},
    "accuracy": {"improvement": 0.01},
}

CARD = """
# Intended use
Ranks applications for a credit card by risk.
# Limitations
Not measured on customers younger than twenty.
# Training data
Fifteen thousand customers of the year 2005.
# Owner
The credit risk team, reachable every day.
"""

# Which parts of the evidence each gate must have: without any one of them it never passes.
NEEDED: dict[str, tuple[str, ...]] = {
    "accuracy": ("dataset", "candidate_scores", "champion_scores"),
    "fairness": ("dataset", "candidate_scores", "champion_scores"),
    "calibration": ("dataset", "candidate_scores", "champion_scores"),
    "custom": ("dataset", "candidate_scores", "champion_scores"),
    "robustness": ("dataset", "candidate_scores", "candidate_probes"),
    "latency": ("candidate_latency",),
    "drift": ("production_profile", "candidate.profile"),
    "schema": ("contract", "candidate.signature"),
    "artifact": ("candidate.artifact", "candidate.artifact_dir", "candidate.mlmodel"),
    "documentation": ("candidate.description",),
}
SCORED = ("candidate_scores", "champion_scores", "candidate_latency", "candidate_probes")


def judge(gate: str, given: Evidence) -> GateResult:
    """Run a gate with the settings above."""
    return make.judge(gate, given, **SETTINGS.get(gate, {}))


def sound(root: Path, **changes: Any) -> Evidence:
    """Return evidence on which every built-in gate passes."""
    own = make.candidate(root, description=CARD)
    return make.evidence(candidate=own, **changes)


def without(given: Evidence, part: str, instead: object = None) -> Evidence:
    """Return the evidence with one part taken away."""
    owner, _, name = part.rpartition(".")
    if owner:
        empty: object = "" if name == "description" else instead
        changed = given.candidate.model_copy(update={name: empty})
        return dataclasses.replace(given, candidate=changed)
    return dataclasses.replace(given, **{name: instead})


def test_every_built_in_gate_is_covered_here() -> None:
    """A new gate cannot be forgotten in the table of needed evidence."""
    assert set(NEEDED) == set(BUILT_IN)


@pytest.mark.parametrize("gate", BUILT_IN)
def test_sound_evidence_passes(gate: str, tmp_path: Path) -> None:
    """With everything there and in order each gate passes, so the tests below can fail."""
    result = judge(gate, sound(tmp_path))
    assert result.outcome is Outcome.PASSED, result.reason


@pytest.mark.parametrize(
    ("gate", "part"), [(gate, part) for gate, parts in NEEDED.items() for part in parts]
)
def test_absent_evidence_never_passes(gate: str, part: str, tmp_path: Path) -> None:
    """Without a part that it needs a gate does not pass, and says what to do."""
    result = judge(gate, without(sound(tmp_path), part))
    assert not result.lets_through
    assert len(result.reason) > 20


@pytest.mark.parametrize(
    "gate", ["accuracy", "fairness", "calibration", "custom", "schema", "drift"]
)
def test_evidence_that_failed_to_be_had_is_named(gate: str, tmp_path: Path) -> None:
    """The reason why a part is absent is what the result says."""
    part = NEEDED[gate][0]
    why = f"the {part} could not be had today"
    given = dataclasses.replace(without(sound(tmp_path), part), missing={part: why})
    assert why in judge(gate, given).reason


@pytest.mark.parametrize(
    ("gate", "part"),
    [(gate, part) for gate, parts in NEEDED.items() for part in parts if part in SCORED],
)
def test_a_scoring_failure_is_an_error_with_its_cause(gate: str, part: str, tmp_path: Path) -> None:
    """A version that could not be scored is an error with the reason and the cause."""
    failure = ScoringFailure(kind="timeout", reason="it hung for 120 s", because_of="artifact")
    result = judge(gate, without(sound(tmp_path), part, failure))
    assert result.outcome is Outcome.ERROR
    assert "it hung for 120 s" in result.reason
    # What refuses the champion is no gate of this candidate.
    assert result.because_of == (None if part == "champion_scores" else "artifact")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["candidate_scores", "champion_scores"])
@pytest.mark.parametrize("gate", ["accuracy", "fairness", "calibration", "custom", "robustness"])
def test_a_score_that_is_no_number_never_passes(
    gate: str, part: str, bad: float, tmp_path: Path
) -> None:
    """One NaN or infinity among the scores and no gate that reads them passes."""
    given = sound(tmp_path)
    scored = getattr(given, part)
    values = scored.values.copy()
    values[17] = bad
    result = judge(gate, without(given, part, dataclasses.replace(scored, values=values)))
    assert result.outcome is Outcome.ERROR
    assert "finite" in result.reason


@pytest.mark.parametrize("gate", ["accuracy", "fairness", "calibration", "custom"])
def test_a_label_that_is_no_number_never_passes(gate: str, tmp_path: Path) -> None:
    """A NaN among the labels is an error."""
    given = sound(tmp_path)
    assert given.dataset is not None
    truth = given.dataset.labels.astype(np.float64)
    truth[3] = np.nan
    spoiled = dataclasses.replace(given.dataset, labels=truth)
    assert judge(gate, without(given, "dataset", spoiled)).outcome is Outcome.ERROR


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_a_wall_time_that_is_no_time_never_passes(bad: float, tmp_path: Path) -> None:
    """A NaN, infinite or negative wall time is an error."""
    times = make.latency().milliseconds.copy()
    times[5] = bad
    spoiled = (LatencySample(milliseconds=times, rows=1),)
    given = without(sound(tmp_path), "candidate_latency", spoiled)
    assert judge("latency", given).outcome is Outcome.ERROR


def test_a_probe_that_answers_nan_never_passes(tmp_path: Path) -> None:
    """A NaN as the answer to a changed row fails the robustness gate."""
    given = sound(tmp_path)
    rows = np.arange(20)
    spoiled = Probe(name="perturbed", rows=rows, values=np.full(20, np.nan))
    result = judge("robustness", without(given, "candidate_probes", (spoiled,)))
    assert result.outcome is Outcome.FAILED


@pytest.mark.parametrize("gate", ["accuracy", "fairness", "calibration", "custom"])
def test_an_empty_dataset_never_passes(gate: str, tmp_path: Path) -> None:
    """No rows, no verdict."""
    given = sound(tmp_path)
    empty = make.dataset(np.zeros(0, dtype=np.int64), by=make.groups(0))
    assert judge(gate, without(given, "dataset", empty)).outcome is Outcome.ERROR


@pytest.mark.parametrize("only", [0, 1])
@pytest.mark.parametrize("gate", ["accuracy", "fairness"])
def test_one_class_never_passes(gate: str, only: int, tmp_path: Path) -> None:
    """With labels of one class the AUC does not exist and nothing passes."""
    given = sound(tmp_path, truth=np.full(4000, only))
    assert not judge(gate, given).lets_through


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset_digest": "e" * 64}, "another version of the evaluation dataset"),
        ({"model_digest": "e" * 64}, "another artifact"),
    ],
)
def test_scores_of_something_else_are_an_error(
    change: dict[str, str], words: str, tmp_path: Path
) -> None:
    """Scores that bear another digest than what is judged are refused."""
    given = sound(tmp_path)
    other = dataclasses.replace(given.candidate_scores, **change)
    result = judge("accuracy", without(given, "candidate_scores", other))
    assert result.outcome is Outcome.ERROR
    assert words in result.reason


def test_scores_of_another_length_are_an_error(tmp_path: Path) -> None:
    """Fewer answers than rows are refused."""
    given = sound(tmp_path)
    short = dataclasses.replace(given.candidate_scores, values=given.candidate_scores.values[:-1])
    result = judge("fairness", without(given, "candidate_scores", short))
    assert result.outcome is Outcome.ERROR
    assert "3999 for 4000 rows" in result.reason


@pytest.mark.parametrize(
    ("gate", "extra"),
    [
        ("accuracy", {}),
        ("accuracy", {"metric": "f1", "minimum": 0.1, "resamples": 100}),
        ("fairness", {"gate_on": ["drop_vs_champion", "gap_to_overall", "tpr_gap", "fpr_gap"]}),
        ("calibration", {"brier": 0.5, "brier_increase": 0.1}),
        ("custom", SETTINGS["custom"]),
    ],
)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_nothing(gate: str, extra: dict[str, Any], seed: int) -> None:
    """Rows in another order give the same outcome and the same figures."""
    given = make.evidence(truth=make.labels(600))
    order = np.random.default_rng(seed).permutation(600)
    first = make.judge(gate, given, **{**SETTINGS.get(gate, {}), **extra})
    second = make.judge(gate, _reordered(given, order), **{**SETTINGS.get(gate, {}), **extra})
    assert first.outcome is second.outcome
    assert first.reason == second.reason
    for one, two in zip(first.measurements, second.measurements, strict=True):
        assert (one.name, one.subject, one.outcome) == (two.name, two.subject, two.outcome)
        assert one.observed == pytest.approx(two.observed, abs=1e-9)


def _reordered(given: Evidence, order: np.ndarray) -> Evidence:
    assert given.dataset is not None
    by = {name: values[order] for name, values in given.dataset.groups.items()}
    moved: Callable[[str], Any] = lambda part: dataclasses.replace(  # noqa: E731
        getattr(given, part), values=getattr(given, part).values[order]
    )
    return dataclasses.replace(
        given,
        dataset=make.dataset(given.dataset.labels[order], by),
        candidate_scores=moved("candidate_scores"),
        champion_scores=moved("champion_scores"),
    )


@pytest.mark.parametrize("gate", BUILT_IN)
def test_no_result_is_longer_than_a_person_reads(gate: str, tmp_path: Path) -> None:
    """The reason is a sentence or two, and the whole result can be recorded."""
    result = judge(gate, sound(tmp_path))
    assert len(result.reason) < 1000
    assert GateResult.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize("gate", BUILT_IN)
def test_settings_refuse_a_typo(gate: str) -> None:
    """An unknown key in a gate's settings is an error, never ignored."""
    model = catalogue()[gate].settings
    with pytest.raises(ValueError, match="Extra inputs"):
        model.model_validate({**SETTINGS.get(gate, {}), "minimun": 0.5})


@pytest.mark.parametrize("gate", BUILT_IN)
def test_every_result_pins_what_was_judged(gate: str, tmp_path: Path) -> None:
    """A result bears the digests of model, champion, dataset and policy."""
    given = sound(tmp_path)
    found = catalogue()[gate]
    chosen = found.settings.model_validate(SETTINGS.get(gate, {}))
    result = run_gate(found, given, chosen, make.clock)
    assert given.champion is not None
    assert result.inputs["model"] == given.candidate.digest
    assert result.inputs["champion"] == given.champion.digest
    assert result.inputs["dataset"] == make.DATASET_DIGEST
    assert result.inputs["policy"] == given.policy.digest
