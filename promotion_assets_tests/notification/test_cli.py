"""``promotion webhook`` and ``promotion deployment`` as somebody types them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from promotion_assets.cli.root import root
from promotion_assets.notification.outgoing import outgoing
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.notification.receivers import Receiver
from promotion_assets_tests.notification.worlds import World


class Shell:
    """The command in a home."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.workspace()
        for name, value in world.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("PROMOTION_DATABASE_URL", raising=False)
        self.world = world
        self.home = [
            *("--config", str(world.root / "promotion.yaml")),
            *("--home", str(world.root / "home")),
        ]

    def __call__(self, *command: str) -> tuple[int, str]:
        """Run it; return the exit code and what it said."""
        found = CliRunner().invoke(root, [*self.home, *command])
        error = found.exception
        code = getattr(error, "exit_code", found.exit_code)
        said = found.output if isinstance(error, SystemExit) or error is None else str(error)
        return code, said

    def json(self, *command: str) -> Any:
        """Run it and read what it printed."""
        return json.loads(self(*command)[1])


@pytest.fixture
def shell(world: World, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command in an empty home."""
    return Shell(world, monkeypatch)


def test_add_list_test_deliver_remove(shell: Shell, hook: Receiver) -> None:
    """The way of a subscription, each command with its exit code."""
    assert shell("webhook", "list")[1].startswith("nobody is told")
    add = ("webhook", "add", "ops", "--url", hook.url, "--secret-env", "HOOK_KEY")
    assert shell(*add, "--actor", "ana")[0] == 0
    assert shell(*add)[0] == 2
    (listed,) = shell.json("webhook", "list", "--json")["subscriptions"]
    assert (listed["name"], listed["source"], listed["secret_env"]) == (
        "ops",
        "command",
        "HOOK_KEY",
    )
    assert shell("webhook", "test", "ops")[0] == 0
    assert hook.posts[0].json["type"] == "TEST"
    shell.world.judge("2")
    assert shell("webhook", "deliver") == (0, "1 delivered\n")
    assert shell("webhook", "remove", "ops")[0] == 0
    assert shell("webhook", "remove", "ops")[0] == 1


def test_what_does_not_arrive_is_seen_and_can_be_revived(shell: Shell, hook: Receiver) -> None:
    """Waiting with its reason, then a dead letter, then pending again."""
    shell.world.policy["max_attempts"] = 2
    shell.world.subscribe("ops", hook.url)
    shell.world.judge("2")
    hook.answers = [500]
    assert shell("webhook", "deliver")[0] == 1
    (waiting,) = shell.json("webhook", "list", "--json")["waiting"]
    assert (waiting["subscription"], waiting["attempts"]) == ("ops", 1)
    assert waiting["problem"] == "127.0.0.1 answered 500"
    shell.world.clock.advance(hours=1)
    shell.world.deliver()
    code, said = shell("webhook", "list")
    assert code == 0
    assert f"dead letter: ops did not get EVALUATION_FINISHED {waiting['id']}" in said
    assert shell("webhook", "test", "ops")[0] == 1
    hook.answers = [200]
    assert shell("webhook", "retry", "ops", "--event", "evt_other")[0] == 1
    assert shell("webhook", "retry", "ops", "--event", waiting["id"])[0] == 0
    assert shell("webhook", "deliver") == (0, "1 delivered\n")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("add", "x", "--url", "https://a.example/"), "secret_env is missing"),
        (("add", "Not A Name", "--url", "https://a.example/"), "name"),
        (("add", "x", "--kind", "github", "--repository", "a"), "repository"),
        (
            ("add", "x", "--url", "https://a.example", "--secret-env", "K", "--event", "NOT_ONE"),
            "events",
        ),
        (("test", "nobody"), "there is none of that name"),
        (("retry", "nobody"), "there is none of that name"),
        (("remove", "ours"), "the policy names it"),
        (("add", "ours", "--url", "https://a.example", "--secret-env", "K"), "one of that name"),
    ],
)
def test_wrong_use_says_what_is_wrong(shell: Shell, command: tuple[str, ...], said: str) -> None:
    """Exit code 2, and words that lead on."""
    shell.world.subscribe("ours", "https://hooks.example.org/")
    shell.world.workspace()
    code, output = shell("webhook", *command)
    assert code == 2
    assert said in output


def test_a_deployment_is_confirmed_by_command(shell: Shell) -> None:
    """Recorded under the event's id, with who said so, and listed."""
    shell.world.adopt()
    ledger = shell.world.workspace().ledger
    event = next(e for recorded in ledger.events() for e in outgoing(recorded))
    confirm = ("deployment", "confirm", event.id, "--smoke-test", "passed", "--actor", "ci")
    assert shell(*confirm)[0] == 2
    assert shell(*confirm, "--health", "healthy")[0] == 0
    (listed,) = shell.json("deployment", "list", MODEL, "--json")["deployments"]
    assert (listed["version"], listed["actor"], listed["health"]) == ("1", "ci", "healthy")
    unknown = ("evt_unknown", "--smoke-test", "passed", "--health", "healthy")
    assert shell("deployment", "confirm", *unknown)[0] == 1
    assert shell("deployment", "list", "unknown")[0] == 2
