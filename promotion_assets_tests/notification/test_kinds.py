"""What each kind of receiver gets, over a real socket."""

from __future__ import annotations

import email
import email.policy
from urllib.parse import parse_qs

import pytest

from promotion_assets.lifecycle.events import Adopted
from promotion_assets.notification.addresses import NotSent
from promotion_assets.notification.signing import verify
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.notification.receivers import Receiver, mail_server
from promotion_assets_tests.notification.worlds import KEY, World, rolled_back

TO_PRODUCTION = "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"


def test_webhook_is_signed_and_names_the_event(world: World, hook: Receiver) -> None:
    """Id, time and signature in the standard's headers, the authorization from the environment."""
    world.environ["HOOK_AUTH"] = "Bearer of-tests"
    world.subscribe("ops", f"{hook.url}/in", authorization_env="HOOK_AUTH", events=[TO_PRODUCTION])
    world.adopt()
    assert world.deliver().delivered == 1
    (got,) = hook.posts
    signature = got.headers["webhook-signature"]
    stamp = got.headers["webhook-timestamp"]
    assert verify(KEY.encode(), got.id, stamp, got.body, signature, world.clock())
    assert got.headers["authorization"] == "Bearer of-tests"
    assert (got.json["id"], got.json["type"]) == (got.id, TO_PRODUCTION)
    about = got.json["data"]
    assert (about["model"], about["version"], about["promoted_to"]) == (MODEL, "1", "Production")
    entries = list(world.workspace().ledger.events())
    assert isinstance(entries[about["sequence"] - 1].event, Adopted)


def test_subscriptions_choose_events_and_models(world: World, hook: Receiver) -> None:
    """By name and pattern; a model's own stanza is told of that model alone."""
    for name, more in {
        "all": {},
        "rollbacks": {"events": ["ROLLED_BACK"]},
        "credit": {"models": ["credit-*"], "events": ["EVALUATION_FINISHED"]},
    }.items():
        world.subscribe(name, f"{hook.url}/{name}", **more)
    own = {"name": "own", "url": f"{hook.url}/own", "secret_env": "HOOK_KEY"}
    world.models["churn"] = {**world.models["churn"], "notifications": [own]}
    world.judge("2")
    world.judge("2", model="churn")
    assert world.deliver().delivered == 4
    assert sorted(p.path for p in hook.posts) == ["/all", "/all", "/credit", "/own"]


def test_slack_by_incoming_webhook_and_by_token(world: World, hook: Receiver) -> None:
    """The address is a secret of the environment; the token goes into the header."""
    world.environ |= {"SLACK_HOOK": f"{hook.url}/services/T/B/secret", "SLACK_TOKEN": "xoxb-9"}
    world.subscribe("incoming", "${SLACK_HOOK}", kind="slack", secret_env=None)
    world.subscribe(
        "api",
        f"{hook.url}/api/chat.postMessage",
        kind="slack",
        channel="C7",
        authorization_env="SLACK_TOKEN",
        secret_env=None,
    )
    world.judge("2<!channel>")
    hook.content = b'{"ok": true}'
    assert world.deliver().delivered == 2
    posts = {post.path: post for post in hook.posts}
    assert (
        posts["/services/T/B/secret"].json["text"].startswith("credit-risk version 2&lt;!channel")
    )
    assert posts["/api/chat.postMessage"].json["channel"] == "C7"
    assert posts["/api/chat.postMessage"].headers["authorization"] == "Bearer xoxb-9"


def test_gitlab_gets_a_pipeline_trigger(world: World, hook: Receiver) -> None:
    """Token, ref and what happened as variables, so that the job can report back under the id."""
    world.environ["TRIGGER"] = "glptt-1"
    world.subscribe(
        "deploy",
        hook.url,
        kind="gitlab",
        project="ml/serving",
        ref="main",
        authorization_env="TRIGGER",
        events=[TO_PRODUCTION],
    )
    world.adopt()
    hook.answers = [201]
    assert world.deliver().delivered == 1
    (got,) = hook.posts
    form = {name: value[0] for name, value in parse_qs(got.body.decode()).items()}
    assert got.path == "/api/v4/projects/ml%2Fserving/trigger/pipeline"
    assert (form["token"], form["ref"]) == ("glptt-1", "main")
    assert form["variables[PROMOTION_VERSION]"] == "1"
    assert form["variables[PROMOTION_STAGE]"] == "Production"
    assert world.notifier().outbox.event(form["variables[PROMOTION_EVENT_ID]"]) is not None


