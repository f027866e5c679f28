"""A dataset version is taken once, never changes, and says what is wrong with it."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_assets.errors import (
    EvidenceMissing,
    IntegrityError,
    PromotionError,
    StorageUnreachable,
    UsageError,
)
from promotion_assets.evaluation import snapshot as snapshot_module
from promotion_assets.evaluation.dataset import DatasetSummary, EvaluationDataset
from promotion_assets.evaluation.snapshot import frame_digest, load_dataset, snapshot
from promotion_assets.policy.model import Dataset, Group, ModelPolicy

MODEL = "credit-risk"


def rows(count: int = 400) -> pd.DataFrame:
    """Return labelled rows that nothing is wrong with."""
    generator = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "id": np.arange(count),
            "when": pd.Timestamp("2024-03-01") + pd.to_timedelta(np.arange(count), unit="h"),
            "income": generator.normal(size=count),
            "age": generator.integers(18, 80, count),
            "sex": np.where(np.arange(count) % 2, "f", "m"),
            "note": "x",
            "default": (np.arange(count) % 4 == 0).astype(int),
        }
    )


def policy(base: Path, **changes: Any) -> ModelPolicy:
    """Return the policy of these tests; ``changes`` go to its dataset stanza."""
    task = changes.pop("task", "binary")
    groups = changes.pop("groups", (Group(column="sex"), Group(column="age", bands=(30, 50))))
    dataset = {
        "uri": "rows.parquet",
        "label": "default",
        "id": "id",
        "time": "when",
        "ignore": ("note",),
        **changes,
    }
    return ModelPolicy(
        task=task,
        dataset=Dataset.model_validate(dataset),
        groups=groups,
        gates={"accuracy": {}},
        base=str(base),
    )


def take(frame: pd.DataFrame, tmp_path: Path, **changes: Any) -> EvaluationDataset:
    """Write ``frame`` as the source and take it in."""
    frame.to_parquet(tmp_path / "rows.parquet")
    return snapshot(policy(tmp_path, **changes), tmp_path / "store", model=MODEL)


def test_a_version_says_what_a_person_wants_to_know(tmp_path: Path) -> None:
    """Rows, rate, sizes, time range and schema stand in the summary and beside the data."""
    frame = rows()
    dataset = take(frame, tmp_path)
    summary = dataset.summary
    assert dataset.digest == frame_digest(dataset.frame) == frame_digest(frame)
    assert summary.rows == 400
    assert summary.label_rate == 0.25
    assert summary.group_sizes["sex"] == {"f": 200, "m": 200}
    assert sum(summary.group_sizes["age"].values()) == 400
    assert summary.group_positives["sex"] == {"f": 0, "m": 100}
    assert summary.time_range == ("2024-03-01T00:00:00+00:00", "2024-03-17T15:00:00+00:00")
    assert [(c.name, c.type) for c in summary.columns][:3] == [
        ("id", "long"),
        ("when", "datetime"),
        ("income", "double"),
    ]
    assert summary.problems == ()
    assert dataset.features == ("income", "age", "sex")
    assert dataset.labels.tolist() == frame["default"].tolist()
    kept = (dataset.path.parent / "summary.json").read_text()
    assert DatasetSummary.model_validate_json(kept) == summary


def test_the_same_rows_are_taken_once(tmp_path: Path) -> None:
    """A second run, a copy and another file layout give the same version and write nothing."""
    first = take(rows(), tmp_path)
    before = first.path.stat()
    rows().to_parquet(tmp_path / "copy.parquet", row_group_size=11)
    again = snapshot(policy(tmp_path, uri="copy.parquet"), tmp_path / "store", model=MODEL)
    assert again.digest == first.digest
    after = again.path.stat()
    # Not the time of the last access, which reading it moves on.
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(list((tmp_path / "store/datasets").iterdir())) == 1


def test_overwriting_the_source_makes_a_new_version_and_keeps_the_old(tmp_path: Path) -> None:
    """What was judged on can be read for ever, whatever became of the source."""
    old = take(rows(), tmp_path)
    changed = rows()
    changed.loc[399, "income"] += 1
    new = take(changed, tmp_path)
    assert new.digest != old.digest
    kept = load_dataset(policy(tmp_path), tmp_path / "store", old.digest, model=MODEL)
    pd.testing.assert_frame_equal(kept.frame, old.frame)
    assert kept.summary == old.summary
    for name, names in old.groups.items():
        assert kept.groups[name].tolist() == names.tolist()


@pytest.mark.parametrize("digest", ["a" * 5000, "../../etc/passwd", "", "A" * 64, "a" * 63])
def test_a_name_that_is_no_digest_is_no_snapshot(tmp_path: Path, digest: str) -> None:
    """However long, and wherever it leads."""
    with pytest.raises(EvidenceMissing, match="there is no snapshot"):
        load_dataset(policy(tmp_path), tmp_path / "store", digest, model=MODEL)


def test_a_kept_version_is_described_by_the_policy_of_today(tmp_path: Path) -> None:
    """Groups and limits come from the policy, so a new policy on old rows needs no new version."""
    digest = take(rows(), tmp_path).digest
    other = policy(tmp_path, groups=(Group(column="sex", name="gender"),), min_rows=1000)
    dataset = load_dataset(other, tmp_path / "store", digest, model=MODEL)
    assert set(dataset.summary.group_sizes) == {"gender"}
    assert "400 rows, fewer than the 1000" in dataset.summary.problems[0]


@pytest.mark.parametrize("damage", ["flip", "cut", "swap"])
def test_a_changed_snapshot_is_never_handed_out(tmp_path: Path, damage: str) -> None:
    """Changed bytes, a cut file and another frame in its place are all found, on every way in."""
    dataset = take(rows(), tmp_path)
    dataset.path.chmod(0o644)
    data = bytearray(dataset.path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0xFF
        dataset.path.write_bytes(bytes(data))
    elif damage == "cut":
        dataset.path.write_bytes(bytes(data[:-20]))
    else:
        rows(399).to_parquet(dataset.path)
    with pytest.raises(IntegrityError, match="not the one that was taken"):
        load_dataset(policy(tmp_path), tmp_path / "store", dataset.digest, model=MODEL)
    with pytest.raises(IntegrityError, match=MODEL):
        snapshot(policy(tmp_path), tmp_path / "store", model=MODEL)


def test_a_version_that_is_not_there_is_missing_evidence(tmp_path: Path) -> None:
    """A digest without a snapshot is refused by name."""
    with pytest.raises(EvidenceMissing, match="no snapshot abc"):
        load_dataset(policy(tmp_path), tmp_path / "store", "abc", model=MODEL)


def test_rows_that_change_while_they_are_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the old rows and half of the new ones are not a dataset."""

    def read_and_overwrite(*arguments: Any, **options: Any) -> pd.DataFrame:
        frame = read(*arguments, **options)
        rows(401).to_parquet(tmp_path / "rows.parquet")
        return frame

    read = snapshot_module.read_frame
    monkeypatch.setattr(snapshot_module, "read_frame", read_and_overwrite)
    with pytest.raises(EvidenceMissing, match=r"credit-risk.*changed while it was read"):
        take(rows(), tmp_path)
    assert not (tmp_path / "store").exists()


