"""What one process of the race test does; a module of its own, so that it can be imported."""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

from promotion_assets.adapters.ledger_store import open_ledger
from promotion_assets.errors import Conflict
from promotion_assets.lifecycle.promotion import promote
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, SIGNER, facts, request


@dataclass(frozen=True)
class Race:
    """A race of several processes over several rounds."""

    url: str
    processes: int
    rounds: int

    def version(self, round_number: int, lane: int) -> str:
        """The version that a process promotes in a round."""
        return str(round_number * self.processes + lane + 1)


def run(race: Race, lane: int, barrier: Barrier, results: Queue[tuple[int, int, str]]) -> None:
    """Promote one version a round, at the same moment as everybody else."""
    clock = Clock()
    ledger = open_ledger(race.url, SIGNER, clock)
    for number in range(race.rounds):
        version = race.version(number, lane)
        seen = ledger.state(MODEL).sequence
        barrier.wait()
        try:
            promote(
                ledger,
                FakeRegistry(),
                request(version),
                facts(version),
                clock(),
                expect_sequence=seen,
            )
            results.put((number, lane, "won"))
        except Conflict:
            results.put((number, lane, "lost"))
        barrier.wait()
    ledger.close()
