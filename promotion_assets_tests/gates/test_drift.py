"""The drift gate: PSI by feature, corrected, with absence and malformed profiles refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from promotion_assets.evaluation.profile import (
    CategoricalFeature,
    FeatureProfile,
    NumericFeature,
)
from promotion_assets.gates.contract import GateResult, Measurement, Outcome
from promotion_assets.gates.drift import DriftSettings
from promotion_assets_tests import evidence as make


def judged(
    production: FeatureProfile | None, training: FeatureProfile | None = None, **settings: object
) -> GateResult:
    """Return the drift gate's result on two profiles."""
    own = make.candidate(profile=training or make.profile())
    given = make.evidence(candidate=own, production_profile=production)
    return make.judge("drift", given, **settings)


def of(result: GateResult, feature: str) -> Measurement:
    """Return a feature's measurement."""
    return next(m for m in result.measurements if m.subject == feature)


def changed(feature: NumericFeature | CategoricalFeature) -> FeatureProfile:
    """Return the production profile with one feature replaced."""
    profile = make.profile()
    kept = tuple(feature if f.name == feature.name else f for f in profile.features)
    return profile.model_copy(update={"features": kept})


def without(name: str) -> FeatureProfile:
    """Return the production profile without one feature."""
    profile = make.profile()
    return profile.model_copy(
        update={"features": tuple(f for f in profile.features if f.name != name)}
    )


def test_the_index_is_the_textbooks() -> None:
    """PSI of large counts is sum((a - e) ln(a / e)), almost without correction."""
    production = make.profile(shift=0.4, rows=1_000_000)
    result = judged(production, make.profile(rows=1_000_000))
    e = np.full(10, 0.1)
    a = np.linspace(0.6, 1.4, 10) / 10
    assert of(result, "limit").observed == pytest.approx(
        float(np.sum((a - e) * np.log(a / e))), rel=1e-3
    )


def test_a_drifted_feature_fails_and_comes_first() -> None:
    """A feature above its limit fails, in words, with the band."""
    result = judged(make.profile(shift=0.9))
    assert result.outcome is Outcome.FAILED
    assert result.measurements[0].subject == "limit"
    assert "PSI of limit is" in result.reason
    assert "strong drift" in result.reason


def test_noise_of_a_small_sample_is_no_drift() -> None:
    """300 rows in 20 bins show a raw PSI of about .07 by chance; corrected it is about 0."""
    rng = np.random.default_rng(0)
    edges = tuple(float(i) for i in range(1, 20))
    training = FeatureProfile(
        rows=300,
        features=(
            NumericFeature(
                name="limit",
                type="double",
                edges=edges,
                counts=tuple(int(n) for n in rng.multinomial(300, np.full(20, 0.05))),
            ),
        ),
    )
    now = training.features[0].model_copy(
        update={"counts": tuple(int(n) for n in rng.multinomial(300, np.full(20, 0.05)))}
    )
    own = make.candidate(profile=training, signature=make.signature(make.contract().columns[0]))
    production = training.model_copy(update={"features": (now,)})
    given = make.evidence(candidate=own, production_profile=production)
    result = make.judge("drift", given, psi=0.05)
    row = result.details["features"][0]
    assert row["psi_uncorrected"] > 0.05
    assert row["psi"] < 0.05
    assert result.outcome is Outcome.PASSED


def test_missing_values_are_a_bin() -> None:
    """A feature that is suddenly missing in a third of the rows drifts."""
    feature = make.profile().features[1]
    assert isinstance(feature, NumericFeature)
    production = changed(feature.model_copy(update={"missing": 10_000}))
    result = judged(production)
    assert result.outcome is Outcome.FAILED
    assert result.measurements[0].subject == "age"
    row = next(r for r in result.details["features"] if r["feature"] == "age")
    assert row["missing_training"] == 0
    assert row["missing_production"] == pytest.approx(1 / 3)


def test_a_new_category_is_drift() -> None:
    """A category that training never saw counts as a bin of its own."""
    feature = CategoricalFeature(
        name="region", type="string", counts={"north": 8000, "south": 6000, "west": 6000}
    )
    result = judged(changed(feature))
    assert result.outcome is Outcome.FAILED
    assert result.measurements[0].subject == "region"


def test_rare_categories_beyond_those_kept_are_one_bin() -> None:
    """A category that the training profile merged into its rest is not new."""
    kept = CategoricalFeature(
        name="region", type="string", counts={"north": 10_000, "south": 9_000}, other=1_000
    )
    now = CategoricalFeature(
        name="region", type="string", counts={"north": 10_000, "south": 9_000, "rare": 1_000}
    )
    training = changed(kept)
    assert of(judged(changed(now), training), "region").observed == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["limit", "region"])
def test_a_feature_that_production_does_not_send_fails(name: str) -> None:
    """A feature of the model that is absent from production fails."""
    result = judged(without(name))
    assert result.outcome is Outcome.FAILED
    assert f"feature {name}: production does not send it" in result.reason


def test_a_feature_that_was_not_profiled_fails() -> None:
    """A feature of the signature that the training profile lacks fails."""
    result = judged(make.profile(), without("age"))
    assert result.outcome is Outcome.FAILED
    assert "the training profile does not have it" in result.reason


