"""The demo's shadow: four days of customers, a report that fills and passes, an open review."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from promotion_assets.demo.data import UNIT, live_customers, read_customers, split
from promotion_assets.demo.versions import MODEL
from promotion_assets_tests.demo.conftest import Judged, promotion


def shadow_of(judged: Judged) -> dict[str, Any]:
    """What ``promotion explain`` has of version 2's shadow."""
    explained = json.loads(promotion(judged.home, "explain", MODEL, "2", "--json").stdout)
    return dict(explained["shadow"])


def test_the_report_fills_and_passes(judged: Judged) -> None:
    """It is inconclusive while it has too little, and passes once it has enough."""
    said = re.findall(r"after (\d) d: (\w+): ([\d,]+) pairs", judged.output)
    assert [(day, outcome) for day, outcome, _ in said] == [
        ("1", "inconclusive"),
        ("2", "inconclusive"),
        ("3", "inconclusive"),
        ("4", "passed"),
    ]
    pairs = [int(number.replace(",", "")) for *_, number in said]
    assert pairs == sorted(pairs)
    assert pairs[-1] > 2300


def test_the_ledger_has_the_report_with_matured_labels(judged: Judged) -> None:
    """Every number is recorded; AUC is compared on those whose outcome is known of everybody."""
    found = shadow_of(judged)
    assert found["passed"] is True
    numbers = {(m["name"], m["subject"]): m for m in found["report"]["result"]["measurements"]}
    labelled = numbers["labelled_pairs", "overall"]
    # Of four days the last has no outcomes that count, and of the first three all are known.
    assert labelled["observed"] == labelled["sample_size"]
    assert 0.6 < labelled["observed"] / found["pairs"] < 0.85
    assert numbers["auc_change", "overall"]["observed"] > 0
    assert ("group_shift", "education=2 (university)") in numbers
    assert "not told apart by sex, age, marriage" in found["summary"]


def test_nothing_is_dated_in_the_future(judged: Judged) -> None:
    """The demo's clock ends now: what it stamped is past for everybody who looks later."""
    last = datetime.fromisoformat(shadow_of(judged)["last"])
    assert timedelta(0) < datetime.now(UTC) - last < timedelta(hours=6)


def test_the_review_is_open(judged: Judged) -> None:
    """Two reviewers have their turn; the request stands in the queue of ``promotion review``."""
    assert "the review of version 2 is open; it is the turn of priya, samuel" in judged.output
    listed = json.loads(promotion(judged.home, "review", "list", "--json").stdout)
    assert [(r["model"], r["version"]) for r in listed["requests"]] == [(MODEL, "2")]


def test_outcomes_were_told_once_and_in_time(judged: Judged) -> None:
    """None is late, unknown, refused or told twice."""
    asked = promotion(judged.home, "outcomes", "status", MODEL, "--json")
    (found,) = json.loads(asked.stdout)["models"]
    assert found["outcomes"] > 1500
    assert (found["late"], found["unknown"], found["refused"], found["duplicate"]) == (0, 0, 0, 0)
    assert 0.15 < found["positive"] / found["outcomes"] < 0.3


def test_the_shadow_can_be_looked_at_by_command(judged: Judged) -> None:
    """Status names the version; the report made again passes and records nothing new."""
    (row,) = json.loads(promotion(judged.home, "shadow", "status", "--json").stdout)["shadows"]
    assert (row["version"], row["share"], row["outcome"]) == ("2", 10_000, "passed")
    again = promotion(judged.home, "shadow", "report", MODEL, "2", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["recorded"] is False


def test_live_customers_were_never_seen_by_a_version() -> None:
    """Nobody whom traffic asks about is in the training or the evaluation part."""
    customers = read_customers()
    parts, live = split(customers), live_customers(customers)
    assert len(live) == len(parts.production) == 5000
    assert not {*live[UNIT]} & {*parts.training[UNIT], *parts.evaluation[UNIT]}
