"""The split of the demo's customers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from promotion_assets.demo.data import (
    LABEL,
    PROTECTED,
    UNIT,
    Split,
    features_of,
    read_customers,
    split,
    write_parts,
)


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    """All customers as shipped."""
    return read_customers()


@pytest.fixture(scope="module")
def parts(customers: pd.DataFrame) -> Split:
    """Their three parts."""
    return split(customers)


def test_sizes_and_label_rate(parts: Split) -> None:
    """The parts have 15,000, 10,000 and 5,000 rows, and defaults are equally common in them."""
    assert [len(p) for p in (parts.training, parts.evaluation, parts.production)] == [
        15_000,
        10_000,
        5_000,
    ]
    assert parts.training[LABEL].mean() == pytest.approx(parts.evaluation[LABEL].mean(), abs=0.01)


def test_no_customer_is_in_two_parts(customers: pd.DataFrame, parts: Split) -> None:
    """Training and evaluation share no customer, and the three parts are all customers."""
    assert not set(parts.training[UNIT]) & set(parts.evaluation[UNIT])
    columns = features_of(customers)
    whole = pd.concat([part[columns] for part in vars(parts).values()])
    assert sorted(map(tuple, whole.to_numpy())) == sorted(map(tuple, customers[columns].to_numpy()))


def test_split_does_not_depend_on_the_order_of_rows(customers: pd.DataFrame, parts: Split) -> None:
    """A shuffled source gives the same parts in the same order."""
    again = split(customers.sample(frac=1.0, random_state=7))
    pd.testing.assert_frame_equal(again.evaluation, parts.evaluation)
    pd.testing.assert_frame_equal(again.production, parts.production)


def test_models_see_education_and_no_other_protected_column(parts: Split) -> None:
    """SEX, AGE, MARRIAGE, the unit and the label are no features; EDUCATION is one."""
    features = set(features_of(parts.training))
    assert "EDUCATION" in features
    assert not features & {UNIT, LABEL, *PROTECTED}
    assert list(parts.production.columns) == features_of(parts.training)


def test_written_parts_are_left_alone(parts: Split, tmp_path: Path) -> None:
    """A file that is there keeps its bytes, because its digest names a dataset version."""
    write_parts(parts, tmp_path)
    assert pd.read_parquet(tmp_path / "evaluation.parquet").equals(parts.evaluation)
    (tmp_path / "production.parquet").write_bytes(b"edited by somebody")
    write_parts(parts, tmp_path)
    assert (tmp_path / "production.parquet").read_bytes() == b"edited by somebody"
    assert {p.name for p in tmp_path.iterdir()} == {"evaluation.parquet", "production.parquet"}
