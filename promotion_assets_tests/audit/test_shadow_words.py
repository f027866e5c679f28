"""A shadow's report in explanation and bundle: every number, and only the one that was signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.audit.bundle_verify import verify_bundle
from promotion_assets.audit.explain import explain
from promotion_assets.audit.explain_text import render
from promotion_assets.audit.shadow_words import shadow_lines, shadow_problems
from promotion_assets.canonical import digest_of
from promotion_assets.lifecycle.events import ShadowReported
from promotion_assets.pipeline.shadow_reporting import reported
from promotion_assets.rollout.shadow_report import Subject, report_on
from promotion_assets.rollout.shadow_tally import ShadowRules, tally
from promotion_assets_tests.audit.bundles import (
    export,
    judged,
)
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, adopted, digest, shadow, stage
from promotion_assets_tests.rollout.shadows import NOW, batches, policy, shadow_frame


def entry(**changes: Any) -> ShadowReported:
    """The entry of a report on version 2 that passed."""
    rng = np.random.default_rng(3)
    one = rng.beta(2, 5, 1500)
    frame = shadow_frame(one, one, shadow_digest=digest("2"))
    found = tally(batches(frame), ShadowRules("binary", "2", digest("2"), "1"))
    subject = Subject(MODEL, "2", "default", "1", digest("2"), digest("1"))
    event = reported(report_on(subject, found, policy(), NOW))
    assert event.passed
    return event.model_copy(update=changes)


def staged(ledger: DatabaseLedger, clock: Clock) -> None:
    """Bring version 2 to Staging beside champion 1."""
    registry = FakeRegistry()
    adopted(ledger, registry)
    stage(ledger, registry, "2", clock)


def test_explain_shows_what_the_shadow_showed(ledger: DatabaseLedger, clock: Clock) -> None:
    """The key ``shadow`` has the whole report; the page has a line for every number in it."""
    staged(ledger, clock)
    event = entry()
    ledger.append([event])
    found = explain(ledger, MODEL, "2")
    assert found["shadow"]["report"] == event.report
    assert found["shadow"]["pairs"] == 1500
    page = render(found)
    assert "1,500 pairs with champion 1, 2026-03-02T09:00+00:00 to 2026-03-05T09:00" in page
    for words in ("decided differently", "PSI of the scores", "copies not answered"):
        assert words in page


def test_a_bundle_carries_the_report_and_is_valid(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """The entry with its report is part of the bundle and agrees with its digest."""
    judged(ledger, clock)
    ledger.append([entry()])
    found = verify_bundle(export(ledger, clock, tmp_path / "bundle.zip", None))
    assert (found.valid, found.problems) == (True, ())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"report_digest": "0" * 64}, "is not the one under its digest"),
        ({"passed": False}, "says something else than its entry"),
        ({"model_digest": "9" * 64}, "says something else than its entry"),
    ],
)
def test_an_entry_that_is_not_its_report_is_found(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """A report under another digest, or one that says otherwise than its entry, is a problem."""
    judged(ledger, clock)
    ledger.append([entry(**changes)])
    found = verify_bundle(export(ledger, clock, tmp_path / "bundle.zip", None))
    assert not found.valid
    assert any(said in problem for problem in found.problems)


def test_a_shadow_report_without_pairs_or_of_another_form_is_told(
    ledger: DatabaseLedger,
) -> None:
    """No span of time is made up, and what cannot be read is a problem and not a line."""
    event = entry()
    report = {**event.report, "first": None, "last": None, "pairs": 0}
    lines = list(shadow_lines({"report": report}))
    assert lines
    assert not any("with champion" in line for line in lines)
    strange = {"numbers": [1, 2]}
    assert list(shadow_lines({"report": strange})) == []
    changes = {"report": strange, "report_digest": digest_of(strange)}
    ledger.append([shadow("3"), event.model_copy(update=changes)])
    assert list(shadow_problems(list(ledger.events(MODEL)))) == [
        "entry 2: the shadow report is not of a form that this release knows"
    ]