def test_github_gets_a_repository_dispatch(world: World, hook: Receiver) -> None:
    """In GitHub's form: at most ten keys in the payload, an event type, a bearer token."""
    world.environ["GH"] = "ghs_1"
    world.subscribe(
        "deploy",
        hook.url,
        kind="github",
        repository="acme/serving",
        authorization_env="GH",
        events=[TO_PRODUCTION],
    )
    world.adopt()
    hook.answers = [204]
    assert world.deliver().delivered == 1
    (got,) = hook.posts
    assert got.path == "/repos/acme/serving/dispatches"
    assert got.headers["authorization"] == "Bearer ghs_1"
    assert got.json["event_type"] == TO_PRODUCTION
    assert len(got.json["client_payload"]) <= 10
    assert got.json["client_payload"]["version"] == "1"


def test_mail_goes_to_everybody_with_the_events_id(world: World) -> None:
    """Signed in with the name and the environment's password; one Message-ID for every attempt."""
    world.environ["MAIL_PASSWORD"] = "hunter2hunter2"
    with mail_server() as server:
        world.subscribe(
            "board",
            f"smtp://127.0.0.1:{server.port}",
            kind="email",
            sender="promotion@example.org",
            to=["ana@example.org", "bo@example.org"],
            username="promotion",
            authorization_env="MAIL_PASSWORD",
            secret_env=None,
        )
        world.adopt()
        world.workspace().ledger.append([rolled_back()])
        assert world.deliver().delivered >= 1
    mail = email.message_from_string(server.mails[-1], policy=email.policy.default)
    subject = "[promotion] credit-risk was rolled back from version 2 to 1: errors tripled"
    assert (mail["Subject"].strip(), mail["To"]) == (subject, "ana@example.org, bo@example.org")
    sent = world.notifier().outbox.deliveries(state="delivered")
    assert mail["Message-ID"] == f"<{sent[0].event.id}@promotion-assets>"
    assert any(line.startswith("AUTH PLAIN") for line in server.said)


def test_a_mail_that_some_got_is_not_sent_again(world: World) -> None:
    """A refused recipient makes it a dead letter; the others do not get it twice."""
    with mail_server() as server:
        server.refuse = {"gone@example.org"}
        world.subscribe(
            "board",
            f"smtp://127.0.0.1:{server.port}",
            kind="email",
            sender="promotion@example.org",
            to=["ana@example.org", "gone@example.org"],
            secret_env=None,
        )
        world.judge("2")
        assert world.deliver().problems == ("board: 127.0.0.1 refused 1 of the recipients",)
        world.clock.advance(hours=10)
        assert world.deliver().turns == ()
    assert len(server.mails) == 1
    assert world.notifier().outbox.depth().dead == {"board": 1}


def test_a_mail_server_without_tls_must_be_named(world: World) -> None:
    """Mail leaves this host in clear text only where the policy says so."""
    world.policy["allow_hosts"] = []
    with mail_server() as server:
        world.subscribe(
            "board",
            f"smtp://127.0.0.1:{server.port}",
            kind="email",
            sender="promotion@example.org",
            to=["ana@example.org"],
            secret_env=None,
        )
        with pytest.raises(NotSent, match="not a public one"):
            world.notifier().test("board")
    assert server.said == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"ok": false, "error": "channel_not_found"}', r"refused it \(channel_not_found\)"),
        (b'{"ok": false, "error": "<b>x"}', "for a reason of its own"),
        (b"<html>", "cannot be read"),
        (b"[]", "for a reason of its own"),
    ],
)
def test_slack_says_no_with_a_status_of_200(
    world: World, hook: Receiver, content: bytes, problem: str
) -> None:
    """Slack's own word counts, and nothing of its answer but a plain word is repeated."""
    hook.content = content
    world.environ["SLACK_HOOK"] = hook.url
    world.subscribe("incoming", "${SLACK_HOOK}", kind="slack", secret_env=None)
    with pytest.raises(NotSent, match=problem):
        world.notifier().test("incoming")
