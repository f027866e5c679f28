"""Free-text answers: is there something in them, and is it the reviewer's own?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

LONGEST = 4000
FEWEST_WORDS = 3
# Above this share of common text two answers are called alike (difflib's ratio).
ALIKE = 0.9
# Thai, Lao, Burmese, Khmer, kana and Chinese characters: written without spaces between words.
_UNSPACED = "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]{{2,}}")


@dataclass(frozen=True)
class EarlierAnswer:
    """What somebody wrote in an earlier review."""

    text: str
    reviewer: str
    version: str


def text_problem(answer: str, shortest: int) -> str | None:
    """Say why ``answer`` is no answer, or return ``None``."""
    written = answer.strip()
    if not written:
        return "is not answered"
    if len(written) > LONGEST:
        return f"has {len(written):,} characters, at most {LONGEST:,} are taken"
    if len(written) < shortest:
        return f"has {len(written)} characters, at least {shortest} are asked for"
    if len(set(_WORD.findall(written.lower()))) < FEWEST_WORDS:
        return f"has fewer than {FEWEST_WORDS} different words"
    return None


def copied_from(answer: str, earlier: Iterable[EarlierAnswer]) -> EarlierAnswer | None:
    """Return the earlier answer that this one repeats but for case, spaces and punctuation."""
    said = plain(answer)
    return next((e for e in earlier if said and plain(e.text) == said), None)


def alike(answer: str, earlier: Iterable[EarlierAnswer]) -> EarlierAnswer | None:
    """Return an earlier answer that this one hardly differs from."""
    said = plain(answer)
    for known in earlier:
        other = plain(known.text)
        matcher = SequenceMatcher(None, said, other, autojunk=False)
        if matcher.real_quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE:
            return known
    return None


def plain(text: str) -> str:
    """Return the words of ``text`` alone, in lower case."""
    return " ".join(re.findall(r"\w+", text.casefold()))
