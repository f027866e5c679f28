"""The known limitations of a version, one by one, as its model card tells them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from promotion_assets.gates.model_card import SYNONYMS, Card

MOST = 12
LONGEST = 300
_HEADINGS = frozenset(SYNONYMS["limitations"])
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9])")


def limitations_of(card: Card | None) -> tuple[str, ...]:
    """Return the limitations that a card names: its list's items, or else its sentences.

    No card, or a card without such a section, is itself one: nobody wrote down what is known.
    """
    if card is None:
        return ("There is no model card, so no limitation of this version was written down.",)
    texts = [text for heading, text in card.sections.items() if heading in _HEADINGS]
    found = [item for text in texts for item in _items(text)]
    if not found:
        return ("The model card names no limitation of this version.",)
    kept = [item[:LONGEST] for item in found[:MOST]]
    if len(found) > MOST:
        kept.append(f"And {len(found) - MOST} more in the model card.")
    return tuple(kept)


def _items(text: str) -> Sequence[str]:
    lines = [line.rstrip() for line in text.strip().splitlines()]
    first = next((n for n, line in enumerate(lines) if _BULLET.match(line)), None)
    if first is None:
        return _sentences(lines)
    # What stands before a list is a limitation too, unless it only leads up to the list.
    items = [said for said in _sentences(lines[:first]) if not said.endswith(":")]
    for line in lines[first:]:
        if _BULLET.match(line):
            items.append(_BULLET.sub("", line).strip())
        elif line.strip():
            items[-1] = f"{items[-1]} {line.strip()}"
    return [item for item in items if item]


def _sentences(lines: Sequence[str]) -> list[str]:
    paragraph = re.sub(r"\s+", " ", " ".join(lines)).strip()
    return [said for said in _SENTENCE_END.split(paragraph) if said]
