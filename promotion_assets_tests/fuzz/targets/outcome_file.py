"""Outcomes in a CSV file, as ``promotion outcomes import`` takes them in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.outcomes import import_outcomes, outcome_status
from promotion_assets_tests.fuzz.contract import Run, Target, holds, only_our_errors
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.notification.worlds import World

ROWS = b"request_id,label,observed_at\nr1,1,2026-03-02T08:00:00Z\nr2,0,2026-03-01\nr3,1,\n"
NUMBERS = b"request_id,label,observed_at\n1,1.0,1700000000\n2,0.0,1700000001.5\n"
# A time past the last one that there is in UTC.
PAST_THE_END = b"request_id,label\n9999-12-31T23:59:59-23:59,0.0\n"
YEAR_10000 = b"request_id,label,observed_at\nr3,1, 9999-12-31T23:59:59-23:59\n"


def examples() -> list[bytes]:
    """Return times as text and as numbers."""
    return [ROWS, NUMBERS, PAST_THE_END, YEAR_10000, b"\xef\xbb\xbf" + ROWS.replace(b"\n", b"\r\n")]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Import each input into a real event log."""
    workspace = World(folder / "world").workspace()
    store = event_log(workspace)
    path = folder / "told.csv"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        with only_our_errors():
            found = import_outcomes(workspace, store, MODEL, str(path))
            told = found.new + found.duplicate + found.refused
            holds(found.told == told, f"an outcome is not accounted for: {found}")

    yield run
    outcome_status(workspace, store, MODEL)


TARGET = Target("outcome_file", "lines", examples, prepare, inputs=120)
