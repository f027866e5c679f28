"""What differs between ledger and registry, and on which side of a change the registry stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.errors import TransitionRefused
from promotion_assets.lifecycle.deviations import compare, intent_deviations, side_of, versions_of
from promotion_assets.lifecycle.events import (
    DeploymentConfirmed,
    Deviation,
    DigestLatched,
    IntentRecorded,
    MirrorSlice,
    Stage,
)
from promotion_assets.lifecycle.fold import fold
from promotion_assets.lifecycle.ports import MirroredVersion, RegistryView
from promotion_assets.lifecycle.rollback import clear_latch, rollback
from promotion_assets.lifecycle.rollouts import segment_plan, standing
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.traffic import fitting_plan
from promotion_assets.lifecycle.transitions import check_transition, evidence_of
from promotion_assets.serving.plan import Arm
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import (
    MODEL,
    adopted,
    digest,
    evaluated,
    facts,
    request,
    shadow,
    stage,
)
from promotion_assets_tests.lifecycle.events import adoption, live, planned, staged

CHANGE = IntentRecorded(
    model=MODEL,
    intent_id="i",
    action="promote",
    reason="",
    before=MirrorSlice(aliases={"shadow": None}, stages={"2": Stage.NONE}),
    after=MirrorSlice(aliases={"shadow": "2"}, stages={"2": Stage.STAGING}),
)


def view(alias: str | None, stage: str | None) -> RegistryView:
    """A registry with version 2 in a stage, and the alias of shadows."""
    versions = {} if stage is None else {"2": MirroredVersion(stage or None, None, {})}
    return RegistryView({} if alias is None else {"shadow": alias}, versions)


@pytest.mark.parametrize(
    ("alias", "stage", "side", "wrong"),
    [
        ("2", "Staging", "after", []),
        (None, "", "between", []),
        (None, "None", "between", []),
        ("2", "None", "between", []),
        (None, "Staging", "between", []),
        ("9", "Staging", "elsewhere", [("alias", "shadow", "2", "9")]),
        ("2", "Archived", "elsewhere", [("tag", "promotion.stage", "Staging", "Archived")]),
        ("2", None, "elsewhere", [("tag", "promotion.stage", "Staging", None)]),
    ],
)
def test_a_registry_stands_after_between_or_elsewhere(
    alias: str | None, stage: str | None, side: str, wrong: list[tuple[str | None, ...]]
) -> None:
    """Each part on one of both sides is between; any other value is named with its right one."""
    seen = view(alias, stage)
    assert side_of(CHANGE, seen) == side
    found = intent_deviations(CHANGE, seen)
    assert [(d.subject, d.name, d.expected, d.found) for d in found] == wrong


def test_strangers_are_named_by_what_shows_them_to_be_live() -> None:
    """A stage or a tag of a version that the ledger does not know; a harmless one is nobody's."""
    state = fold(MODEL, [adoption("1")])
    mirrored = {
        "7": MirroredVersion(None, "Production", {}),
        "8": MirroredVersion("Staging", None, {}),
        "9": MirroredVersion("Archived", "Archived", {}),
    }
    found = compare(state, RegistryView({}, mirrored), None).deviations
    strange = [(d.subject, d.name, d.version, d.found) for d in found if d.version in mirrored]
    assert strange == [
        ("stage", "stage", "7", "Production"),
        ("tag", "promotion.stage", "8", "Staging"),
    ]
    assert compare(ModelState(MODEL), RegistryView({}, mirrored), None).deviations == ()


def test_both_holders_of_an_alias_are_written_to_put_it_back() -> None:
    """In order of version; an artifact or a version that is gone cannot be put back."""
    moved = Deviation(subject="alias", name="champion", expected="10", found="9")
    tag = Deviation(subject="tag", name="t", version="2", expected="a", found="b")
    gone = Deviation(subject="version", name="3", version="3", expected="present", found=None)
    bytes_ = Deviation(subject="artifact", name="4", version="4", expected="a", found="b")
    assert versions_of([moved, tag, gone, bytes_]) == ("2", "9", "10")
    assert versions_of([moved.model_copy(update={"found": None})]) == ("10",)


def test_a_shadow_stays_in_the_plan_while_it_is_staged_with_its_bytes(clock: Clock) -> None:
    """With its share and salt; latched, live or of other bytes it is gone."""
    state = fold(MODEL, planned([*live("1", clock), *staged("2", clock)]))
    assert state.traffic is not None
    arm = Arm(version="2", digest=digest("2"))
    watched = state.traffic.segments[0].model_copy(
        update={"shadow": arm, "shadow_share": 100, "shadow_salt": "s"}
    )
    shadowed = replace(state, traffic=state.traffic.with_segment(watched))
    assert fitting_plan(shadowed) == shadowed.traffic
    latch = DigestLatched(model=MODEL, version="2", digest=digest("2"), reason="it lied")
    for changed in (
        replace(shadowed, latches={digest("2"): latch}),
        replace(shadowed, digests={**shadowed.digests, "2": "e" * 64}),
        replace(shadowed, stages={"default": {"1": Stage.PRODUCTION, "2": Stage.ARCHIVED}}),
    ):
        plan = fitting_plan(changed)
        assert plan is not None
        assert (plan.segments[0].shadow, plan.segments[0].shadow_share) == (None, 0)


