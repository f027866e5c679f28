"""Files of the workspace are whole or absent, and any model name is one safe path component."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from promotion_assets.errors import IntegrityError, StorageUnreachable
from promotion_assets.pipeline.files import read_value, safe_name, write_bytes, write_value


class Value(BaseModel):
    number: int


names = st.text(min_size=1, max_size=400)


@given(names)
def test_any_name_is_one_short_component_that_leads_nowhere_else(name: str) -> None:
    """A model may be called anything, and its folder stays below ours."""
    component = safe_name(name)
    assert "/" not in component
    assert "\x00" not in component
    assert component not in ("", ".", "..")
    assert len(component.encode()) <= 255


@given(names, names)
def test_two_names_never_share_a_component(one: str, other: str) -> None:
    """Two models never share a folder."""
    assert (safe_name(one) == safe_name(other)) == (one == other)


def test_a_value_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """What is written is what is read."""
    write_value(tmp_path / "deep" / "value.json", Value(number=3))
    assert read_value(tmp_path / "deep" / "value.json", Value) == Value(number=3)


def test_an_absent_file_is_none(tmp_path: Path) -> None:
    """Absence is told from damage."""
    assert read_value(tmp_path / "value.json", Value) is None


def test_a_damaged_file_is_an_integrity_error(tmp_path: Path) -> None:
    """Half a file is never read as a value."""
    (tmp_path / "value.json").write_text('{"number": ')
    with pytest.raises(IntegrityError, match=r"value\.json"):
        read_value(tmp_path / "value.json", Value)


def test_a_failed_write_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk loses nothing that was there."""
    target = tmp_path / "value.json"
    write_bytes(target, b"old")

    def _full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(StorageUnreachable, match="No space left"):
        write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]
