import os
from typing import Any

import pytest
from hypothesis import settings

from promotion_assets_tests.registries import judged, registries

__all__ = ["judged", "registries"]

# How long an example takes says nothing on a shared machine. Hypothesis has a profile of its own
# where CI is set, which draws the same examples each time: CI judges the change, not the draw.
settings.register_profile("no-deadline", deadline=None)
if not os.environ.get("CI"):
    settings.load_profile("no-deadline")

# Folders whose tests start from one home that takes minutes to make.
TOGETHER = frozenset({"demo", "review"})
# Folders in which one file takes minutes: begun first, no process is left alone with them at the
# end. xdist's own order begins with the files of many tests.
SLOW = ("end_to_end", "demo", "review", "guides", "pipeline", "lifecycle")


def pytest_configure(config: pytest.Config) -> None:
    """Have xdist keep the order of the collection, where it is there."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow folders first; within them the order stays as it was drawn."""
    rank = {folder: place for place, folder in enumerate(SLOW)}
    items.sort(key=lambda item: rank.get(_file(item.nodeid).partition("/")[0], len(SLOW)))


def _file(nodeid: str) -> str:
    """Return the path of a test's file below this package."""
    return nodeid.partition("::")[0].rpartition("promotion_assets_tests/")[2]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of one file, or of one costly home, in one process where there are several."""
    from xdist.scheduler import LoadScopeScheduling

    class ByHome(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = _file(nodeid)
            folder = file.partition("/")[0]
            return folder if folder in TOGETHER else file

    return ByHome(config, log)
