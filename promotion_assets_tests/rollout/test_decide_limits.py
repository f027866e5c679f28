"""Where each limit of a rollout lies to the second and the unit, and what a waiting one is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from promotion_assets.policy.rollout import Experiment, RolloutPolicy
from promotion_assets.rollout.decide import RolloutPlan, decide
from promotion_assets.rollout.guardrails import judge
from promotion_assets.rollout.statistics import Statistics
from promotion_assets_tests.rollout.counts import counts, part

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLICY = RolloutPolicy()
PLAN = RolloutPlan("2", step=0, since=START)
ENOUGH = counts(POLICY, part(POLICY, 0, 0, 100_000))
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
NO_PIPELINE = "no pipeline has reported it deployed and healthy"
BAD_PIPELINE = "the pipeline reported its deployment as failed or unhealthy"


def test_step_goes_on_at_the_very_end_of_its_shortest_time() -> None:
    """A second before it waits until then; at it, it goes on."""
    waiting = decide(PLAN, POLICY, ENOUGH, START + HOUR - SECOND)
    assert waiting.kind == "wait"
    assert waiting.not_before == START + HOUR
    assert decide(PLAN, POLICY, ENOUGH, START + HOUR).kind == "advance"


def test_step_that_cannot_tell_ends_at_the_very_end_of_its_longest_time() -> None:
    """A second before it waits until then and says for what; at it, it holds and says so."""
    longest = timedelta(days=1)
    waiting = decide(PLAN, POLICY, Statistics(), START + longest - SECOND)
    assert waiting.kind == "wait"
    assert waiting.not_before == START + longest
    assert "; 0 of 1,000 units were answered" in waiting.reason
    held = decide(PLAN, POLICY, Statistics(), START + longest)
    assert held.kind == "hold"
    assert held.reason == f"24 h were not enough: {waiting.reason}"


def test_exactly_the_units_asked_for_are_enough() -> None:
    """The policy's number is the least that is enough; one more would be waited for."""

    def _asking(units: int) -> RolloutPolicy:
        steps = [{"share": 0.05, "minimum_units": units}, {"share": 1}]
        return RolloutPolicy.model_validate({"steps": steps})

    assert decide(PLAN, _asking(5000), ENOUGH, START + HOUR).kind == "bake"
    assert decide(PLAN, _asking(5001), ENOUGH, START + HOUR).kind == "wait"


@pytest.mark.parametrize("changes", [{"since": START + HOUR}, {"paused": "x"}, {"held": "x"}, {}])
@pytest.mark.parametrize("step", [0, 1])
def test_traffic_stays_where_it_is_while_it_waits(changes: dict[str, object], step: int) -> None:
    """Neither waiting nor holding takes or gives traffic, and both keep their step."""
    plan = replace(PLAN, step=step, **changes)  # type: ignore[arg-type]
    for now in (START + HOUR, START + timedelta(days=3)):
        action = decide(plan, POLICY, Statistics(), now)
        assert action.kind in ("wait", "hold")
        assert (action.step, action.share) == (step, POLICY.share_at(step))


def test_every_action_of_a_running_step_carries_what_the_guardrails_said() -> None:
    """Whoever reads the ledger sees on which findings it went on, ended or waited."""
    told = counts(POLICY, *(part(POLICY, step, 0, 100_000) for step in range(3)))
    kinds = {}
    for step in range(3):
        plan = replace(PLAN, step=step)
        action = decide(plan, POLICY, told, START + timedelta(hours=30))
        assert action.findings == judge(POLICY, told, step)
        assert action.reason == "; ".join(f"{f.guardrail}: {f.reason}" for f in action.findings)
        kinds[action.kind] = action.step
    assert kinds == {"advance": 1, "bake": 2, "complete": 2}
    waiting = decide(PLAN, POLICY, Statistics(), START)
    assert waiting.findings == judge(POLICY, Statistics(), 0)


