"""Docstrings as Markdown: what the generated references are made of."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from types import ModuleType

_SECTIONS = r"Attributes|Args|Returns|Raises|Yields"
_SECTION = re.compile(rf"^({_SECTIONS}):$")
# ``name: text`` or ``name, other: text``, at the first level below a section's head.
_ENTRY = re.compile(r"^ {4}(\*{0,2}\w[\w*, ]*): ?(.*)$")
_ROLE = re.compile(r":(?:mod|class|func|meth|data|attr|exc):`~?([^`]+)`")


def text_of(thing: type | ModuleType | object) -> str:
    """Return the docstring of ``thing`` without its indentation."""
    return inspect.getdoc(thing) or ""


def prose(docstring: str) -> str:
    """Return what stands before the first section, as Markdown."""
    lines: list[str] = []
    for line in docstring.splitlines():
        if _SECTION.match(line):
            break
        lines.append(line)
    return markdown("\n".join(lines)).strip()


def entries(docstring: str, *sections: str) -> Mapping[str, str]:
    """Return the entries of the named sections: Markdown text by name, one name each.

    A line ``low, high: bounds`` gives the text to both names.
    """
    found: dict[str, list[str]] = {}
    current: tuple[str, ...] = ()
    inside = False
    for line in docstring.splitlines():
        if head := _SECTION.match(line):
            inside, current = head[1] in sections, ()
        elif inside and (entry := _ENTRY.match(line)):
            current = tuple(name.strip(" *") for name in entry[1].split(","))
            for name in current:
                found[name] = [entry[2]]
        elif inside and current and line.startswith(" " * 5):
            for name in current:
                found[name].append(line.strip())
        elif line.strip():
            inside = False
    return {name: markdown(" ".join(lines)).strip() for name, lines in found.items()}


def markdown(text: str) -> str:
    """Return reStructuredText, as far as this package uses it, as Markdown."""
    text = _ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", text)
    text = text.replace("``", "`")
    text = re.sub(r"^(\S.*)\n-{4,}$", r"**\1**\n", text, flags=re.MULTILINE)
    return _fence_blocks(text)


def cell(text: str) -> str:
    """Return ``text`` fit for one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _fence_blocks(text: str) -> str:
    """Turn indented blocks after ``::`` into fenced ones."""
    out: list[str] = []
    block: list[str] | None = None
    for line in text.splitlines():
        if block is not None and (line.startswith("    ") or not line.strip()):
            block.append(line[4:])
            continue
        if block is not None:
            out += _fenced(block)
            block = None
        if line.endswith("::"):
            block = []
            line = line[:-1] if line != "::" else ""
        out.append(line)
    return "\n".join(out + (_fenced(block) if block is not None else []))


def _fenced(block: list[str]) -> list[str]:
    body = "\n".join(block).strip("\n")
    return ["", "```text", body, "```", ""]
