"""Deliveries in traces: a receiver of one's own continues them."""

from __future__ import annotations

from promotion_assets.notification.signing import verify
from promotion_assets_tests.collectors import Here, collecting, here
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.notification.receivers import Receiver
from promotion_assets_tests.notification.worlds import KEY, World

__all__ = ["collecting", "here"]


def test_a_webhook_carries_the_trace_of_its_delivery(
    world: World, hook: Receiver, here: Here
) -> None:
    """Each attempt is a span, named to the receiver by W3C Trace Context; its word is signed."""
    world.subscribe("ops", f"{hook.url}/in")
    world.judge("2")
    hook.answers = [500, 200]
    assert world.deliver().problems
    world.clock.advance(hours=1)
    assert world.deliver().delivered == 1
    attempts = [each for each in here.spans() if each.name == "notification"]
    carried = [post.headers["traceparent"] for post in hook.posts]
    assert carried == [f"00-{each.trace}-{each.id}-01" for each in attempts]
    assert [each.failed for each in attempts] == [True, False]
    failed, arrived = attempts
    assert failed.attributes["error.type"] == "NotSent"
    assert (arrived.kind, arrived.parent) == ("client", "")
    assert (arrived["model"], arrived["version"]) == (MODEL, "2")
    assert (arrived["event"], arrived["subscription"]) == ("EVALUATION_FINISHED", "ops")
    got = hook.posts[-1]
    assert arrived["event_id"] == got.id
    stamp, signature = got.headers["webhook-timestamp"], got.headers["webhook-signature"]
    assert verify(KEY.encode(), got.id, stamp, got.body, signature, world.clock())
    sent = b"".join(here.collector.bodies)
    assert KEY.encode() not in sent
    assert hook.url.encode() not in sent


def test_strangers_are_told_of_no_trace(world: World, hook: Receiver, here: Here) -> None:
    """Slack and the like have no part in it."""
    world.environ["SLACK_HOOK"] = f"{hook.url}/services/secret"
    world.subscribe("chat", "${SLACK_HOOK}", kind="slack", secret_env=None)
    world.judge("2")
    assert world.deliver().delivered == 1
    assert "traceparent" not in hook.posts[0].headers
    assert b"services/secret" not in b"".join(here.collector.bodies)


def test_nothing_is_sent_along_where_nothing_is_traced(world: World, hook: Receiver) -> None:
    """A request is as it was before."""
    world.subscribe("ops", hook.url)
    world.judge("2")
    assert world.deliver().delivered == 1
    assert "traceparent" not in hook.posts[0].headers