def test_only_features_of_the_model_count() -> None:
    """A drifted column that the signature does not ask for is no concern of the model."""
    own = make.candidate(signature=make.signature(*make.contract().columns[1:]))
    given = make.evidence(candidate=own, production_profile=make.profile(shift=0.9))
    result = make.judge("drift", given)
    assert result.outcome is Outcome.PASSED
    assert [m.subject for m in result.measurements].count("limit") == 0


def test_without_a_signature_all_profiled_features_count() -> None:
    """A model without a signature is not let off."""
    own = make.candidate(signature=None)
    given = make.evidence(candidate=own, production_profile=make.profile(shift=0.9))
    assert make.judge("drift", given).outcome is Outcome.FAILED


def test_no_training_profile_fails_with_the_next_step() -> None:
    """A run without a profile is the author's omission, and says which call is missing."""
    own = make.candidate(profile=None, profile_problem="the run has no artifact profile.json")
    result = make.judge("drift", make.evidence(candidate=own))
    assert result.outcome is Outcome.FAILED
    assert "the run has no artifact profile.json" in result.reason
    assert "log_feature_profile" in result.reason


@pytest.mark.parametrize("empty", [make.profile(rows=0), make.profile(features=())])
def test_an_empty_training_profile_fails(empty: FeatureProfile) -> None:
    """A profile of nothing is no profile."""
    assert judged(make.profile(), empty).outcome is Outcome.FAILED


def test_a_feature_whose_counts_are_all_zero_fails() -> None:
    """Counts of zero cannot be compared and are named."""
    feature = make.profile().features[1]
    assert isinstance(feature, NumericFeature)
    zero = changed(feature.model_copy(update={"counts": (0, 0, 0)}))
    result = judged(make.profile(), zero)
    assert result.outcome is Outcome.FAILED
    assert "counts no rows of it" in result.reason


def test_too_few_production_rows_are_inconclusive() -> None:
    """A handful of production rows says nothing."""
    result = judged(make.profile(rows=100))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "100 rows, of 200" in result.reason


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (
            CategoricalFeature(name="age", type="string", counts={"30": 20_000}),
            "numeric in training and is categorical",
        ),
        (
            NumericFeature(name="age", type="integer", edges=(20.0,), counts=(9_000, 11_000)),
            "other bins",
        ),
    ],
)
def test_profiles_that_cannot_be_compared_fail(
    feature: NumericFeature | CategoricalFeature, words: str
) -> None:
    """Another kind or other bins are refused, not compared anyway."""
    result = judged(changed(feature))
    assert result.outcome is Outcome.FAILED
    assert words in result.reason


def test_single_features_have_limits_of_their_own() -> None:
    """A limit for one feature, and a feature that only informs."""
    production = make.profile(shift=0.9)
    assert judged(production, features={"limit": 5.0}).outcome is Outcome.PASSED
    ignored = judged(production, ignore=["limit"])
    assert ignored.outcome is Outcome.PASSED
    assert of(ignored, "limit").outcome is None
    assert of(ignored, "limit").observed is not None


def test_upper_bound_is_inconclusive_on_a_small_sample() -> None:
    """With decide_on: upper_bound the interval must lie within the limit."""
    production = make.profile(shift=0.4, rows=250)
    point = judged(production, psi=0.1)
    bound = judged(production, psi=0.1, decide_on="upper_bound")
    assert point.outcome is Outcome.PASSED
    assert bound.outcome is Outcome.INCONCLUSIVE
    assert bound.needed_sample_size is not None
    assert bound.needed_sample_size > 250


def test_other_distances_are_reported_beside() -> None:
    """KL, JS, KS and Wasserstein are in the table of every numeric feature."""
    rows = judged(make.profile(shift=0.2)).details["features"]
    limit = next(row for row in rows if row["feature"] == "limit")
    assert {"kl", "js", "ks", "wasserstein"} <= set(limit)
    assert {"kl", "js"} <= set(next(row for row in rows if row["feature"] == "region"))


@settings(deadline=None)
@hypothesis_given(
    counts=st.lists(st.integers(0, 500), min_size=3, max_size=3).filter(lambda c: sum(c) >= 200),
    missing=st.integers(0, 50),
)
def test_the_same_profile_never_drifts(counts: list[int], missing: int) -> None:
    """A profile against itself has a PSI of 0, whatever its shape."""
    feature = NumericFeature(
        name="age", type="integer", edges=(30.0, 50.0), counts=tuple(counts), missing=missing
    )
    profile = changed(feature)
    result = judged(profile, profile)
    assert result.outcome is Outcome.PASSED
    assert of(result, "age").observed == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"psi": 0}, "greater than 0"),
        ({"bands": [0.3, 0.1]}, "bands must ascend"),
        ({"features": {"age": -1}}, "must be above 0"),
        ({"features": {"age": 0.3}, "ignore": ["age"]}, "ignore names age"),
    ],
)
def test_contradictory_settings_are_refused(values: dict[str, object], words: str) -> None:
    """Limits that cannot be met or contradict each other are an error of the policy."""
    with pytest.raises(ValueError, match=words):
        DriftSettings.model_validate(values)


def test_both_profiles_are_pinned() -> None:
    """The result bears the digests of both profiles."""
    given = make.evidence()
    one = make.judge("drift", given).inputs
    other = make.judge(
        "drift", dataclasses.replace(given, production_profile=make.profile(shift=0.01))
    ).inputs
    assert one["training_profile"] == other["training_profile"]
    assert one["production_profile"] != other["production_profile"]
