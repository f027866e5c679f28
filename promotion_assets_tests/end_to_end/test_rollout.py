"""Rollouts on real processes: MLflow, our server, Dagster's daemon, customers; nobody else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from promotion_assets.lifecycle.events import Stage
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.rollout_look import policy_of_today
from promotion_assets.rollout.findings import Verdict, worst
from promotion_assets.rollout.guardrails import judge
from promotion_assets.rollout.statistics import Statistics, parse_statistics
from promotion_assets.rollout.tally import Counting, StepTime, Tally
from promotion_assets.serving.events import microseconds
from promotion_assets_tests.end_to_end.rolling import Customers, Site, serving_site, until
from promotion_assets_tests.end_to_end.rolling_models import MODEL, POLL_SECONDS, TICK_SECONDS

# Events are written in batches, and a loaded machine takes its time between two looks.
SLACK_SECONDS = 8.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, once for all tests here."""
    with serving_site(tmp_path_factory.mktemp("rolling")) as made:
        yield made


@pytest.fixture
def customers(site: Site) -> Iterator[Customers]:
    """Customers who ask all the time."""
    asking = Customers(site.port)
    asking.start()
    yield asking
    asking.stop()


def test_candidate_turns_bad_and_goes_then_a_good_one_becomes_champion(
    site: Site, customers: Customers
) -> None:
    """One is taken back at a quarter and latched, the next goes the whole way; nobody helps."""
    site.approve("2")
    until(lambda: share(site) == 2500, "a quarter of the traffic", said=site.told)
    seen = len(customers.answers)
    time.sleep(2)
    customers.troubled = True
    until(lambda: not site.state().rolling, "the rollback", said=site.told)
    rolled_back_to_champion(site, customers, seen)

    customers.troubled = False
    site.approve("3")
    until(lambda: site.state().champions == {"default": "3"}, "the new champion", said=site.told)
    state = site.state()
    assert state.stage("1") is Stage.ARCHIVED
    assert [s.action for s in site.steps("3")] == ["start", "advance", "bake", "complete"]
    until(lambda: {a.version for a in customers.answers[-50:]} == {"3"}, "everything from it")
    assert all(a.status == 200 for a in customers.answers)

    told = site.promotion("explain", MODEL, "2")
    for sentence in (
        "rollout of version 2 begins at 5 %",
        "rollout of version 2 goes from 5 % to 25 %",
        "rollout of version 2 is taken back from 25 %: errors:",
        "version 2 moved from Production to Archived (rollback)",
        "latched",
    ):
        assert sentence in " ".join(told.split()), told
    assert "became the champion" in " ".join(site.promotion("explain", MODEL, "3").split())


def rolled_back_to_champion(site: Site, customers: Customers, seen: int) -> None:
    """Look at the rollback: latched, told, and within a tick and a poll of the breach."""
    state = site.state()
    assert state.champions == {"default": "1"}
    assert state.stage("2") is Stage.ARCHIVED
    assert state.digests["2"] in state.latches
    last = site.steps("2")[-1]
    assert (last.action, last.share_from, last.share_to) == ("roll_back", 2500, 0)
    assert last.actor == "promotion"
    generation = last.generation
    until(lambda: customers.answers[-1].generation >= generation, "the servers' next plan")
    after = next(a for a in customers.answers if a.generation >= generation)
    # Whoever asked the candidate and got nothing of it was answered by the champion.
    assert all(a.status == 200 for a in customers.answers[seen:])
    assert "2" in {a.version for a in customers.answers[seen:]}
    assert "2" not in {a.version for a in customers.answers if a.generation >= generation}
    took = after.at - breach(site, parse_statistics(last.statistics["counts"]))
    print(
        f"\nfrom the breach in the data to the champion answering everything: {took:.2f} s "
        f"(a tick of {TICK_SECONDS:g} s and a poll of {POLL_SECONDS:g} s)"
    )
    assert took <= TICK_SECONDS + POLL_SECONDS + SLACK_SECONDS


def breach(site: Site, told: Statistics) -> float:
    """Return when the events first showed the harm: the moment from which every look would."""
    with site.workspace() as opened, closing(event_log(opened)) as events:
        steps = site.steps("2")
        policy = policy_of_today(opened, MODEL)
        times = tuple(
            StepTime(step.share_to, microseconds(step.at), 12_500_000)
            for step in steps
            if step.action in ("start", "advance")
        )
        batches = list(events.batches("request", MODEL, since=steps[0].at))
    salt = next(s for b in batches for s in b.column("salt").to_pylist() if s)
    tally = Tally(Counting(salt, times, told.thresholds))
    for batch in batches:
        for start in range(0, batch.num_rows, 5):
            part = batch.slice(start, 5)
            tally.add(part)
            findings = judge(policy, tally.statistics({}), len(times) - 1)
            if worst(findings) is Verdict.FAIL:
                return float(part.column("time_us")[-1].as_py()) / 1e6
    raise AssertionError(f"no event showed harm until {datetime.now(UTC)}")


def share(site: Site) -> int:
    """Return the basis points of what is rolling out."""
    traffic = site.state().traffic
    assert traffic is not None
    return traffic.segments[0].share