def test_what_belongs_to_one_segment_counts_in_no_other(clock: Clock) -> None:
    """Decisions, shadow reports and deployments are of the segment they were made for."""
    there = [e.model_copy(update={"segment": "eu"}) for v in "12" for e in live(v, clock)]
    confirmed = DeploymentConfirmed(
        model=MODEL,
        version="2",
        notification="n",
        smoke_test="passed",
        health="healthy",
        reported_at=clock(),
    )
    state = fold(MODEL, [*there, evaluated("2", clock, decision_digest="9" * 64), confirmed])
    eu = request("2", Stage.PRODUCTION, segment="eu")
    assert evidence_of(state, eu, facts("2"))["decision"] == digest("2")
    default = evidence_of(state, request("2", Stage.PRODUCTION), facts("2"))
    assert default["decision"] == "9" * 64
    assert "shadow" not in default
    stood = standing(state, "eu")
    assert stood is not None
    assert stood.deployment == "none"
    in_eu = confirmed.model_copy(update={"segment": "eu"})
    stood = standing(fold(MODEL, [in_eu], state), "eu")
    assert stood is not None
    assert stood.deployment == "good"


def test_the_fold_keeps_no_full_reports_and_names_the_model_it_refuses(clock: Clock) -> None:
    """What a state holds of a shadow is its summary; the report is in the ledger."""
    state = fold(MODEL, [shadow("2", report={"pairs": 5})])
    assert state.shadows["default", "2"].report == {}
    with pytest.raises(TransitionRefused) as caught:
        segment_plan(state, "eu")
    assert "look at the traffic of credit-risk in segment 'eu'" in str(caught.value)
    assert "no champion" in str(caught.value)


@pytest.mark.parametrize(
    ("held", "to", "said", "way"),
    [
        (Stage.ARCHIVED, Stage.PRODUCTION, "only a rollback brings", "register the artifact"),
        (Stage.ARCHIVED, Stage.STAGING, "it is in stage Archived, and no way", "register"),
        (Stage.NONE, Stage.PRODUCTION, "no way leads from None to Production", "evaluate it"),
        (Stage.NONE, Stage.ARCHIVED, "it is in stage None, and no way", "evaluate it"),
        (Stage.PRODUCTION, Stage.STAGING, "it is in stage Production", "roll it back"),
        (Stage.STAGING, Stage.NONE, "leads from there to None (promotion)", "promote it"),
    ],
)
def test_where_no_way_leads_the_refusal_says_which_one_does(
    clock: Clock, held: Stage, to: Stage, said: str, way: str
) -> None:
    """The stage that it is in, why it cannot go there, and what can be done instead."""
    state = replace(ModelState(MODEL), stages={"default": {"2": held}})
    with pytest.raises(TransitionRefused) as caught:
        check_transition(state, request("2", to), facts("2"), clock())
    assert f"move {MODEL} version 2 to {to}" in str(caught.value)
    assert said in str(caught.value)
    assert way in str(caught.value)


def test_latches_that_are_not_there_and_ways_back_that_are_none_are_named(
    ledger: DatabaseLedger, registry: FakeRegistry
) -> None:
    """Without any latch "none" is said; with nothing before the champion, what would help."""
    adopted(ledger, registry)
    with pytest.raises(TransitionRefused, match=r"not latched \(latched: none\)"):
        clear_latch(ledger, MODEL, "e" * 64, actor="ana", reason="mended")
    with pytest.raises(
        TransitionRefused, match=r"clear a latch with .* or promote a mended version"
    ):
        rollback(ledger, registry, MODEL, actor="ana", reason="errors")
    with pytest.raises(TransitionRefused, match="no reason is given"):
        rollback(ledger, registry, MODEL, actor="ana", reason="  ")
    with pytest.raises(TransitionRefused, match="it has no champion"):
        rollback(ledger, registry, MODEL, actor="ana", reason="errors", segment="eu")
    before = ledger.state(MODEL)
    assert rollback(ledger, registry, MODEL, actor="ana", reason="errors", rolling="2") == before


def test_a_live_version_that_the_registry_lacks_is_not_digested(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Nor is one that is not live: only what answers can be changed under the users."""
    adopted(ledger, registry)
    stage(ledger, registry, "2", clock)
    ledger.append([evaluated("3", clock)])
    registry.versions["3"] = MirroredVersion()
    registry.deleted = {"2"}
    asked: list[str] = []

    def _digest_of(version: str) -> str:
        asked.append(version)
        return digest(version)

    compare(ledger.state(MODEL), registry.read_mirror(MODEL), _digest_of)
    assert asked == ["1"]
