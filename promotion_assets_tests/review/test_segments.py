"""Reviews of another segment than the default one, on every surface."""

from __future__ import annotations

from urllib.parse import urlencode

import dagster as dg
import pytest
import requests

from promotion_assets.defs.factory import promotion_definitions
from promotion_assets.lifecycle.events import ReviewDecided, ReviewRequested, Stage
from promotion_assets.notification.outgoing import outgoing
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import adopt, record_decision, to_staging
from promotion_assets.pipeline.review_notices import notice
from promotion_assets.review.case import Ballot
from promotion_assets.review.slack import signed
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.test_cli import promotion
from promotion_assets_tests.review.worlds import (
    CHALLENGER,
    PAGE,
    SLACK_SECRET,
    World,
    csrf_of,
    serving,
    signed_in,
)

EU = f"{PAGE}?segment=eu"
T = 60


def stage_in_eu(world: World) -> World:
    """Have the challenger wait for review in the segment ``eu`` as well."""
    adopt(Evaluator(world.workspace, MODEL, "eu"), "1", actor="x", reason="serves in the EU too")
    evaluator = Evaluator(world.workspace, MODEL, "eu")
    record_decision(evaluator, evaluator.decide(CHALLENGER))
    to_staging(evaluator, CHALLENGER, actor="promotion")
    world.clock.advance(minutes=1)
    assert world.keep().problems == []
    return world


@pytest.fixture
def both(world: World) -> World:
    """A world in which the challenger waits in two segments."""
    return stage_in_eu(world)


def stages(world: World) -> tuple[Stage, Stage]:
    """The challenger's stage in either segment."""
    state = world.workspace.ledger.state(MODEL)
    return state.stage(CHALLENGER), state.stage(CHALLENGER, "eu")


def approve_in_eu(world: World, by: str) -> None:
    """Read and approve in the segment."""
    shown = world.desk.show(MODEL, CHALLENGER, "eu", by)
    for part in shown.case.slices:
        world.desk.open_slice(MODEL, CHALLENGER, "eu", by, part.id)
    world.clock.advance(seconds=90)
    ballot = world.ballot(shown, by).model_copy(update={"segment": "eu"})
    world.desk.vote(ballot, by, "page")


def test_page_leads_through_the_segment(both: World) -> None:
    """Queue, request, slices, the form to try inputs and the vote stay in the segment."""
    with serving(both) as url:
        answer = requests.get(f"{url}{EU}", allow_redirects=False, timeout=T)
        assert answer.headers["Location"] == f"/login?next={PAGE}%3Fsegment%3Deu"
        ana = signed_in(both, url, "ana")
        assert f'href="{EU}"' in ana.get(url, timeout=T).text
        page = ana.get(f"{url}{EU}", timeout=T).text
        assert f"{MODEL} version {CHALLENGER} in eu" in page
        assert f'href="{PAGE}/try?segment=eu"' in page
        assert 'name="segment" value="eu"' in page
        tried = ana.get(f"{url}{PAGE}/try?segment=eu", timeout=T).text
        assert 'name="segment" value="eu"' in tried
        form = {"csrf": csrf_of(ana, url), "segment": "eu", "verdict": "rejected"}
        form["comment"] = "not for customers in the EU"
        assert ana.post(f"{url}{PAGE}/vote", data=form, timeout=T).status_code == 200
    assert stages(both) == (Stage.STAGING, Stage.ARCHIVED)


def test_slack_names_the_segment(both: World) -> None:
    """The announcement has it in link and commands, and a command rejects there alone."""
    recorded = [
        r for r in both.workspace.ledger.events(MODEL) if isinstance(r.event, ReviewRequested)
    ]
    said = notice(both.workspace, outgoing(recorded[-1])[0])
    assert f"`/approve-model {MODEL} {CHALLENGER} segment=eu`" in said
    with serving(both) as url:
        text = f"{MODEL} {CHALLENGER} segment=eu not for customers in the EU"
        command = {"command": "/reject-model", "team_id": "T01", "user_id": "U01", "text": text}
        body = urlencode({**command, "trigger_id": "1.2"}).encode()
        stamp = str(int(both.clock().timestamp()))
        headers = {
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": signed(body, stamp, SLACK_SECRET),
        }
        answer = requests.post(f"{url}/slack/commands", body, headers=headers, timeout=T)
    assert "in eu. It is archived" in answer.json()["text"]
    assert stages(both) == (Stage.STAGING, Stage.ARCHIVED)


def test_segment_is_found_where_none_is_named(both: World) -> None:
    """The default one where it waits there, or else the only other one in which it does."""
    assert both.desk.segment_of(MODEL, CHALLENGER) == "default"
    ballot = Ballot(model=MODEL, version=CHALLENGER, verdict="rejected", comment="not by default")
    both.desk.vote(ballot, "bo", "cli")
    assert both.desk.segment_of(MODEL, CHALLENGER) == "eu"


def test_command_line_rejects_in_a_segment(today: World) -> None:
    """The list shows the segment, and an option names it."""
    stage_in_eu(today)
    token = promotion(today, "reviewer", "add", "bo").stdout.strip()
    assert "eu" in promotion(today, "review", "list").stdout
    words = ("review", "reject", MODEL, CHALLENGER, "--segment", "eu", "--reason", "not in the EU")
    promotion(today, *words, token=token)
    assert stages(today) == (Stage.STAGING, Stage.ARCHIVED)


def test_quorum_in_a_segment_promotes_there(today: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sensor's run has the segment as its tag, and moves the version in that one alone."""
    stage_in_eu(today)
    approve_in_eu(today, "ana")
    approve_in_eu(today, "bo")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{today.root / 'mlflow.db'}")
    monkeypatch.delenv("PROMOTION_DATABASE_URL", raising=False)
    definitions = promotion_definitions(
        today.workspace.policy,
        config=today.root / "promotion.yaml",
        home=today.root / ".promotion",
    )
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance, definitions=definitions, resources=definitions.resources
        )
        (asked,) = definitions.resolve_sensor_def("reviews")(context).run_requests
        assert asked.tags["promotion/segment"] == "eu"
        instance.add_dynamic_partitions(f"{MODEL} versions", [CHALLENGER])
        result = definitions.resolve_job_def(asked.job_name).execute_in_process(
            instance=instance,
            partition_key=CHALLENGER,
            tags=dict(asked.tags),
            raise_on_error=False,
        )
        assert result.success
    votes = today.workspace.ledger.state(MODEL).reviews[("eu", CHALLENGER)]
    assert [vote.actor for vote in votes if isinstance(vote, ReviewDecided)] == ["ana", "bo"]
    assert stages(today) == (Stage.STAGING, Stage.PRODUCTION)
