"""What is installed may be used and passed on: every package says a licence that is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ALLOWED = re.compile(
    r"apache|\bmit\b|mit-0|mit-cmu|bsd|0bsd|isc\b|psf|python software foundation|mozilla|mpl"
    r"|zlib|cc0|unlicense|zero-clause",
    re.IGNORECASE,
)
# Linked to at run time and not changed, which the LGPL allows.
UNCHANGED = {"psycopg2-binary", "recurring-ical-events", "x-wr-timezone"}
# Their metadata name none; it stands in the licence file of each.
READ = {"skops": "MIT", "huey": "MIT"}


def test_every_package_that_the_platform_installs_has_an_allowed_licence() -> None:
    """From our own requirements down; a new dependency under another licence fails here."""
    found = dict(licences("promotion-assets"))
    assert {"dagster", "mlflow", "pandas", "sqlalchemy"} <= found.keys()
    wrong = {
        name: said
        for name, said in found.items()
        if name not in UNCHANGED and not ALLOWED.search(READ.get(name, said))
    }
    assert wrong == {}
    assert not any(
        re.search(r"affero|\bagpl|\bgpl|sspl|busl|commons clause", said, re.IGNORECASE)
        for said in found.values()
    )


def licences(root: str) -> Iterator[tuple[str, str]]:
    """What is installed because of ``root``, with all that it says of its licence."""
    waiting, seen = [root], set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except ModuleNotFoundError:
            continue
        yield str(name), _said(found)
        for line in found.requires or ():
            asked = Requirement(line)
            if asked.marker is None or asked.marker.evaluate({"extra": "postgres"}):
                waiting.append(asked.name)


def _said(found: Distribution) -> str:
    meta = found.metadata
    named = [meta.get("License-Expression", "")]
    named += [c for c in meta.get_all("Classifier", []) if c.startswith("License ::")]
    named += (meta.get("License") or "").splitlines()[:1]
    return "; ".join(text for text in named if text)
