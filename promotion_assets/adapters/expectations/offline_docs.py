"""Data Docs that need no network.

The pages that Great Expectations renders load their style from six content networks and call
home with a time-stamped picture. An audit page has to look the same in five years on a machine
without a network, and must not tell anyone that it is being read.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

_OUTSIDE = re.compile(
    r"<script\b[^>]*\bsrc=[\"']https?://[^>]*>\s*</script>"
    r"|<link\b[^>]*\bhref=[\"']https?://[^>]*>"
    r"|<img\b[^>]*\bsrc=[\"']https?://[^>]*>"
    r"|url\([\"']?https?://[^)]*\)",
    re.IGNORECASE,
)
_ANCHOR = re.compile(r"<a\b[^>]*\bhref=[\"']https?://[^>]*>(.*?)</a>", re.IGNORECASE | re.DOTALL)
_INLINE_SCRIPT = re.compile(
    r"<script\b(?![^>]*\bsrc=)[^>]*>.*?</script>", re.IGNORECASE | re.DOTALL
)
_FOOTER = re.compile(r"<footer\b.*?</footer>", re.IGNORECASE | re.DOTALL)
_HEAD_END = "</head>"
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline' 'self'; img-src 'self' data:; font-src 'self'\">"
)


def make_offline(site: Path) -> None:
    """Rewrite every page below ``site`` so that it loads nothing from elsewhere.

    Scripts go as well: without their libraries they do nothing but fail.
    """
    style = resources.files(__package__).joinpath("offline_docs.css").read_text(encoding="utf-8")
    for page in site.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        html = _OUTSIDE.sub("", html)
        html = _INLINE_SCRIPT.sub("", html)
        html = _FOOTER.sub("", html)
        html = _ANCHOR.sub(r"\1", html)
        html = html.replace(_HEAD_END, f"{_POLICY}<style>{style}</style>{_HEAD_END}", 1)
        page.write_text(html, encoding="utf-8")
