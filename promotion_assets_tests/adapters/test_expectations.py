"""Great Expectations judges dataset versions and profile tables, quietly and offline."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_assets.adapters.expectations import (
    ExpectationOutcome,
    profile_table,
    suites,
    validate_dataset,
    validate_profile_table,
)
from promotion_assets.errors import EvidenceMissing, StorageUnreachable, UsageError
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.snapshot import describe
from promotion_assets.gates.contract import GateResult, Interval, Measurement, Outcome
from promotion_assets.policy.model import Dataset, Group, ModelPolicy

ROWS = 600


def rows(count: int = ROWS, features: int = 3) -> pd.DataFrame:
    """Return labelled rows that nothing is wrong with."""
    generator = np.random.default_rng(4)
    return pd.DataFrame(
        {
            "id": np.arange(count),
            "when": pd.Timestamp("2024-03-01") + pd.to_timedelta(np.arange(count), unit="h"),
            **{f"x{i}": generator.normal(size=count) for i in range(features)},
            "age": generator.integers(18, 80, count),
            "sex": np.where(np.arange(count) % 2, "f", "m"),
            "bad": (np.arange(count) % 4 == 0).astype(int),
        }
    )


def policy(task: str = "binary", **changes: Any) -> ModelPolicy:
    """Return the policy of these tests; ``changes`` go to its dataset stanza."""
    dataset = {"uri": "rows.parquet", "label": "bad", "id": "id", "time": "when", **changes}
    return ModelPolicy.model_validate(
        {
            "task": task,
            "dataset": Dataset.model_validate(dataset),
            "groups": (Group(column="sex"), Group(column="age", bands=(30, 50))),
            "gates": {"accuracy": {}},
        }
    )


def taken(frame: pd.DataFrame, rules: ModelPolicy) -> EvaluationDataset:
    """Return ``frame`` as a dataset version."""
    return describe(frame, rules, Path("data.parquet"), "d" * 64, model="credit-risk")


def failures(outcomes: list[ExpectationOutcome]) -> list[tuple[str, str]]:
    """Return name and column of what is not met."""
    return [(outcome.name, outcome.column) for outcome in outcomes if not outcome.success]


def test_a_good_dataset_meets_every_expectation(tmp_path: Path) -> None:
    """Schema, label, rate, rows, groups, id, time and features are each looked at, and met."""
    rules = policy(label_rate=(0.2, 0.3))
    outcomes, page = validate_dataset(taken(rows(), rules), rules, docs_dir=tmp_path / "docs")
    assert failures(outcomes) == []
    assert page == tmp_path / "docs" / "index.html"
    asked = {(outcome.name, outcome.column) for outcome in outcomes}
    assert asked >= {
        ("expect_table_columns_to_match_set", ""),
        ("expect_table_row_count_to_be_between", ""),
        ("expect_column_values_to_not_be_null", "bad"),
        ("expect_column_distinct_values_to_contain_set", "bad"),
        ("expect_column_mean_to_be_between", "positive: bad"),
        ("expect_groups_to_have_at_least_rows", "group: sex"),
        ("expect_groups_to_have_at_least_rows", "group: age"),
        ("expect_column_values_to_be_unique", "id"),
        ("expect_column_values_to_not_be_null", "moment: when"),
        ("expect_column_proportion_of_non_null_values_to_be_between", "x0"),
    }


MARRED: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, str], str]] = {
    "rows": (
        {},
        {"min_rows": 1000},
        ("expect_table_row_count_to_be_between", ""),
        "there are at least 1000 rows: not so, seen 600",
    ),
    "rate": (
        {},
        {"label_rate": (0.3, 0.5)},
        ("expect_column_mean_to_be_between", "positive: bad"),
        "the share of positive labels is between 30.00% and 50.00%: not so, seen 0.25",
    ),
    "small group": (
        {"sex": ["d"] * 3 + ["f"] * (ROWS - 3)},
        {},
        ("expect_groups_to_have_at_least_rows", "group: sex"),
        "every group of sex has at least 30 rows: not so, seen d: 3",
    ),
    "empty band": (
        {"age": 25},
        {},
        ("expect_groups_to_have_at_least_rows", "group: age"),
        "not so, seen 30-49: 0, 50+: 0",
    ),
    "repeated id": (
        {"id": [7, 7, *range(8, ROWS + 6)]},
        {},
        ("expect_column_values_to_be_unique", "id"),
        "id id is unique: not so, seen 2 of 600 rows do not hold, such as 7, 7",
    ),
    "no id": (
        {"id": [None, *range(ROWS - 1)]},
        {},
        ("expect_column_values_to_not_be_null", "id"),
        "id id is known in every row: not so, seen 1 of 600 rows do not hold",
    ),
    "no moment": (
        {"when": ["2024-01-01", "soon"] * (ROWS // 2)},
        {},
        ("expect_column_values_to_not_be_null", "moment: when"),
        "300 of 600 rows do not hold",
    ),
    "no values": (
        {"x1": np.nan},
        {},
        ("expect_column_proportion_of_non_null_values_to_be_between", "x1"),
        "feature x1 has a value in some row: not so, seen 0",
    ),
}


@pytest.mark.parametrize("case", MARRED)
def test_what_is_wrong_fails_its_expectation_and_stands_in_the_summary(
    case: str, tmp_path: Path
) -> None:
    """Each fault fails the expectation meant for it and no other; our own checks agree."""
    columns, changes, failed, said = MARRED[case]
    rules = policy(**changes)
    dataset = taken(rows().assign(**columns), rules)
    outcomes, page = validate_dataset(dataset, rules, docs_dir=tmp_path)
    assert failures(outcomes) == [failed]
    (sentence,) = (outcome.sentence for outcome in outcomes if not outcome.success)
    assert said in sentence
    assert dataset.summary.problems
    assert "not met" in page.read_text() or "fa-times" in page.read_text()


def test_labels_that_no_snapshot_would_take_are_not_met_either(tmp_path: Path) -> None:
    """A frame that was changed after it was taken fails on label and schema."""
    rules = policy()
    good = taken(rows(), rules)
    spoiled = rows().drop(columns="sex").assign(bad=[None, 3, *[0] * (ROWS - 2)])
    outcomes, _ = validate_dataset(
        replace(good, frame=spoiled, labels=np.zeros(ROWS, dtype=np.int64)),
        rules,
        docs_dir=tmp_path,
    )
    assert set(failures(outcomes)) == {
        ("expect_table_columns_to_match_set", ""),
        ("expect_column_values_to_not_be_null", "bad"),
        ("expect_column_distinct_values_to_contain_set", "bad"),
        ("expect_column_mean_to_be_between", "positive: bad"),
        ("expect_column_proportion_of_non_null_values_to_be_between", "sex"),
    }
    (unknown,) = (o for o in outcomes if o.column == "sex")
    assert "could not be evaluated" in unknown.sentence
    assert "sex" in unknown.sentence


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks_have_their_own_label_expectations(task: str, tmp_path: Path) -> None:
    """Many classes and numbers are fine where the task says so."""
    frame = rows().assign(bad=np.arange(ROWS) % 5)
    rules = policy(task)
    outcomes, _ = validate_dataset(taken(frame, rules), rules, docs_dir=tmp_path)
    assert failures(outcomes) == []
    assert "expect_column_mean_to_be_between" not in {outcome.name for outcome in outcomes}


def table(**changes: Any) -> pd.DataFrame:
    """Return a profile table of 50 features that have not drifted."""
    columns: dict[str, Any] = {
        "feature": [f"f{i}" for i in range(50)],
        "present_in_production": True,
        "psi": 0.01,
        "limit": 0.2,
        "model_type": "double",
        "pipeline_type": "double",
        "fits_contract": True,
        **changes,
    }
    return pd.DataFrame(columns)


def last(usual: Any, odd: Any) -> list[Any]:
    """Return a column of 50 of which the last two are odd."""
    return [usual] * 48 + [odd] * 2


def test_a_profile_table_that_holds_meets_all_three(tmp_path: Path) -> None:
    """Presence, drift and contract are one expectation each, however many features there are."""
    outcomes, page = validate_profile_table(table(), suite_name="credit-risk 3", docs_dir=tmp_path)
    assert [outcome.name for outcome in outcomes] == [
        "expect_feature_to_be_present_in_production",
        "expect_feature_psi_to_be_at_most_its_limit",
        "expect_feature_to_fit_its_contract",
    ]
    assert failures(outcomes) == []
    assert "credit-risk 3" in page.read_text()
    edge, _ = validate_profile_table(table(psi=0.2), suite_name="at limit", docs_dir=tmp_path)
    assert failures(edge) == []


@pytest.mark.parametrize(
    ("changes", "failed", "said"),
    [
        ({"psi": last(0.1, 0.4)}, "psi_to_be_at_most_its_limit", "f48 (psi 0.4, limit 0.2)"),
        ({"psi": last(0.1, None)}, "psi_to_be_at_most_its_limit", "f48 ("),
        ({"psi": last(0.1, np.inf)}, "psi_to_be_at_most_its_limit", "f48 ("),
        ({"psi": None}, "psi_to_be_at_most_its_limit", "and 45 more"),
        ({"psi": np.nan}, "psi_to_be_at_most_its_limit", "and 45 more"),
        ({"psi": last(0.1, "much")}, "psi_to_be_at_most_its_limit", "f48 ("),
        ({"limit": None}, "psi_to_be_at_most_its_limit", "and 45 more"),
        ({"limit": last(0.2, None)}, "psi_to_be_at_most_its_limit", "f48 ("),
        ({"present_in_production": last(True, False)}, "present_in_production", "f49 ("),
        ({"present_in_production": last(True, None)}, "present_in_production", "f49 ("),
        ({"present_in_production": last(True, 1)}, "present_in_production", "f49 ("),
        ({"fits_contract": last(True, False)}, "fit_its_contract", "f49 ("),
        ({"fits_contract": last(True, None)}, "fit_its_contract", "f49 ("),
        ({"fits_contract": None}, "fit_its_contract", "and 45 more"),
    ],
)
def test_a_feature_that_does_not_hold_is_named(
    changes: dict[str, Any], failed: str, said: str, tmp_path: Path
) -> None:
    """Too much drift, absence, a wrong type and a missing value all fail, with the features."""
    outcomes, page = validate_profile_table(
        table(**changes), suite_name="credit-risk 3", docs_dir=tmp_path
    )
    (outcome,) = (outcome for outcome in outcomes if not outcome.success)
    assert outcome.name.endswith(failed)
    assert said in outcome.sentence
    assert "f49" in page.read_text()


def test_drift_or_contract_alone_is_a_table_too(tmp_path: Path) -> None:
    """One gate's columns are enough; half of them are a mistake."""
    drift = table()[["feature", "present_in_production", "psi", "limit"]]
    outcomes, _ = validate_profile_table(drift, suite_name="drift", docs_dir=tmp_path)
    assert len(outcomes) == 2
    contract = table(fits_contract=last(True, False), pipeline_type=last("double", "string"))
    outcomes, _ = validate_profile_table(
        contract[["feature", "model_type", "pipeline_type", "fits_contract"]],
        suite_name="contract",
        docs_dir=tmp_path,
    )
    assert "model_type double, pipeline_type string" in outcomes[0].sentence
    with pytest.raises(UsageError, match="it has 'present_in_production' and lacks 'limit'"):
        validate_profile_table(drift.drop(columns="limit"), suite_name="s", docs_dir=tmp_path)
    with pytest.raises(UsageError, match="it has the columns feature"):
        validate_profile_table(drift[["feature"]], suite_name="s", docs_dir=tmp_path)
    with pytest.raises(UsageError, match="give feature with"):
        validate_profile_table(drift.drop(columns="feature"), suite_name="s", docs_dir=tmp_path)


