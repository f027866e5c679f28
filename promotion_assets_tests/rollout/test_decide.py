"""What is decided, question by question, and that no order of events makes it promote wrongly."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from promotion_assets.policy.rollout import Experiment, RolloutPolicy
from promotion_assets.rollout.decide import Action, RolloutPlan, decide
from promotion_assets.rollout.findings import Finding, Verdict, worst
from promotion_assets.rollout.guardrails import judge
from promotion_assets.rollout.statistics import Slice, Statistics
from promotion_assets_tests.rollout.counts import arm, counts, part

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLICY = RolloutPolicy()
PLAN = RolloutPlan("2", step=0, since=START)
ENOUGH = counts(POLICY, part(POLICY, 0, 0, 100_000))
LATER = START + timedelta(hours=2)
TOO_LATE = START + timedelta(hours=25)


def test_sound_step_with_time_and_units_goes_on() -> None:
    """5 % becomes 25 %, and 25 % becomes everything but the holdback."""
    first = decide(PLAN, POLICY, ENOUGH, LATER)
    assert (first.kind, first.step, first.share) == ("advance", 1, 2500)
    both = counts(POLICY, part(POLICY, 0, 0, 100_000), part(POLICY, 1, 0, 40_000))
    second = decide(replace(PLAN, step=1), POLICY, both, LATER)
    assert (second.kind, second.step, second.share) == ("bake", 2, 9800)


def test_bake_ends_with_the_champions_role() -> None:
    """After the last step nothing is left but to complete."""
    told = counts(POLICY, *(part(POLICY, step, 0, 100_000) for step in range(3)))
    done = decide(replace(PLAN, step=2), POLICY, told, START + timedelta(hours=30))
    assert (done.kind, done.share) == ("complete", 9800)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"since": LATER}, "shortest time"),
        ({"paused": "app release"}, "app release"),
        ({"held": "no data"}, "no data"),
    ],
)
def test_what_waits_says_why(changes: dict[str, object], said: str) -> None:
    """Time, a pause and a hold all wait, and give their reason."""
    waiting = decide(replace(PLAN, **changes), POLICY, ENOUGH, LATER)  # type: ignore[arg-type]
    assert waiting.kind == "wait"
    assert said in waiting.reason


def test_clock_that_goes_back_makes_it_wait() -> None:
    """A step is never cut short because a clock was set back, and then forward no more."""
    assert decide(PLAN, POLICY, ENOUGH, START - timedelta(days=2)).kind == "wait"


@pytest.mark.parametrize("timeout", ["hold", "roll_back"])
@pytest.mark.parametrize(
    "told",
    [Statistics(), counts(POLICY, part(POLICY, 0, 0, 400))],
    ids=["no data", "too little data"],
)
def test_what_cannot_tell_waits_its_longest_time_and_never_goes_on(
    told: Statistics, timeout: str
) -> None:
    """Then it holds or goes back, as the policy says."""
    policy = RolloutPolicy.model_validate({"on_timeout": timeout})
    assert decide(PLAN, policy, told, LATER).kind == "wait"
    assert decide(PLAN, policy, told, TOO_LATE).kind == timeout


def test_units_that_are_too_few_are_waited_for() -> None:
    """Guardrails that are content do not make up for the units that the policy asks for."""
    policy = RolloutPolicy.model_validate(
        {"steps": [{"share": 0.05, "minimum_units": 6000}, {"share": 1}]}
    )
    waiting = decide(PLAN, policy, ENOUGH, LATER)
    assert waiting.kind == "wait"
    assert "5,000 of 6,000" in waiting.reason


BAD = {
    "errors": counts(POLICY, part(POLICY, 0, 0, 40_000, failed=0.05)),
    "latency": counts(POLICY, part(POLICY, 0, 0, 40_000, slower=3.0)),
    "decision rate": counts(POLICY, part(POLICY, 0, 0, 100_000), positive=0.4),
    "sample ratio": counts(POLICY, Slice(0, 0, 500, arm(2600), arm(97_400))),
}


@pytest.mark.parametrize("guardrail", BAD)
@pytest.mark.parametrize("changes", [{}, {"since": LATER}, {"paused": "x"}, {"held": "x"}])
def test_harm_goes_back_at_once_whatever_else_holds(
    guardrail: str, changes: dict[str, object]
) -> None:
    """Each guardrail can do it by itself, also in a pause and before the shortest time."""
    plan = replace(PLAN, **changes)  # type: ignore[arg-type]
    done = decide(plan, POLICY, BAD[guardrail], LATER)
    assert (done.kind, done.share) == ("roll_back", 0)
    assert done.reason.startswith(guardrail)


def test_lost_events_are_an_error_and_no_verdict() -> None:
    """What was not counted may have been bad: it waits, and says so."""
    lost = replace(ENOUGH, drops={"candidate": 300})
    waiting = decide(PLAN, POLICY, lost, LATER)
    assert waiting.kind == "wait"
    assert "lost" in waiting.reason
    assert worst(waiting.findings) is Verdict.ERROR


def test_harm_outweighs_error_and_error_outweighs_the_rest() -> None:
    """Fail, error, inconclusive, success, in this order; nothing at all is inconclusive."""

    def _found(*verdicts: Verdict) -> Verdict:
        return worst([Finding("x", verdict, "") for verdict in verdicts])

    assert _found(Verdict.SUCCESS, Verdict.ERROR, Verdict.FAIL) is Verdict.FAIL
    assert _found(Verdict.INCONCLUSIVE, Verdict.ERROR) is Verdict.ERROR
    assert _found(Verdict.SUCCESS, Verdict.INCONCLUSIVE) is Verdict.INCONCLUSIVE
    assert _found(Verdict.SUCCESS) is Verdict.SUCCESS
    assert _found() is Verdict.INCONCLUSIVE


def test_latch_goes_back_before_and_during_the_rollout() -> None:
    """A digest that was rejected elsewhere gets no traffic here."""
    for step in (None, 0, 2):
        plan = RolloutPlan("2", step=step, since=START, latched="wrong prices in EU")
        done = decide(plan, POLICY, ENOUGH, LATER)
        assert done.kind == "roll_back"
        assert "wrong prices" in done.reason


def test_it_begins_when_nothing_is_missing() -> None:
    """What the preflight found is waited for; then the first share is given."""
    waiting = decide(
        RolloutPlan("2", not_ready=("server a has not loaded it",)), POLICY, ENOUGH, LATER
    )
    assert (waiting.kind, waiting.share) == ("wait", 0)
    assert "server a" in waiting.reason
    begun = decide(RolloutPlan("2"), POLICY, Statistics(), LATER)
    assert (begun.kind, begun.step, begun.share) == ("start", 0, 500)


def test_step_may_require_a_deployment() -> None:
    """A pipeline's good report is waited for, and a bad one goes back."""
    policy = RolloutPolicy.model_validate(
        {"steps": [{"share": 0.05}, {"share": 1, "require_deployment": True}]}
    )
    assert decide(RolloutPlan("2"), policy, ENOUGH, LATER).kind == "start"
    assert decide(PLAN, policy, ENOUGH, LATER).kind == "wait"
    assert decide(replace(PLAN, deployment="good"), policy, ENOUGH, LATER).kind == "bake"
    every = RolloutPolicy(require_deployment=True)
    assert decide(RolloutPlan("2"), every, ENOUGH, LATER).kind == "wait"
    assert decide(replace(PLAN, deployment="bad"), every, ENOUGH, LATER).kind == "roll_back"


