"""Great Expectations judges dataset versions, quickly, and what it shows runs nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_assets.adapters.expectations import suites, validate_dataset
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.snapshot import describe
from promotion_assets.policy.model import Dataset, Group, ModelPolicy
from promotion_assets_tests.adapters.unmet import failures

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
