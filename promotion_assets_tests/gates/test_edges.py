"""Where a gate has nothing to judge by, a rule no number, and a file no name for what it is."""

from __future__ import annotations

import ast
import dataclasses
import gzip
import math
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import r2_score

from promotion_assets.gates import documentation, fast_metrics, file_kinds
from promotion_assets.gates.contract import GateResult, Outcome
from promotion_assets.gates.expressions import BadExpression, Expression, parse
from promotion_assets.gates.file_kinds import kind_of
from promotion_assets.gates.power import gate_power
from promotion_assets_tests import evidence as make


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("not x > 2", True),
        ("not (x < 2 or y < 2)", False),
        ("-x < +y", True),
        ("min(x, y) >= 1 and max(x, y) <= 3", True),
        ("abs(x - y) == 2", None),
        ("abs(x - y) <= 2", True),
        ("1 <= x < y", True),
        ("x * y / 2 > x + y", False),
    ],
)
def test_rules_are_sums_and_comparisons_as_python_has_them(
    source: str, expected: bool | None
) -> None:
    """Signs, functions and chains mean what they mean in Python; equality is none of them."""
    figures = {"x": 1.0, "y": 3.0}.__getitem__
    if expected is None:
        with pytest.raises(BadExpression, match="compare with <, <=, > or >="):
            parse(source)
    else:
        assert parse(source).holds(figures) is expected


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x / (x - 1) > 0", r"x / \(x - 1\) divides by zero"),
        ("x * 1e308 * 1e308 > 0", "is not a finite number"),
        ("nothing > 0", "nothing is not a finite number"),
        ("abs(x, y) > 0", "abs takes one number, got 2"),
    ],
)
def test_a_rule_without_a_number_says_which_part_has_none(source: str, words: str) -> None:
    """It neither holds nor fails: whoever reads the result must look at the figures."""
    figures = {"x": 1.0, "y": 3.0, "nothing": math.nan}.__getitem__
    with pytest.raises(ValueError, match=words):
        parse(source).holds(figures)
    assert parse("x > nothing").bound() is None


def test_an_expression_that_was_not_parsed_as_a_rule_does_nothing() -> None:
    """The walk knows sums and comparisons alone, so that what slips past the check ends there."""
    for source, words in (
        ("open('x')", "is not a comparison"),
        ("open('x')[0] > 1", "is not a number"),
    ):
        tree = ast.parse(source, mode="eval").body
        with pytest.raises(BadExpression, match=words):
            Expression(source, tree).holds({}.__getitem__)


def test_only_metrics_that_are_the_same_to_the_digit_have_a_fast_way() -> None:
    """For all others, and for the wrong task, there is none, and scikit-learn's own is used."""
    assert fast_metrics.of_predictions("accuracy_of_nobody", "binary", 2) is None
    assert fast_metrics.of_numbers("r2", "binary") is None
    assert fast_metrics.of_numbers("max_error", "regression") is None
    assert fast_metrics.of_probabilities("roc_auc_ovr", "binary") is None
    assert fast_metrics.of_probabilities("average_precision", "multiclass") is None


def test_fast_metrics_of_rows_that_show_nothing() -> None:
    """No positives, a class that lacks, labels that do not vary: as scikit-learn, or NaN."""
    precision = fast_metrics.of_probabilities("average_precision", "binary")
    assert precision is not None
    assert precision(np.zeros(4), np.linspace(0, 1, 4)) == 0.0
    areas = fast_metrics.of_probabilities("roc_auc_ovr", "multiclass")
    assert areas is not None
    assert math.isnan(areas(np.array([0, 1, 1]), np.full((3, 3), 1 / 3)))
    r2 = fast_metrics.of_numbers("r2", "regression")
    assert r2 is not None
    same = np.full(4, 2.0)
    for answers in (same, same + 1):
        assert r2(same, answers) == r2_score(same, answers)


