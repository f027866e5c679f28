"""Links within the documentation lead to a heading that is there, and pages can be found."""

from __future__ import annotations

import re

from promotion_assets_tests.guides.runner import REPOSITORY

PAGES = sorted([REPOSITORY / "README.md", *REPOSITORY.glob("docs/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]*)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return what a link may name on a page: its headings, as GitHub calls them, and its ids."""
    found: set[str] = set(re.findall(r'<a id="([^"]+)">', text))
    for heading in re.findall(r"^#{1,6} (.+)$", FENCED.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-"))
    return found


def test_links_lead_to_headings() -> None:
    """Each ``page.md#heading`` and each ``#heading`` is one."""
    for page in PAGES:
        text = FENCED.sub("", page.read_text(encoding="utf-8"))
        for target in LINK.findall(text):
            path, _, anchor = target.partition("#")
            if not anchor or "://" in target:
                continue
            there = (page.parent / path if path else page).read_text(encoding="utf-8")
            assert anchor in anchors(there), f"{page.name}: {target}"


def test_index_names_every_page() -> None:
    """A page that the index does not name is not found by anybody."""
    index = (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    named = {target.partition("#")[0] for target in LINK.findall(index)}
    pages = {page.name for page in REPOSITORY.glob("docs/*.md")} - {"README.md"}
    assert pages <= named, f"not in the index: {', '.join(sorted(pages - named))}"


def test_pictures_are_used_and_small() -> None:
    """No picture lies about, and none is larger than a page of text should carry."""
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for picture in (REPOSITORY / "docs" / "pictures").glob("*.png"):
        assert f"pictures/{picture.name}" in text, picture.name
        assert picture.stat().st_size < 250_000, picture.name
