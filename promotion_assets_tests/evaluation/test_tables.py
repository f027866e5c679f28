"""The digest names content: every change shows, and nothing else does."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_assets.errors import UsageError
from promotion_assets.evaluation.reading import read_frame
from promotion_assets.evaluation.tables import canonical_frame, canonical_table, frame_digest

ROWS = 12_000


def wide_frame() -> pd.DataFrame:
    """Return 12,000 rows of every plain type, some of them missing."""
    generator = np.random.default_rng(3)
    amounts = generator.normal(size=ROWS)
    amounts[::97] = np.nan
    words = np.array(["lion", "ape", None, "Größe", ""], dtype=object)
    return pd.DataFrame(
        {
            "amount": amounts,
            "count": generator.integers(0, 9, ROWS),
            "small": generator.integers(0, 9, ROWS).astype("int8"),
            "single": generator.normal(size=ROWS).astype("float32"),
            "flag": generator.integers(0, 2, ROWS).astype(bool),
            "word": words[generator.integers(0, 5, ROWS)],
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS), unit="h"),
        }
    )


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """One frame for all tests of this module; none of them changes it."""
    return wide_frame()


def test_the_digest_of_a_fixed_frame_is_pinned() -> None:
    """A dataset version keeps its name under every later release of this package and of Arrow."""
    frame = pd.DataFrame(
        {
            "n": [1, 2, 3],
            "x": [0.5, None, -0.0],
            "s": ["a", None, "ß"],
            "b": [True, False, True],
            "t": pd.to_datetime(
                ["2024-01-01", None, "2024-01-03T04:05:06.000007"], format="ISO8601"
            ),
        }
    )
    assert frame_digest(frame) == (
        "ac253282bfa26336f31a06a9bc91614bdfe9f256428a0316c52684dda0ea7edb"
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount", 0.125),
        ("amount", np.nan),
        ("count", 10),
        ("small", 10),
        ("single", np.float32(0.125)),
        ("flag", None),
        ("word", "lion "),
        ("word", None),
        ("day", pd.Timestamp("2024-01-01T00:00:00.000001")),
        ("day", np.datetime64("NaT")),
    ],
)
def test_a_change_past_row_ten_thousand_gives_another_digest(
    frame: pd.DataFrame, column: str, value: Any
) -> None:
    """One changed cell shows, in every type and however far down."""
    changed = frame.copy()
    values = changed[column].to_numpy().copy()
    values[ROWS - 5] = (not values[ROWS - 5]) if column == "flag" else value
    changed[column] = values
    assert frame_digest(changed) != frame_digest(frame)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.rename(columns={"word": "words"}),
        lambda f: f.astype({"count": "int32"}),
        lambda f: f.astype({"flag": "int8"}),
        lambda f: f.iloc[::-1],
        lambda f: f.iloc[:-1],
        lambda f: f[["count", "amount", *f.columns[2:]]],
        lambda f: f.drop(columns="flag"),
        lambda f: f.assign(word=f["word"].fillna("")),
        lambda f: f.assign(day=f["day"].dt.tz_localize("UTC")),
    ],
)
def test_a_change_of_shape_name_type_or_order_gives_another_digest(
    frame: pd.DataFrame, change: Any
) -> None:
    """Content is values, names, types and order together."""
    assert frame_digest(change(frame)) != frame_digest(frame)


def test_text_does_not_flow_over_cell_borders() -> None:
    """The same bytes cut into other cells are other content."""
    assert frame_digest(pd.DataFrame({"a": ["ab", "c"]})) != frame_digest(
        pd.DataFrame({"a": ["a", "bc"]})
    )


@pytest.mark.parametrize(
    "form",
    [
        lambda f: f.set_index(pd.Index(np.arange(len(f))[::-1] * 3, name="key")),
        lambda f: f.astype({"word": "category"}),
        lambda f: f.astype({"word": object}),
        lambda f: f.assign(day=f["day"].astype("datetime64[ns]")),
        lambda f: f.assign(day=f["day"].astype("datetime64[s]")),
        lambda f: f.iloc[np.arange(len(f))],
        lambda f: pd.concat([f.iloc[:5], f.iloc[5:4000], f.iloc[4000:]]),
        lambda f: pd.concat([f, f]).iloc[len(f) :],
        lambda f: pa.Table.from_pandas(f).to_pandas(types_mapper=pd.ArrowDtype),
    ],
)
def test_the_form_in_memory_does_not_show(frame: pd.DataFrame, form: Any) -> None:
    """Index, dictionaries, chunks, offsets, units and string storage are not content."""
    assert frame_digest(form(frame)) == frame_digest(frame)


def test_what_lies_behind_a_missing_value_does_not_show() -> None:
    """Arrow leaves any bytes under a null; only that it is null counts."""
    nulls = pa.py_buffer(bytes([0b101]))
    noisy = pa.Array.from_buffers(
        pa.int64(), 3, [nulls, pa.py_buffer(np.array([1, 999, 3]).tobytes())]
    )
    clean = pa.array([1, None, 3], pa.int64())
    digests = {
        frame_digest(pd.DataFrame({"a": pd.Series(array, dtype=pd.ArrowDtype(pa.int64()))}))
        for array in (noisy, clean)
    }
    assert len(digests) == 1


@pytest.mark.parametrize("rows", [100, 5_000, 100_000])
@pytest.mark.parametrize("dictionary", [True, False])
def test_row_groups_and_dictionaries_of_a_file_do_not_show(
    frame: pd.DataFrame, tmp_path: Path, rows: int, dictionary: bool
) -> None:
    """However a Parquet file is laid out, the same rows have the same name."""
    path = tmp_path / "rows.parquet"
    table = pa.Table.from_pandas(frame)
    pq.write_table(table, path, row_group_size=rows, use_dictionary=dictionary, compression="gzip")
    assert frame_digest(read_frame("rows.parquet", base=tmp_path)) == frame_digest(frame)


def test_csv_shards_and_parquet_of_the_same_rows_have_one_digest(tmp_path: Path) -> None:
    """Where the types agree, the kind of file does not show."""
    frame = wide_frame().drop(columns=["small", "single", "word", "day"])
    frame["word"] = np.where(frame["flag"], "yes", "no")
    frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS), unit="h")
    shards = tmp_path / "shards"
    shards.mkdir()
    for number, start in enumerate(range(0, ROWS, 5_000)):
        part = frame.iloc[start : start + 5_000]
        part.to_csv(shards / f"part-{number:03}.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=777)
    digests = {
        frame_digest(read_frame(uri, base=tmp_path))
        for uri in ("shards", "shards/part-*.csv", "rows.parquet")
    }
    assert digests == {frame_digest(frame)}


CELLS: dict[str, st.SearchStrategy[Any]] = {
    "float64": st.none() | st.floats(allow_nan=False),
    "Int64": st.none() | st.integers(-(2**63), 2**63 - 1),
    "boolean": st.none() | st.booleans(),
    "object": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    "datetime64[ns]": st.none() | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Frames of a few columns of plain types with missing values."""
    rows = draw(st.integers(0, 12))
    kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4))
    return pd.DataFrame(
        {
            f"c{i}": pd.Series(
                draw(st.lists(CELLS[kind], min_size=rows, max_size=rows)), dtype=kind
            )
            for i, kind in enumerate(kinds)
        }
    )