def test_archives_within_archives_are_opened_so_deep_and_no_deeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be looked into to its end is opaque; plain data stay plain when compressed."""
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert (kind_of(path).kind, kind_of(path).what) == ("plain", "gzip data")
    deep = b"a,b\n1,2\n"
    for _ in range(file_kinds.DEEPEST + 1):
        deep = gzip.compress(deep)
    path.write_bytes(deep)
    assert kind_of(path).kind == "opaque"
    assert "an archive of archives inside gzip" in kind_of(path).what
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a.csv", "b.csv", "c.csv"):
            archive.writestr(name, "1,2\n")
    assert (kind_of(path).kind, kind_of(path).what) == ("plain", "a zip archive of data")
    whole = path.read_bytes()
    path.write_bytes(b"x = 1\n" + whole)
    assert kind_of(path).what == "a zip archive behind other data"
    path.write_bytes(whole.replace(b"1,2\n", b"9,9\n", 1))
    assert kind_of(path).kind == "opaque"
    assert "cannot be read" in kind_of(path).what
    path.write_bytes(whole)
    monkeypatch.setattr(file_kinds, "MOST_MEMBERS", 2)
    assert (kind_of(path).kind, kind_of(path).what) == ("opaque", "a zip archive of 3 files")


def custom(given: Any, rule: str, **more: Any) -> GateResult:
    """Judge one rule."""
    return make.judge("custom", given, rules=[{"name": "r", "rule": rule, **more}])


def test_a_rule_that_leaves_its_limit_out_fails_on_it() -> None:
    """``< 1`` is not held by exactly 1, whatever a limit with ``<=`` would say."""
    given = make.evidence()
    rows = len(given.dataset.labels)  # type: ignore[union-attr]
    assert custom(given, f"rows <= {rows}").outcome is Outcome.PASSED
    result = custom(given, f"rows < {rows}")
    assert result.outcome is Outcome.FAILED
    assert f"rule 'r' does not hold (rows < {rows})" in result.reason


def test_power_is_told_only_of_what_can_be_estimated() -> None:
    """Features that changed their kind, or have one bin, and other metrics have no row."""
    gates = {"accuracy": {}, "fairness": {}, "drift": {}}

    def _subjects(**changes: Any) -> set[tuple[str, str, str]]:
        policy = make.policy(gates=changes.pop("gates", gates))
        rows = gate_power(make.evidence(policy=policy, **changes))
        return {(row.gate, row.subject, row.measure) for row in rows}

    usual = _subjects()
    assert {s for g, s, _ in usual if g == "drift"} == {"limit", "age", "region"}
    profile = make.profile()
    limit, age, region = profile.features
    one_bin = region.model_copy(update={"counts": {"north": 20_000}})
    changed = one_bin.model_copy(update={"name": "age"})
    own = make.candidate(profile=profile.model_copy(update={"features": (limit, age, one_bin)}))
    sent = profile.model_copy(update={"features": (limit, changed, one_bin)})
    found = _subjects(candidate=own, production_profile=sent)
    assert {s for g, s, _ in found if g == "drift"} == {"limit"}
    without = {**gates, "accuracy": {"metric": "accuracy"}, "fairness": {"metric": "accuracy"}}
    told = _subjects(gates=without)
    assert not [s for g, s, _ in told if g == "accuracy"]
    rates = {**gates, "fairness": {"gate_on": ["tpr_gap", "selection_rate_ratio"]}}
    assert {m for g, _, m in _subjects(gates=rates) if g == "fairness"} == {
        "tpr_gap",
        "selection_rate_ratio",
    }


def test_an_artifact_without_files_or_with_a_script_for_a_model_is_named() -> None:
    """Both load nothing that was fitted; a pickle that nobody declares is one all the same."""
    empty = make.candidate(artifact=make.manifest({}), artifact_dir=Path("/nowhere"))
    result = make.judge("artifact", make.evidence(candidate=empty))
    assert result.outcome is Outcome.FAILED
    assert "it has no files; log the model again" in str(result)
    facts = make.sklearn_facts()
    flavors = {**facts.raw["flavors"], "python_function": {"model_code_path": "model.py"}}  # type: ignore[dict-item]
    script = make.candidate(mlmodel=make.sklearn_facts(raw={"flavors": flavors}))
    said = str(make.judge("artifact", make.evidence(candidate=script)))
    assert "flavor python_function loads the model by running a script" in said
    undeclared = make.sklearn_facts(serialization_format=None, raw={"flavors": {"sklearn": {}}})
    said = str(make.judge("artifact", make.evidence(candidate=make.candidate(mlmodel=undeclared))))
    assert "flavor sklearn declares 'pickle'" in said


def test_a_flip_that_nobody_limits_is_reported_and_decides_nothing() -> None:
    """Without a limit of its kind a probe's share of flips is a number for people."""
    result = make.judge("robustness", make.evidence(), perturbed_flips=None)
    assert {m.outcome for m in result.measurements if m.name == "flips"} == {None}


def test_a_sign_off_needs_a_time_to_hold_at() -> None:
    """Nobody can say whether it still holds where the time of judgement is not known."""
    sign_off = {"by": "ana", "reference": "R-1", "until": date(2030, 1, 1).isoformat()}
    settings = documentation.DocumentationSettings.model_validate(
        {"regulatory_sign_off": "required", "sign_off": sign_off}
    )
    for as_of, outcome, words in (
        (None, Outcome.FAILED, "the time of judgement is not known"),
        (make.clock(), Outcome.PASSED, ""),
    ):
        result = documentation.evaluate(make.evidence(as_of=as_of), settings)
        (signed,) = [m for m in result.measurements if m.name == "sign_off"]
        assert signed.outcome is outcome
        assert words in signed.reason


def test_a_champion_without_a_limit_is_compared_for_people_alone() -> None:
    """With ``improvement`` off the difference is a number that decides nothing."""
    result = make.judge("accuracy", make.evidence(), minimum=0.5, improvement=None)
    (gap,) = [m for m in result.measurements if m.name == "improvement"]
    assert gap.outcome is None
    assert gap.observed is not None
    assert gap.observed > 0
    assert result.outcome is Outcome.PASSED


def test_a_feature_that_production_sent_no_rows_of_is_not_judged_as_sound() -> None:
    """An empty histogram has not drifted, and shows nothing."""
    profile = make.profile()
    empty = tuple(
        feature.model_copy(update={"counts": (0,) * 10, "missing": 0})
        if feature.name == "limit"
        else feature
        for feature in profile.features
    )
    sent = dataclasses.replace(
        make.evidence(), production_profile=profile.model_copy(update={"features": empty})
    )
    result = make.judge("drift", sent)
    assert result.outcome is not Outcome.PASSED
    assert "production sent no rows of it" in str(result)
