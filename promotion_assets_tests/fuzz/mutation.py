"""Inputs made from valid examples: taken apart by their form, one part made worse, put together."""

from __future__ import annotations

import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import yaml

from promotion_assets_tests.fuzz.contract import Form

LONGEST = 64 * 1024
# A larger YAML document is changed by its lines: reading it would take most of the time.
MOST_PLACES = 100_000
LARGEST_TREE = 16 * 1024
# Stand for text that no writer of JSON would write.
DEEP, DEEP_OBJECT, LONG_NUMBER, HUGE_NUMBER = (
    "\x01deep\x01",
    "\x01deepo\x01",
    "\x01l\x01",
    "\x01h\x01",
)
WRITTEN = {
    DEEP: b"[" * 20_000 + b"]" * 20_000,
    DEEP_OBJECT: b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    LONG_NUMBER: b"9" * 5_000,
    HUGE_NUMBER: b"1e999",
}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
WORSE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    5e-324,
    1.7e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "\x00",
    "\ud800",
    "\u202eabc",
    "é" * 300,
    "a" * 5_000,
    "\n\r\t",
    "${HOME}",
    "../../../etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-02-30",
    "2026-03-02T09:00:00",
    "P999999999D",
    "NaN",
    "default",
    [],
    {},
    [[]],
    [None] * 50,
    {"": None},
    DEEP,
    DEEP_OBJECT,
    LONG_NUMBER,
    HUGE_NUMBER,
)
WORDS = (
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"&a *a",
    b"*a",
    b"<<: *a",
    b"!!python/object/apply:os.system ['true']",
    b"!!binary aGk=",
    b"? [a, b]",
    b"---\n",
    b"...",
    b"2026-13-45",
    b"1_000",
    b"0o7",
    b".inf",
    b".nan",
    b"NaN",
    b"-Infinity",
    b"\\ud800",
    b"%00",
    b"%ff",
    b"&",
    b"=",
    b";",
    b'"',
    b"'",
    b",",
    b"[",
    b"{",
    b"\r\n",
    b"1e400",
    b"9" * 4400,
    b"[" * 20_000,
    b"{a: " * 3_000,
)


