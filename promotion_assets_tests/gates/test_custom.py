"""The custom gate: business rules as expressions, by group, and as functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates.contract import GateResult, Measurement, Outcome
from promotion_assets.gates.custom import CustomSettings
from promotion_assets.gates.expressions import BadExpression, parse
from promotion_assets_tests import evidence as make

FIRST = {"accept": "absolute", "reason": "nothing has served before"}


def judged(rule: str, given: Evidence | None = None, **changes: Any) -> GateResult:
    """Return the gate's result on one rule."""
    settings = changes.pop("settings", {})
    rules = [{"name": "the rule", "rule": rule, **changes}]
    return make.judge("custom", given or make.evidence(), rules=rules, **settings)


def chosen() -> tuple[np.ndarray, np.ndarray]:
    """Return labels and decisions of the candidate."""
    given = make.evidence()
    return given.dataset.labels, given.candidate_scores.values >= 0.5


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("selection_rate", lambda y, p: p.mean()),
        ("rejection_rate", lambda y, p: 1 - p.mean()),
        ("tpr", recall_score),
        ("fpr", lambda y, p: p[y == 0].mean()),
        ("precision", precision_score),
        ("f1", f1_score),
        ("rows", lambda y, p: len(y)),
    ],
)
def test_figures_are_what_their_names_say(name: str, expected: Any) -> None:
    """Each figure equals its plain computation."""
    result = judged(f"{name} >= 0")
    assert result.outcome is Outcome.PASSED
    assert result.observed == pytest.approx(float(expected(*chosen())))


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ("selection_rate <= 0.9", Outcome.PASSED),
        ("selection_rate >= 0.9", Outcome.FAILED),
        ("tpr - champion_tpr >= -0.02", Outcome.PASSED),
        ("tpr >= 0.1 and rejection_rate >= 0.99", Outcome.FAILED),
        ("tpr >= 0.99 or rejection_rate >= 0.1", Outcome.PASSED),
        ("not tpr > 0.999", Outcome.PASSED),
        ("0.1 <= selection_rate < 0.5", Outcome.PASSED),
        ("max(tpr, fpr) / min(tpr, fpr) >= 1 and abs(-tpr) > 0", Outcome.PASSED),
        ("mean_score * rows > 100", Outcome.PASSED),
    ],
)
def test_rules_are_checked(rule: str, outcome: Outcome) -> None:
    """Comparisons, sums, and, or and not mean what they mean in Python."""
    assert judged(rule).outcome is outcome


def test_a_rule_that_fails_says_what_was_seen() -> None:
    """The reason holds rule, value and limit, and the result an interval."""
    result = judged("selection_rate >= 0.9")
    assert "rule 'the rule': selection_rate is 0." in result.reason
    assert "at least 0.9" in result.reason
    assert result.interval is not None
    assert result.interval.method == "Wilson"


def test_a_strict_limit_leaves_the_limit_itself_out() -> None:
    """rows > 4000 does not hold for 4000 rows, rows >= 4000 does."""
    assert judged("rows > 4000").outcome is Outcome.FAILED
    assert judged("rows >= 4000").outcome is Outcome.PASSED


def test_the_bound_of_a_share_may_decide() -> None:
    """With decide_on: bound a share close to its limit is inconclusive."""
    share = float(chosen()[1].mean())
    rule = f"selection_rate <= {share + 0.001}"
    assert judged(rule).outcome is Outcome.PASSED
    assert judged(rule, settings={"decide_on": "bound"}).outcome is Outcome.INCONCLUSIVE


def test_each_group_is_checked_and_named() -> None:
    """A rule with `each` must hold in every group that is large enough."""
    given = make.evidence()
    values = given.candidate_scores.values.copy()
    values[given.dataset.groups["sex"] == "male"] = 0.9
    own = make.candidate()
    spoiled = make.evidence(candidate=own, candidate_scores=make.scores(values, own))
    result = judged("rejection_rate >= 0.5", spoiled, each="sex")
    assert result.outcome is Outcome.FAILED
    assert result.reason.startswith("sex=male: rule 'the rule'")
    assert judged("rejection_rate >= 0.5", each="sex").outcome is Outcome.PASSED


def test_groups_that_are_too_small_are_reported_and_all_small_is_no_pass() -> None:
    """A rule of which no group could be judged has not held."""
    result = judged("rejection_rate >= 0.5", each="sex", min_rows=100_000)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "too few to judge" in result.reason


@pytest.mark.parametrize("rule", ["profit >= 1", "champion_profit >= 1"])
def test_an_unknown_figure_is_an_error(rule: str) -> None:
    """A figure that does not exist is an error, never a pass."""
    assert judged(rule).outcome is Outcome.ERROR


