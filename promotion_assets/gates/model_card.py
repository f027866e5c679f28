"""Reading a card: its sections, and whether there is something in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LARGEST = 1024**2

# The name in the policy first, then what people write above such a section.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "intended use": ("intended use", "intended uses", "use", "purpose", "usage"),
    "out of scope": ("out of scope", "out-of-scope use", "misuse", "not intended for"),
    "limitations": ("limitations", "known limitations", "caveats", "limits", "risks"),
    "training data": ("training data", "data", "dataset", "training dataset"),
    "evaluation": ("evaluation", "evaluation results", "metrics", "performance", "results"),
    "fairness": ("fairness", "bias", "bias and fairness", "ethical considerations", "ethics"),
    "human oversight": ("human oversight", "oversight", "human review"),
    "monitoring": ("monitoring", "maintenance", "operation"),
    "owner": ("owner", "owners", "contact", "authors", "maintainers"),
    "source": ("source", "provenance", "origin", "collection"),
    "license": ("license", "licence", "terms of use"),
}
EMPTY = re.compile(r"^(tbd|todo|tba|n/?a|none|xxx+|\.+|-+|\[.*\]|<.*>|lorem ipsum.*)$", re.I)
HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
COMMENT = re.compile(r"<!--.*?-->", re.S)


@dataclass(frozen=True)
class Card:
    """A card that was found.

    Attributes:
        where: where it was found, for people.
        text: Markdown.
        sections: words of each section by its heading, in lower case.
    """

    where: str
    text: str
    sections: dict[str, str]


def read_card(where: str, text: str) -> Card:
    """Split Markdown into sections; text before the first heading is section ``""``."""
    sections: dict[str, str] = {"": ""}
    heading, fenced = "", False
    for line in COMMENT.sub("", text).splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        match = None if fenced else HEADING.match(line)
        if match:
            heading = _plain(match.group(2))
            sections.setdefault(heading, "")
        else:
            sections[heading] += f"{line}\n"
    return Card(where=where, text=text, sections=sections)


def read_card_file(path: Path, where: str) -> Card | None:
    """Return the card in ``path``; ``None`` where there is no such text."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return None
        return read_card(where, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def section(card: Card, name: str, min_words: int) -> str | None:
    """Return why section ``name`` does not do, or ``None`` where it does."""
    wanted = {_plain(word) for word in (name, *SYNONYMS.get(name.lower(), ()))}
    found = [text for heading, text in card.sections.items() if heading and heading in wanted]
    if not found:
        return "is missing"
    words = [word for text in found for word in _said(text)]
    if not words:
        return "is empty"
    if len(words) < min_words:
        return f"has {len(words)} words, of {min_words} that are asked for"
    return None


def _said(text: str) -> list[str]:
    lines = (line.strip().lstrip("-*> ").strip() for line in text.splitlines())
    return [word for line in lines if line and not EMPTY.match(line) for word in line.split()]


def _plain(heading: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[*_`:]", "", heading)).strip().lower()
