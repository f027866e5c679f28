"""What comes in from outside: MLflow's webhooks, reports of deployments, and the figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from promotion_assets.errors import Refusal
from promotion_assets.lifecycle.events import DeploymentConfirmed
from promotion_assets.notification.heard import Report
from promotion_assets.notification.outgoing import outgoing
from promotion_assets.notification.signing import sign
from promotion_assets.pipeline.deploying import confirm
from promotion_assets.pipeline.hints import Hints
from promotion_assets.pipeline.listening import Listener
from promotion_assets_tests.fakes import FakeRegistry
from promotion_assets_tests.ledgers import MODEL, go_live
from promotion_assets_tests.notification.receivers import Receiver
from promotion_assets_tests.notification.worlds import KEY, OTHER, World, serving

MLFLOW_KEY = "mlflow's key of the tests, long enough"
GOOD = {"smoke_test": "passed", "health": "healthy", "detail": "https://ci.example.org/17"}


@pytest.fixture
def url(world: World, hook: Receiver) -> Iterator[str]:
    """The webhook application of a home whose champion's adoption was told to one receiver."""
    world.environ["PROMOTION_MLFLOW_WEBHOOK_SECRET"] = MLFLOW_KEY
    world.subscribe("ops", hook.url)
    world.adopt()
    assert world.deliver().delivered == 2
    with serving(Listener(world.notifier())) as found:
        yield found


def from_mlflow(
    world: World,
    url: str,
    delivery: str,
    *,
    name: str = MODEL,
    key: str = MLFLOW_KEY,
    late: float = 0,
    action: str = "created",
    body: bytes | None = None,
) -> requests.Response:
    """Send what MLflow sends when a version is registered."""
    said = {
        "entity": "model_version",
        "action": action,
        "timestamp": world.clock().isoformat(),
        "data": {"name": name, "version": "2", "source": "models:/m-1", "run_id": None},
    }
    content = json.dumps(said).encode() if body is None else body
    stamp = int((world.clock() - timedelta(seconds=late)).timestamp())
    headers = {
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": str(stamp),
        "X-MLflow-Signature": sign(key.encode(), delivery, stamp, content),
    }
    return requests.post(f"{url}/mlflow", data=content, headers=headers, timeout=30)


def report(
    world: World,
    url: str,
    event_id: str,
    *,
    key: str = KEY,
    late: float = 0,
    signed_id: str = "",
    **said: str,
) -> requests.Response:
    """Send a pipeline's report on an event."""
    body = json.dumps({**GOOD, **said}).encode()
    stamp = int((world.clock() - timedelta(seconds=late)).timestamp())
    name = signed_id or event_id
    headers = {
        "webhook-id": name,
        "webhook-timestamp": str(stamp),
        "webhook-signature": sign(key.encode(), name, stamp, body),
    }
    return requests.post(f"{url}/deployments/{event_id}", data=body, headers=headers, timeout=30)


def told(hook: Receiver, name: str = "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION") -> str:
    """The id of the event of that name that the receiver got."""
    return next(post.id for post in hook.posts if post.json["type"] == name)


def test_a_registration_becomes_one_hint(world: World, url: str) -> None:
    """MLflow's delivery id is the idempotency key; a look takes the hint away."""
    answers = [from_mlflow(world, url, "d-1").json()["result"] for _ in range(2)]
    assert answers == ["noted", "known already"]
    hints = Hints(world.workspace())
    assert [(hint.model, hint.version) for hint in hints.waiting] == [(MODEL, "2")]
    hints.take()
    assert Hints(world.workspace()).waiting == ()
    assert from_mlflow(world, url, "d-1").json()["result"] == "known already"
    assert Hints(world.workspace()).waiting == ()


@pytest.mark.parametrize(
    "change",
    [
        {"key": "another key that nobody gave us here"},
        {"late": 301},
        {"late": -301},
        {"delivery": ""},
        {"delivery": "x" * 201},
    ],
)
def test_a_forged_or_old_webhook_is_refused(
    world: World, url: str, change: dict[str, object]
) -> None:
    """Key, time and id; nothing is noted, and the answer tells a stranger nothing."""
    values: dict[str, object] = {"delivery": "d-1", **change}
    answer = from_mlflow(world, url, **values)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert MLFLOW_KEY not in answer.text
    assert Hints(world.workspace()).waiting == ()


def test_other_events_and_models_are_nothing_to_do(world: World, url: str) -> None:
    """What the policy does not name is not looked at, and other events hint at nothing."""
    assert from_mlflow(world, url, "d-1", name="unknown").json()["result"] == "nothing to do"
    assert from_mlflow(world, url, "d-2", action="deleted").json()["result"] == "nothing to do"
    assert from_mlflow(world, url, "d-3", body=b"[]").status_code == 400
    assert from_mlflow(world, url, "d-4", body=b"\xff").status_code == 400
    assert from_mlflow(world, url, "d-5", body=b"[" * 100_000).status_code == 400
    for number, name in enumerate(("name", "version"), 6):
        data = {"name": MODEL, "version": "1"} | {name: "half a character: \ud800"}
        half = {"entity": "model_version", "action": "created", "data": data}
        body = json.dumps(half).encode()
        assert from_mlflow(world, url, f"d-{number}", body=body).status_code == 400
    assert Hints(world.workspace()).waiting == ()


