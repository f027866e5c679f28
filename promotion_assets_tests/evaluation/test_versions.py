"""Dataset versions, held in memory or read shard by shard as the policy says."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from promotion_assets.errors import EvidenceMissing, UsageError
from promotion_assets.evaluation.versions import load_version, take_in
from promotion_assets.policy.model import ModelPolicy
from promotion_assets_tests.large_rows import frame, policy_of


def asking(uri: str, engine: str = "memory", **changes: Any) -> ModelPolicy:
    """Return a policy that reads ``uri`` with one engine."""
    dataset = {"uri": uri, "label": "default", "min_rows": 1, **changes.pop("dataset", {})}
    return policy_of(Path(uri), dataset=dataset, evaluation={"engine": engine, **changes})


def test_a_version_is_the_same_whichever_way_it_is_read(tmp_path: Path) -> None:
    """What one policy has taken in, another one loads, whatever either says of memory."""
    path = tmp_path / "rows.parquet"
    frame(600).to_parquet(path)
    held = take_in(asking(str(path)), tmp_path / "store", model="m")
    streamed = take_in(asking(str(path), "streaming"), tmp_path / "store", model="m")
    assert held.digest == streamed.digest
    assert (held.streamed, streamed.streamed) == (False, True)
    for engine, as_streamed in (("memory", False), ("streaming", True)):
        loaded = load_version(asking(str(path), engine), tmp_path / "store", held.digest)
        assert (loaded.digest, loaded.streamed) == (held.digest, as_streamed)
    pd.testing.assert_frame_equal(held.frame, pd.read_parquet(path), check_dtype=False)


def test_a_version_that_nobody_kept_is_missing_evidence(tmp_path: Path) -> None:
    """In memory as shard by shard."""
    for engine in ("memory", "streaming"):
        with pytest.raises(EvidenceMissing):
            load_version(asking("rows.parquet", engine), tmp_path, "0" * 64)


def test_text_is_measured_by_its_files(tmp_path: Path) -> None:
    """A directory of CSV past the bound is refused before any of it is read."""
    (tmp_path / "parts").mkdir()
    for name in ("a", "b"):
        frame(20_000).to_csv(tmp_path / "parts" / f"{name}.csv", index=False)
    size = sum(path.stat().st_size for path in (tmp_path / "parts").iterdir())
    assert size > 2**20
    policy = asking(str(tmp_path / "parts"), max_memory_bytes=2**20)
    with pytest.raises(UsageError, match="may be held in memory"):
        take_in(policy, tmp_path / "store", model="m")
    assert not (tmp_path / "store").exists()


def test_a_query_is_asked_whatever_lies_behind_it(tmp_path: Path) -> None:
    """How much a database would answer with is not known before, and no file is looked for."""
    with closing(sqlite3.connect(tmp_path / "rows.db")) as database:
        frame(300).to_sql("customers", database, index=False)
    policy = asking(
        f"sqlite:///{tmp_path / 'rows.db'}",
        dataset={"query": "SELECT * FROM customers WHERE customer < 200"},
    )
    assert take_in(policy, tmp_path / "store", model="m").summary.rows == 200
