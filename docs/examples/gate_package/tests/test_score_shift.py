"""The example gate, on evidence from the platform's own factories."""

from __future__ import annotations

import numpy as np
import pytest
from example_gates.score_shift import GATE

from promotion_assets.gates.contract import Outcome
from promotion_assets.gates.run import run_gate
from promotion_assets_tests import evidence as make


@pytest.mark.parametrize(
    ("shift", "outcome"), [(0.0, Outcome.PASSED), (0.01, Outcome.PASSED), (0.1, Outcome.FAILED)]
)
def test_a_shift_above_the_maximum_fails(shift: float, outcome: Outcome) -> None:
    """Scores that are a tenth higher on average fail, a hundredth passes."""
    given = make.evidence()
    own = make.candidate()
    values = np.clip(given.champion_scores.values + shift, 0.0, 1.0)
    given = make.evidence(candidate=own, candidate_scores=make.scores(values, own))
    result = run_gate(GATE, given, GATE.settings(), make.clock)
    assert result.outcome is outcome


def test_without_a_champion_it_is_inconclusive() -> None:
    """There is nothing to shift from."""
    given = make.evidence(champion_strength=None)
    assert run_gate(GATE, given, GATE.settings(), make.clock).outcome is Outcome.INCONCLUSIVE
