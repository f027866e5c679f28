"""Whether a dataset's source may hold something else is told without reading it."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from promotion_assets.pipeline.source_stamp import source_stamp
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.small_models import MODEL, write_dataset, write_policy


@pytest.fixture
def clock() -> Clock:
    """A clock that goes when it is told to."""
    return Clock()


def stamp(folder: Path, clock: Clock, uri: str = "evaluation.parquet", more: str = "") -> str:
    """The stamp of a dataset that lies at ``uri``."""
    config = write_policy(folder)
    config.write_text(config.read_text().replace("uri: evaluation.parquet", f"uri: {uri}{more}"))
    return source_stamp(Workspace.open(config=config, environ={}, clock=clock), MODEL)


def test_a_file_is_another_one_when_it_is_written(tmp_path: Path, clock: Clock) -> None:
    """Written anew it may be the same; untouched, at any hour, it is."""
    write_dataset(tmp_path)
    first = stamp(tmp_path, clock)
    clock.advance(hours=5)
    assert stamp(tmp_path, clock) == stamp(tmp_path, clock, f"file://{tmp_path}/evaluation.parquet")
    assert stamp(tmp_path, clock) == first
    write_dataset(tmp_path, seed=2)
    assert stamp(tmp_path, clock) != first


def test_a_folder_is_another_one_when_a_file_joins_or_leaves(tmp_path: Path, clock: Clock) -> None:
    """Parts of a dataset count one by one."""
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "1.parquet").write_bytes(b"1")
    one = stamp(tmp_path, clock, "parts")
    (parts / "2.parquet").write_bytes(b"2")
    two = stamp(tmp_path, clock, "parts")
    (parts / "1.parquet").unlink()
    assert len({one, two, stamp(tmp_path, clock, "parts")}) == 3


def test_what_is_not_there_is_told_apart_from_what_is(tmp_path: Path, clock: Clock) -> None:
    """A source that goes and comes back is read again both times."""
    missing = stamp(tmp_path, clock)
    assert missing.startswith("unreadable")
    write_dataset(tmp_path)
    assert stamp(tmp_path, clock) != missing


def test_an_object_is_known_by_what_its_store_says(tmp_path: Path, clock: Clock) -> None:
    """Its size, time or tag, whichever the store has; nothing is downloaded."""
    store = fsspec.filesystem("memory")
    store.pipe("/watched/rows.parquet", b"12")
    first = stamp(tmp_path, clock, "memory://watched/rows.parquet")
    clock.advance(hours=5)
    assert stamp(tmp_path, clock, "memory://watched/rows.parquet") == first
    store.pipe("/watched/rows.parquet", b"123")
    assert stamp(tmp_path, clock, "memory://watched/rows.parquet") != first


@pytest.mark.parametrize(
    ("uri", "more"),
    [("sqlite:///rows.db", ", query: select 1"), ("memory://nothing/there.parquet", "")],
    ids=["a query", "an object that cannot be asked for"],
)
def test_what_tells_nothing_is_read_once_an_hour(
    tmp_path: Path, clock: Clock, uri: str, more: str
) -> None:
    """Without a way to know, one looks; not at every tick."""
    first = stamp(tmp_path, clock, uri, more)
    clock.advance(minutes=59)
    assert stamp(tmp_path, clock, uri, more) == first
    clock.advance(minutes=1)
    assert stamp(tmp_path, clock, uri, more) != first
