from typing import Any

import pytest

from promotion_assets_tests.registries import judged, registries

__all__ = ["judged", "registries"]

# Folders whose tests start from one home that takes minutes to make.
TOGETHER = frozenset({"demo", "review"})


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of one file, or of one costly home, in one process where there are several."""
    from xdist.scheduler import LoadScopeScheduling

    class ByHome(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            _, _, inner = nodeid.partition("::")[0].rpartition("promotion_assets_tests/")
            folder = inner.partition("/")[0]
            return folder if folder in TOGETHER else inner

    return ByHome(config, log)
