"""Rows are read from every place that a policy may name, or the error says what to do."""

from __future__ import annotations

import gzip
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promotion_assets.errors import PromotionError, StorageUnreachable, UsageError
from promotion_assets.evaluation import csv_source
from promotion_assets.evaluation.reading import (
    column_names,
    fingerprint,
    iter_batches,
    read_contract,
    read_frame,
)
from promotion_assets.evaluation.sources import reading_errors, without_credentials

FRAME = pd.DataFrame({"id": [1, 2, 3], "x": [0.5, np.nan, 2.0], "word": ["a", None, "ß"]})


def write(path: Path, text: str) -> str:
    """Write a text file and return its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path.name


def test_a_relative_path_starts_from_the_base(tmp_path: Path) -> None:
    """A policy's paths mean the same wherever the command is run."""
    FRAME.to_parquet(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(read_frame("rows.parquet", base=tmp_path), FRAME)


def test_a_file_uri_and_an_absolute_path_read_the_same(tmp_path: Path) -> None:
    """An absolute address does not depend on the base."""
    path = tmp_path / "rows.parquet"
    FRAME.to_parquet(path)
    for uri in (str(path), path.as_uri()):
        pd.testing.assert_frame_equal(read_frame(uri, base=Path("/nowhere")), FRAME)


def test_an_fsspec_address_is_read() -> None:
    """Whatever fsspec knows is a source."""
    with fsspec.open("memory://reading/rows.csv", "w") as file:
        file.write("id,x\n1,0.5\n2,\n")
    frame = read_frame("memory://reading/rows.csv", base=Path())
    assert frame["id"].tolist() == [1, 2]
    assert frame["x"].isna().tolist() == [False, True]


def test_a_compressed_tab_separated_file_is_read(tmp_path: Path) -> None:
    """The name's ending says how to read it."""
    (tmp_path / "rows.tsv.gz").write_bytes(gzip.compress(b"id\tname\n1\ta,b\n"))
    assert read_frame("rows.tsv.gz", base=tmp_path).to_dict("list") == {"id": [1], "name": ["a,b"]}


def test_files_of_a_directory_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Row order is content, so it must not depend on the file system; hidden files are left out."""
    for name, value in {"b.csv": "2", "a.csv": "1", "_SUCCESS": "", ".x.csv": "9"}.items():
        write(tmp_path / "parts" / name, f"n\n{value}\n")
    assert read_frame("parts", base=tmp_path)["n"].tolist() == [1, 2]


def test_a_pattern_names_some_files(tmp_path: Path) -> None:
    """A pattern is as good as a name, also where the names hold odd characters."""
    for name in ("2024 [a].csv", "2024 b.csv", "2023.csv"):
        write(tmp_path / "parts" / name, "n\n1\n")
    assert len(read_frame("parts/2024*.csv", base=tmp_path)) == 2
    assert len(read_frame("parts/2024 [a].csv", base=tmp_path)) == 1


def test_a_csv_column_is_what_all_of_its_values_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fraction, a text or a first value far down, or in another file, is not an error."""
    monkeypatch.setattr(csv_source, "BLOCK_BYTES", 200)
    rows = [f"{i},{i},,2024-01-01" for i in range(200)]
    rows += ["200,0.5,7,2024-01-01 10:00:00", "201,x,8,2024-01-01 10:00:00.5"]
    write(tmp_path / "a.csv", "n,mixed,late,day\n" + "\n".join(rows) + "\n")
    write(tmp_path / "b.csv", "day,late,mixed,n\n2024-02-01,,1,2.5\n")
    frame = read_frame("*.csv", base=tmp_path)
    assert frame["n"].tolist() == [*range(202), 2.5]
    assert frame["mixed"].tolist() == [*(str(i) for i in range(200)), "0.5", "x", "1"]
    assert frame["late"].dropna().tolist() == [7, 8]
    assert frame["day"].iloc[[200, 201]].dt.hour.tolist() == [10, 10]
    assert frame["day"].notna().all()


def test_a_line_break_in_quotes_may_stand_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text of several lines is one value, also where a block of the file ends within it."""
    monkeypatch.setattr(csv_source, "BLOCK_BYTES", 200)
    rows = "".join(f'{i},"one\ntwo, {i}\n"\n' for i in range(100))
    write(tmp_path / "a.csv", f'n,"text; as\nwritten"\n{rows}')
    frame = read_frame("a.csv", base=tmp_path)
    assert frame["n"].tolist() == list(range(100))
    assert frame["text; as\nwritten"].tolist() == [f"one\ntwo, {i}\n" for i in range(100)]


def test_one_column_may_have_another_separator_in_its_quoted_name(tmp_path: Path) -> None:
    """What stands in quotes separates nothing."""
    write(tmp_path / "a.csv", '"a;b"\n1\n')
    assert list(read_frame("a.csv", base=tmp_path).columns) == ["a;b"]


def test_values_that_models_take_otherwise_are_made_plain(tmp_path: Path) -> None:
    """Dictionaries, decimals and dates come as text, floats and moments."""
    table = pa.table(
        {
            "c": pa.array(["a", "b", "a"]).dictionary_encode(),
            "d": pa.array([Decimal("1.50"), None, Decimal("2.25")]),
            "day": pa.array([0, 1, None], pa.date32()),
            "ok": pa.array([True, None, False]),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    frame = read_frame("rows.parquet", base=tmp_path)
    assert frame["c"].tolist() == ["a", "b", "a"]
    assert frame["d"].tolist()[::2] == [1.5, 2.25]
    assert str(frame["day"].dtype) == "datetime64[us]"
    assert frame["ok"].tolist() == [True, None, False]


def test_batches_are_bounded_and_share_one_schema(tmp_path: Path) -> None:
    """A large row group is streamed, and whole numbers in one file widen to another's floats."""
    pq.write_table(pa.table({"n": list(range(1000))}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": [0.5]}), tmp_path / "b.parquet")
    batches = list(iter_batches("*.parquet", base=tmp_path, batch_rows=128))
    assert max(batch.num_rows for batch in batches) == 128
    assert {str(batch.schema.field("n").type) for batch in batches} == {"double"}
    assert sum(batch.num_rows for batch in batches) == 1001


def test_only_the_wanted_columns_are_read(tmp_path: Path) -> None:
    """Columns can be named, and a wrong name is an error that lists the right ones."""
    FRAME.to_parquet(tmp_path / "rows.parquet")
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    for name in ("rows.parquet", "rows.csv"):
        assert list(read_frame(name, base=tmp_path, columns=["word", "id"])) == ["word", "id"]
        assert column_names(name, base=tmp_path) == ("id", "x", "word")
    with pytest.raises(UsageError, match="no column 'wrod'; the columns are id, x, word"):
        read_frame("rows.parquet", base=tmp_path, columns=["wrod"])


def test_a_query_is_read_from_a_database_beside_the_policy(tmp_path: Path) -> None:
    """A SQLAlchemy URL with a query is a source; numbers with gaps are floats."""
    with sqlite3.connect(tmp_path / "rows.db") as database:
        FRAME.to_sql("rows", database, index=False)
    database.close()
    query = "select id, x, word from rows order by id desc"
    frame = read_frame("sqlite:///rows.db", query=query, base=tmp_path)
    assert frame["id"].tolist() == [3, 2, 1]
    assert frame["x"].isna().tolist() == [False, True, False]
    (batch,) = iter_batches("sqlite:///rows.db", query=query, base=tmp_path)
    assert batch.num_rows == 3
    assert fingerprint("sqlite:///rows.db", tmp_path) is None


def test_a_contract_is_read_from_the_columns(tmp_path: Path) -> None:
    """Names and types of a source are what the feature pipeline delivers."""
    FRAME.to_parquet(tmp_path / "rows.parquet")
    contract = read_contract("rows.parquet", base=tmp_path)
    assert [(c.name, c.type, c.required) for c in contract.columns] == [
        ("id", "long", True),
        ("x", "double", False),
        ("word", "string", False),
    ]


def test_the_fingerprint_shows_that_a_file_was_written_again(tmp_path: Path) -> None:
    """Same size, same name and other bytes still give another fingerprint."""
    name = write(tmp_path / "rows.csv", "n\n1\n")
    before = fingerprint(name, tmp_path)
    assert fingerprint(name, tmp_path) == before
    write(tmp_path / "new.csv", "n\n2\n")
    (tmp_path / "new.csv").replace(tmp_path / "rows.csv")
    assert fingerprint(name, tmp_path) != before


BROKEN: dict[str, tuple[dict[str, bytes], str, type[PromotionError], str]] = {
    "absent": ({}, "rows.parquet", StorageUnreachable, "there is no such file"),
    "no match": ({}, "*.csv", StorageUnreachable, "no file matches"),
    "empty directory": ({"d/_x": b""}, "d", StorageUnreachable, "there is no such file"),
    "unknown kind": ({"rows.xlsx": b"PK"}, "rows.xlsx", UsageError, "neither Parquet nor CSV"),
    "two kinds": ({"d/a.csv": b"", "d/b.parquet": b""}, "d", UsageError, "are mixed"),
    "cut off": ({"a.parquet": b"PAR1abc"}, "a.parquet", UsageError, "not what it is taken for"),
    "empty csv": ({"a.csv": b""}, "a.csv", UsageError, "Empty CSV"),
    "ragged": ({"a.csv": b"a,b\n1,2\n1\n"}, "a.csv", UsageError, "Expected 2 columns"),
    "not text": ({"a.csv": b"a\n\xff\xfe\n"}, "a.csv", UsageError, "not UTF-8 text"),
    "a name that is no text": ({"a.csv": b"a\x8d\n1\n"}, "a.csv", UsageError, "name is not UTF-8"),
    "two headers": ({"a.csv": b"a,a\n1,2\n"}, "a.csv", UsageError, "two columns called 'a'"),
    "semicolons": (
        {"a.csv": b"\xef\xbb\xbfid;paid\r\n1;2,5\r\n"},
        "a.csv",
        UsageError,
        "has ';' between columns, and not ',': 'id;paid'",
    ),
    "tabs": ({"a.csv": b"id\tpaid\n1\t2\n"}, "a.csv", UsageError, "has a tab between columns"),
    "commas": ({"a.tsv": b"id,paid\n1,2\n"}, "a.tsv", UsageError, "and not a tab"),
    "other headers": (
        {"d/a.csv": b"a\n1\n", "d/b.csv": b"b\n1\n"},
        "d",
        UsageError,
        "differ in the columns a, b",
    ),
    "hidden column": (
        {"d/year=1/a.csv": b"a\n1\n", "d/year=2/a.csv": b"a\n1\n"},
        "d",
        UsageError,
        "keeps a column in its directory's name",
    ),
    "unknown scheme": ({}, "gopher://x/a.csv", UsageError, "gopher"),
    "database without query": ({}, "sqlite:///a.db", UsageError, "without a query"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_is_an_error_of_three_parts(case: str, tmp_path: Path) -> None:
    """The message says what was read, what is wrong with it and what to do."""
    files, uri, kind, said = BROKEN[case]
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with pytest.raises(kind) as caught:
        read_frame(uri, base=tmp_path)
    assert said in caught.value.problem
    assert uri in caught.value.doing
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([pa.table({"a": [[1]]})], "column 'a' holds list"),
        ([pa.table({"a": [1]}), pa.table({"a": ["x"]})], "disagree on a column's type"),
        ([pa.table({"a": [1]}), pa.table({"b": [1]})], "not in every file"),
        ([pa.table([[1], [2]], names=["a", "a"])], "there twice"),
    ],
)
def test_parquet_that_is_no_table_of_plain_columns_is_refused(
    tables: list[Any], said: str, tmp_path: Path
) -> None:
    """Files that disagree, and columns of lists, are named."""
    for number, table in enumerate(tables):
        pq.write_table(table, tmp_path / f"{number}.parquet")
    with pytest.raises(UsageError, match=said):
        read_frame("*.parquet", base=tmp_path)


@pytest.mark.parametrize(
    ("uri", "query", "kind", "said"),
    [
        ("sqlite:///absent.db", "select 1", StorageUnreachable, "no database file absent.db"),
        ("sqlite:///rows.db", "select * from cats", UsageError, "no such table"),
        ("sqlite:///rows.db", "selec", UsageError, "syntax error"),
        ("sqlite:///rows.db", "delete from mixed", UsageError, "the query is refused"),
        ("sqlite:///rows.txt", "select a from t", UsageError, "not a database"),
        ("sqlite:///rows.db", "select * from mixed", UsageError, "column 'a' mixes types"),
        ("postgresql+nodriver://u:pw@h/d", "select 1", UsageError, "driver is not usable"),
        ("rows.csv", "select 1", UsageError, "a query is given for a file"),
        (
            "postgresql+psycopg2://u:secret@127.0.0.1:9/d",
            "select 1",
            StorageUnreachable,
            "does not answer",
        ),
    ],
)
def test_a_database_that_cannot_be_read_is_an_error_of_three_parts(
    uri: str, query: str, kind: type[PromotionError], said: str, tmp_path: Path
) -> None:
    """A wrong query is the user's, a silent database is not; no password is shown."""
    write(tmp_path / "rows.txt", "not a database at all" * 100)
    database = sqlite3.connect(tmp_path / "rows.db")
    database.execute("create table mixed (a)")
    database.executemany("insert into mixed values (?)", [(1,), ("x",)])
    database.commit()
    database.close()
    with pytest.raises(kind) as caught:
        read_frame(uri, query=query, base=tmp_path)
    assert said in caught.value.problem
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "absent.db").exists()


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://u:p@h/d", "postgresql://***@h/d"),
        ("https://h/a.csv?sig=secret", "https://h/a.csv?…"),
        ("s3://bucket/a.parquet", "s3://bucket/a.parquet"),
        ("data/what?.csv", "data/what?.csv"),
        ("s3://bucket/a@b.parquet", "s3://bucket/a@b.parquet"),
        ("postgresql+psycopg2://u:p/w#q?r@h/d", "postgresql+psycopg2://***@h/d"),
        ("postgresql://u:p@w@h/d?password=p", "postgresql://***@h/d?…"),
    ],
)
def test_addresses_are_shown_without_credentials(uri: str, shown: str) -> None:
    """Nothing that opens a door is written to messages or records."""
    assert without_credentials(uri) == shown


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("postgresql+psycopg2://u:p@secret@127.0.0.1:9/d", "written as %40"),
        ("postgresql+psycopg2://u:p@127.0.0.1:secret/d", "its port is no number"),
    ],
)
def test_an_address_that_is_wrongly_written_shows_no_password(
    uri: str, said: str, tmp_path: Path
) -> None:
    """Where an @ or a colon stands in the wrong place, a part of the password is a host or port."""
    with pytest.raises(UsageError) as caught:
        read_frame(uri, query="select 1", base=tmp_path)
    assert said in caught.value.problem
    assert "secret" not in caught.value.problem