def test_an_undefined_figure_is_inconclusive() -> None:
    """Precision without any positive prediction, and a division by zero."""
    assert judged("precision >= 0", settings={"threshold": 0.9999999}).outcome is (
        Outcome.INCONCLUSIVE
    )
    assert judged("tpr / (fpr - fpr) > 1").outcome is Outcome.INCONCLUSIVE


def test_rules_about_a_champion_that_is_not_there() -> None:
    """Without champion such a rule is inconclusive; for a first version others stand in."""
    alone = make.evidence(champion_strength=None)
    assert judged("tpr >= champion_tpr", alone).outcome is Outcome.INCONCLUSIVE
    first = make.evidence(champion_strength=None, policy=make.policy(first_version=FIRST))
    assert judged("tpr >= champion_tpr", first).outcome is Outcome.INCONCLUSIVE
    rules = [
        {"name": "a", "rule": "tpr >= champion_tpr"},
        {"name": "b", "rule": "tpr >= 0.1"},
    ]
    assert make.judge("custom", first, rules=rules).outcome is Outcome.PASSED


def enough_rows(evidence: Evidence) -> Measurement:
    """A rule of the team's own code."""
    return Measurement(
        name="ignored", observed=float(evidence.dataset.rows), outcome=Outcome.PASSED
    )


def says_nothing(evidence: Evidence) -> list[Measurement]:
    """A rule that returns no measurement."""
    return []


def says_yes(evidence: Evidence) -> list[bool]:
    """A rule that returns something else."""
    return [True]


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("enough_rows", Outcome.PASSED),
        ("says_nothing", Outcome.INCONCLUSIVE),
        ("says_yes", Outcome.ERROR),
        ("is_not_there", Outcome.ERROR),
    ],
)
def test_a_rule_may_be_a_function(name: str, outcome: Outcome) -> None:
    """The team's own function is called; one that says nothing has not held."""
    rules = [{"name": "ours", "function": f"{__name__}:{name}"}]
    result = make.judge("custom", make.evidence(), rules=rules)
    assert result.outcome is outcome
    if outcome is Outcome.PASSED:
        assert result.measurements[0].name == "ours"


@pytest.mark.parametrize(
    "source",
    [
        "__import__('os').system('true') > 0",
        "tpr.__class__ > 0",
        "[tpr][0] > 0",
        "(lambda: 1)() > 0",
        "tpr == 0.5",
        "tpr",
        "1",
        "True > 0",
        "'a' > 'b'",
        "tpr ** 2 > 1",
        "exec('x') > 1",
        "min() > 1",
        "max(tpr, key=abs) > 1",
        "tpr > 0 if fpr > 0 else fpr > 0",
        "(tpr := 1) > 0",
        "tpr >",
        "",
        "(" * 300,
        "tpr > 0 and " * 100 + "tpr > 0",
    ],
)
def test_an_expression_cannot_do_anything_else(source: str) -> None:
    """Calls, attributes, subscripts and the like are refused when the policy is read."""
    with pytest.raises(BadExpression):
        parse(source)
    with pytest.raises(ValueError, match="rule 'x'"):
        CustomSettings(rules=({"name": "x", "rule": source},))  # type: ignore[arg-type]


@settings(deadline=None)
@hypothesis_given(
    a=st.floats(-100, 100), b=st.floats(-100, 100), op=st.sampled_from(["+", "-", "*"])
)
def test_sums_are_pythons(a: float, b: float, op: str) -> None:
    """An expression of two figures has the value that Python gives it."""
    source = f"(x {op} y) >= 1"
    expected = {"+": a + b, "-": a - b, "*": a * b}[op] >= 1
    assert parse(source).holds({"x": a, "y": b}.__getitem__) is expected
    assert parse(source).names() == ("x", "y")


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([], "at least 1 item"),
        ([{"name": "x"}], "either `rule` or `function`"),
        ([{"name": "x", "rule": "tpr > 0", "function": "a:b"}], "either `rule` or `function`"),
        ([{"name": "x", "function": "nocolon"}], "package.module:name"),
        ([{"name": "x", "rule": "tpr > 0"}, {"name": "x", "rule": "fpr < 1"}], "same name twice"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules: list[dict[str, str]], words: str) -> None:
    """Rules are checked when the policy is read."""
    with pytest.raises(ValueError, match=words):
        CustomSettings(rules=rules)  # type: ignore[arg-type]


def test_settings_must_fit_the_policy() -> None:
    """A figure or a group that is not there is named with the nearest one."""
    settings = CustomSettings.model_validate(
        {
            "rules": [
                {"name": "a", "rule": "selektion_rate > 0"},
                {"name": "b", "rule": "tpr > 0", "each": "age"},
                {"name": "c", "rule": "tpr - champion_tpr > 0", "each": "sex"},
            ]
        }
    )
    found = settings.contradictions(make.policy())
    assert len(found) == 2
    assert "did you mean 'selection_rate'" in found[0]
    assert "groups are education, sex" in found[1]
