"""Data Docs as one page that needs no network.

Great Expectations renders the page; as it comes, it loads style and scripts from six content
networks and calls home with a time-stamped picture. A page of an audit has to look the same in
five years on a machine without a network, and must not tell anyone that it is being read. Its
site builder logs an error in a renderer and leaves the page out; rendered here, an error is one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Any

_OUTSIDE = re.compile(
    r"<script\b[^>]*\bsrc=[^>]*>\s*</script>"
    r"|<link\b[^>]*>"
    r"|<img\b[^>]*>"
    r"|url\([\"']?https?://[^)]*\)"
    r"|\son\w+=(\"[^\"]*\"|'[^']*')",
    re.IGNORECASE,
)
_SCRIPT = re.compile(r"<script\b[^>]*>.*?</script>", re.IGNORECASE | re.DOTALL)
_STYLE = re.compile(r"<style\b[^>]*>.*?</style>", re.IGNORECASE | re.DOTALL)
_FURNITURE = re.compile(
    r"<footer\b.*?</footer>|<nav class=\"navbar.*?</nav>\s*</div>.*?</nav>",
    re.IGNORECASE | re.DOTALL,
)
# Links to pages that a site would have beside this one.
_LINK = re.compile(r"<a\b[^>]*\bhref=[\"'](?!#)[^>]*>(.*?)</a>", re.IGNORECASE | re.DOTALL)
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)


def data_docs_page(context: Any) -> str:
    """Return the page of the one validation that ``context`` has run, complete in itself."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    # As stored: the renderers cannot print the numpy numbers of a fresh result.
    store = context.validation_results_store
    result = store.get(store.list_keys()[0])
    renderer = ValidationResultsPageRenderer(run_info_at_end=True, data_context=context)
    return offline(_view().render(renderer.render(result), show_how_to_buttons=False))


def offline(html: str) -> str:
    """Return a page that loads nothing, runs nothing and carries its style.

    Scripts go as well: without their libraries they do nothing but fail.
    """
    for unwanted in (_OUTSIDE, _SCRIPT, _STYLE, _FURNITURE):
        html = unwanted.sub("", html)
    html = _LINK.sub(r"\1", html)
    style = resources.files(__package__).joinpath("data_docs.css").read_text(encoding="utf-8")
    return html.replace("</head>", f"{_POLICY}<style>{style}</style></head>", 1)


@lru_cache(maxsize=1)
def _view() -> Any:
    """Return the page view; kept, because compiling its templates takes most of a second."""
    from great_expectations.render.view import DefaultJinjaPageView

    return DefaultJinjaPageView()
