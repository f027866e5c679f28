"""Guesses about a data file: what they find, and what they leave to a person."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from promotion_assets.evaluation.guessing import GuessedGroup, guess, likely_labels


@pytest.fixture
def frame() -> pd.DataFrame:
    """Rows as a team keeps them: features, a label, a unit, groups, a date."""
    rows = 400
    random = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "customer_id": np.arange(rows) + 1000,
            "amount": random.normal(size=rows),
            "AGE": random.integers(18, 80, rows),
            "plan": random.choice(["a", "b", "c"], rows),
            "country": random.choice(["DE", "FR"], rows),
            "churned": random.integers(0, 2, rows),
            "seen": pd.date_range("2026-01-01", periods=rows, freq="h"),
        }
    )


def test_the_label_is_what_the_model_does_not_take(frame: pd.DataFrame) -> None:
    """A column by a label's name comes first; an input of the model never comes."""
    assert likely_labels(frame, {"amount", "AGE", "plan"})[0] == "churned"
    assert "churned" not in likely_labels(frame, set(frame.columns))


def test_unit_time_and_groups_are_found(frame: pd.DataFrame) -> None:
    """A measure is cut into bands; an input is a group only by a protected name."""
    found = guess(frame, "churned", {"amount", "AGE", "plan"})
    assert (found.task, found.positive, found.id, found.time) == (
        "binary",
        1,
        "customer_id",
        "seen",
    )
    groups = {group.column: group for group in found.groups}
    assert set(groups) == {"AGE", "country"}
    assert groups["country"] == GuessedGroup("country")
    assert list(groups["AGE"].bands) == sorted(set(groups["AGE"].bands))


@pytest.mark.parametrize(
    ("values", "task", "positive"),
    [
        (["no", "yes"], "binary", "yes"),
        ([False, True], "binary", True),
        ([0, 1, 2], "multiclass", 1),
        (["a", "b", "c"], "multiclass", 1),
        (list(np.linspace(0, 1, 50)), "regression", 1),
        (list(range(500)), "regression", 1),
    ],
)
def test_the_task_follows_from_the_labels(
    values: list[object], task: str, positive: object
) -> None:
    """Two values are binary, a few are classes, many numbers are a regression."""
    found = guess(pd.DataFrame({"y": values, "x": range(len(values))}), "y", {"x"})
    assert (found.task, found.positive) == (task, positive)


def test_a_missing_label_is_an_error(frame: pd.DataFrame) -> None:
    """Nothing is guessed about a column that is not there."""
    with pytest.raises(KeyError, match="gone"):
        guess(frame, "gone", ())


def test_a_column_with_gaps_or_repeats_names_no_unit(frame: pd.DataFrame) -> None:
    """A row that cannot be found by its id would be counted under another's."""
    gaps = frame.assign(customer_id=frame["customer_id"].where(frame.index != 3))
    repeats = frame.assign(customer_id=frame["customer_id"].where(frame.index != 3, 1000))
    for changed in (gaps, repeats):
        assert guess(changed, "churned", {"amount", "AGE", "plan"}).id is None


def test_words_without_end_are_no_group(frame: pd.DataFrame) -> None:
    """Not even under a protected name: four hundred towns cannot be compared."""
    towns = [f"town {number}" for number in range(len(frame))]
    found = guess(frame.assign(nationality=towns, note=towns), "churned", {"amount"})
    assert not {"nationality", "note"} & {group.column for group in found.groups}
