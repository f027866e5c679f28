"""Notifications over one workspace: who is subscribed, how it is said, and sending it."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from promotion_assets.adapters.outbox_store import DatabaseOutbox, open_outbox
from promotion_assets.adapters.outgoing_http import post, resolve
from promotion_assets.adapters.outgoing_mail import send_mail
from promotion_assets.adapters.tracing import span
from promotion_assets.errors import PromotionError, UsageError
from promotion_assets.lifecycle.events import DEFAULT_SEGMENT
from promotion_assets.notification.addresses import NotSent, Resolve
from promotion_assets.notification.dispatch import Dispatcher, Round
from promotion_assets.notification.messages import Mail, Moment, prepare
from promotion_assets.notification.outgoing import OutgoingEvent
from promotion_assets.notification.secrets import redacted
from promotion_assets.notification.text import sentence
from promotion_assets.pipeline.review_notices import notice, safe
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.notifications import EventName, Subscription

SLACK_CHANNEL, SLACK_TOKEN = "PROMOTION_SLACK_CHANNEL", "PROMOTION_SLACK_TOKEN"
SLACK_API = "PROMOTION_SLACK_API"
REVIEWS: tuple[EventName, ...] = ("REVIEW_REQUESTED", "REVIEW_REMINDED")


@dataclass(frozen=True)
class Notifier:
    """The platform's notifications.

    Attributes:
        look_up: gives the addresses of a host.
        chance: numbers from 0 to 1, for the waits between attempts.
    """

    workspace: Workspace
    look_up: Resolve = resolve
    chance: Callable[[], float] = random.random

    @cached_property
    def outbox(self) -> DatabaseOutbox:
        """The outbox, in the ledger's database."""
        return open_outbox(self.workspace.database_url)

    def close(self) -> None:
        """Close the outbox, if it was opened."""
        opened = vars(self).get("outbox")
        if opened is not None:
            opened.close()

    def subscriptions(self) -> tuple[Subscription, ...]:
        """Return everybody who is told: by the policy, by command, and the environment's Slack.

        A name of the policy's hides the same name added by command.
        """
        found = {each.name: each for each in self.outbox.added()}
        channel = slack_of(self.workspace.environ)
        if channel is not None:
            found[channel.name] = channel
        found |= {each.name: each for each in self.workspace.policy.subscriptions()}
        return tuple(found[name] for name in sorted(found))

    def named(self, name: str) -> Subscription:
        """Return the subscription called ``name``.

        Raises:
            UsageError: there is none.
        """
        known = {each.name: each for each in self.subscriptions()}
        if name not in known:
            raise UsageError(
                f"looking up the subscription {name!r}",
                "there is none of that name",
                f"known are {', '.join(known) or 'none'}; see `promotion webhook list`",
            )
        return known[name]

    def deliver(self, go_on: Callable[[], bool] = lambda: True) -> Round:
        """Send everything that is due, once.

        Args:
            go_on: asked before every delivery whether there is time for it.

        Raises:
            LedgerUnreachable: the database does not answer.
        """
        dispatcher = Dispatcher(
            outbox=self.outbox,
            limits=self.workspace.policy.notifications,
            send=self.send,
            clock=self.workspace.clock,
            chance=self.chance,
            holder=uuid.uuid4().hex,
            go_on=go_on,
        )
        return dispatcher.round(self.subscriptions())

    def send(self, subscription: Subscription, event: OutgoingEvent) -> None:
        """Send one event to one receiver.

        Raises:
            NotSent: it did not arrive, or nobody knows; no secret is in the message.
        """
        with span(
            "notification",
            "client",
            model=event.model,
            version=event.version,
            event=event.type,
            event_id=event.id,
            subscription=subscription.name,
            receiver=subscription.kind,
        ) as traced:
            self._send(subscription, event, traced.traceparent)

    def _send(self, subscription: Subscription, event: OutgoingEvent, traceparent: str) -> None:
        environ, limits = self.workspace.environ, self.workspace.policy.notifications
        verify = subscription.verify_tls
        try:
            moment = Moment(environ, self.workspace.clock(), self._text, traceparent)
            prepared = prepare(subscription, event, moment)
            if isinstance(prepared, Mail):
                send_mail(prepared, limits, verify_tls=verify, look_up=self.look_up)
            else:
                post(prepared, limits, verify_tls=verify, look_up=self.look_up)
        except NotSent as error:
            raise NotSent(
                redacted(error.problem, subscription, environ),
                most_attempts=error.most_attempts,
                wait_seconds=error.wait_seconds,
            ) from None

    def test(self, name: str) -> OutgoingEvent:
        """Send a test to one subscription, past the outbox; return what was sent.

        Raises:
            UsageError: there is no such subscription.
            NotSent: it did not arrive.
        """
        event = trial_event(self.workspace.clock())
        self.send(self.named(name), event)
        return event

    def _text(self, event: OutgoingEvent, kind: str) -> str:
        if kind != "slack":
            return sentence(event)
        if event.type in REVIEWS:
            try:
                return notice(self.workspace, event)
            except PromotionError:
                # Better told in short than not at all.
                pass
        return safe(sentence(event))


def slack_of(environ: Mapping[str, str]) -> Subscription | None:
    """Return the subscription of the channel that the environment names, if it names one.

    ``PROMOTION_SLACK_TOKEN`` and ``PROMOTION_SLACK_CHANNEL``: reviews are told there.
    """
    channel = environ.get(SLACK_CHANNEL)
    if not channel or not environ.get(SLACK_TOKEN):
        return None
    api = environ.get(SLACK_API, "").rstrip("/")
    return Subscription(
        name="slack-reviews",
        kind="slack",
        url=f"{api}/chat.postMessage" if api else "",
        channel=channel,
        authorization_env=SLACK_TOKEN,
        events=REVIEWS,
    )


def trial_event(now: datetime) -> OutgoingEvent:
    """Return an event about nothing."""
    return OutgoingEvent(
        id=f"evt_test{uuid.uuid4().hex}",
        type="TEST",
        model="test",
        version="0",
        segment=DEFAULT_SEGMENT,
        at=now,
        sequence=0,
        data={"reason": "a test of a subscription"},
    )