def test_what_a_file_system_says_is_told_without_credentials() -> None:
    """File systems repeat the address that they were given, with all that is in it."""
    with pytest.raises(StorageUnreachable) as caught, reading_errors("https://u:secret@h/a.csv"):
        raise FileNotFoundError("https://u:secret@h/a.csv?signature=secret is not there")
    assert "https://***@h/a.csv?… is not there" in caught.value.problem
    assert "secret" not in str(caught.value)


def test_a_column_that_is_empty_in_one_file_has_the_type_of_the_others(tmp_path: Path) -> None:
    """A month without a single value does not make words of the numbers of all months."""
    write(tmp_path / "parts" / "a.csv", "id,x\n1,\n")
    write(tmp_path / "parts" / "b.csv", "id,x\n2,7\n")
    write(tmp_path / "parts" / "c.csv", "id,x\n3,\n")
    found = read_frame("parts", base=tmp_path)
    assert pd.api.types.is_numeric_dtype(found["x"])
    assert found["x"].isna().tolist() == [True, False, True]


def test_a_line_that_is_cut_off_far_below_is_said(tmp_path: Path) -> None:
    """Also where the file is read in pieces, and the first of them are sound."""
    write(tmp_path / "rows.csv", "id,x\n" + "1,0.25\n" * 400_000 + "1\n")
    with pytest.raises(UsageError, match="not what it is taken for"):
        read_frame("rows.csv", base=tmp_path)


