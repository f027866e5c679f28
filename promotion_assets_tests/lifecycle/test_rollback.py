from __future__ import annotations

import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.errors import RegistryUnreachable, TransitionRefused, UsageError
from promotion_assets.lifecycle.events import Stage
from promotion_assets.lifecycle.intents import finish
from promotion_assets.lifecycle.promotion import complete_rollout, promote
from promotion_assets.lifecycle.reconcile import reconcile
from promotion_assets.lifecycle.rollback import clear_latch, rollback
from promotion_assets.pipeline.late_registry import LateRegistry
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import (
    MODEL,
    adopted,
    digest,
    evaluated,
    facts,
    go_live,
    request,
)


def champion_line(ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, *line: str) -> None:
    """Adopt the first version and make each of the others champion after it."""
    adopted(ledger, registry, line[0])
    for version in line[1:]:
        go_live(ledger, registry, version, clock)
        complete_rollout(ledger, registry, MODEL, actor="ana", reason="baked")


def test_a_rollout_is_rolled_back_to_the_champion_that_never_left(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """The rolling version is archived and latched; the champion keeps its role."""
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    state = rollback(ledger, registry, MODEL, actor="ana", reason="errors tripled")
    assert (state.champions, state.rolling) == ({"default": "1"}, {})
    assert state.stage("2") is Stage.ARCHIVED
    assert state.latches[digest("2")].reason == "errors tripled"
    assert registry.aliases == {"champion": "1"}
    assert registry.versions["2"].stage == "Archived"
    assert state.intent is None


def test_the_plan_waits_for_no_registry_to_be_opened(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A registry that takes seconds to open is opened when the ledger has the plan already."""
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    found: list[dict[str, str]] = []

    def _opened() -> FakeRegistry:
        found.append(dict(ledger.state(MODEL).rolling))
        return registry

    state = rollback(ledger, LateRegistry(_opened), MODEL, actor="ana", reason="errors tripled")
    assert found
    assert found[0] == {}
    assert state.intent is None
    assert registry.aliases == {"champion": "1"}


def test_a_champion_is_rolled_back_to_its_predecessor(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """After the rollout's end the version before comes back, without any gate."""
    champion_line(ledger, registry, clock, "1", "2")
    state = rollback(ledger, registry, MODEL, actor="ana", reason="wrong prices")
    assert state.champions == {"default": "1"}
    assert (state.stage("1"), state.stage("2")) == (Stage.PRODUCTION, Stage.ARCHIVED)
    assert registry.aliases == {"champion": "1"}
    assert (registry.versions["1"].stage, registry.versions["2"].stage) == (
        "Production",
        "Archived",
    )


def test_repeating_a_rollback_changes_nothing(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Ten impatient calls go back one version, not ten."""
    champion_line(ledger, registry, clock, "1", "2", "3")
    first = rollback(ledger, registry, MODEL, actor="ana", reason="wrong prices")
    for _ in range(10):
        again = rollback(ledger, registry, MODEL, actor="bo", reason="still wrong?")
    assert again == first
    assert first.champions == {"default": "2"}
    assert rollback(ledger, registry, MODEL, actor="bo", reason="same", to="2") == first


def test_a_version_can_be_named_further_back(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """With a version named, the segment goes there, even while another one rolls out."""
    champion_line(ledger, registry, clock, "1", "2", "3")
    go_live(ledger, registry, "4", clock)
    state = rollback(ledger, registry, MODEL, actor="ana", reason="all wrong", to="1")
    assert (state.champions, state.rolling) == ({"default": "1"}, {})
    assert set(state.latches) == {digest("3"), digest("4")}
    assert registry.aliases == {"champion": "1"}


def test_after_a_rollback_a_new_promotion_can_be_rolled_back_again(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """The protection against repeats ends with the next promotion, and skips latched versions."""
    champion_line(ledger, registry, clock, "1", "2")
    rollback(ledger, registry, MODEL, actor="ana", reason="wrong prices")
    go_live(ledger, registry, "3", clock)
    complete_rollout(ledger, registry, MODEL, actor="ana", reason="baked")
    state = rollback(ledger, registry, MODEL, actor="ana", reason="wrong again")
    assert state.champions == {"default": "1"}


@pytest.mark.parametrize("to", ["2", "7"])
def test_only_a_version_that_was_champion_and_is_not_latched_can_be_named(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, to: str
) -> None:
    """Neither a version that was rejected in production nor one that never was there comes back."""
    champion_line(ledger, registry, clock, "1", "2")
    rollback(ledger, registry, MODEL, actor="ana", reason="wrong prices")
    with pytest.raises(TransitionRefused, match=r"wrong prices|never was champion"):
        rollback(ledger, registry, MODEL, actor="ana", reason="forward again", to=to)


def test_with_nothing_to_go_back_to_it_is_refused(
    ledger: DatabaseLedger, registry: FakeRegistry
) -> None:
    """A first champion has no predecessor, and a segment without champion has none at all."""
    with pytest.raises(TransitionRefused, match="no champion"):
        rollback(ledger, registry, MODEL, actor="ana", reason="panic")
    adopted(ledger, registry)
    with pytest.raises(TransitionRefused, match="no version was champion before 1"):
        rollback(ledger, registry, MODEL, actor="ana", reason="panic")
    with pytest.raises(TransitionRefused, match="no reason"):
        rollback(ledger, registry, MODEL, actor="ana", reason=" ")


def test_a_rollback_does_not_wait_for_the_registry(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """With MLflow down the ledger, which serving follows, goes back at once all the same."""
    champion_line(ledger, registry, clock, "1", "2")
    registry.fail_at = {1}
    state = rollback(ledger, registry, MODEL, actor="ana", reason="wrong prices")
    assert state.champions == {"default": "1"}
    assert state.intent is not None
    assert registry.aliases == {"champion": "2"}
    state = rollback(ledger, registry, MODEL, actor="ana", reason="wrong prices")
    assert state.intent is None
    assert registry.aliases == {"champion": "1"}


def test_a_rollback_pushes_an_open_change_aside(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A promotion that hangs half-way is abandoned, and what it had mirrored is put right."""
    champion_line(ledger, registry, clock, "1", "2")
    ledger.append([evaluated("3", clock)])
    registry.fail_at = {-1}
    with pytest.raises(RegistryUnreachable):
        promote(ledger, registry, request("3"), facts("3"), clock())
    assert registry.versions["3"].stage == "Staging"
    state = rollback(ledger, registry, MODEL, actor="ana", reason="wrong prices")
    assert state.champions == {"default": "1"}
    assert (state.stage("3"), registry.versions["3"].stage) == (Stage.NONE, "None")
    assert registry.aliases == {"champion": "1"}


def test_a_version_that_was_deleted_is_rolled_back_all_the_same(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Whoever deletes the failing version in MLflow does not keep it live; reconciling ends it."""
    champion_line(ledger, registry, clock, "1", "2")
    registry.deleted = {"2"}
    del registry.aliases["champion"]
    state = rollback(ledger, registry, MODEL, actor="ana", reason="wrong prices")
    assert state.champions == {"default": "1"}
    found = reconcile(ledger, registry, MODEL, lambda asked: facts(asked.version), clock())
    assert found.finished == "mirror, found elsewhere"
    assert registry.aliases == {"champion": "1"}
    assert ledger.state(MODEL).intent is None


def test_a_latch_holds_until_a_person_clears_it(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """The same bytes under a new version number are stopped until the latch is cleared."""
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    rollback(ledger, registry, MODEL, actor="ana", reason="errors tripled")
    state = ledger.state(MODEL)
    assert digest("2") in state.latches
    with pytest.raises(TransitionRefused, match="no reason"):
        clear_latch(ledger, MODEL, digest("2"), actor="bo", reason="")
    clear_latch(ledger, MODEL, digest("2"), actor="bo", reason="cause was the load balancer")
    assert not ledger.state(MODEL).latches
    with pytest.raises(TransitionRefused, match="not latched"):
        clear_latch(ledger, MODEL, digest("2"), actor="bo", reason="again")


def test_a_rejection_in_the_registry_does_not_undo_a_rollback(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A version that was deleted there is put away in the ledger all the same."""
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    registry.deleted = {"2"}
    after = rollback(ledger, registry, MODEL, actor="ana", reason="errors")
    assert after.champions == {"default": "1"}
    assert after.intent is not None
    with pytest.raises(UsageError):
        finish(ledger, registry, after.intent)
