"""The shadow report before a reviewer: on the page, in text, and in what a vote is bound to."""

from __future__ import annotations

import json

import numpy as np
import pytest

from promotion_assets.gates.contract import Outcome
from promotion_assets.lifecycle.events import ReviewDecided
from promotion_assets.lifecycle.traffic import arm_of
from promotion_assets.pipeline.shadow_reporting import keep_report, subject_of
from promotion_assets.policy.model import Group
from promotion_assets.review.as_text import as_text
from promotion_assets.rollout.shadow_report import ShadowReport, report_on
from promotion_assets.rollout.shadow_tally import ShadowRules, tally
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import CHALLENGER, PAGE, World, serving, signed_in
from promotion_assets_tests.rollout.shadows import batches, shadow_frame

WAIVED = "    shadow: {waive: There is no live traffic to be shadowed in a test.}\n"


def reported(world: World, *, n: int = 1500) -> ShadowReport:
    """Make and keep a report on the challenger that passed, with groups."""
    state = world.workspace.ledger.state(MODEL)
    subject = subject_of(state, CHALLENGER, "default")
    rules = ShadowRules(
        "binary",
        CHALLENGER,
        arm_of(state, CHALLENGER).digest,
        subject.champion,
        groups=(Group(column="EDUCATION", name="education", labels={"3": "high school"}),),
    )
    one = np.random.default_rng(5).uniform(0.05, 0.45, n)
    frame = shadow_frame(
        one,
        one,
        shadow_digest=rules.digest,
        features=[json.dumps({"EDUCATION": 1 + i % 3}) for i in range(n)],
    )
    policy = world.workspace.policy_of(MODEL).shadow
    made = report_on(subject, tally(batches(frame), rules), policy, world.clock())
    assert made.passed, made.result.reason
    assert keep_report(world.workspace, made) is not None
    return made


@pytest.fixture
def shadowed(world: World) -> World:
    """A world whose policy asks for a shadow, and whose challenger has not reported yet."""
    world.change_policy(WAIVED, "")
    world.clock.advance(minutes=1)
    return world


def test_a_review_opens_when_the_shadow_has_passed(shadowed: World) -> None:
    """Without a report none is open; with one that passed the next round opens it."""
    shadowed.keep()
    state = shadowed.workspace.ledger.state(MODEL)
    before = state.requests[("default", CHALLENGER)].request_id
    made = reported(shadowed)
    assert shadowed.keep().problems == []
    request = shadowed.workspace.ledger.state(MODEL).requests[("default", CHALLENGER)]
    assert request.request_id != before
    assert request.evidence["shadow"] == made.digest


def test_the_page_shows_every_number_with_limit_and_picture(shadowed: World) -> None:
    """Judged numbers come first; groups are named in the policy's words; pictures are there."""
    reported(shadowed)
    shadowed.keep()
    with serving(shadowed) as url:
        page = signed_in(shadowed, url, "ana").get(f"{url}{PAGE}", timeout=60).text
    section = page.split('<h2 id="shadow">', 1)[1].split("<h2", 1)[0]
    for words in (
        "The shadow report passed: 1,500 pairs over 72 h",
        "decided differently",
        "decided positively, education=3 (high school)",
        "PSI of the scores",
        "time of one answer, p95",
        "±0.05",
    ):
        assert words in section
    assert section.index("passed</span>") < section.index("reported</span>")
    for title in ("shadow scores", "shadow decisions by group", "shadow times"):
        assert f"<figcaption>{title}</figcaption>" in page


def test_text_shows_the_numbers_too(shadowed: World) -> None:
    """Who reviews by command sees what the page shows."""
    reported(shadowed)
    shadowed.keep()
    text = as_text(shadowed.read("ana"))
    assert "passed       decided differently: 0 [" in text
    assert "limit ≤ 0.15" in text


def test_a_vote_is_bound_to_the_report_that_was_seen(shadowed: World) -> None:
    """A report that says otherwise voids the approval; the frozen view holds the numbers."""
    made = reported(shadowed)
    shadowed.keep()
    shadowed.approve("ana")
    (vote,) = shadowed.events(ReviewDecided)
    assert isinstance(vote, ReviewDecided)
    assert vote.evidence["shadow"] == made.digest
    kept = shadowed.workspace.store / "views" / f"{vote.view_digest}.json"
    assert any(
        row["title"] == "decided differently" for row in json.loads(kept.read_text())["shadow_rows"]
    )
    failed = made.model_copy(
        update={
            "pairs": made.pairs + 1,
            "result": made.result.model_copy(
                update={"outcome": Outcome.FAILED, "reason": "it broke"}
            ),
        }
    )
    assert keep_report(shadowed.workspace, failed) is not None
    shown = shadowed.desk.show(MODEL, CHALLENGER, "default", "bo")
    assert "shadow" in (shown.closed or "") or any("shadow" in why for why in shown.hindrances)
