"""The calibration gate: probabilities that mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from promotion_assets.gates.calibration import CalibrationSettings
from promotion_assets.gates.contract import GateResult, Outcome
from promotion_assets_tests import evidence as make

FIRST = {"accept": "absolute", "reason": "nothing has served before"}


def squeezed(power: float, **settings: Any) -> GateResult:
    """Return the gate's result on probabilities whose logit is multiplied by ``power``."""
    given = make.evidence()
    values = given.candidate_scores.values
    bent = 1 / (1 + ((1 - values) / values) ** power)
    own = make.candidate()
    given = make.evidence(candidate=own, candidate_scores=make.scores(bent, own))
    return make.judge("calibration", given, **settings)


def test_calibrated_probabilities_pass_and_overconfident_ones_fail() -> None:
    """The same ranking, once as it is and once too sure of itself."""
    assert squeezed(1.0).outcome is Outcome.PASSED
    result = squeezed(3.0)
    assert result.outcome is Outcome.FAILED
    assert "recalibrate" in result.reason


def test_the_brier_score_is_scikit_learns() -> None:
    """Brier score and its increase over the champion are what scikit-learn computes."""
    given = make.evidence()
    truth = given.dataset.labels
    own = brier_score_loss(truth, given.candidate_scores.values)
    theirs = brier_score_loss(truth, given.champion_scores.values)
    result = make.judge("calibration", given, ece=None, brier=0.5, brier_increase=0.0)
    found = {m.name: m.observed for m in result.measurements}
    assert found["brier"] == pytest.approx(own)
    assert found["brier_increase"] == pytest.approx(own - theirs)
    assert result.outcome is Outcome.PASSED


def test_the_table_adds_up() -> None:
    """The reliability table holds every row once."""
    table = squeezed(1.0, bins=10).details["reliability"]
    assert len(table) == 10
    assert sum(row["rows"] for row in table) == 4000


def test_without_champion_an_increase_needs_a_stand_in() -> None:
    """A first version is judged by the absolute limits; without any it is not judged."""
    alone = make.evidence(champion_strength=None)
    assert make.judge("calibration", alone, brier_increase=0.1).outcome is Outcome.INCONCLUSIVE
    first = make.evidence(champion_strength=None, policy=make.policy(first_version=FIRST))
    assert make.judge("calibration", first, brier_increase=0.1).outcome is Outcome.PASSED
    only = make.judge("calibration", first, ece=None, brier_increase=0.1)
    assert only.outcome is Outcome.INCONCLUSIVE


def test_scores_that_are_no_probabilities_are_an_error() -> None:
    """Values outside 0 and 1 are refused."""
    own = make.candidate()
    values = np.linspace(-1.0, 2.0, 4000)
    given = make.evidence(candidate=own, candidate_scores=make.scores(values, own))
    result = make.judge("calibration", given)
    assert result.outcome is Outcome.ERROR
    assert "must be probabilities" in result.reason


def test_other_tasks_have_no_probability() -> None:
    """A regression is refused at run time and in the policy."""
    regression = make.policy(task="regression")
    result = make.judge("calibration", make.evidence(policy=regression))
    assert result.outcome is Outcome.ERROR
    assert CalibrationSettings().contradictions(regression)
    assert not CalibrationSettings().contradictions(make.policy())


def test_settings_that_judge_nothing_are_refused() -> None:
    """All limits null is an error of the policy."""
    with pytest.raises(ValueError, match="nothing would be judged"):
        CalibrationSettings(ece=None)
