"""Ten thousand versions of one model: looking, status, reconciliation and doctor stay bounded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest
from mlflow.tracking import MlflowClient

from promotion_assets.audit.status import status
from promotion_assets.canonical import digest_of
from promotion_assets.lifecycle.promotion import adopt
from promotion_assets.pipeline.doctor import examine
from promotion_assets.pipeline.reconciling import reconcile_model
from promotion_assets.pipeline.watching import Watch, look_for_versions
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.crowds import crowd, names, tag_all, workspace
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import evaluated
from promotion_assets_tests.small_models import write_dataset

(MODEL,) = names(1)
VERSIONS = 10_000
T = TypeVar("T")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A registry of that many versions, all of them judged and tagged; the first one serves."""
    folder = tmp_path_factory.mktemp("many")
    clock = Clock()
    found = workspace(folder, [MODEL], clock)
    write_dataset(folder)
    crowd(found, [MODEL], VERSIONS)
    pins = {"dataset_digest": "", "policy_digest": found.policy_digests[MODEL]}
    decisions = [
        evaluated(
            str(number), clock, model=MODEL, decision_digest=digest_of([MODEL, number]), **pins
        )
        for number in range(1, VERSIONS + 1)
    ]
    found.ledger.append(decisions)
    tag_all(found, MODEL)
    adopt(
        found.ledger,
        found.registry,
        MODEL,
        "1",
        model_digest="a" * 64,
        actor="ana",
        reason="has been serving since 2024",
    )
    return found


def within(seconds: float, what: str, work: Callable[[], T]) -> T:
    """Do it in so much CPU time: a loaded host takes longer, and no more of that."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = work()
    cpu = time.process_time() - cpu
    print(f"\n{what}: {cpu:.2f} CPU s, {time.perf_counter() - wall:.2f} s")
    assert cpu < seconds
    return made


def afresh(opened: Workspace) -> Workspace:
    """A process that has just started: nothing is folded and no connection is open."""
    return workspace(opened.config.parent, [MODEL], Clock())


def test_looking_costs_what_is_new(opened: Workspace) -> None:
    """Up to the last version in a bounded number of looks, then nothing; a new one costs itself."""
    seen = Watch()
    for _ in range(VERSIONS // 200 + 2):
        found, new = look_for_versions(opened, [MODEL], seen, tuple, most=200)
        assert not found
        if new.models[MODEL].highest == VERSIONS:
            break
        seen = new
    assert new.models[MODEL].highest == VERSIONS

    def _look_again() -> tuple[list[str], Watch]:
        found, after = look_for_versions(opened, [MODEL], new, tuple, most=25)
        return [question.version for question in found], after

    assert within(0.3, "a look with nothing new", _look_again)[0] == []
    client = MlflowClient(opened.tracking_uri, opened.tracking_uri)
    client.create_model_version(MODEL, "file:///nowhere")
    found, _ = within(0.3, "a look with one new version", _look_again)
    assert found == [str(VERSIONS + 1)]
    client.delete_model_version(MODEL, str(VERSIONS + 1))


def test_status_says_all_of_them(opened: Workspace) -> None:
    """A process that starts folds the whole history once."""
    fresh = afresh(opened)
    said = within(8, "status, first", lambda: status(fresh.ledger, [MODEL]))
    assert len(said["models"][0]["versions"]) == VERSIONS
    within(0.5, "status, again", lambda: status(fresh.ledger, [MODEL]))


def test_reconciliation_compares_all_of_them(opened: Workspace) -> None:
    """It reads pages of a thousand, and asks for no version on its own."""
    found = within(12, "reconcile", lambda: reconcile_model(opened, MODEL))
    assert found.tagged == ()
    assert [d.subject for d in found.deviations] == ["artifact"]


def test_the_doctor_looks_at_all_of_them(opened: Workspace) -> None:
    """It compares MLflow with the ledger as well, and says who is the champion."""
    fresh = afresh(opened)
    found = within(20, "doctor", lambda: list(examine(fresh)))
    (registry,) = [f for f in found if f.check == f"{MODEL}: registry"]
    assert registry.level == "ok", registry
    assert "champion default: 1" in registry.found
