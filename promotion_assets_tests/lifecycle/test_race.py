from __future__ import annotations

import multiprocessing
from collections import Counter
from pathlib import Path

import pytest

from promotion_assets.adapters.ledger_store import open_ledger
from promotion_assets.audit.verify import verify
from promotion_assets.lifecycle.events import Stage
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL, SIGNER, evaluated
from promotion_assets_tests.lifecycle.racing import Race, run
from promotion_assets_tests.postgres import running


def race(url: str, processes: int, rounds: int) -> None:
    """Run a race and check that each round had one winner, whose version alone moved."""
    found = Race(url, processes, rounds)
    clock = Clock()
    ledger = open_ledger(url, SIGNER, clock)
    versions = [str(number + 1) for number in range(processes * rounds)]
    ledger.append([evaluated(version, clock) for version in versions])
    spawned = multiprocessing.get_context("forkserver")
    spawned.set_forkserver_preload(["promotion_assets_tests.lifecycle.racing"])
    barrier, results = spawned.Barrier(processes, timeout=120), spawned.Queue()
    workers = [
        spawned.Process(target=run, args=(found, lane, barrier, results))
        for lane in range(processes)
    ]
    for worker in workers:
        worker.start()
    outcomes = [results.get(timeout=120) for _ in range(processes * rounds)]
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    winners = {(number, lane) for number, lane, outcome in outcomes if outcome == "won"}
    wins = Counter(number for number, _ in winners)
    assert wins == Counter(range(rounds))
    staged = ledger.state(MODEL).in_stage(Stage.STAGING)
    assert sorted(staged) == sorted(found.version(*winner) for winner in winners)
    verified = verify(ledger.entries(), [SIGNER.public_key])
    assert (verified.valid, verified.entries) == (True, processes * rounds + 3 * rounds)
    lanes = Counter(lane for _, lane in winners)
    print(f"{rounds} rounds of {processes} processes on {url.split(':')[0]}: wins {dict(lanes)}")
    ledger.close()


def test_of_eight_processes_exactly_one_wins_each_round_on_sqlite(tmp_path: Path) -> None:
    """Two promotions of one model at once have one winner, fifty times out of fifty."""
    race(f"sqlite:///{tmp_path}/ledger.db", processes=8, rounds=50)


@pytest.mark.usefixtures("tmp_path")
def test_of_eight_processes_exactly_one_wins_each_round_on_postgresql() -> None:
    """The same on PostgreSQL, where the writers do not share a file's lock."""
    with running("-F") as server:
        race(server.new_database("race"), processes=8, rounds=50)