def test_without_a_secret_nothing_is_heard(world: World) -> None:
    """An endpoint that verifies nothing is none."""
    with serving(Listener(world.notifier())) as url:
        answer = from_mlflow(world, url, "d-1")
    assert answer.status_code == 400
    assert "PROMOTION_MLFLOW_WEBHOOK_SECRET is not set" in answer.json()["problem"]


def test_a_report_goes_to_the_ledger_and_the_state(world: World, url: str, hook: Receiver) -> None:
    """Signed with the subscription's key over the event's id; readable by what requires it."""
    event_id = told(hook)
    assert report(world, url, event_id).json() == {"result": "recorded"}
    (entry,) = world.events(DeploymentConfirmed)
    assert (entry.version, entry.notification, entry.actor) == (
        "1",
        event_id,
        "deployment told ops",
    )
    state = world.workspace().ledger.state(MODEL)
    found = state.deployment("1")
    assert found is not None
    assert found.good
    assert state.deployment("1", environment="staging") is None
    assert state.deployment("2") is None


@pytest.mark.parametrize(
    "change",
    [{"key": "another key that nobody gave us here"}, {"late": 301}, {"signed_id": "evt_other"}],
)
def test_a_forged_or_old_report_is_refused(
    world: World, url: str, hook: Receiver, change: dict[str, object]
) -> None:
    """Nothing goes to the ledger."""
    assert report(world, url, told(hook), **change).status_code == 401  # type: ignore[arg-type]
    assert world.events(DeploymentConfirmed) == []


def test_a_report_on_an_event_that_nobody_was_told_of_is_refused(world: World, url: str) -> None:
    """Without an event there is no key: a stranger cannot tell unknown from forged."""
    assert report(world, url, "evt_" + "0" * 32).status_code == 401


def test_the_last_report_counts_and_an_old_one_cannot_be_replayed(
    world: World, url: str, hook: Receiver
) -> None:
    """Failed, then passed; the failed one sent again within the window changes nothing."""
    event_id = told(hook)
    assert report(world, url, event_id, health="unhealthy").json()["result"] == "recorded"
    world.clock.advance(seconds=60)
    assert report(world, url, event_id).json()["result"] == "recorded"
    replay = report(world, url, event_id, health="unhealthy", late=60)
    assert replay.json()["result"] == "known already"
    found = world.workspace().ledger.state(MODEL).deployment("1")
    assert found is not None
    assert found.good
    assert len(world.events(DeploymentConfirmed)) == 2


@pytest.mark.parametrize(
    ("stamp", "signature"), [("{0}", "{1} v1,AAAA"), ("{0}", "v2,x {1}"), ("00{0}", "{1}")]
)
def test_a_replayed_report_in_other_headers_is_the_same_report(
    world: World, url: str, hook: Receiver, stamp: str, signature: str
) -> None:
    """A thief of a signed report cannot undo a later one by writing its headers differently."""
    event_id = told(hook)
    body = json.dumps(GOOD | {"health": "unhealthy"}).encode()
    at = int(world.clock().timestamp())
    signed = sign(KEY.encode(), event_id, at, body)

    def send(time: str, signatures: str) -> str:
        headers = {
            "webhook-id": event_id,
            "webhook-timestamp": time,
            "webhook-signature": signatures,
        }
        to = f"{url}/deployments/{event_id}"
        return str(requests.post(to, data=body, headers=headers, timeout=30).json()["result"])

    assert send(str(at), signed) == "recorded"
    world.clock.advance(seconds=60)
    assert report(world, url, event_id).json()["result"] == "recorded"
    assert send(stamp.format(at), signature.format(at, signed)) == "known already"
    found = world.workspace().ledger.state(MODEL).deployment("1")
    assert found is not None
    assert found.good


def test_a_malformed_report_says_what_to_send(world: World, url: str, hook: Receiver) -> None:
    """Signed, and wrong: the pipeline's author learns what is missing."""
    answer = report(world, url, told(hook), smoke_test="perhaps")
    assert answer.status_code == 400
    assert "smoke_test" in answer.json()["problem"]
    assert "unhealthy" in answer.json()["next"]
    again = report(world, url, told(hook))
    assert again.json()["result"] == "recorded"


def test_too_much_is_not_read(world: World, url: str) -> None:
    """A body beyond the limit is refused while it comes in."""
    answer = requests.post(f"{url}/mlflow", data=b"x" * 300_000, timeout=30)
    assert answer.status_code == 400


def test_only_what_is_deployed_can_be_confirmed(world: World, hook: Receiver) -> None:
    """An evaluation's event starts no deployment."""
    world.subscribe("ops", hook.url)
    world.judge("2")
    world.deliver()
    notifier = world.notifier()
    with pytest.raises(Refusal, match="EVALUATION_FINISHED"):
        confirm(
            notifier.workspace,
            notifier.outbox,
            told(hook, "EVALUATION_FINISHED"),
            Report.model_validate(GOOD),
            actor="ana",
        )