@given(frames())
@settings(deadline=None, max_examples=150)
def test_a_canonical_frame_survives_a_file_with_its_digest(frame: pd.DataFrame) -> None:
    """What is taken in once reads back as itself, so a snapshot can be verified for ever."""
    taken = canonical_frame(canonical_table(frame))
    sink = pa.BufferOutputStream()
    pq.write_table(canonical_table(taken), sink)
    back = canonical_frame(pq.read_table(pa.BufferReader(sink.getvalue())))
    assert frame_digest(back) == frame_digest(taken)
    pd.testing.assert_frame_equal(back, taken)


@given(frames(), st.data())
@settings(deadline=None, max_examples=150)
def test_any_single_changed_cell_gives_another_digest(
    frame: pd.DataFrame, data: st.DataObject
) -> None:
    """No two frames that differ in one cell share a name."""
    if frame.empty:
        return
    row = data.draw(st.integers(0, len(frame) - 1))
    name = data.draw(st.sampled_from(list(frame.columns)))
    old = frame[name].tolist()
    new = list(old)
    new[row] = data.draw(CELLS[str(frame[name].dtype)])
    changed = frame.assign(**{name: pd.Series(new, dtype=frame[name].dtype)})
    before, after = (canonical_table(f)[name].to_pylist() for f in (frame, changed))
    same = repr(before) == repr(after)
    assert (frame_digest(changed) == frame_digest(frame)) == same


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"a": pd.Series([1, "x"], dtype=object)}), "column 'a' mixes types"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a'"),
        (pd.DataFrame([[1, 2]], columns=[0, 1]), "a column is called 0"),
        (pd.DataFrame({"a": [[1], [2]]}), "column 'a' holds"),
    ],
)
def test_what_has_no_canonical_form_is_refused_by_name(frame: pd.DataFrame, said: str) -> None:
    """A column that cannot be pinned is an error that names it, not a digest that means little."""
    with pytest.raises(UsageError, match=said):
        frame_digest(frame)


def test_whole_numbers_with_gaps_keep_every_digit() -> None:
    """Integers that a float would round are kept as integers when some are missing."""
    table = pa.table({"id": pa.array([2**60 + 1, None]), "n": pa.array([1, None])})
    frame = canonical_frame(table)
    assert frame["id"][0] == 2**60 + 1
    assert frame["n"].dtype == np.float64


@pytest.mark.parametrize(
    ("type_", "storage"),
    [
        (pa.uuid(), pa.array([b"0" * 16, None], pa.binary(16))),
        (pa.bool8(), pa.array([1, None], pa.int8())),
        (pa.json_(), pa.array(['{"a": 1}', None])),
    ],
    ids=["uuid", "bool8", "json"],
)
def test_a_type_of_an_extension_is_the_values_that_it_keeps(
    tmp_path: Path, type_: Any, storage: pa.Array
) -> None:
    """What a library calls its column is no content: the digest is that of the plain values."""
    digests = set()
    for name, column in {
        "plain": storage,
        "extended": pa.ExtensionArray.from_storage(type_, storage),
    }.items():
        pq.write_table(pa.table({"x": column}), tmp_path / f"{name}.parquet")
        digests.add(frame_digest(read_frame(f"{name}.parquet", base=tmp_path)))
    assert len(digests) == 1


def test_no_rows_are_still_of_their_columns(frame: pd.DataFrame) -> None:
    """Without a single row, name and type of the columns make the digest."""
    nothing = frame.head(0)
    assert frame_digest(nothing) == frame_digest(wide_frame().head(0))
    assert frame_digest(nothing) != frame_digest(nothing.rename(columns={"word": "words"}))
    assert frame_digest(nothing) != frame_digest(nothing.drop(columns="word"))
