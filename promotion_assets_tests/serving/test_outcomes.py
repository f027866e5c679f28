"""Outcomes: told by file or by request, once or twice, late, early, of nobody, or of nothing."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from fastapi import FastAPI

from promotion_assets.adapters.event_log import EventLog, open_event_log
from promotion_assets.demo.traffic import answering
from promotion_assets.errors import StorageUnreachable, UsageError
from promotion_assets.pipeline.outcomes import OutcomeColumns, import_outcomes, outcome_status
from promotion_assets.policy.model import Dataset
from promotion_assets.policy.serving import ServingPolicy
from promotion_assets.policy.shadow import ShadowPolicy
from promotion_assets.serving.events import microseconds
from promotion_assets.serving.outcome_access import OutcomeAccess
from promotion_assets.serving.outcome_routes import outcome_routes
from promotion_assets.serving.outcomes import OutcomeRules, Told, accept, label_number
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.serving.events import MODEL, request

RULES = OutcomeRules(MODEL, "binary", 1, timedelta(days=90))


@dataclass
class Stanza:
    """The part of a policy by which outcomes are read."""

    task: str = "binary"
    dataset: Dataset = field(default_factory=lambda: Dataset(uri="x.parquet", label="default"))
    shadow: ShadowPolicy = field(default_factory=ShadowPolicy)
    serving: ServingPolicy = field(default_factory=ServingPolicy)


@dataclass
class World:
    """A real event log with ten answered requests, an hour ago, and a clock."""

    log: EventLog
    clock: Clock
    environ: dict[str, str] = field(default_factory=dict)

    def policy_of(self, model: str) -> Stanza:
        assert model == MODEL
        return Stanza()

    def labels(self) -> dict[str, float]:
        """What the log holds, by request."""
        return {
            row["request_id"]: row["label"]
            for batch in self.log.batches("outcome", MODEL)
            for row in batch.to_pylist()
        }


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A log in a file."""
    log = open_event_log(f"sqlite:///{tmp_path}/events.db")
    clock = Clock()
    asked = microseconds(clock() - timedelta(hours=1))
    log.write([request(number, time_us=asked) for number in range(10)])
    yield World(log, clock)
    log.close()


def told(*numbers: int, label: object = 1, at: datetime | None = None) -> list[Told]:
    """Outcomes of some of the ten requests."""
    return [Told(f"req-{number}", label, at) for number in numbers]


def test_outcomes_are_written_once(world: World) -> None:
    """Told again they are counted as told before, in one call or in two, and change nothing."""
    first = accept(world.log, RULES, [*told(1, 2), *told(2, label=1)], world.clock())
    assert (first.told, first.new, first.duplicate) == (3, 2, 1)
    world.clock.advance(hours=5)
    again = accept(world.log, RULES, told(1, 2), world.clock())
    assert (again.new, again.duplicate) == (0, 2)
    assert world.labels() == {"req-1": 1.0, "req-2": 1.0}


def test_a_corrected_outcome_is_kept_beside_the_first_and_counts_last(world: World) -> None:
    """Another label for the same request is no duplicate; status counts it as a correction."""
    accept(world.log, RULES, told(1, label=0), world.clock())
    world.clock.advance(days=1)
    accept(world.log, RULES, told(1, label=1), world.clock())
    found = outcome_status(world, world.log, MODEL)  # type: ignore[arg-type]
    assert (found.outcomes, found.positive, found.corrected) == (1, 1, 1)


