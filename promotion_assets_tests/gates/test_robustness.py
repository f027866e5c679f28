"""The robustness gate: flips, exceptions, and features that production leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from promotion_assets.evaluation.profile import NumericFeature
from promotion_assets.evaluation.scores import Probe, ScoringFailure
from promotion_assets.gates.contract import GateResult, Outcome
from promotion_assets.gates.robustness import RobustnessSettings
from promotion_assets_tests import evidence as make

ROWS = np.arange(200)
BROKE = ScoringFailure(kind="exception", reason="Input X contains NaN.")


def judged(*probes: Probe, **settings: Any) -> GateResult:
    """Return the robustness gate's result on these probes."""
    changes = settings.pop("given", {})
    return make.judge("robustness", make.evidence(candidate_probes=probes, **changes), **settings)


def base() -> np.ndarray:
    """Return the answers on the first rows as they are."""
    return make.evidence().candidate_scores.values[ROWS]


def flipping(count: int, name: str = "perturbed") -> Probe:
    """Return a probe in which ``count`` of 200 decisions flip."""
    values = base().copy()
    values[:count] = 1 - np.round(values[:count])
    return Probe(name=name, rows=ROWS, values=values)


def broken(name: str, failure: ScoringFailure | None = BROKE) -> Probe:
    """Return a probe on which the model broke."""
    return Probe(name=name, rows=ROWS, values=None, failure=failure)


@pytest.mark.parametrize(("count", "outcome"), [(0, "passed"), (4, "passed"), (5, "failed")])
def test_flips_under_noise_are_limited(count: int, outcome: str) -> None:
    """Two in a hundred decisions may flip, and not more."""
    result = judged(flipping(count))
    assert result.outcome == outcome
    found = next(m for m in result.measurements if m.name == "flips")
    assert found.observed == pytest.approx(count / 200)
    assert found.interval.low <= found.observed <= found.interval.high


def test_upper_bound_asks_for_more_rows() -> None:
    """200 rows without a flip do not prove less than one in a hundred."""
    result = judged(flipping(0), perturbed_flips=0.01, decide_on="upper_bound")
    assert result.outcome is Outcome.INCONCLUSIVE


def test_an_exception_out_of_range_fails_by_feature() -> None:
    """A model that breaks on an input out of its range is named with the feature."""
    result = judged(flipping(0), broken("out_of_range:age"))
    assert result.outcome is Outcome.FAILED
    assert "breaks when age is out of its range (exception: Input X contains NaN)" in result.reason


def test_a_missing_value_counts_where_production_has_some() -> None:
    """A feature that is never missing in production may break the model when it is."""
    probes = (flipping(0), broken("missing:age"))
    assert judged(*probes).outcome is Outcome.PASSED
    assert judged(*probes, missing="all").outcome is Outcome.FAILED
    profile = make.profile()
    age = profile.features[1]
    assert isinstance(age, NumericFeature)
    holed = profile.model_copy(
        update={"features": (profile.features[0], age.model_copy(update={"missing": 3}))}
    )
    assert judged(*probes, given={"production_profile": holed}).outcome is Outcome.FAILED
    assert judged(*probes, given={"production_profile": None}).outcome is Outcome.FAILED


def test_exceptions_can_be_reported_only() -> None:
    """With exceptions: report only the flips decide."""
    probes = (flipping(0), broken("out_of_range:age"))
    assert judged(*probes, exceptions="report").outcome is Outcome.PASSED


def test_a_probe_that_was_not_asked_in_time_is_inconclusive() -> None:
    """A timeout says nothing of the model."""
    late = ScoringFailure(kind="timeout", reason="the time for probes was used up")
    assert judged(flipping(0), broken("out_of_range:age", late)).outcome is Outcome.INCONCLUSIVE


def test_a_limit_without_its_probe_is_an_error() -> None:
    """Flips on missing values that nobody asked for are no pass."""
    result = judged(flipping(0), missing_flips=0.1)
    assert result.outcome is Outcome.ERROR
    assert "no missing rows were asked" in result.reason


def test_answers_to_other_rows_are_an_error() -> None:
    """A probe with more answers than rows is refused."""
    result = judged(Probe(name="perturbed", rows=ROWS, values=np.zeros(10)))
    assert result.outcome is Outcome.ERROR


def test_a_regression_flips_where_its_answer_moves_far() -> None:
    """Moves are measured in standard deviations of the answers."""
    own = make.candidate()
    values = np.linspace(0.0, 100.0, 4000)
    moved = values[ROWS].copy()
    moved[:20] += 50.0
    result = judged(
        Probe(name="perturbed", rows=ROWS, values=moved),
        given={
            "candidate": own,
            "candidate_scores": make.scores(values, own),
            "policy": make.policy(task="regression"),
        },
    )
    assert result.outcome is Outcome.FAILED
    assert result.observed == pytest.approx(0.1)


def test_settings_that_judge_nothing_are_refused() -> None:
    """No limit and no exceptions: nothing would be judged."""
    with pytest.raises(ValueError, match="no flips are limited"):
        RobustnessSettings(exceptions="report", perturbed_flips=None)