def test_the_same_report_is_recorded_once(world: World) -> None:
    """A pipeline that retries its command doubles nothing."""
    world.adopt()
    notifier = world.notifier()
    (event, *_) = [e for r in notifier.workspace.ledger.events() for e in outgoing(r)]
    for _ in range(2):
        confirm(
            notifier.workspace, notifier.outbox, event.id, Report.model_validate(GOOD), actor="ana"
        )
    assert len(world.events(DeploymentConfirmed)) == 1


def figures(url: str) -> dict[str, float]:
    """What ``/metrics`` says, parsed by the client library's own parser."""
    answer = requests.get(f"{url}/metrics", timeout=30)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_figures_are_those_of_the_ledger_and_the_outbox(
    world: World, url: str, hook: Receiver
) -> None:
    """Counted from what is recorded, and again with what came since the last time."""
    before = figures(url)
    assert before["promotion_outbox_delivered{subscription=ops}"] == 2
    assert before["promotion_ledger_entries_total{kind=ADOPTED}"] == 1
    ledger = world.workspace().ledger
    go_live(ledger, FakeRegistry(), "2", world.clock)
    world.judge("3", "4", model=OTHER)
    hook.answers = [500]
    world.deliver()
    world.clock.advance(minutes=2)
    from_mlflow(world, url, "d-1", key="another key that nobody gave us here")
    now = figures(url)
    assert now[f"promotion_evaluations_total{{model={MODEL},verdict=approved}}"] == 1
    assert now[f"promotion_evaluations_total{{model={OTHER},verdict=approved}}"] == 2
    assert now[f"promotion_gate_results_total{{gate=accuracy,model={OTHER},outcome=passed}}"] == 2
    labels = f"cause=promotion,model={MODEL},to=Production"
    assert now[f"promotion_transitions_total{{{labels}}}"] == 1
    assert now[f"promotion_versions{{model={MODEL},segment=default,stage=Production}}"] == 2
    assert now["promotion_outbox_pending{subscription=ops}"] == 9
    assert now["promotion_outbox_oldest_seconds{}"] == 120
    assert now["promotion_heard_total{from=mlflow,result=AccessRefused}"] == 1
    assert now["promotion_part_up{part=ledger}"] == now["promotion_part_up{part=outbox}"] == 1
    assert now["promotion_ledger_bytes{}"] > 10_000


def test_a_part_that_is_away_is_said_to_be_down(world: World) -> None:
    """The figures that can be given are given; readiness says no, life goes on."""
    world.workspace()
    (world.root / "home").mkdir()
    (world.root / "home" / "ledger.db").write_bytes(b"this is no database" * 100)
    with serving(Listener(world.notifier())) as url:
        assert requests.get(f"{url}/health/live", timeout=30).status_code == 200
        assert requests.get(f"{url}/health/ready", timeout=30).status_code == 503
        from_mlflow(world, url, "d-1")
        found = figures(url)
    assert found["promotion_part_up{part=ledger}"] == 0
    assert found["promotion_part_up{part=outbox}"] == 0
    assert found["promotion_heard_total{from=mlflow,result=UsageError}"] == 1


def test_readiness_says_yes_where_every_part_answers(url: str) -> None:
    """Or whoever waits for it before sending anything would wait for ever."""
    answer = requests.get(f"{url}/health/ready", timeout=30)
    assert (answer.status_code, answer.json()) == (200, {"result": "ready"})


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [("/mlflows", 404, "nothing is found at /mlflows"), ("/mlflow", 405, "/mlflow takes no GET")],
)
def test_an_address_that_is_none_is_refused_in_three_parts(
    url: str, path: str, status: int, problem: str
) -> None:
    """Also by the framework, whose own words would have another form."""
    answer = requests.get(f"{url}{path}", timeout=30)
    assert answer.status_code == status
    said = answer.json()
    assert set(said) == {"doing", "problem", "next"}
    assert said["problem"] == problem


def test_the_dashboard_asks_for_metrics_that_exist(world: World, url: str, hook: Receiver) -> None:
    """Every name in the dashboard and in the documentation is one that /metrics gives."""
    repository = Path(__file__).parents[2]
    board = json.loads((repository / "deploy" / "grafana-dashboard.json").read_text())
    asked = [t["expr"] for panel in board["panels"] for t in panel.get("targets", ())]
    assert len(asked) > 15
    text = requests.get(f"{url}/metrics", timeout=30).text
    given = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    given |= {f"{name}_bucket" for name in given}
    named = {name for expression in asked for name in re.findall(r"promotion_\w+", expression)}
    assert named <= given, named - given
    documented = (repository / "docs" / "notifications.md").read_text()
    missing = {n for n in given if not n.endswith("_bucket") and n not in documented}
    short = {n for n in missing if f"`_{n.rpartition('_')[2]}`" in documented}
    assert missing == short
    assert all(label in text for label in ('subscription="ops"', f'model="{MODEL}"'))