def mutated(data: bytes, form: Form, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Return another input like ``data``: mostly still of its form, sometimes only bytes.

    Args:
        others: examples that it may be crossed with.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if rng.random() < 0.75:
            try:
                data = _BY_FORM[form](data, rng)
                continue
            except (
                ValueError,
                KeyError,
                RecursionError,
                OverflowError,
                zipfile.BadZipFile,
                zlib.error,
                yaml.YAMLError,
                TypeError,
                AttributeError,
                NotImplementedError,
                EOFError,
                RuntimeError,
                OSError,
                IndexError,
            ):
                pass
        data = _bytes(data, rng, others)
    return data[:LONGEST]


def _json(data: bytes, rng: random.Random) -> bytes:
    head, separator, body = b"", b"", data
    if not data.lstrip().startswith((b"{", b"[")) and b"\n\n" in data:
        head, separator, body = data.partition(b"\n\n")
    tree = _worse(json.loads(body), rng)
    return head + separator + _dumped(tree, rng)


def _yaml(data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.5 or len(data) > LARGEST_TREE:
        return _lines(data, rng)
    tree = _worse(yaml.load(data.decode(), LOADER), rng)
    if rng.random() < 0.3:
        return _dumped(tree, rng)
    text = yaml.dump(tree, Dumper=DUMPER, allow_unicode=rng.random() < 0.5)
    return _spelled(text.encode("utf-8", "surrogatepass"))


def _zip(data: bytes, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(info.file_size for info in archive.infolist()) > LONGEST:
            raise ValueError("too large to take apart")
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(files))
    match rng.randrange(6):
        case 0:
            del files[name]
        case 1:
            files["../" + name] = files[name]
        case 2:
            files[name] = files[rng.choice(sorted(files))]
        case _:
            change = _json if name.endswith(".json") else _bytes
            files[name] = change(files[name], rng)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content in files.items():
            archive.writestr(each, content)
    return written.getvalue()


def _form(data: bytes, rng: random.Random) -> bytes:
    head, separator, body = data.rpartition(b"\n\n")
    fields = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
    at = rng.randrange(len(fields))
    name, value = fields[at]
    match rng.randrange(4):
        case 0:
            del fields[at]
        case 1:
            fields.append((name, _text(rng)))
        case 2:
            words = value.split(" ")
            words.insert(rng.randrange(len(words) + 1), _text(rng))
            fields[at] = (name, " ".join(words))
        case _:
            fields[at] = (name, _text(rng))
    return head + separator + urlencode(fields, errors="replace").encode()


def _lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    match rng.randrange(7):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[rng.randrange(len(lines))])
        case 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            lines[at] = b"  " * rng.randrange(4) + lines[at].lstrip()
        case 4:
            cells = lines[at].split(b",")
            cells[rng.randrange(len(cells))] = _text(rng).encode("utf-8", "replace")
            lines[at] = b",".join(cells)
        case 5:
            head, colon, _ = lines[at].partition(b":")
            lines[at] = head + colon + b" " + _text(rng).encode("utf-8", "replace")
        case _:
            lines[at] = lines[at] + rng.choice(WORDS)
    return b"\n".join(lines)


def _bytes(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    at = rng.randrange(len(data) + 1)
    match rng.randrange(6):
        case 0:
            return data[:at] + rng.choice(WORDS) + data[at:]
        case 1:
            return data[:at] + data[at + rng.randrange(1, 20) :]
        case 2:
            return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        case 3:
            return data[:at] + data[at : at + 40] * rng.randrange(2, 5) + data[at + 40 :]
        case 4 if others:
            other = rng.choice(others)
            return data[:at] + other[rng.randrange(len(other) + 1) :]
        case _:
            return data[:at]


def _worse(tree: Any, rng: random.Random) -> Any:
    """Change one place of a tree of JSON types; returns the tree."""
    places: list[tuple[Any, Any]] = []
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict | list):
            keys: Any = list(node) if isinstance(node, dict) else range(len(node))
            places += [(node, key) for key in keys]
            pending += [node[key] for key in keys]
            # Aliases of aliases: a tree that is small only as long as nobody walks it.
            if len(places) > MOST_PLACES:
                raise ValueError("the tree unfolds without end")
    if not places or rng.random() < 0.03:
        return rng.choice(WORSE)
    node, key = rng.choice(places)
    match rng.randrange(8):
        case 0:
            del node[key]
        case 1 if isinstance(node, dict):
            node[_text(rng)] = node.pop(key)
        case 1:
            node.insert(key, node[key])
        case 2:
            other, place = rng.choice(places)
            node[key] = json.loads(
                json.dumps(
                    other.get(place)
                    if isinstance(other, dict)
                    else other[place]
                    if place < len(other)
                    else None
                )
            )
        case 3:
            node[key] = [node[key]]
        case 4 if isinstance(node[key], str):
            node[key] += _text(rng)
        case 5 if isinstance(node[key], int | float):
            node[key] = rng.choice((-1, 2, 1000)) * node[key]
        case _:
            node[key] = rng.choice(WORSE)
    return tree


def _dumped(tree: Any, rng: random.Random) -> bytes:
    ascii_only = rng.random() < 0.8
    text = json.dumps(tree, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    return _spelled(text)


def _spelled(text: bytes) -> bytes:
    for mark, spelling in WRITTEN.items():
        text = text.replace(json.dumps(mark).encode(), spelling)
    return text


def _text(rng: random.Random) -> str:
    return rng.choice([value for value in WORSE if isinstance(value, str) and "\x01" not in value])


_BY_FORM: dict[Form, Callable[[bytes, random.Random], bytes]] = {
    "json": _json,
    "yaml": _yaml,
    "zip": _zip,
    "form": _form,
    "lines": _lines,
}
