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
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["plain", "pickle", "skops", "opaque"]

HEAD = 64 * 1024
DEEPEST = 3
MOST_MEMBERS = 10_000

# The opcodes that name something to call, and those that call it.
NAMES = frozenset({"GLOBAL", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"})
CALLS = frozenset({"REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
READ_OTHERWISE = frozenset({"INT", "LONG", "FLOAT", "STRING", "UNICODE"})
IDENTIFIERS = re.compile(r"^[\w.]+ [\w.]+$|^\d+$")

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
    # A whole zip archive is looked into before; this is one within another, or a broken one.
    (b"PK\x03\x04", "a zip archive inside another file"),
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
        if zipfile.is_zipfile(file):
            if not head.startswith(b"PK"):
                # An archive is read from its end and a pickle from its beginning: it is both.
                return FileKind("opaque", "a zip archive behind other data")
            return _zip(path)
    return _kind_of_bytes(head)


def _kind_of_bytes(head: bytes, depth: int = 0) -> FileKind:
    if head[257:262] == b"ustar":
        return FileKind("opaque", "a tar archive")
    if depth > DEEPEST:
        return FileKind("opaque", "an archive of archives")
    for magic, what in OPAQUE:
        if head.startswith(magic):
            return FileKind("opaque", what)
    for magic, what, unpack in COMPRESSED:
        if head.startswith(magic):
            return _compressed(head, what, unpack, depth)
    if is_pickle(head):
        return FileKind("pickle", "a pickle", plain_pickle=True)
    if head.startswith(b"\x93NUMPY") and _holds_objects(head):
        return FileKind("pickle", "a numpy file of Python objects")
    return FileKind("plain", "data")


def is_pickle(head: bytes) -> bool:
    """Whether ``head`` begins a pickle of protocol 2 and up, or an older one that calls something.

    Older pickles are text, and text may look like one: ``channels:`` names a global, ``import``
    an instance. So the opcodes are walked, and a call counts only where something to call was
    named before. An argument that Python cannot read may still be one that the unpickler in C
    reads (``I0x10``), and then the benefit of the doubt is not given.
    """
    if len(head) > 1 and head[0] == 0x80 and head[1] <= 5:
        return True
    stream, named, marked = io.BytesIO(head), False, False
    # Opcodes up to the end of what was read: what follows may call, and text would not get there.
    cut_off = len(head) >= HEAD
    while byte := stream.read(1):
        opcode = OPCODES.get(byte.decode("latin-1"))
        if opcode is None or opcode.name == "STOP":
            return False
        try:
            argument = opcode.arg.reader(stream) if opcode.arg else None
        except Exception:
            at_the_end = stream.tell() >= len(head)
            return (cut_off and at_the_end) or (named and opcode.name in READ_OTHERWISE)
        if opcode.name in NAMES and (argument is None or IDENTIFIERS.match(str(argument))):
            named = True
        if opcode.name == "INST" and marked and IDENTIFIERS.match(str(argument)):
            return True
        if opcode.name in CALLS and named:
            return True
        marked = marked or opcode.name == "MARK"
    return cut_off


def _compressed(head: bytes, what: str, unpack: Callable[[bytes], bytes], depth: int) -> FileKind:
    try:
        inner = unpack(head)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
        # Two bytes of zlib's magic are also two letters of a text.
        return FileKind("plain", "data") if what == "zlib" else FileKind("opaque", what)
    found = _kind_of_bytes(inner, depth + 1)
    if found.kind == "plain":
        return FileKind("plain", f"{what} data")
    return FileKind(found.kind, f"{found.what} inside {what}")


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