def test_an_empty_profile_table_is_missing_evidence(tmp_path: Path) -> None:
    """No features would meet every expectation about features."""
    with pytest.raises(EvidenceMissing, match="credit-risk 3: it has no features"):
        validate_profile_table(table().head(0), suite_name="credit-risk 3", docs_dir=tmp_path)


def psi(feature: str, observed: float | None, outcome: Outcome | None) -> Measurement:
    """Return the drift gate's measurement of one feature."""
    interval = None
    if observed is not None:
        interval = Interval(low=0.0, high=observed + 0.3, method="test")
    return Measurement(
        name="psi",
        subject=feature,
        observed=observed,
        limit=0.2,
        direction="max",
        interval=interval,
        outcome=outcome,
    )


def drift(*measurements: Measurement) -> GateResult:
    """Return a drift gate's result."""
    return GateResult(
        gate="drift", outcome=Outcome.FAILED, reason="drifted", measurements=measurements
    )


def schema(outcome: Outcome, *rows: tuple[str, str, bool]) -> GateResult:
    """Return a schema gate's result of (column, verdict, fits)."""
    diff = [
        {"column": column, "model": "double", "pipeline": "long", "verdict": verdict, "fits": fits}
        for column, verdict, fits in rows
    ]
    return GateResult(gate="schema", outcome=outcome, reason="r", details={"diff": diff})


