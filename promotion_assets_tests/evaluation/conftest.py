"""Models logged by real MLflow, once a session."""

from __future__ import annotations

import pytest

from promotion_assets_tests.evaluation.logged import Logged, log_all


@pytest.fixture(scope="session")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """Every model of ``log_models``, with the rows to ask about and what to expect."""
    return log_all(tmp_path_factory.mktemp("logged"))