def test_experiment_keeps_the_rollout_until_it_recommends() -> None:
    """Undecided waits, "promote" goes on with the larger shares, "keep" holds for a person."""
    policy = RolloutPolicy(experiment=Experiment(shares=(0.05, 0.1), grow_after_days=1))
    assert [policy.share_at(n) for n in range(len(policy.way))] == [500, 1000, 2500, 9800]
    told = counts(policy, part(policy, 0, 0, 60_000), part(policy, 1, 0, 60_000))
    plan = replace(PLAN, step=1)
    assert decide(plan, policy, told, LATER).kind == "wait"
    onward = decide(replace(plan, recommended="promote"), policy, told, LATER)
    assert (onward.kind, onward.share) == ("advance", 2500)
    assert decide(replace(plan, recommended="keep"), policy, told, LATER).kind == "hold"


class Rollouts(RuleBasedStateMachine):
    """Traffic good and bad, clocks, persons and latches in any order, and ticks between them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.plan = RolloutPlan("2")
        self.slices: list[Slice] = []
        self.share = 0
        self.ended: str | None = None
        self.last: tuple[RolloutPlan, Statistics, datetime, Action] | None = None

    @property
    def told(self) -> Statistics:
        """The statistics until now."""
        return counts(POLICY, *self.slices)

    @rule(
        units=st.sampled_from([0, 40, 3000, 60_000]),
        failed=st.sampled_from([0.0, 0.0, 0.0, 0.02, 0.3]),
        slower=st.sampled_from([1.0, 1.0, 1.0, 2.5]),
    )
    def traffic(self, units: int, failed: float, slower: float) -> None:
        if self.plan.step is not None and units:
            number = sum(s.step == self.plan.step for s in self.slices)
            self.slices.append(
                part(POLICY, self.plan.step, number, units, failed=failed, slower=slower)
            )

    @rule(hours=st.sampled_from([0.01, 0.7, 2, 30, 80, -5]))
    def time_passes(self, hours: float) -> None:
        self.now += timedelta(hours=hours)

    @rule(reason=st.sampled_from(["release", "holiday"]))
    def pause(self, reason: str) -> None:
        self.plan = replace(self.plan, paused=reason)

    @rule()
    def resume(self) -> None:
        since = self.now if self.plan.step is not None else None
        self.plan = replace(self.plan, paused=None, held=None, since=since)

    @rule()
    def latch(self) -> None:
        self.plan = replace(self.plan, latched="rejected in another segment")

    @rule(ready=st.booleans())
    def servers(self, ready: bool) -> None:
        self.plan = replace(self.plan, not_ready=() if ready else ("a server lags",))

    @rule(times=st.integers(1, 3))
    def tick(self, times: int) -> None:
        for _ in range(times):
            if self.ended is None:
                self.carry_out(decide(self.plan, POLICY, self.told, self.now))

    def carry_out(self, action: Action) -> None:
        """Do what was decided, as the pipeline does."""
        self.check(action)
        self.last = (self.plan, self.told, self.now, action)
        self.share = action.share
        if action.kind in ("start", "advance", "bake"):
            self.plan = replace(self.plan, step=action.step, since=self.now)
        if action.kind == "hold":
            self.plan = replace(self.plan, held=action.reason)
        if action.kind in ("roll_back", "complete"):
            self.ended = action.kind

    def check(self, action: Action) -> None:
        """More traffic, or the champion's role, only with everything that it needs."""
        more = action.kind in ("advance", "bake", "complete")
        assert action.share <= self.share or more or action.kind == "start"
        if action.kind == "start":
            assert not self.plan.not_ready
            assert self.plan.latched is None
            assert self.plan.paused is None
        if not more:
            return
        step = self.plan.step
        assert step is not None
        assert self.plan.latched is None
        assert self.plan.paused is None
        assert self.plan.held is None
        assert self.plan.since is not None
        assert self.now - self.plan.since >= POLICY.way[step].minimum
        assert self.told.step(step).candidate.units >= POLICY.way[step].minimum_units
        assert {f.verdict for f in judge(POLICY, self.told, step)} == {Verdict.SUCCESS}

    @invariant()
    def deciding_again_gives_the_same(self) -> None:
        if self.last is not None:
            plan, told, now, action = self.last
            assert decide(plan, POLICY, told, now) == action

    @invariant()
    def a_latched_artifact_gets_no_more(self) -> None:
        if self.plan.latched is not None and self.ended is None:
            assert decide(self.plan, POLICY, self.told, self.now).kind == "roll_back"


TestRollouts = Rollouts.TestCase
TestRollouts.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_the_machine_can_reach_the_end() -> None:
    """The random walk is not vacuous: its own steps lead to the champion's role and back."""
    walk = Rollouts()
    walk.tick(1)
    for _ in range(3):
        walk.traffic(60_000, 0.0, 1.0)
        walk.time_passes(30)
        walk.tick(1)
    assert walk.ended == "complete"
    bad = Rollouts()
    bad.tick(1)
    bad.traffic(60_000, 0.3, 1.0)
    bad.tick(1)
    assert bad.ended == "roll_back"