def test_a_pattern_in_a_folder_that_is_not_there_finds_nothing(tmp_path: Path) -> None:
    """As a name would, and with the address in the message."""
    with pytest.raises(PromotionError, match="no-such-folder"):
        read_frame("no-such-folder/*.csv", base=tmp_path)


def test_a_file_system_that_fails_is_unreachable_and_no_secret_is_told() -> None:
    """What a store says of itself goes on, and the password in its address does not."""
    with (
        pytest.raises(StorageUnreachable, match="the store is on fire") as told,
        reading_errors("s3://key:secret@bucket/rows.parquet"),
    ):
        raise OSError("the store is on fire")
    assert "secret" not in str(told.value)


def test_a_kind_of_address_without_its_driver_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the reader's to install, and no defect of the data."""
    with (
        pytest.raises(UsageError, match="no driver for this kind of address"),
        reading_errors("gs://bucket/rows.parquet"),
    ):
        raise ImportError("Please install gcsfs")


def test_a_moment_beyond_what_is_kept_is_refused(tmp_path: Path) -> None:
    """The year 294,276 is the last one; a value past it would silently come round again."""
    table = pa.table({"when": pa.array([2**62], pa.timestamp("ms"))})
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(UsageError, match="out of range"):
        read_frame("rows.parquet", base=tmp_path)
