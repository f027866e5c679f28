"""CSV files as Arrow batches of settled types.

Arrow infers a column's type from a file's first block and fails on what comes later. Here the
types are settled first, by a pass over everything: ``1, 2 … 2.5`` is a column of floats wherever
the ``2.5`` stands, in whichever file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pacsv

from promotion_assets.errors import UsageError
from promotion_assets.evaluation.sources import SourceFiles

BLOCK_BYTES = 16 * 1024**2
HEADER_BYTES = 64 * 1024
# pandas' usual set, without the spellings that are words elsewhere.
NULLS = ["", "NA", "N/A", "#N/A", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None", "<NA>"]

_FAILED = re.compile(r"In CSV column #(\d+):.*CSV conversion error to ([^:]+): invalid value")
_WIDER: dict[str, pa.DataType] = {
    "null": pa.int64(),
    "int64": pa.float64(),
    "double": pa.string(),
    "bool": pa.string(),
    "date32[day]": pa.timestamp("us"),
    "timestamp[s]": pa.timestamp("ns"),
    "timestamp[us]": pa.timestamp("ns"),
}
_ORDER = ("null", "int64", "double", "string")
_SEPARATORS = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}
_QUOTED = re.compile(r'"[^"]*"')


def iter_csv(source: SourceFiles, columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all files, in order, as batches of one schema."""
    types = settled_types(source)
    wanted = columns or tuple(types)
    for path in source.paths:
        with _opened(source, path, types, wanted) as reader:
            yield from reader


def settled_types(source: SourceFiles) -> dict[str, pa.DataType]:
    """Return a type for every column that holds in all files.

    Raises:
        UsageError: the files do not have the same columns, or a header repeats a name.
    """
    settled: dict[str, pa.DataType] = {}
    for path in source.paths:
        types = _file_types(source, path)
        if settled and set(types) != set(settled):
            odd = sorted(set(types) ^ set(settled))
            raise UsageError(
                f"Reading {source.uri}",
                f"{path} and {source.paths[0]} differ in the columns {', '.join(odd[:10])}",
                "give every file the same header",
            )
        settled = {name: _common(settled.get(name, type_), type_) for name, type_ in types.items()}
    return settled


def header_names(source: SourceFiles) -> tuple[str, ...]:
    """Return the column names in the first file's header."""
    _require_separator(source, source.paths[0])
    with _opened(source, source.paths[0], {}, ()) as reader:
        return tuple(reader.schema.names)


def _file_types(source: SourceFiles, path: str) -> dict[str, pa.DataType]:
    _require_separator(source, path)
    types: dict[str, pa.DataType] = {}
    while True:
        with _opened(source, path, types, ()) as reader:
            names = list(reader.schema.names)
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise UsageError(
                    f"Reading {source.uri}",
                    f"{path} has two columns called {repeated[0]!r}",
                    "give every column a name of its own",
                )
            inferred = dict(zip(names, reader.schema.types, strict=True))
            _require_text(source, path, inferred)
            try:
                for _ in reader:
                    pass
            except pa.ArrowInvalid as error:
                failed = _FAILED.search(str(error))
                if failed is None:
                    raise
                name = names[int(failed.group(1))]
                types[name] = _WIDER.get(failed.group(2), pa.string())
                continue
        return inferred


def _require_separator(source: SourceFiles, path: str) -> None:
    """Refuse what spreadsheets write where a comma is the decimal point: all in one column."""
    with source.filesystem.open_input_stream(path, compression="detect") as stream:
        head = stream.read(HEADER_BYTES).decode("utf-8", errors="replace")
    header = _QUOTED.sub("", head.lstrip("\ufeff\r\n")).split("\n", 1)[0]
    ours = _separator(path)
    found = max(_SEPARATORS, key=header.count)
    if header.count(ours) == 0 < header.count(found):
        raise UsageError(
            f"Reading {source.uri}",
            f"the header of {path} has {_SEPARATORS[found]} between columns, "
            f"and not {_SEPARATORS[ours]}: {header.strip()[:60]!r}",
            "write it as Parquet, or with a comma between columns and a point in numbers",
        )


def _separator(path: str) -> str:
    return "\t" if ".tsv" in path.lower() else ","


def _require_text(source: SourceFiles, path: str, types: dict[str, pa.DataType]) -> None:
    raw = next((name for name, type_ in types.items() if pa.types.is_binary(type_)), None)
    if raw is not None:
        raise UsageError(
            f"Reading {source.uri}",
            f"column {raw!r} of {path} is not UTF-8 text",
            "write the file in UTF-8",
        )


def _common(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    if left == right:
        return left
    if {str(left), str(right)} <= set(_ORDER):
        return max(left, right, key=lambda type_: _ORDER.index(str(type_)))
    if "null" in (str(left), str(right)):
        return right if str(left) == "null" else left
    moments = [type_ for type_ in (left, right) if pa.types.is_temporal(type_)]
    return pa.timestamp("ns") if len(moments) == 2 else pa.string()


def _opened(
    source: SourceFiles, path: str, types: dict[str, pa.DataType], wanted: tuple[str, ...]
) -> pacsv.CSVStreamingReader:
    return pacsv.open_csv(
        source.filesystem.open_input_stream(path, compression="detect"),
        read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES),
        # Without the latter, a line break in quotes fails where a block happens to end in it.
        parse_options=pacsv.ParseOptions(delimiter=_separator(path), newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=types,
            include_columns=list(wanted),
            null_values=NULLS,
            strings_can_be_null=True,
        ),
    )