def test_the_table_holds_what_the_gates_measured(tmp_path: Path) -> None:
    """Gate and expectation fail on the same features, and ignored ones are in neither."""
    result = profile_table(
        drift(
            psi("ok", 0.05, Outcome.PASSED),
            psi("moved", 0.4, Outcome.FAILED),
            psi("gone", None, Outcome.FAILED),
            psi("unsure", 0.1, Outcome.INCONCLUSIVE),
            psi("ignored", 0.9, None),
        ),
        schema(Outcome.FAILED, ("ok", "same", True), ("moved", "type", False)),
    ).set_index("feature")
    assert sorted(result.index) == ["gone", "moved", "ok", "unsure"]
    assert result.loc["unsure", "psi"] == pytest.approx(0.4)
    assert not result.loc["gone", "present_in_production"]
    outcomes, _ = validate_profile_table(
        result.reset_index(), suite_name="credit-risk 3", docs_dir=tmp_path
    )
    named = {outcome.name.split("feature_")[1]: outcome.sentence for outcome in outcomes}
    for feature in ("moved", "gone", "unsure"):
        assert f"{feature} (" in named["psi_to_be_at_most_its_limit"]
    assert "ok (" not in named["psi_to_be_at_most_its_limit"]
    assert "moved (" in named["to_fit_its_contract"]
    assert "ok (" not in named["to_fit_its_contract"]


