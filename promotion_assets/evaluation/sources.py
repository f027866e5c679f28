"""Where rows lie: a URI as a file system, its files in order, and what would show a change."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pyarrow as pa
import pyarrow.fs as pafs

from promotion_assets.errors import StorageUnreachable, UsageError

FileFormat = Literal["parquet", "csv"]
Fingerprint = tuple[tuple[str, int, int, int, int], ...]

_ARROW_SCHEMES = frozenset({"s3", "gs", "gcs", "hdfs", "viewfs", "file"})
_SQL_SCHEMES = frozenset(
    {
        "sqlite", "postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle", "snowflake",
        "bigquery", "redshift", "duckdb", "trino", "databricks", "clickhouse",
    }
)  # fmt: skip
_COMPRESSIONS = (".gz", ".bz2", ".zst", ".lz4")
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")
# SQLAlchemy takes a password in which any character stands; what follows the last @ is the host.
_DATABASE_CREDENTIALS = re.compile(r"(?<=://)\S*@")
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"]+")
_WILDCARDS = re.compile(r"[*?\[]")


def without_credentials(uri: str) -> str:
    """Return ``uri`` as it may be shown: nothing between ``://`` and ``@``, no query string."""
    shown = (_DATABASE_CREDENTIALS if is_sql(uri) else _CREDENTIALS).sub("***@", uri)
    return shown.split("?", 1)[0] + "?…" if "://" in shown and "?" in shown else shown


def is_sql(uri: str) -> bool:
    """Return whether ``uri`` is a SQLAlchemy URL rather than a file's address."""
    return "://" in uri and uri.split("://", 1)[0].split("+", 1)[0].lower() in _SQL_SCHEMES


@dataclass(frozen=True)
class SourceFiles:
    """The files behind a URI, in the order of their names.

    Attributes:
        uri: the URI as it may be shown.
        fingerprint: path, size, modification time and, for local files, inode and change time
            of every file: two reads of one fingerprint gave the same bytes, as far as a file
            system can tell.
    """

    uri: str
    filesystem: Any
    paths: tuple[str, ...]
    format: FileFormat
    fingerprint: Fingerprint


@contextmanager
def reading_errors(uri: str) -> Iterator[None]:
    """Turn what a file system raises into errors that name ``uri`` and the next step."""
    doing = f"Reading {without_credentials(uri)}"
    try:
        yield
    except ImportError as error:
        raise UsageError(
            doing,
            f"no driver for this kind of address is installed ({_first_line(error)})",
            "install the driver's package, or name the data in another way",
        ) from error
    except UnicodeDecodeError as error:
        # Arrow hands on names of columns as they are in the file.
        raise UsageError(
            doing,
            f"a column's name is not UTF-8 text ({error.reason})",
            "write the file in UTF-8",
        ) from error
    except pa.ArrowInvalid as error:
        raise UsageError(
            doing,
            f"it is not what it is taken for: {_first_line(error)}",
            "check that the file is complete and has the right name ending",
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise StorageUnreachable(
            doing,
            _first_line(error) or type(error).__name__,
            "check the address, the access rights and the network, then run again",
        ) from error


def find_files(uri: str, base: Path) -> SourceFiles:
    """Return the files behind ``uri``: one file, all of a directory, or those a pattern names.

    Relative paths start from ``base``. Names that begin with ``_`` or ``.`` are left out.

    Raises:
        StorageUnreachable: nothing is there, or the file system does not answer.
        UsageError: the files are neither Parquet nor CSV, or of both kinds.
    """
    with reading_errors(uri):
        filesystem, path = _located(uri, base)
        found = _listed(filesystem, path)
        if not found:
            raise StorageUnreachable(
                f"Reading {without_credentials(uri)}",
                "there is no such file" if not _WILDCARDS.search(path) else "no file matches",
                "check the address in promotion.yaml; relative paths start from its directory",
            )
        return SourceFiles(
            uri=without_credentials(uri),
            filesystem=filesystem,
            paths=tuple(info.path for info in found),
            format=_format_of(uri, filesystem, [info.path for info in found]),
            fingerprint=tuple(_fingerprint(filesystem, info) for info in found),
        )


def _located(uri: str, base: Path) -> tuple[Any, str]:
    if "://" not in uri:
        path = Path(uri).expanduser()
        return pafs.LocalFileSystem(), str(path if path.is_absolute() else base.absolute() / path)
    if uri.split("://", 1)[0].lower() in _ARROW_SCHEMES and not _WILDCARDS.search(uri):
        filesystem, path = pafs.FileSystem.from_uri(uri)
        return filesystem, path
    import fsspec.core

    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
    except ValueError as error:
        raise UsageError(
            f"Reading {without_credentials(uri)}",
            _first_line(error),
            "use a path, a SQLAlchemy URL, or an address whose scheme fsspec knows",
        ) from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(filesystem)), path


