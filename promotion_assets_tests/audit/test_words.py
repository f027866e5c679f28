"""What each event is called in a timeline, whom it concerns, and what a verification says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.audit.answers import (
    _pairs,
    _same,
)
from promotion_assets.audit.checkpoint import FilePlace
from promotion_assets.audit.explain import concerns, sentence
from promotion_assets.audit.traffic_words import is_planned, percent, plan_in_words, step_sentence
from promotion_assets.audit.verify import Problem, verify
from promotion_assets.errors import StorageUnreachable
from promotion_assets.gates.contract import GateResult, Measurement, Outcome
from promotion_assets.lifecycle.champion_events import ChampionFailed, Moved
from promotion_assets.lifecycle.events import (
    AnyEvent,
    DeploymentConfirmed,
    Deviation,
    DigestLatched,
    IntentFinished,
    IntentRecorded,
    LatchCleared,
    PlannedChange,
    RegistryRestored,
    RegistryTampered,
    ReviewDecided,
    ReviewRefused,
    ReviewReminded,
    ReviewRequested,
    RolledBack,
    RolloutCompleted,
    RolloutStepped,
    ShadowReported,
    Stage,
    VersionCopied,
)
from promotion_assets.serving.plan import Arm, SegmentPlan, TrafficPlan
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL, SIGNER, evaluated

AT = Clock()()
DEVIATION = Deviation(subject="alias", name="champion", expected="1", found="2")
CHANGE = PlannedChange(
    version="2", promoted_from=Stage.NONE, promoted_to=Stage.STAGING, cause="promotion"
)
DEPLOYED = {"notification": "n", "reported_at": AT, "smoke_test": "passed", "health": "unhealthy"}
COPIED = dict.fromkeys(
    (
        "source_registry",
        "target_run_id",
        "model_digest",
        "target_digest",
        "content_digest",
        "decision_digest",
        "attestation_digest",
    ),
    "x",
)
VOTE = {"actor": "bo", "verdict": "approved", "reviewed_at": AT, "evidence": {}}
TWO = {"model": MODEL, "version": "2"}
SAID: list[tuple[AnyEvent, str]] = [
    (
        evaluated("2", Clock(), verdict="rejected", deciding_gates=("a", "b"), reason="no"),
        "evaluation rejected by a, b: no",
    ),
    (evaluated("2", Clock(), reason="yes"), "evaluation approved: yes"),
    (RolloutCompleted(**TWO, reason="it held"), "version 2 became the champion: it held"),
    (
        RolledBack(model=MODEL, from_version="2", to_version="1", reason="errors"),
        "rolled back from version 2 to 1: errors",
    ),
    (
        DigestLatched(**TWO, digest="abcdef" * 9, reason="bad"),
        "artifact abcdefabcdef latched: bad",
    ),
    (
        LatchCleared(model=MODEL, digest="abcdef" * 9, reason="mended"),
        "latch on artifact abcdefabcdef cleared: mended",
    ),
    (
        ShadowReported(**TWO, passed=False, model_digest="", summary="9 % differ"),
        "shadow report did not pass: 9 % differ",
    ),
    (
        ShadowReported(**TWO, passed=True, model_digest="", summary="1 % differs"),
        "shadow report passed: 1 % differs",
    ),
    (ReviewRequested(**TWO), "review of version 2 requested"),
    (ReviewRequested(**TWO, assigned=("bo", "cy")), "review of version 2 requested of bo, cy"),
    (
        ReviewReminded(**TWO, request_id="r", what="expired", assigned=("bo",)),
        "review expired; it is the turn of bo",
    ),
    (
        ReviewReminded(**TWO, request_id="r", what="reminder"),
        "review reminder; it is the turn of nobody",
    ),
    (
        ReviewRefused(**TWO, actor="bo", verdict="approved", problems=("too fast", "no cover")),
        "bo tried in vain to have it approved: too fast; no cover",
    ),
    (ReviewDecided(**TWO, **VOTE), "bo approved it"),  # type: ignore[arg-type]
    (
        ReviewDecided(**TWO, **VOTE, comment="fine", flags=("45 s",)),  # type: ignore[arg-type]
        "bo approved it: fine (flagged: 45 s)",
    ),
    (
        IntentRecorded(model=MODEL, intent_id="i", action="promote", reason="better"),
        "change announced (promote): better",
    ),
    (
        IntentRecorded(model=MODEL, intent_id="i", action="mirror", reason=""),
        "change announced (mirror)",
    ),
    (
        RegistryTampered(model=MODEL, deviations=(DEVIATION,)),
        "registry changed by somebody else: alias 'champion' should be '1' and is '2'",
    ),
    (
        RegistryRestored(model=MODEL, deviations=(DEVIATION,)),
        "the registry agrees with the ledger again",
    ),
    (
        VersionCopied(
            **TWO, **COPIED, target_registry="http://b", target_model="m", target_version="7"
        ),
        "copied to http://b as version 7 of m, attestation verified there",
    ),
    (
        DeploymentConfirmed(**TWO, **DEPLOYED),  # type: ignore[arg-type]
        "deployed to production: smoke test passed, unhealthy",
    ),
    (
        DeploymentConfirmed(**TWO, **DEPLOYED, detail="job 7"),  # type: ignore[arg-type]
        "deployed to production: smoke test passed, unhealthy: job 7",
    ),
    (
        ChampionFailed(
            **TWO,
            reason="AUC",
            decision_digest="d",
            gates=(Moved(name="accuracy", before="passed", after="failed"),),
            numbers=(Moved(name="roc_auc", before=0.8, after=0.7),),
        ),
        "as the champion it no longer passes: AUC (accuracy passed → failed, roc_auc 0.8 → 0.7)",
    ),
    (
        ChampionFailed(**TWO, reason="AUC", decision_digest="d"),
        "as the champion it no longer passes: AUC (no change)",
    ),
    (IntentFinished(model=MODEL, intent_id="i"), "intent finished"),
]


@pytest.mark.parametrize(("event", "said"), SAID)
def test_each_event_is_said_in_one_sentence(event: AnyEvent, said: str) -> None:
    """With who, what and why, as it was recorded."""
    assert sentence(event) == said


def test_events_concern_the_versions_that_they_name() -> None:
    """Both ends of a rollback, every change of an intent, and who is in a plan."""
    back = RolledBack(model=MODEL, from_version="2", to_version="1", reason="")
    assert [concerns(back, v) for v in "123"] == [True, True, False]
    intent = IntentRecorded(
        model=MODEL, intent_id="i", action="promote", reason="", changes=(CHANGE,)
    )
    assert [concerns(intent, v) for v in "12"] == [False, True]
    tag = Deviation(subject="tag", name="t", version="3", expected="1", found="2")
    tampered = RegistryTampered(model=MODEL, deviations=(tag,))
    assert [concerns(tampered, v) for v in "123"] == [False, False, True]
    assert not concerns(LatchCleared(model=MODEL, digest="d", reason=""), "2")


def step(action: Any, before: int, after: int, **changes: Any) -> str:
    """The sentence of a rollout's step."""
    values: dict[str, Any] = {"version": "2", "step": 0, "generation": 3, "at": AT, **changes}
    return step_sentence(
        RolloutStepped(
            model=MODEL,
            actor="ana",
            action=action,
            share_from=before,
            share_to=after,
            reason="so",
            **values,
        )
    )