def test_late_and_unknown_outcomes_are_counted_and_kept(world: World) -> None:
    """A request that nobody knows may still arrive; one too old is known, and too late."""
    world.clock.advance(days=100)
    on_time = world.clock() - timedelta(days=50)
    found = accept(
        world.log,
        RULES,
        [*told(1, at=on_time), *told(2), Told("somebody else's", 1, None)],
        world.clock(),
    )
    assert (found.new, found.late, found.unknown) == (3, 1, 1)
    status = outcome_status(world, world.log, MODEL)  # type: ignore[arg-type]
    assert (status.outcomes, status.late, status.unknown) == (3, 1, 1)
    world.log.write([request(99, request_id="somebody else's")])
    status = outcome_status(world, world.log, MODEL)  # type: ignore[arg-type]
    assert status.unknown == 0


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (Told("req-1", None), "the label is None"),
        (Told("req-1", math.nan), "the label is nan"),
        (Told("req-1", 7), "the label '7' is neither 1 nor its opposite"),
        (Told("req-1", "yes"), "the label 'yes' is neither"),
        (Told("", 1), "is no text"),
        (Told(None, 1), "is no text"),
        (Told("x" * 501, 1), "is no text"),
        (Told("req-1", 1, datetime.fromisoformat("2090-01-01T00:00:00Z")), "still to come"),
    ],
)
def test_what_is_no_outcome_is_refused_and_the_rest_is_taken(
    world: World, one: Told, said: str
) -> None:
    """One bad row costs itself alone; the reason names its place and its value."""
    found = accept(world.log, RULES, [*told(2), one, *told(3)], world.clock())
    assert (found.told, found.new, found.refused) == (3, 2, 1)
    assert found.reasons[0].startswith("outcome 2: ")
    assert said in found.reasons[0]
    assert set(world.labels()) == {"req-2", "req-3"}
    status = outcome_status(world, world.log, MODEL)  # type: ignore[arg-type]
    assert status.refused == 1


@pytest.mark.parametrize(
    ("value", "positive", "number"),
    [
        (1, 1, 1.0),
        (1.0, 1, 1.0),
        (True, 1, None),
        (True, True, 1.0),
        (False, True, 0.0),
        (0, 1, 0.0),
        ("default", "default", 1.0),
        ("paid", "default", 0.0),
        (" ", "default", None),
    ],
)
def test_a_label_is_the_policys_positive_value_or_its_opposite(
    value: object, positive: Any, number: float | None
) -> None:
    """What counts as 1 is what the policy calls positive, whichever type the source gives it."""
    if number is None:
        with pytest.raises(ValueError, match="neither"):
            label_number(value, "binary", positive)
    else:
        assert label_number(value, "binary", positive) == number


def test_a_regression_takes_any_finite_number(world: World) -> None:
    """Numbers stay as they are; words and infinities are refused."""
    assert label_number(-3.5, "regression", 1) == -3.5
    for value in ("12", True, math.inf):
        with pytest.raises(ValueError, match="label"):
            label_number(value, "regression", 1)


def test_a_file_is_taken_in_by_its_columns(world: World, tmp_path: Path) -> None:
    """CSV and Parquet with columns of any name; a second import changes nothing."""
    rows = [
        {"order": f"req-{n}", "defaulted": n % 2, "seen": "2026-03-02T08:30:00"} for n in range(6)
    ]
    path = tmp_path / "paid.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    columns = OutcomeColumns("order", "defaulted", "seen")
    first = import_outcomes(world, world.log, MODEL, str(path), columns)  # type: ignore[arg-type]
    assert (first.told, first.new, first.unknown, first.late) == (6, 6, 0, 0)
    assert world.labels() == {f"req-{n}": float(n % 2) for n in range(6)}
    pd.DataFrame(rows).assign(seen=lambda f: pd.to_datetime(f["seen"], utc=True)).to_parquet(
        tmp_path / "paid.parquet"
    )
    again = import_outcomes(
        world,  # type: ignore[arg-type]
        world.log,
        MODEL,
        str(tmp_path / "paid.parquet"),
        columns,
    )
    assert (again.new, again.duplicate) == (0, 6)


def test_a_missing_column_is_named_with_those_that_are_there(world: World, tmp_path: Path) -> None:
    """The message says how to name it."""
    path = tmp_path / "paid.parquet"
    pd.DataFrame({"order": ["req-1"], "label": [1]}).to_parquet(path)
    with pytest.raises(UsageError, match=r"no column 'request_id'; the columns are order, label"):
        import_outcomes(world, world.log, MODEL, str(path))  # type: ignore[arg-type]


