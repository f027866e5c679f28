"""What is said of rows that were read shard by shard is what is said of rows in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_assets.errors import EvidenceMissing, StorageUnreachable
from promotion_assets.evaluation.dataset import DatasetSummary
from promotion_assets.evaluation.large import describing, intake
from promotion_assets.evaluation.large.intake import load_large, snapshot_large
from promotion_assets.evaluation.snapshot import snapshot
from promotion_assets.policy.model import ModelPolicy
from promotion_assets_tests.large_rows import frame, policy_of

ROWS = 900
NO_GATE = {"gates": {"schema": {}}}


def timed(rows: int = ROWS) -> pd.DataFrame:
    """Rows with a moment each, in no order, and one number to predict."""
    made = frame(rows)
    hours = np.random.default_rng(3).permutation(rows)
    return made.assign(
        seen=pd.Timestamp("2026-01-01") + pd.to_timedelta(hours, unit="h"),
        loss=np.random.default_rng(4).normal(size=rows),
    )


def asking(source: Path, rows: pd.DataFrame, **changes: Any) -> ModelPolicy:
    """Write rows, and return a policy that reads them; ``changes`` go to the dataset's stanza."""
    rows.to_parquet(source, row_group_size=200)
    task = changes.pop("task", "binary")
    groups = changes.pop("groups", [{"column": "sex"}, {"column": "region"}])
    dataset = {"uri": str(source), "label": "default", "min_rows": 1, "min_group_rows": 1}
    return policy_of(source, task=task, groups=groups, dataset={**dataset, **changes}, **NO_GATE)


def both(tmp_path: Path, rows: pd.DataFrame, **changes: Any) -> DatasetSummary:
    """Return the summary of rows read shard by shard, once it is proven to be that in memory."""
    policy = asking(tmp_path / "rows.parquet", rows, **changes)
    streamed = snapshot_large(policy, tmp_path / "streamed", model="m").summary
    held = snapshot(policy, tmp_path / "held", model="m").summary
    # Row numbers are told of rows in memory alone.
    assert len(streamed.problems) == len(held.problems)
    without = {"problems": ()}
    assert streamed.model_copy(update=without) == held.model_copy(update=without)
    return streamed


def test_the_range_of_time_is_that_of_all_rows(tmp_path: Path) -> None:
    """Wherever the first and the last moment stand, and in whatever shard."""
    found = both(tmp_path, timed(), time="seen", label_rate=(0.1, 0.9))
    assert found.time_range == ("2026-01-01T00:00:00+00:00", "2026-02-07T11:00:00+00:00")
    assert found.problems == ()


def test_rows_without_a_moment_or_a_name_are_counted(tmp_path: Path) -> None:
    """They are judged all the same, and said to be there."""
    rows = timed()
    rows["seen"] = rows["seen"].where(rows.index % 100 != 5)
    rows["customer"] = rows["customer"].astype("Int64").where(rows.index != 7)
    problems = both(tmp_path, rows, time="seen", id="customer").problems
    assert problems == (
        "m: time column 'seen' holds no moment in 9 rows",
        "m: id column 'customer' is missing in 1 rows",
    )


def test_no_row_with_a_moment_is_no_range(tmp_path: Path) -> None:
    """Nothing is made up where every moment is missing."""
    rows = timed().assign(seen=pd.Series([pd.NaT] * ROWS, dtype="datetime64[ns]"))
    assert both(tmp_path, rows, time="seen").time_range is None


def test_numbers_are_described_without_a_rate(tmp_path: Path) -> None:
    """A regression has groups and no positives."""
    found = both(tmp_path, timed(), task="regression", label="loss")
    assert found.label_rate is None
    assert sum(found.group_sizes["sex"].values()) == ROWS


@pytest.mark.parametrize(
    ("spoil", "changes", "problem"),
    [
        (
            lambda f: f.assign(loss=f["loss"].where(f.index != 640)),
            {"task": "regression", "label": "loss"},
            "first in row 640",
        ),
        (
            lambda f: f.assign(loss=f["loss"].astype(str)),
            {"task": "regression", "label": "loss"},
            "loss",
        ),
        (lambda f: f.assign(default=f.index), {}, "more than 100 values for a binary task"),
    ],
    ids=["a number is missing", "words", "numbers for two classes"],
)
def test_labels_of_another_task_are_refused(
    tmp_path: Path,
    spoil: Callable[[pd.DataFrame], pd.DataFrame],
    changes: dict[str, Any],
    problem: str,
) -> None:
    """The first that cannot be judged on is named, before memory is full of the others."""
    policy = asking(tmp_path / "rows.parquet", spoil(timed()), **changes)
    with pytest.raises(EvidenceMissing, match=problem):
        snapshot_large(policy, tmp_path / "store", model="m")


def test_a_column_that_is_no_group_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id named as a group would take memory without a limit."""
    monkeypatch.setattr(describing, "MOST_GROUPS", 500)
    policy = asking(tmp_path / "rows.parquet", timed(), groups=[{"column": "customer"}])
    with pytest.raises(EvidenceMissing, match="more than 500 values"):
        snapshot_large(policy, tmp_path / "store", model="m")


def test_the_same_rows_again_are_the_same_version(tmp_path: Path) -> None:
    """Nothing is written twice, and the description stands as it was first given."""
    policy = asking(tmp_path / "rows.parquet", timed())
    first = snapshot_large(policy, tmp_path / "store", model="m")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*")}
    again = snapshot_large(policy, tmp_path / "store", model="m")
    assert (again.digest, again.path) == (first.digest, first.path)
    files = {path: path.stat().st_mtime_ns for path in before if path.is_file()}
    assert files.items() <= before.items()
    left = [path.name for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert sorted(left) == sorted(path.name for path in files)


def test_a_version_that_is_not_there_is_evidence_missing(tmp_path: Path) -> None:
    """Whoever asks for a digest that nobody has kept is told what to materialise."""
    policy = asking(tmp_path / "rows.parquet", timed())
    with pytest.raises(EvidenceMissing, match="there is no snapshot"):
        load_large(policy, tmp_path / "store", "0" * 64)


def test_a_source_that_changes_while_it_is_read_is_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of two states of a file are rows of neither, and nothing of them is kept."""
    policy = asking(tmp_path / "rows.parquet", timed())
    writing = intake._write

    def overtaken(batches: Any, draft: Path) -> int:
        rows = writing(batches, draft)
        frame(ROWS + 1, seed=9).to_parquet(tmp_path / "rows.parquet")
        return rows

    monkeypatch.setattr(intake, "_write", overtaken)
    with pytest.raises(EvidenceMissing, match="changed while it was read"):
        snapshot_large(policy, tmp_path / "store", model="m")
    assert list((tmp_path / "store" / "datasets").iterdir()) == []


def test_a_store_that_cannot_be_written_is_unreachable(tmp_path: Path) -> None:
    """A file where the folder should be ends with what to mend."""
    policy = asking(tmp_path / "rows.parquet", timed())
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(StorageUnreachable, match="cannot be written"):
        snapshot_large(policy, tmp_path / "store", model="m")


def test_a_column_without_any_value_is_a_column_all_the_same(tmp_path: Path) -> None:
    """It is in the digest, in the schema and in the sample that is read back."""
    rows = timed().assign(nothing=None)
    found = both(tmp_path, rows)
    assert found.digest != both(tmp_path, timed()).digest
    policy = asking(tmp_path / "rows.parquet", rows)
    loaded = load_large(policy, tmp_path / "streamed", found.digest, model="m")
    assert loaded.frame["nothing"].isna().all()
