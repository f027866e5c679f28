"""What a file is, told from its bytes and never from its name.

Nothing here executes or unpickles anything. A compressed file is looked into, because joblib
writes compressed pickles that scanners do not see.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickletools
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["plain", "pickle", "skops", "opaque"]

HEAD = 64 * 1024
MOST_MEMBERS = 10_000

# The opcodes by which unpickling calls something; a text that parses up to one is a pickle.
CALLS = frozenset({"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})

COMPRESSED: tuple[tuple[bytes, str, Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", "gzip", lambda data: gzip.GzipFile(fileobj=io.BytesIO(data)).read(HEAD)),
    (b"BZh", "bzip2", lambda data: bz2.BZ2Decompressor().decompress(data, HEAD)),
    (b"\xfd7zXZ\x00", "xz", lambda data: lzma.LZMADecompressor().decompress(data, HEAD)),
    (b"\x5d\x00\x00", "lzma", lambda data: lzma.LZMADecompressor().decompress(data, HEAD)),
    *(
        (b"\x78" + level, "zlib", lambda data: zlib.decompressobj().decompress(data, HEAD))
        for level in (b"\x01", b"\x5e", b"\x9c", b"\xda")
    ),
)
OPAQUE = (
    (b"\x04\x22\x4d\x18", "an LZ4 archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a native library"),
    (b"MZ", "a Windows program"),
)


@dataclass(frozen=True)
class FileKind:
    """What was found in one file.

    Attributes:
        kind: ``pickle`` if unpickling it, or a part of it, could call something; ``opaque`` if
            it cannot be looked into.
        what: in words.
        plain_pickle: whether the file itself is a pickle that a scanner can read, not one
            inside something compressed.
        unpacked_bytes: size of all members, for an archive.
    """

    kind: Kind
    what: str
    plain_pickle: bool = False
    unpacked_bytes: int = 0


def kind_of(path: Path) -> FileKind:
    """Return what the file at ``path`` is.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
        if head[257:262] == b"ustar":
            return FileKind("opaque", "a tar archive")
        if zipfile.is_zipfile(file):
            return _zip(path)
    return _kind_of_bytes(head)


def _kind_of_bytes(head: bytes) -> FileKind:
    for magic, what in OPAQUE:
        if head.startswith(magic):
            return FileKind("opaque", what)
    for magic, what, unpack in COMPRESSED:
        if head.startswith(magic):
            return _compressed(head, what, unpack)
    if is_pickle(head):
        return FileKind("pickle", "a pickle", plain_pickle=True)
    if head.startswith(b"\x93NUMPY") and _holds_objects(head):
        return FileKind("pickle", "a numpy file of Python objects")
    return FileKind("plain", "data")


def is_pickle(head: bytes) -> bool:
    """Whether ``head`` begins a pickle that could call something, or one of protocol 2 and up."""
    if len(head) > 1 and head[0] == 0x80 and head[1] <= 5:
        return True
    found = 0
    try:
        for opcode, _, _ in pickletools.genops(head):
            found += 1
            if opcode.name in CALLS:
                return True
            if opcode.name == "STOP":
                # One byte that happens to be STOP is no pickle; a longer one that parses is.
                return found > 2
    except Exception:
        return False
    return False


def _compressed(head: bytes, what: str, unpack: Callable[[bytes], bytes]) -> FileKind:
    try:
        inner = unpack(head)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
        # Two bytes of zlib's magic are also two letters of a text.
        return FileKind("plain", "data") if what == "zlib" else FileKind("opaque", what)
    if is_pickle(inner):
        return FileKind("pickle", f"a pickle inside {what}")
    return FileKind("plain", f"{what} data")


def _holds_objects(head: bytes) -> bool:
    header = head[:HEAD].split(b"\n", 1)[0]
    return b"'O'" in header or b"|O" in header


def _zip(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            unpacked = sum(member.file_size for member in members)
            if len(members) > MOST_MEMBERS:
                return FileKind("opaque", f"a zip archive of {len(members)} files")
            for member in members:
                with archive.open(member) as file:
                    inner = _kind_of_bytes(file.read(HEAD))
                if inner.kind in ("pickle", "opaque"):
                    what = f"a zip archive with {inner.what} in it ({member.filename})"
                    return FileKind(inner.kind, what, unpacked_bytes=unpacked)
            names = {member.filename for member in members}
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        return FileKind("opaque", f"a zip archive that cannot be read ({error})")
    if "schema.json" in names:
        return FileKind("skops", "a skops file", unpacked_bytes=unpacked)
    return FileKind("plain", "a zip archive of data", unpacked_bytes=unpacked)
