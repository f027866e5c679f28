"""Secrets are planted everywhere, and found nowhere but at their receiver."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from promotion_assets.cli.root import root
from promotion_assets.notification.addresses import NotSent
from promotion_assets.pipeline.listening import Listener
from promotion_assets.pipeline.overview import overview
from promotion_assets.policy.notifications import Subscription
from promotion_assets_tests.notification.receivers import MailServer, Receiver, mail_server
from promotion_assets_tests.notification.worlds import World

PLANTED = {
    "HOOK_KEY": "planted-hmac-key-of-32-characters",
    "HOOK_AUTH": "Bearer planted-authorization",
    "SLACK_HOOK": "http://127.0.0.1:{port}/services/planted-slack",
    "SLACK_TOKEN": "xoxb-planted-token",
    "TRIGGER": "glptt-planted-trigger",
    "GH": "ghs-planted-github",
    "MAIL": "planted-mail-password",
    "PROMOTION_MLFLOW_WEBHOOK_SECRET": "planted-mlflow-secret-of-32-chars",
}


def everything(world: World, hook: Receiver, mail: MailServer) -> None:
    """Subscribe every kind, with every secret there is."""
    world.environ |= {name: value.format(port=hook.port) for name, value in PLANTED.items()}
    world.subscribe("ops", hook.url, authorization_env="HOOK_AUTH")
    world.subscribe("slack", "${SLACK_HOOK}", kind="slack", secret_env=None)
    world.subscribe("api", hook.url, kind="slack", channel="C1", authorization_env="SLACK_TOKEN")
    world.subscribe(
        "lab",
        hook.url,
        kind="gitlab",
        project="1",
        ref="main",
        authorization_env="TRIGGER",
        events=["EVALUATION_FINISHED"],
    )
    world.subscribe(
        "hub",
        hook.url,
        kind="github",
        repository="a/b",
        authorization_env="GH",
        events=["EVALUATION_FINISHED"],
    )
    world.subscribe(
        "mail",
        f"smtp://127.0.0.1:{mail.port}",
        kind="email",
        sender="a@example.org",
        to=["b@example.org"],
        username="a",
        authorization_env="MAIL",
    )


@pytest.fixture
def mail() -> Iterator[MailServer]:
    """A mail server that refuses the recipient."""
    with mail_server() as found:
        found.refuse = {"b@example.org"}
        yield found


@pytest.mark.parametrize("answer", [200, 500, 302, "close"])
def test_no_secret_reaches_database_log_error_metrics_or_command(
    world: World,
    hook: Receiver,
    mail: MailServer,
    answer: int | str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the receivers answer, even if it repeats what it was sent."""
    caplog.set_level(logging.DEBUG)
    everything(world, hook, mail)
    hook.answers = [answer]
    hook.content = json.dumps({"error": " ".join(PLANTED.values())}).encode()
    hook.headers = {"Location": "http://127.0.0.1/planted", "X-Echo": PLANTED["HOOK_AUTH"]}
    world.judge("1")
    done = world.deliver()
    assert len(hook.posts) == 5
    notifier = world.notifier()
    said = [str(done), caplog.text, str(overview(notifier)), repr(notifier)]
    for name in ("ops", "slack", "api", "lab", "hub", "mail"):
        try:
            said.append(str(notifier.test(name)))
        except NotSent as error:
            said.append(f"{error!r} {error} {error.__cause__} {error.__context__}")
    said.append(Listener(notifier).metrics().decode())
    for key, value in world.environ.items():
        monkeypatch.setenv(key, value)
    home = ["--config", str(world.root / "promotion.yaml"), "--home", str(world.root / "home")]
    for command in (["list"], ["list", "--json"], ["test", "ops"], ["deliver"]):
        said.append(CliRunner().invoke(root, [*home, "webhook", *command]).output)
    files = [f for f in (world.root / "home").rglob("*") if f.is_file()]
    kept = b"".join(f.read_bytes() for f in files)
    assert b"EVALUATION_FINISHED" in kept
    for secret in PLANTED.values():
        word = secret.split("/")[-1]
        assert word.encode() not in kept
        assert all(word not in text for text in said), (word, said)


def test_a_secret_that_is_not_set_is_named_by_its_variable(world: World, hook: Receiver) -> None:
    """The operator learns which one; it is tried again when it is there."""
    del world.environ["HOOK_KEY"]
    world.subscribe("ops", hook.url)
    world.judge("1")
    (problem,) = world.deliver().problems
    assert "variable HOOK_KEY is not set" in problem
    world.environ["HOOK_KEY"] = "k" * 32
    world.clock.advance(minutes=1)
    assert world.deliver().delivered == 1


@pytest.mark.parametrize("value", ["line\r\nX-Evil: 1" + "x" * 30, "short"])
def test_a_secret_that_cannot_be_used_is_refused_unshown(
    world: World, hook: Receiver, value: str
) -> None:
    """A line break would smuggle a header; a short key could be guessed."""
    world.environ["HOOK_KEY"] = value
    world.subscribe("ops", hook.url)
    with pytest.raises(NotSent, match="HOOK_KEY") as found:
        world.notifier().test("ops")
    assert value not in str(found.value)
    assert hook.posts == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://user:password@hooks.example.org/", "authorization_env"),
        ("https://hooks.slack.com/services/T/B/X", "this address is a secret"),
        ("ftp://hooks.example.org/", "write https"),
        ("hooks.example.org", "write https"),
    ],
)
def test_a_secret_in_the_policy_is_refused(tmp_path: Path, url: str, said: str) -> None:
    """What is written in a file is no secret any more."""
    from promotion_assets.errors import PolicyError

    world = World(tmp_path / "w")
    world.subscribe("ops", url, kind="slack" if "slack" in url else "webhook")
    with pytest.raises(PolicyError, match=said):
        _ = world.workspace().policy


def test_evaluations_do_not_depend_on_who_is_told(world: World) -> None:
    """The policy's digest stays, so that a new receiver voids no decision."""
    before = world.workspace().policy_of("churn").digest
    own = {"name": "own", "url": "https://hooks.example.org/", "secret_env": "HOOK_KEY"}
    world.models["churn"] = {**world.models["churn"], "notifications": [own]}
    opened = world.workspace()
    assert opened.policy_of("churn").digest == before
    assert [s.name for s in opened.policy.subscriptions()] == ["own"]


def test_two_subscriptions_of_one_name_are_refused(world: World) -> None:
    """Over the whole policy: a delivery belongs to a name."""
    from promotion_assets.errors import PolicyError

    for _ in range(2):
        world.subscribe("ops", "https://hooks.example.org/")
    with pytest.raises(PolicyError, match="two subscriptions are called 'ops'"):
        _ = world.workspace().policy


def test_a_kind_without_what_it_needs_is_refused() -> None:
    """Each kind says what it lacks; pipelines are not started by everything."""
    for values, said in (
        ({"kind": "webhook", "url": "https://a.example/"}, "secret_env is missing"),
        ({"kind": "slack"}, "url is missing"),
        ({"kind": "github", "repository": "a/b"}, "authorization_env is missing"),
        (
            {"kind": "github", "repository": "a/b", "authorization_env": "GH"},
            "name those that start a pipeline",
        ),
        ({"kind": "email", "url": "smtp://a.example"}, "sender is missing"),
    ):
        with pytest.raises(ValueError, match=said):
            Subscription.model_validate({"name": "x", **values})