@pytest.mark.parametrize("written", ["soon", "03/04/2026", "4", " 9999-12-31T23:59:59-23:59"])
def test_a_time_that_is_none_is_refused_by_name(world: World, tmp_path: Path, written: str) -> None:
    """Words, and days that are in March to some and in April to others, end the import at once."""
    path = tmp_path / "paid.parquet"
    pd.DataFrame({"request_id": ["req-1"], "label": [1], "observed_at": [written]}).to_parquet(path)
    with pytest.raises(UsageError, match="column 'observed_at' holds what is no time"):
        import_outcomes(world, world.log, MODEL, str(path))  # type: ignore[arg-type]
    assert world.labels() == {}


def server(store: object, clock: Clock) -> FastAPI:
    """A server that has the route and nothing else."""
    app = FastAPI()
    access = OutcomeAccess(alone=True)
    app.include_router(outcome_routes(store, RULES, clock, access))  # type: ignore[arg-type]
    return app


@pytest.fixture
def url(world: World) -> Iterator[str]:
    """Where outcomes can be told."""
    with answering(lambda: server(world.log, world.clock)) as port:
        yield f"http://127.0.0.1:{port}/outcomes"


def test_a_server_takes_outcomes(world: World, url: str) -> None:
    """What became of requests is written, counted in the answer, and safe to send again."""
    body = {
        "outcomes": [
            {"request_id": "req-1", "label": 1, "observed_at": "2026-03-02T08:30:00Z"},
            {"request_id": "req-2", "label": 0},
            {"request_id": "req-3", "label": "what?"},
        ]
    }
    answer = requests.post(url, json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json() | {"reasons": []} == {
        "told": 3,
        "new": 2,
        "duplicate": 0,
        "refused": 1,
        "unknown": 0,
        "late": 0,
        "reasons": [],
    }
    assert world.labels() == {"req-1": 1.0, "req-2": 0.0}
    assert requests.post(url, json=body, timeout=30).json()["duplicate"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"outcomes": []},
        {"outcomes": [{"label": 1}]},
        {"outcomes": [{"request_id": "req-1", "label": 1, "colour": "red"}]},
        {"outcomes": [{"request_id": "req-1", "label": 1, "observed_at": "soon"}]},
        {"outcomes": [{"request_id": "r", "label": 1}] * 10_001},
        [],
    ],
)
def test_a_body_of_another_form_is_refused(url: str, world: World, body: Any) -> None:
    """Nothing of it is written, and the answer says in three parts what its caller did wrong."""
    answer = requests.post(url, data=json.dumps(body), timeout=30)
    assert answer.status_code == 422
    said = answer.json()
    assert said["doing"] == "telling outcomes"
    assert '{"outcomes": [{"request_id": "…", "label": …}]}' in said["next_step"]
    assert said["message"] == f"{said['doing']}: {said['error']}. Next: {said['next_step']}"
    assert world.labels() == {}


def test_what_is_wrong_is_named_by_its_place_and_no_more_than_ten_times(url: str) -> None:
    """Of a body that is wrong all over, the first places are told, and how many more there are."""
    body = {"outcomes": [{"request_id": "r", "label": 1}, *({"request_id": ""},) * 12]}
    said = requests.post(url, json=body, timeout=30).json()["error"]
    assert said.startswith("outcomes.1.request_id: String should have at least 1 character; ")
    assert said.count("outcomes.") == 10
    assert said.endswith("; and 14 more")


def test_a_log_that_does_not_answer_asks_to_come_again(world: World) -> None:
    """503 with a time to wait; the same body later completes what was begun."""

    class Gone:
        def requested(self, model: str, request_ids: object) -> dict[str, int]:
            raise StorageUnreachable("reading the event log", "it is gone", "start it")

    with answering(lambda: server(Gone(), world.clock)) as port:
        body = {"outcomes": [{"request_id": "req-1", "label": 1}]}
        answer = requests.post(f"http://127.0.0.1:{port}/outcomes", json=body, timeout=30)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["error"] == "it is gone"