@pytest.mark.parametrize(
    ("outcome", "verdict", "fits", "expected"),
    [
        (Outcome.PASSED, "may be absent", False, True),
        (Outcome.PASSED, "extra", True, True),
        (Outcome.FAILED, "extra", True, False),
        (Outcome.FAILED, "missing", False, False),
    ],
)
def test_what_the_policy_tolerates_fits(
    outcome: Outcome, verdict: str, fits: bool, expected: bool
) -> None:
    """The gate's verdict decides whether an optional or an extra column is a fault."""
    result = profile_table(None, schema(outcome, ("x", verdict, fits)))
    assert result["fits_contract"].tolist() == [expected]


def test_gates_that_measured_nothing_give_no_table() -> None:
    """A gate that could not judge leaves no table that would pass."""
    with pytest.raises(EvidenceMissing, match="neither the drift nor the schema gate"):
        profile_table(drift(), schema(Outcome.ERROR))


def test_the_page_needs_no_network_and_runs_nothing(tmp_path: Path) -> None:
    """Nothing is loaded from elsewhere, and a name in the data cannot become a script."""
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    rules = policy()
    frame = rows().assign(sex=[evil] * 3 + ["f"] * (ROWS - 3)).rename(columns={"x0": evil})
    _, page = validate_dataset(taken(frame, rules), rules, docs_dir=tmp_path)
    html = page.read_text()
    for forbidden in ("<script", "http://", "https://", "<link", "<img", "onerror=alert"):
        assert forbidden not in html.replace(_escaped(evil), "")
    assert "default-src 'none'" in html
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace(">", "&gt;")


def test_nothing_is_sent_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage statistics are off in the environment and the configuration, and no socket is used."""
    contexts = []

    def remembered(gx: Any) -> Any:
        contexts.append(context(gx))
        return contexts[-1]

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was tried")

    context = suites._context
    monkeypatch.setattr(suites, "_context", remembered)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "true")
    validate_profile_table(table(), suite_name="credit-risk 3", docs_dir=tmp_path)
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
    assert [used.config.analytics_enabled for used in contexts] == [False]
    assert [used.mode for used in contexts] == ["ephemeral"]


def test_a_second_validation_replaces_the_page(tmp_path: Path) -> None:
    """The directory holds the newest page and nothing else."""
    for name in ("suite one", "suite two"):
        _, page = validate_profile_table(table(), suite_name=name, docs_dir=tmp_path)
    assert "suite two" in page.read_text()
    assert "suite one" not in page.read_text()
    assert len(list(tmp_path.iterdir())) == 1


def test_validations_in_threads_do_not_mix(tmp_path: Path) -> None:
    """Great Expectations keeps one project a process; each page is about its own table."""

    def validated(number: int) -> tuple[int, int]:
        given = table(psi=last(0.1, 0.4) if number % 2 else 0.1)
        outcomes, page = validate_profile_table(
            given, suite_name=f"suite{number}", docs_dir=tmp_path / str(number)
        )
        return len(failures(outcomes)), page.read_text().count(f"suite{number}")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(validated, range(4)))
    assert [failed for failed, _ in found] == [0, 1, 0, 1]
    assert all(mentions for _, mentions in found)


def test_docs_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    """A full or forbidden directory is told as such."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnreachable, match="Writing Data Docs"):
        validate_profile_table(table(), suite_name="s", docs_dir=tmp_path / "file" / "docs")


def test_validating_a_dataset_is_quick(tmp_path: Path) -> None:
    """10,000 rows of 25 features take at most 1.5 s of CPU once the library is loaded."""
    rules = policy()
    dataset = taken(rows(10_000, features=23), rules)
    suites.great_expectations()
    before = time.process_time()
    outcomes, _ = validate_dataset(dataset, rules, docs_dir=tmp_path)
    assert time.process_time() - before < 1.5
    assert len(outcomes) > 30


def test_importing_the_adapter_does_not_import_great_expectations() -> None:
    """Its import takes seconds, which a command that validates nothing does not pay."""
    code = (
        "import sys, promotion_assets.adapters.expectations;"
        "assert 'great_expectations' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