@pytest.mark.parametrize(
    ("action", "before", "after", "said"),
    [
        ("start", 0, 500, "rollout of version 2 begins at 5 %: so"),
        ("advance", 500, 2500, "rollout of version 2 goes from 5 % to 25 %: so"),
        (
            "bake",
            2500,
            9800,
            "rollout of version 2 goes from 25 % to 98 % and bakes there, the rest held back: so",
        ),
        ("hold", 500, 500, "rollout of version 2 holds at 5 %: so"),
        ("complete", 9800, 10_000, "rollout of version 2 is complete: so"),
        ("roll_back", 550, 0, "rollout of version 2 is taken back from 5.5 %: so"),
        ("pause", 500, 500, "ana paused the rollout of version 2 at 5 %: so"),
        ("resume", 500, 500, "ana resumed the rollout of version 2 at 5 %: so"),
        ("skip", 500, 2500, "ana skipped the rollout of version 2, 5 % to 25 %: so"),
        ("abort", 500, 0, "ana aborted the rollout of version 2, 5 % to 0 %: so"),
    ],
)
def test_each_step_of_a_rollout_says_from_where_to_where(
    action: str, before: int, after: int, said: str
) -> None:
    """A person's steps name the person; a segment is named where it is not the default."""
    assert step(action, before, after) == said
    assert "version 2 in segment 'eu'" in step(action, before, after, segment="eu")


