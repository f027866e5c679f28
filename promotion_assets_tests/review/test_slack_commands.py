"""What Slack's commands answer to a reviewer who types them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import requests

from promotion_assets.review.slack import signed
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import CHALLENGER, PAGE, SLACK_SECRET, World, serving

T = 60
Type = Callable[..., str]


@pytest.fixture(scope="module")
def slack(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Type]:
    """Type a command in Slack at a platform on which nothing is decided; give its answer."""
    world = World.copied(prepared, tmp_path_factory.mktemp("commands") / "home")
    with serving(world) as url:

        def typed(command: str, text: str, *, user: str = "U01") -> str:
            world.clock.advance(seconds=1)
            fields = {"command": command, "team_id": "T01", "user_id": user, "text": text}
            body = urlencode(fields).encode()
            stamp = str(int(world.clock().timestamp()))
            headers = {
                "X-Slack-Request-Timestamp": stamp,
                "X-Slack-Signature": signed(body, stamp, SLACK_SECRET),
            }
            answer = requests.post(f"{url}/slack/commands", body, headers=headers, timeout=T)
            assert answer.status_code == 200
            said = answer.json()
            assert said["response_type"] == "ephemeral"
            return str(said["text"]).replace(url, "https://here")

        yield typed
        assert world.approvals() == []


def test_approving_without_a_token_leads_to_the_page(slack: Type) -> None:
    """The questions are answered there; the link is the version's, in the segment that is meant."""
    read = "Read the evidence and answer the questions here: https://here"
    assert slack("/approve-model", f"{MODEL} {CHALLENGER}") == f"{read}{PAGE}"
    assert slack("/approve-model", f"{MODEL} {CHALLENGER} segment=eu") == f"{read}{PAGE}?segment=eu"


@pytest.mark.parametrize("text", ["", MODEL])
@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("/approve-model", "MODEL VERSION [segment=SEGMENT] [ONE-TIME-TOKEN]"),
        ("/reject-model", "MODEL VERSION [segment=SEGMENT] REASON"),
    ],
)
def test_a_command_that_lacks_words_says_which(
    slack: Type, command: str, usage: str, text: str
) -> None:
    """Whoever forgets the version reads how the command is written."""
    assert slack(command, text) == f"Usage: {command} {usage}"


def test_a_command_of_another_name_is_told_ours(slack: Type) -> None:
    """An application that was set up with a wrong name is recognised by its answer."""
    assert slack("/approve", f"{MODEL} {CHALLENGER}") == "I know /approve-model, /reject-model."


def test_whoever_is_no_reviewer_is_told_so_and_nothing_else(slack: Type) -> None:
    """Neither the usage nor the state of a version is for strangers."""
    for text in ("", f"{MODEL} {CHALLENGER}", "no-such-model 1"):
        said = slack("/approve-model", text, user="U99")
        assert said == "You are not a reviewer: your Slack identity stands in no policy."


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("/reject-model", f"{MODEL} {CHALLENGER}"),
        ("/reject-model", f"{MODEL} {CHALLENGER} no"),
        ("/approve-model", f"{MODEL} {CHALLENGER} once_of_another_time"),
        ("/reject-model", "no-such-model 1 because of its figures"),
    ],
    ids=["no reason", "a short one", "an unknown token", "an unknown model"],
)
def test_what_is_refused_is_answered_with_what_to_do_next(
    slack: Type, command: str, text: str
) -> None:
    """A refusal is an answer in words, and not an error of the application."""
    said = slack(command, text)
    assert said.startswith("Not done: ")
    assert ". Next: " in said
