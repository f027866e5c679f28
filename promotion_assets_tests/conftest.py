from pathlib import Path

import pytest

from promotion_assets_tests.registries import judged, registries

__all__ = ["judged", "registries"]

HERE = Path(__file__).parent
# Folders whose tests start from one home that takes minutes to make.
TOGETHER = frozenset({"demo", "review"})


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one file, or of one costly home, in one process where there are several."""
    for item in items:
        parts = item.path.relative_to(HERE).parts
        group = parts[0] if parts[0] in TOGETHER else "/".join(parts)
        item.add_marker(pytest.mark.xdist_group(group))