def test_two_writers_of_the_same_rows_leave_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes second finds the content there, and that is what it wanted."""
    first = take(rows(), tmp_path)

    def unseen(path: Path) -> bool:
        return False if path == first.path else exists(path)

    exists = Path.exists
    monkeypatch.setattr(Path, "exists", unseen)
    again = snapshot(policy(tmp_path), tmp_path / "store", model=MODEL)
    assert again.digest == first.digest
    assert [path.name for path in first.path.parents[1].iterdir()] == [first.digest]


def test_rows_that_cannot_be_put_in_place_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody else has put them there, a failing rename is not taken for a lost race."""

    def refused(self: Path, target: Path) -> Path:
        raise OSError(errno.EIO, "the disk does not answer")

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(StorageUnreachable, match="the disk does not answer"):
        take(rows(), tmp_path)
    assert list((tmp_path / "store" / "datasets").iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes no more is an error of exit code 3, and no half version stays."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageUnreachable, match=r"credit-risk.*No space left") as caught:
        take(rows(), tmp_path)
    assert caught.value.exit_code == 3
    assert list((tmp_path / "store/datasets").iterdir()) == []


def changed(**columns: Any) -> pd.DataFrame:
    """Return good rows with some columns replaced."""
    return rows().assign(**columns)


SEVERAL = ["x", "y", "z", "x"] * 100
WITHOUT = np.where(np.arange(400) == 7, np.nan, np.arange(400) % 2)

UNFIT: dict[str, tuple[pd.DataFrame, dict[str, Any], str]] = {
    "no rows": (rows().iloc[:0], {}, "it has no rows"),
    "no label": (rows().drop(columns="default"), {}, "the label column 'default' is not there"),
    "no group": (rows().drop(columns="sex"), {}, "the group column 'sex' is not there"),
    "no id": (rows().drop(columns="id"), {}, "the id column 'id' is not there"),
    "no time": (rows().drop(columns="when"), {}, "the time column 'when' is not there"),
    "NaN label": (changed(default=WITHOUT), {}, "'default' is missing (NaN or null) in 1 of 400"),
    "one class": (changed(default=1), {}, "'default' has one class only: 1 in all 400 rows"),
    "new class": (changed(default=SEVERAL), {}, "has 3 values for a binary task: 'x', 'y', 'z'"),
    "no positive": (
        changed(default=["yes", "no"] * 200),
        {},
        "holds 'no', 'yes', and never the positive value 1",
    ),
    "one of many": (changed(default="x"), {"task": "multiclass"}, "one class only: 'x'"),
    "text target": (changed(default="x"), {"task": "regression"}, "a regression needs numbers"),
    "endless target": (
        changed(default=[np.inf, *range(399)]),
        {"task": "regression"},
        "is infinite in 1 rows, first in row 0",
    ),
    "no feature": (
        rows(),
        {"ignore": ("note", "income", "age", "sex")},
        "no column is left for the models",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_rows_that_nothing_can_be_judged_on_are_refused(case: str, tmp_path: Path) -> None:
    """The refusal names the model, the column and the value, and no version is kept."""
    frame, changes, said = UNFIT[case]
    with pytest.raises(EvidenceMissing) as caught:
        take(frame, tmp_path, **changes)
    assert said in caught.value.problem
    assert MODEL in caught.value.doing
    assert caught.value.next_step
    assert not (tmp_path / "store").exists()


MARRED: dict[str, tuple[pd.DataFrame, dict[str, Any], str]] = {
    "few rows": (rows(100), {"min_group_rows": 1}, "100 rows, fewer than the 200"),
    "twice the id": (changed(id=[7, 7, *range(8, 406)]), {}, "'id' repeats 1 times, 7 among them"),
    "no id in a row": (changed(id=[None, *range(399)]), {}, "'id' is missing in 1 rows"),
    "rate": (rows(), {"label_rate": (0.3, 0.5)}, "25.00% of label column 'default' are positive"),
    "small group": (
        changed(sex=["d"] * 3 + ["f"] * 397),
        {},
        "group sex=d (column 'sex') has 3 rows, fewer than the 30",
    ),
    "empty band": (
        rows(),
        {"groups": (Group(column="age", bands=(50, 99)),)},
        "group age=99+ (column 'age') has 0 rows",
    ),
    "empty category": (
        rows(),
        {"groups": (Group(column="sex", labels={"d": "diverse"}),)},
        "group sex=d (diverse) (column 'sex') has 0 rows",
    ),
    "new category": (
        changed(sex=["?"] + ["f"] * 399),
        {"groups": (Group(column="sex", labels={"f": "female"}),)},
        "group sex=? (column 'sex') has 1 rows",
    ),
    "no moment": (
        changed(when=["2024-01-01", "soon"] * 200),
        {},
        "'when' holds no moment in 200 rows, 'soon' among them",
    ),
    "a number for a moment": (changed(when=20240101), {}, "'when' holds no moment in 400 rows"),
    "no values": (changed(income=np.nan), {}, "feature column 'income' has no value in any of 400"),
}


@pytest.mark.parametrize("case", MARRED)
def test_what_mars_rows_is_told_and_they_are_judged_on(case: str, tmp_path: Path) -> None:
    """A problem that leaves a judgement possible is a sentence with model, column and value."""
    frame, changes, said = MARRED[case]
    problems = take(frame, tmp_path, **changes).summary.problems
    assert [said for problem in problems if said in problem and MODEL in problem] == [said]


def test_a_column_of_mixed_types_is_refused_by_name(tmp_path: Path) -> None:
    """SQLite keeps text in a number's column; the error names both."""
    database = sqlite3.connect(tmp_path / "rows.db")
    database.execute("create table t (income, default_ int)")
    database.executemany("insert into t values (?, ?)", [(1.5, 0), ("lots", 1)])
    database.commit()
    database.close()
    source = policy(
        tmp_path,
        uri="sqlite:///rows.db",
        query="select * from t",
        label="default_",
        id=None,
        time=None,
        groups=(),
    )
    with pytest.raises(UsageError, match=r"credit-risk.*'income' mixes types.*float.*str.*lots"):
        snapshot(source, tmp_path / "store", model=MODEL)


def test_an_unreachable_source_names_the_model(tmp_path: Path) -> None:
    """The message says for whom the rows were read."""
    with pytest.raises(PromotionError, match=r"credit-risk.*no such file"):
        snapshot(policy(tmp_path), tmp_path / "store", model=MODEL)


def test_text_labels_count_by_the_positive_value(tmp_path: Path) -> None:
    """The policy says which answer is positive."""
    frame = changed(default=["bad", "good", "good", "good"] * 100)
    dataset = take(frame, tmp_path, positive="bad")
    assert dataset.labels.dtype == np.int64
    assert dataset.labels.sum() == 100


def test_classes_come_in_their_natural_order(tmp_path: Path) -> None:
    """Numbers sort as numbers, so codes agree with scikit-learn's."""
    frame = changed(default=[10, 9, 2, 10] * 100)
    dataset = take(frame, tmp_path, task="multiclass")
    assert dataset.classes == ("2", "9", "10")
    assert dataset.labels[:4].tolist() == [2, 1, 0, 2]
    assert dataset.summary.label_rate is None


def test_a_regression_keeps_its_numbers(tmp_path: Path) -> None:
    """Targets are floats, with neither classes nor a rate."""
    frame = changed(default=np.linspace(0, 1, 400))
    dataset = take(frame, tmp_path, task="regression")
    assert dataset.labels.dtype == np.float64
    assert dataset.labels.tolist() == frame["default"].tolist()
    assert (dataset.classes, dataset.summary.group_positives) == ((), {})
