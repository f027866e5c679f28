"""Several writers on one ledger, for a random walk: promote, roll back, sleep, reconcile."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.errors import Refusal, RegistryUnreachable
from promotion_assets.lifecycle.events import ReviewDecided, Stage
from promotion_assets.lifecycle.mirror import aliases_of
from promotion_assets.lifecycle.ports import MirroredVersion
from promotion_assets.lifecycle.promotion import adopt, complete_rollout, promote
from promotion_assets.lifecycle.reconcile import reconcile
from promotion_assets.lifecycle.rollback import clear_latch, rollback
from promotion_assets.lifecycle.rollouts import segment_plan, standing, step_events
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import Facts, Request, evidence_of
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, evaluated, facts, new_ledger, request, shadow

NAMES = [str(number) for number in range(1, 9)]
VERSIONS = st.sampled_from(NAMES)
SEGMENTS = st.sampled_from(["default", "eu"])
WRITERS = 3


class Writers(RuleBasedStateMachine):
    """Several processes' worth of ledgers on one database, and one registry: what each may do."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.registry = FakeRegistry(versions={v: MirroredVersion() for v in NAMES})
        self.bytes = dict.fromkeys(NAMES, 0)
        self.ledgers: list[DatabaseLedger] = []
        self.stale: list[ModelState] = []

    @initialize(established=st.booleans())
    def open(self, established: bool) -> None:
        """Open the ledgers, half of the time on a model with a champion and a predecessor."""
        self.ledgers = [new_ledger(Path(self.folder.name), self.clock) for _ in range(WRITERS)]
        self.stale = [ModelState(MODEL)] * WRITERS
        if established:
            self.adopt(0, "1", "default")
            self.release("default")

    def teardown(self) -> None:
        for ledger in self.ledgers:
            ledger.close()
        self.folder.cleanup()

    def facts(self, version: str, segment: str = "default") -> Facts:
        """What is true now; an artifact's digest follows its bytes."""
        state = self.ledgers[0].state(MODEL)
        champion = state.champions.get(segment)
        return facts(
            version,
            model_digest=f"{version}{self.bytes[version]}" * 32,
            champion_digest=None if champion is None else state.digests[champion],
        )

    @rule(version=VERSIONS, segment=SEGMENTS, verdict=st.sampled_from(["approved", "rejected"]))
    def evaluate(self, version: str, segment: str, verdict: str) -> None:
        now = self.facts(version, segment)
        digest = f"{self.ledgers[0].head().size:04}" * 16
        self.ledgers[0].append(
            [
                evaluated(
                    version,
                    self.clock,
                    segment=segment,
                    verdict=verdict,
                    model_digest=now.model_digest,
                    decision_digest=digest,
                    tags={},
                )
            ]
        )

    @rule(version=VERSIONS, segment=SEGMENTS, passed=st.booleans())
    def shadow(self, version: str, segment: str, passed: bool) -> None:
        found = self.facts(version)
        self.ledgers[0].append(
            [
                shadow(
                    version,
                    segment=segment,
                    passed=passed,
                    model_digest=found.model_digest,
                    report_digest=f"{self.ledgers[0].head().size:04}" * 16,
                )
            ]
        )

    @rule(
        version=VERSIONS,
        segment=SEGMENTS,
        verdict=st.sampled_from(["approved", "approved", "rejected"]),
    )
    def review(self, version: str, segment: str, verdict: str) -> None:
        asked = request(version, Stage.PRODUCTION, segment=segment)
        state = self.ledgers[0].state(MODEL)
        self.ledgers[0].append(
            [
                ReviewDecided.model_validate(
                    {
                        "model": MODEL,
                        "version": version,
                        "segment": segment,
                        "actor": "bo",
                        "verdict": verdict,
                        "reviewed_at": self.clock(),
                        "evidence": evidence_of(state, asked, self.facts(version, segment)),
                    }
                )
            ]
        )

    @rule(
        writer=st.integers(0, WRITERS - 1),
        version=VERSIONS,
        segment=SEGMENTS,
        to=st.sampled_from(Stage),
        fails=st.sampled_from([0, 0, 0, 1, -1]),
    )
    def promote(self, writer: int, version: str, segment: str, to: Stage, fails: int) -> None:
        cause = "withdrawn" if to is Stage.ARCHIVED else "promotion"
        asked = request(version, to, segment=segment, cause=cause)
        self.registry.fail_at = {fails} - {0}
        with contextlib.suppress(Refusal, RegistryUnreachable):
            promote(
                self.ledgers[writer],
                self.registry,
                asked,
                self.facts(version, segment),
                self.clock(),
            )
        self.registry.fail_at = set()

    @rule(version=VERSIONS, segment=SEGMENTS)
    def the_whole_way(self, version: str, segment: str) -> None:
        """Random calls hardly ever reach Production; this one does where it is allowed."""
        self.evaluate(version, segment, "approved")
        self.promote(0, version, segment, Stage.STAGING, 0)
        self.shadow(version, segment, True)
        self.review(version, segment, "approved")
        self.promote(1, version, segment, Stage.PRODUCTION, 0)

    @rule(segment=SEGMENTS, fails=st.sampled_from([0, 1, -1]))
    def release(self, segment: str, fails: int = 0) -> None:
        """Bring the next version above the champion into its role."""
        champion = self.ledgers[0].state(MODEL).champions.get(segment, "0")
        above = [version for version in NAMES if version > champion]
        if above:
            self.the_whole_way(above[0], segment)
            self.complete(2, segment, fails)

    @rule(segment=SEGMENTS, completed=st.booleans(), fails=st.sampled_from([0, 1, -1]))
    def regret(self, segment: str, completed: bool, fails: int) -> None:
        """Go back from the newest version, in its rollout or after it, and once more for fear."""
        if completed:
            self.release(segment)
        else:
            self.the_whole_way(NAMES[-1], segment)
        self.roll_back(1, segment, None, fails)
        self.roll_back(0, segment, None, 0)

    @rule(writer=st.integers(0, WRITERS - 1), version=VERSIONS, segment=SEGMENTS)
    def adopt(self, writer: int, version: str, segment: str) -> None:
        with contextlib.suppress(Refusal):
            adopt(
                self.ledgers[writer],
                self.registry,
                MODEL,
                version,
                model_digest=self.facts(version).model_digest,
                actor="ana",
                reason="has been serving since 2024",
                segment=segment,
            )

    @rule(
        writer=st.integers(0, WRITERS - 1), segment=SEGMENTS, fails=st.sampled_from([0, 0, 1, -1])
    )
    def complete(self, writer: int, segment: str, fails: int) -> None:
        self.registry.fail_at = {fails} - {0}
        with contextlib.suppress(Refusal, RegistryUnreachable):
            complete_rollout(
                self.ledgers[writer],
                self.registry,
                MODEL,
                actor="ana",
                reason="baked",
                segment=segment,
            )
        self.registry.fail_at = set()

    @rule(
        writer=st.integers(0, WRITERS - 1),
        segment=SEGMENTS,
        to=st.sampled_from([None] * 12 + NAMES[:3]),
        fails=st.sampled_from([0, 1, -1]),
    )
    def roll_back(self, writer: int, segment: str, to: str | None, fails: int) -> None:
        self.registry.fail_at = {fails} - {0}
        with contextlib.suppress(Refusal):
            rollback(
                self.ledgers[writer],
                self.registry,
                MODEL,
                actor="ana",
                reason="wrong prices",
                segment=segment,
                to=to,
            )
        self.registry.fail_at = set()

    @rule(
        writer=st.integers(0, WRITERS - 1),
        segment=SEGMENTS,
        share=st.sampled_from([500, 2500, 9800]),
    )
    def step(self, writer: int, segment: str, share: int) -> None:
        """A tick gives what is rolling out another share, unless its artifact is latched."""
        ledger = self.ledgers[writer]
        state = ledger.state(MODEL)
        if segment not in state.rolling or state.digests[state.rolling[segment]] in state.latches:
            return
        events = step_events(
            state,
            segment,
            "advance",
            step=1,
            share=share,
            actor="promotion",
            reason="every guardrail is content",
            at=self.clock(),
            statistics={},
        )
        ledger.append(events, expect_sequence=state.sequence)
        after = ledger.state(MODEL)
        assert segment_plan(after, segment).share == share
        stood = standing(after, segment)
        assert stood is not None
        assert (stood.version, stood.step) == (state.rolling[segment], 1)

    @rule()
    def clear(self) -> None:
        for digest in list(self.ledgers[0].state(MODEL).latches):
            clear_latch(self.ledgers[0], MODEL, digest, actor="bo", reason="looked into it")

    @rule(hours=st.integers(-48, 48))
    def time_passes(self, hours: int) -> None:
        self.clock.advance(hours=hours)

    @rule(writer=st.integers(0, WRITERS - 1))
    def fall_asleep(self, writer: int) -> None:
        """A writer reads the state, and acts on it after everybody else."""
        self.stale[writer] = self.ledgers[writer].state(MODEL)

    @rule(writer=st.integers(0, WRITERS - 1), version=VERSIONS)
    def wake_up(self, writer: int, version: str) -> None:
        asked = request(version)
        before = self.ledgers[0].state(MODEL)
        with contextlib.suppress(Refusal):
            promote(
                self.ledgers[writer],
                self.registry,
                asked,
                self.facts(version),
                self.clock(),
                expect_sequence=self.stale[writer].sequence,
            )
            assert before.sequence == self.stale[writer].sequence

    @rule(writer=st.integers(0, WRITERS - 1))
    def reconcile(self, writer: int) -> None:
        def _facts_of(asked: Request) -> Facts:
            return self.facts(asked.version, asked.segment)

        ledger = self.ledgers[writer]
        reconcile(ledger, self.registry, MODEL, _facts_of, self.clock(), on_bypass="revert")
        state = ledger.state(MODEL)
        assert state.intent is None
        if state.lines:
            assert self.registry.aliases == aliases_of(state)
        for version in state.versions():
            assert self.registry.versions[version].stage == str(state.stage_anywhere(version))