def _listed(filesystem: Any, path: str) -> list[Any]:
    info = filesystem.get_file_info(path)
    if info.type == pafs.FileType.File:
        return [info]
    if info.type == pafs.FileType.Directory:
        return _below(filesystem, path, "*")
    if not _WILDCARDS.search(path):
        return []
    fixed = PurePosixPath(path[: _WILDCARDS.search(path).start()] + "x").parent  # type: ignore[union-attr]
    if filesystem.get_file_info(str(fixed)).type != pafs.FileType.Directory:
        return []
    return _below(filesystem, str(fixed), path)


def _below(filesystem: Any, directory: str, pattern: str) -> list[Any]:
    infos = filesystem.get_file_info(pafs.FileSelector(directory, recursive=True))
    root = PurePosixPath(directory)
    return sorted(
        (
            info
            for info in infos
            if info.type == pafs.FileType.File
            and fnmatch.fnmatchcase(info.path, pattern)
            and not any(
                part.startswith(("_", "."))
                for part in PurePosixPath(info.path).relative_to(root).parts
            )
        ),
        key=lambda info: info.path,
    )


def _format_of(uri: str, filesystem: Any, paths: list[str]) -> FileFormat:
    formats = {path: _ending_format(path) or _magic_format(filesystem, path) for path in paths}
    unknown = next((path for path, form in formats.items() if form is None), None)
    if unknown is not None or len(set(formats.values())) > 1:
        seen = (
            PurePosixPath(unknown).name
            if unknown
            else ", ".join(PurePosixPath(p).name for p in paths[:5])
        )
        raise UsageError(
            f"Reading {without_credentials(uri)}",
            f"{seen}: neither Parquet nor CSV" if unknown else f"Parquet and CSV are mixed: {seen}",
            "name files that end in .parquet, .csv or .tsv, all of one kind",
        )
    partitioned = next((path for path in paths if re.search(r"/[^/=]+=[^/]*/", path)), None)
    if partitioned is not None and len(paths) > 1:
        raise UsageError(
            f"Reading {without_credentials(uri)}",
            f"{partitioned} keeps a column in its directory's name, where it would be lost",
            "write that column into the files, or name one partition",
        )
    return formats[paths[0]]  # type: ignore[return-value]


def _ending_format(path: str) -> FileFormat | None:
    name = path.lower()
    for ending in _COMPRESSIONS:
        name = name.removesuffix(ending)
    if name.endswith((".parquet", ".pq", ".parq")):
        return "parquet"
    return "csv" if name.endswith((".csv", ".tsv")) else None


def _magic_format(filesystem: Any, path: str) -> FileFormat | None:
    with filesystem.open_input_stream(path) as stream:
        return "parquet" if stream.read(4) == b"PAR1" else None


def _fingerprint(filesystem: Any, info: Any) -> tuple[str, int, int, int, int]:
    inode = changed = 0
    if isinstance(filesystem, pafs.LocalFileSystem):
        status = Path(info.path).stat()
        inode, changed = status.st_ino, status.st_ctime_ns
    return (info.path, info.size or 0, info.mtime_ns or 0, inode, changed)


def _first_line(error: BaseException) -> str:
    said = str(error).strip().split("\n", 1)[0]
    return _ADDRESS.sub(lambda found: without_credentials(found[0]), said)[:300]
