from __future__ import annotations

from dataclasses import replace

import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.errors import EvidenceMissing, RegistryUnreachable
from promotion_assets.lifecycle.events import RegistryRestored, RegistryTampered, Stage
from promotion_assets.lifecycle.ports import MirroredVersion
from promotion_assets.lifecycle.promotion import adopt, complete_rollout, promote
from promotion_assets.lifecycle.reconcile import Reconciliation, reconcile
from promotion_assets.lifecycle.transitions import Facts, Request
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import (
    MODEL,
    adopted,
    digest,
    evaluated,
    facts,
    go_live,
    request,
    stage,
)


def again(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, **options: object
) -> Reconciliation:
    """Reconcile with facts under which every evaluation still holds."""

    def _facts_of(asked: Request) -> Facts:
        return facts(asked.version)

    return reconcile(ledger, registry, MODEL, _facts_of, clock(), **options)  # type: ignore[arg-type]


def half_done(ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, when: int) -> None:
    """Leave a promotion to Staging with its intent open."""
    ledger.append([evaluated("2", clock)])
    registry.versions["2"] = MirroredVersion(None, "None", {})
    registry.fail_at = {when}
    with pytest.raises(RegistryUnreachable):
        promote(ledger, registry, request("2"), facts("2"), clock())


def test_with_nothing_to_do_it_says_so_and_writes_nothing(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A reconciliation of what agrees leaves no entry, however often it runs."""
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    complete_rollout(ledger, registry, MODEL, actor="ana", reason="baked")
    size = ledger.head().size
    calls = len(registry.calls)
    assert not again(ledger, registry, clock).did_something
    assert (ledger.head().size, len(registry.calls)) == (size, calls)


@pytest.mark.parametrize(("when", "side"), [(1, "between"), (-1, "after")])
def test_an_open_promotion_is_finished_from_either_side(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, when: int, side: str
) -> None:
    """Whether the registry was already changed or not, the announced change comes to its end."""
    half_done(ledger, registry, clock, when)
    found = again(ledger, registry, clock)
    assert found.finished == f"promote, found {side}"
    assert ledger.state(MODEL).stage("2") is Stage.STAGING
    assert registry.versions["2"].stage == "Staging"
    assert not again(ledger, registry, clock).did_something


def test_a_promotion_that_no_longer_holds_is_undone(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """If the artifact changed in between, the change is given up and nothing is left of it."""
    adopted(ledger, registry)
    half_done(ledger, registry, clock, 1)
    found = reconcile(
        ledger, registry, MODEL, lambda r: facts(r.version, model_digest="e" * 64), clock()
    )
    assert found.abandoned is not None
    assert "artifact judged" in found.abandoned
    state = ledger.state(MODEL)
    assert (state.intent, state.stage("2")) == (None, Stage.NONE)
    assert registry.versions["2"].stage == "None"
    assert registry.aliases == {"champion": "1"}


def test_a_promotion_whose_facts_cannot_be_had_is_undone(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Absence of evidence does not roll a change forward."""
    half_done(ledger, registry, clock, 1)

    def _facts_of(asked: Request) -> Facts:
        raise EvidenceMissing("read it", "the artifact is gone", "register it again")

    found = reconcile(ledger, registry, MODEL, _facts_of, clock())
    assert found.abandoned == "promote, the artifact is gone"


def test_a_promotion_of_a_version_that_was_deleted_is_given_up(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A version that is gone from the registry is not brought to Staging."""
    half_done(ledger, registry, clock, 1)
    del registry.versions["2"]
    found = again(ledger, registry, clock)
    assert found.abandoned == "promote, version 2 is no longer in the registry"
    assert ledger.state(MODEL).intent is None


def test_a_registry_on_neither_side_is_reported_and_not_overwritten(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A third value means that somebody else was there: alert, once, and leave it alone."""
    adopted(ledger, registry)
    half_done(ledger, registry, clock, 1)
    registry.aliases["shadow"] = "9"
    for _ in range(3):
        found = again(ledger, registry, clock)
        assert not found.agrees
    assert registry.aliases["shadow"] == "9"
    tampered = [r for r in ledger.events(MODEL) if isinstance(r.event, RegistryTampered)]
    assert len(tampered) == 1
    assert ledger.state(MODEL).intent is not None
    found = again(ledger, registry, clock, on_bypass="revert")
    assert found.finished is not None
    assert registry.aliases["shadow"] == "2"


@pytest.mark.parametrize(
    "subject", ["alias", "stranger alias", "stage", "tag", "gate tag", "stranger stage"]
)
def test_what_was_moved_by_hand_is_recorded_once_and_put_back_by_policy(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, subject: str
) -> None:
    """Alias, stage or tag: reported under `report`, reported and undone under `revert`."""
    adopted(ledger, registry)
    stage(ledger, registry, "2", clock)
    before = (dict(registry.aliases), dict(registry.versions))
    tamper(registry, subject)
    found = again(ledger, registry, clock)
    assert len(found.deviations) == 1
    again(ledger, registry, clock)
    recorded = [r for r in ledger.events(MODEL) if isinstance(r.event, RegistryTampered)]
    assert len(recorded) == 1
    assert ledger.state(MODEL).deviations == found.deviations

    found = again(ledger, registry, clock, on_bypass="revert")
    assert found.agrees
    assert found.restored
    if "stranger" not in subject:
        assert (registry.aliases, registry.versions) == before
    assert not again(ledger, registry, clock).did_something
    assert ledger.state(MODEL).deviations == ()


def tamper(registry: FakeRegistry, subject: str) -> None:
    """Change one thing past the platform."""
    two = registry.versions["2"]
    match subject:
        case "alias":
            registry.aliases["champion"] = "2"
        case "stranger alias":
            registry.aliases["champion-eu"] = "2"
        case "stage":
            registry.versions["2"] = replace(two, legacy_stage="Production")
        case "tag":
            tags = {**two.tags, "promotion.stage": "Production"}
            registry.versions["2"] = MirroredVersion("Production", two.legacy_stage, tags)
        case "gate tag":
            tags = {**two.tags, "gate.accuracy.passed": "very much"}
            registry.versions["2"] = replace(two, tags=tags)
        case "stranger stage":
            registry.versions["5"] = MirroredVersion(None, "Production", {})


def test_what_somebody_puts_back_himself_is_recorded_as_restored(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """The alarm goes off when the registry agrees again."""
    adopted(ledger, registry)
    registry.aliases["champion"] = "2"
    assert not again(ledger, registry, clock).agrees
    registry.aliases["champion"] = "1"
    assert again(ledger, registry, clock).restored
    last = list(ledger.events(MODEL))[-1].event
    assert isinstance(last, RegistryRestored)


def test_changed_bytes_and_a_deleted_version_are_reported_even_under_revert(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """What cannot be put back stays on record and on the alarm."""
    adopted(ledger, registry)
    stage(ledger, registry, "2", clock)
    bytes_now = {"1": "e" * 64, "2": digest("2")}
    found = again(ledger, registry, clock, on_bypass="revert", digest_of=bytes_now.get)
    assert [d.sentence() for d in found.deviations] == [
        f"artifact 'digest' of version 1 should be '{digest('1')}' and is '{'e' * 64}'"
    ]
    del registry.versions["2"]
    found = again(ledger, registry, clock, on_bypass="revert", digest_of=bytes_now.get)
    assert {d.subject for d in found.deviations} == {"artifact", "version"}
    assert ledger.state(MODEL).deviations == found.deviations


def test_tags_that_were_never_written_are_no_alarm(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """An evaluation whose tags did not get there is tagged, and so is its repetition."""
    registry.versions["3"] = MirroredVersion(None, "None", {})
    ledger.append([evaluated("3", clock, verdict="rejected")])
    found = again(ledger, registry, clock)
    assert (found.tagged, found.deviations) == (("3",), ())
    assert registry.versions["3"].tags["promotion.decision"] == "approved"
    ledger.append([evaluated("3", clock, tags={"promotion.decision": "rejected"})])
    found = again(ledger, registry, clock)
    assert (found.tagged, found.deviations) == (("3",), ())
    assert registry.versions["3"].tags["promotion.decision"] == "rejected"


def test_before_its_adoption_a_model_is_nobodys_alarm(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """What stood in the registry before the platform came is not called tampering."""
    registry.aliases["champion"] = "1"
    registry.versions["1"] = MirroredVersion(None, "Production", {})
    registry.versions["3"] = MirroredVersion(None, "None", {})
    ledger.append([evaluated("3", clock)])
    assert again(ledger, registry, clock).agrees
    adopt(
        ledger,
        registry,
        MODEL,
        "1",
        model_digest=digest("1"),
        actor="ana",
        reason="has been serving since 2024",
    )
    assert not again(ledger, registry, clock).did_something