def test_only_the_next_steps_own_deployment_is_waited_for() -> None:
    """A later step's is not yet needed, an earlier one's no more; a bad report stops only these."""
    steps = [{"share": 0.05}, {"share": 0.25}, {"share": 1, "require_deployment": True}]
    policy = RolloutPolicy.model_validate({"steps": steps})
    first = counts(policy, part(policy, 0, 0, 100_000), part(policy, 1, 0, 100_000))
    later = START + 2 * HOUR
    assert decide(PLAN, policy, first, later).kind == "advance"
    assert decide(replace(PLAN, deployment="bad"), policy, first, later).kind == "advance"
    waiting = decide(replace(PLAN, step=1), policy, first, later)
    assert (waiting.kind, waiting.reason) == ("wait", NO_PIPELINE)
    bad = decide(replace(PLAN, step=1, deployment="bad"), policy, first, later)
    assert (bad.kind, bad.reason) == ("wait", BAD_PIPELINE)
    every = RolloutPolicy(require_deployment=True)
    assert decide(PLAN, every, ENOUGH, later).reason == NO_PIPELINE
    back = decide(replace(PLAN, deployment="bad"), every, ENOUGH, later)
    assert (back.kind, back.reason) == ("roll_back", BAD_PIPELINE)


def test_before_it_begins_everything_that_is_missing_is_named() -> None:
    """A pause waits; so do servers and the pipeline, named together; then it starts."""
    policy = RolloutPolicy(require_deployment=True)
    plan = RolloutPlan("2", not_ready=("server a lags", "server b lags"))

    def _begun(**changes: object) -> tuple[str, int | None, str]:
        action = decide(replace(plan, **changes), policy, ENOUGH, START)  # type: ignore[arg-type]
        assert action.share == (500 if action.kind == "start" else 0)
        return action.kind, action.step, action.reason

    assert _begun(paused="holiday") == ("wait", None, "paused: holiday")
    assert _begun() == ("wait", None, f"server a lags; server b lags; {NO_PIPELINE}")
    assert _begun(not_ready=(), deployment="bad") == ("wait", None, BAD_PIPELINE)
    kind, step, reason = _begun(not_ready=(), deployment="good")
    assert (kind, step) == ("start", 0)
    assert "loaded, verified" in reason
    assert _begun(latched="wrong prices")[:2] == ("roll_back", None)


def test_experiment_says_what_it_recommends() -> None:
    """To keep the champion holds for a person; no recommendation waits, and both are told apart."""
    policy = RolloutPolicy(experiment=Experiment(shares=(0.05,)))
    told = counts(policy, part(policy, 0, 0, 100_000))
    waiting = decide(PLAN, policy, told, START + HOUR)
    assert (waiting.kind, waiting.reason) == (
        "wait",
        "the experiment has not come to a recommendation",
    )
    held = decide(replace(PLAN, recommended="keep"), policy, told, START + HOUR)
    assert (held.kind, held.reason) == ("hold", "the experiment recommends to keep the champion")
    afterwards = replace(PLAN, step=1, recommended="keep")
    both = counts(policy, part(policy, 0, 0, 100_000), part(policy, 1, 0, 100_000))
    assert decide(afterwards, policy, both, START + 2 * HOUR).kind == "bake"


@pytest.mark.parametrize(
    ("minutes", "spoken"),
    [
        (0.5, "30 s"),
        (1.99, "119 s"),
        (2, "2 min"),
        (119, "119 min"),
        (120, "2 h"),
        (2879, "48 h"),
        (2880, "2 d"),
        (10_080, "7 d"),
    ],
)
def test_time_that_is_left_is_said_in_the_unit_that_a_person_would_use(
    minutes: float, spoken: str
) -> None:
    """From two of a unit on it is that unit's."""
    steps = [{"share": 1, "minimum_minutes": minutes + 10, "maximum_minutes": 20_000}]
    policy = RolloutPolicy.model_validate({"steps": steps})
    waiting = decide(PLAN, policy, ENOUGH, START + timedelta(minutes=10))
    assert waiting.reason == f"its shortest time is not over for another {spoken}"
