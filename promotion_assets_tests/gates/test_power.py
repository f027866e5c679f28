"""Gate power: what a gate would see, held against simulation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import ndtri

from promotion_assets.gates.power import Power, gate_power, weakest
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.statistics.roc import auc_difference
from promotion_assets_tests import evidence as make

GATES = {"accuracy": {}, "fairness": {}, "drift": {}, "latency": {}, "schema": {}}


def policy(**changes: object) -> ModelPolicy:
    """Return a policy of all gates that estimate something, and one that does not."""
    return make.policy(gates=GATES, **changes)


def of(rows: tuple[Power, ...], gate: str, subject: str) -> Power:
    """Return one row."""
    return next(row for row in rows if (row.gate, row.subject) == (gate, subject))


def test_every_estimating_gate_is_listed() -> None:
    """Accuracy, every group, every feature and every budget have a row; schema has none."""
    rows = gate_power(make.evidence(policy=policy()))
    assert {row.gate for row in rows} == {"accuracy", "fairness", "drift", "latency"}
    assert of(rows, "fairness", "education=high school & sex=male").rows > 0
    assert of(rows, "drift", "limit").detectable < 0.2
    assert of(rows, "latency", "one row").sees == "enough"


def test_more_rows_see_smaller_effects() -> None:
    """Four times the rows see about half the effect."""
    small = gate_power(make.evidence(policy=policy(), truth=make.labels(4000)))
    large = gate_power(make.evidence(policy=policy(), truth=make.labels(16000)))
    for gate, subject in (("accuracy", "overall"), ("fairness", "sex=male")):
        ratio = of(small, gate, subject).detectable / of(large, gate, subject).detectable
        assert ratio == pytest.approx(2.0, rel=0.15)


def test_a_small_group_sees_nothing_and_leads_the_list() -> None:
    """Groups under the floor are named as blind, before those that see too little."""
    truth = make.labels(4000)
    names = make.groups()["education"].copy()
    names[:40] = "rare"
    data = make.dataset(truth, {"education": names, "sex": make.groups()["sex"]})
    blind = weakest(gate_power(make.evidence(dataset=data, policy=policy())))
    assert "education=rare" in {row.subject for row in blind if row.sees == "nothing"}
    kinds = [row.sees for row in blind]
    assert kinds == sorted(kinds, key=["nothing", "too little"].index)


def test_without_profiles_and_latencies_the_rest_is_told() -> None:
    """Only the dataset is needed."""
    given = dataclasses.replace(
        make.evidence(policy=policy()), production_profile=None, candidate_latency=None
    )
    assert {row.gate for row in gate_power(given)} == {"accuracy", "fairness"}


def test_no_dataset_is_refused() -> None:
    """Without rows there is no power to speak of."""
    with pytest.raises(ValueError, match="evaluation dataset"):
        gate_power(dataclasses.replace(make.evidence(policy=policy()), dataset=None))


def test_one_class_sees_nothing() -> None:
    """An AUC that does not exist cannot improve."""
    given = make.evidence(policy=policy(), truth=np.ones(500, dtype=np.int64))
    assert of(gate_power(given), "accuracy", "overall").sees == "nothing"


def test_the_stated_effect_is_really_caught() -> None:
    """Simulated improvements of the stated size exclude 0 in about 80 % of samples."""
    rows = 1500
    stated = of(
        gate_power(make.evidence(policy=policy(), truth=make.labels(rows))), "accuracy", "overall"
    ).detectable
    rng = np.random.default_rng(4)
    caught, gaps = 0, []
    for _ in range(150):
        truth = (rng.random(rows) < 0.25).astype(np.int64)
        shared, own, other = (rng.normal(size=rows) for _ in range(3))
        # Of two normal scores s deviations apart the AUC is Φ(s / √2); both correlate with .7.
        strength, better = (np.sqrt(2) * ndtri(0.8 + gain) for gain in (0.0, stated))
        first = better * truth + np.sqrt(0.7) * shared + np.sqrt(0.3) * own
        second = strength * truth + np.sqrt(0.7) * shared + np.sqrt(0.3) * other
        found = auc_difference(truth, first, second)
        gaps.append(found.difference)
        caught += found.low > 0
    assert np.mean(gaps) == pytest.approx(stated, rel=0.15)
    assert 0.65 <= caught / 150 <= 0.95
