"""The form that a vote is handed in with, as a browser sends it or as somebody else does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from promotion_assets.lifecycle.events import ReviewDecided
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import (
    CHALLENGER,
    PAGE,
    World,
    csrf_of,
    form,
    serving,
    signed_in,
)

T = 60


@dataclass
class Voter:
    """A reviewer who has read everything, before the page."""

    world: World
    url: str

    def vote(self, verdict: str | None, **more: str) -> requests.Response:
        """Hand in a complete form, with ``verdict`` in it or none."""
        session = signed_in(self.world, self.url, "ana")
        ballot = self.world.ballot(self.world.read("ana"), "ana")
        fields = {**form(ballot, csrf_of(session, self.url)), **more}
        del fields["verdict"]
        if verdict is not None:
            fields["verdict"] = verdict
        return session.post(f"{self.url}{PAGE}/vote", fields, timeout=T)


@pytest.fixture
def ana(world: World) -> Iterator[Voter]:
    """Ana at the page."""
    with serving(world) as url:
        yield Voter(world, url)


@pytest.mark.parametrize("verdict", [None, "", "maybe", "Rejected"])
def test_a_form_that_does_not_say_what_is_decided_approves_nothing(
    ana: Voter, verdict: str | None
) -> None:
    """However complete the answers are, an approval is asked for by its own word."""
    answer = ana.vote(verdict)
    assert answer.status_code == 400
    assert "neither approves nor rejects" in answer.text
    assert ana.world.events(ReviewDecided) == []


def test_a_vote_can_be_finished_on_another_surface(ana: Voter) -> None:
    """A token completes it once, with the answers of the page; until then nothing is approved."""
    answer = ana.vote("later")
    assert answer.status_code == 200
    assert ana.world.approvals() == []
    found = re.search(rf"/approve-model {MODEL} {CHALLENGER} (once_[0-9a-f]+)<", answer.text)
    assert found is not None
    decided = ana.world.desk.redeem(found[1], "slack", reviewer="ana")
    assert (decided.actor, decided.verdict, decided.surface) == ("ana", "approved", "slack")
    assert ana.world.approvals() == ["ana"]


def test_what_would_be_refused_now_gets_no_token(ana: Voter) -> None:
    """An answer that is missing is said at once, and what was written is still there."""
    answer = ana.vote("later", **{"answer.timing": ""})
    assert answer.status_code == 422
    assert "once_" not in answer.text
    assert "is not answered" in answer.text
    assert "adviser calls them anyway" in answer.text
    assert ana.world.events(ReviewDecided) == []


def test_where_slack_is_not_configured_nobody_is_heard_as_slack(world: World) -> None:
    """Without a signing secret a forgery could not be told, so there is no such address."""
    with serving(world, slack_secret=None) as url:
        answer = requests.post(f"{url}/slack/commands", b"command=%2Freject-model", timeout=T)
    assert answer.status_code == 404