def test_a_plan_says_who_answers_and_who_watches() -> None:
    """Shares of all arms; segments by name where there are several; kept warm is no part."""
    arms = {v: Arm(version=v, digest=v * 64) for v in "1234"}
    eu = SegmentPlan(
        name="eu",
        stable=arms["1"],
        candidate=arms["2"],
        share=550,
        salt="s",
        shadow=arms["3"],
        shadow_share=100,
        shadow_salt="t",
        previous=arms["4"],
    )
    one = TrafficPlan(model=MODEL, generation=1, segments=(eu,), default="eu")
    said = "version 1 94.5 %, version 2 5.5 %, shadow 3 sees 1 %"
    assert plan_in_words(one) == said
    us = SegmentPlan(name="us", stable=arms["1"])
    two = TrafficPlan(model=MODEL, generation=1, segments=(eu, us), default="eu")
    assert plan_in_words(two) == f"eu: {said}; us: version 1 100 %"
    assert [is_planned(two, v) for v in "1234"] == [True, True, True, False]
    assert percent(1) == "0.01 %"


def gate(**changes: Any) -> GateResult:
    """A result with one measurement."""
    measured = Measurement(name="auc", observed=0.75, outcome=Outcome.PASSED)
    values: dict[str, Any] = {
        "gate": "accuracy",
        "outcome": Outcome.PASSED,
        "reason": "it passed",
        "measurements": (measured,),
        **changes,
    }
    return GateResult(**values)


def differing(old: GateResult, new: GateResult) -> Mapping[str, tuple[Any, Any]]:
    """What differs between what was recorded and what comes out again."""
    return {w: (a, b) for w, a, b in _pairs("accuracy", old, new) if not _same(a, b)}


def test_a_number_left_out_and_one_slipped_in_differ_as_much_as_a_changed_one() -> None:
    """Every measurement of either side is compared, also two of one name."""
    one = Measurement(name="auc", observed=0.75, outcome=Outcome.PASSED)
    other = Measurement(name="auc", observed=0.5, outcome=Outcome.PASSED)
    assert differing(gate(), gate()) == {}
    assert differing(gate(measurements=(one, other)), gate(measurements=(one, other))) == {}
    assert differing(gate(), gate(measurements=(other,))) == {
        "accuracy.auc of overall.observed": (0.75, 0.5)
    }
    gone = differing(gate(), gate(measurements=()))
    assert gone["accuracy.auc of overall.observed"] == (0.75, None)
    assert differing(gate(), gate(measurements=(one, other))) == {
        "accuracy.auc of overall": ("not recorded", "measured")
    }
    assert differing(gate(limit=0.7), gate(limit=None)) == {"accuracy.limit": (0.7, None)}
    assert _same({"low": 1.0}, {"low": 1.0 + 1e-15})
    assert not _same({"low": 1.0}, {"low": 1.0, "high": 2.0})


def test_gaps_and_repetitions_are_said_with_their_numbers(
    ledger: DatabaseLedger, clock: Clock
) -> None:
    """One entry that is not there, several, and one that comes twice."""
    ledger.append([evaluated(v, clock) for v in "123456"])
    one, two, three, four, *rest = ledger.entries()
    keys = [SIGNER.public_key]

    def _first(*entries: Any) -> Problem:
        return verify(entries, keys).problems[0]

    gap = _first(one, three, four)
    assert gap.to_json() == {"kind": "removed", "entry": 2, "what": "entry 2 is not there"}
    assert _first(one, four).what == "entries 2 to 3 are not there"
    twice = _first(one, two, two)
    assert (twice.kind, twice.what) == ("duplicated", "number 2 occurs twice or out of order")
    assert verify((one, two, three, four, *rest), keys).valid


def test_a_folder_that_cannot_hold_checkpoints_says_so(tmp_path: Path) -> None:
    """A file in its place is neither written over nor taken for a folder."""
    blocked = tmp_path / "file"
    blocked.write_text("something of somebody's")
    place = FilePlace(blocked / "checkpoints")
    with pytest.raises(StorageUnreachable, match="publish a checkpoint to") as caught:
        place.publish(1, "note")
    assert str(place.folder) in str(caught.value)
    assert blocked.read_text() == "something of somebody's"
    odd = tmp_path / "odd"
    (odd / "checkpoint-000000000001.txt").mkdir(parents=True)
    with pytest.raises(StorageUnreachable, match="read the checkpoints in"):
        FilePlace(odd).held()
    assert list(FilePlace(tmp_path / "empty").held()) == []


def test_a_step_of_a_rollout_is_said_as_an_event(clock: Clock) -> None:
    """In the timeline it reads as on the page of the rollout."""
    step = RolloutStepped(
        model=MODEL,
        version="2",
        actor="ana",
        action="advance",
        share_from=500,
        share_to=2500,
        reason="it held",
        step=1,
        generation=3,
        at=clock(),
    )
    assert sentence(step) == "rollout of version 2 goes from 5 % to 25 %: it held"
