"""What people see in Dagster of texts that strangers chose."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from promotion_assets.defs.metadata import as_text

STRANGE = (
    "[click](http://example.org) to approve",
    "![picture](http://example.org/seen.png)",
    "<img src=x onerror=alert(1)>",
    "group `x` of *all* | ~~none~~ # 1 &amp; 2 \\ 3",
    "roc_auc 0.788 [0.781, 0.795] for __init__",
)


def shown(said: str) -> str:
    """Return what a reader of the rendered Markdown sees of a sentence."""
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(f"**FAILED** {as_text(said)}")
    inner = rendered.strip().removeprefix("<p>").removesuffix("</p>")
    prefix = "<strong>FAILED</strong> "
    assert inner.startswith(prefix), rendered
    assert "<" not in inner.removeprefix(prefix)
    return html.unescape(inner.removeprefix(prefix))


@pytest.mark.parametrize("said", STRANGE)
def test_a_reason_is_shown_as_it_is(said: str) -> None:
    """No link, no picture, no markup comes of it."""
    assert shown(said) == said


@given(st.lists(st.sampled_from([*"\\`*_[]<>#|~!&();:/\"'-+=.", "a", "1", " "]), min_size=1))
def test_no_mix_of_marks_becomes_markup(pieces: list[str]) -> None:
    """Whatever the marks stand beside."""
    said = f"x{''.join(pieces)}x"
    assert shown(said) == said
