"""Files of ``PROMOTION_HOME``: written whole or not at all, read with clear errors."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from promotion_assets.adapters.private_files import make_private_folder
from promotion_assets.errors import IntegrityError, StorageUnreachable

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T", bound=BaseModel)


def safe_name(name: str) -> str:
    """Return ``name`` as one path component: any Unicode, any length, no two names the same."""
    quoted = quote(name, safe=" ").replace(".", "%2E") if name.startswith(".") else quote(name, " ")
    if len(quoted) <= 120:
        return quoted
    return f"{quoted[:80]}~{hashlib.sha256(name.encode()).hexdigest()[:24]}"


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never half.

    Raises:
        StorageUnreachable: the disk is full or the folder cannot be written.
    """
    temporary = ""
    try:
        make_private_folder(path.parent)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise StorageUnreachable(
            f"writing {path.name}",
            f"{path.parent} cannot be written ({error.strerror})",
            "free space or mend the permissions, then run the same command again",
        ) from error


def write_value(path: Path, value: BaseModel) -> None:
    """Write a value as JSON."""
    write_bytes(path, value.model_dump_json(indent=1).encode())


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a data frame as Parquet."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_bytes(path, buffer.getvalue())


def read_value(path: Path, kind: type[T]) -> T | None:
    """Read a value back, or ``None`` where the file does not exist.

    Raises:
        IntegrityError: the file is there and is not what was written.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageUnreachable(
            f"reading {path.name}",
            f"{path} cannot be read ({error.strerror})",
            "see that its disk is mounted and that this user may read it, then run the same again",
        ) from error
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise IntegrityError(
            f"reading {path.name}",
            f"{path} does not hold a {kind.__name__} ({error.error_count()} problems)",
            "evaluate the version again; the damaged file is replaced",
        ) from error
