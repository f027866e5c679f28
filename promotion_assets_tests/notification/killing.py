"""A dispatcher in a process of its own, which can be killed.

Run as ``python -m promotion_assets_tests.notification.killing DATABASE URL [POINT]``: delivers to
a receiver at ``URL`` what is due; with ``POINT`` it kills itself when it comes there: ``sent``,
between the receiver's answer and the note of it, or ``noted``, just after that.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime

from promotion_assets.adapters.outbox_store import DatabaseOutbox, open_outbox
from promotion_assets.adapters.outgoing_http import post
from promotion_assets.notification.dispatch import Dispatcher
from promotion_assets.notification.messages import Moment, Request, prepare
from promotion_assets.notification.outgoing import OutgoingEvent
from promotion_assets.policy.notifications import Notifications, Subscription

LIMITS = Notifications(allow_hosts=("127.0.0.1",))


def now() -> datetime:
    """Return the time now."""
    return datetime.now(UTC)


def send(subscription: Subscription, event: OutgoingEvent) -> None:
    """Send one event."""
    request = prepare(subscription, event, Moment(os.environ, now(), lambda _event, _kind: ""))
    assert isinstance(request, Request)
    post(request, LIMITS)


def main(database: str, url: str, point: str) -> None:
    """Deliver, and die where it is said."""
    noting = DatabaseOutbox.delivered

    def note(self: DatabaseOutbox, *rest: object) -> None:
        if point == "sent":
            os.kill(os.getpid(), signal.SIGKILL)
        noting(self, *rest)  # type: ignore[arg-type]
        if point == "noted":
            os.kill(os.getpid(), signal.SIGKILL)

    DatabaseOutbox.delivered = note  # type: ignore[method-assign]
    dispatcher = Dispatcher(
        outbox=open_outbox(database),
        limits=LIMITS,
        send=send,
        clock=now,
        chance=lambda: 0.0,
        holder=str(os.getpid()),
    )
    print(dispatcher.round([Subscription(name="ops", url=url, secret_env="HOOK_KEY")]).delivered)


if __name__ == "__main__":
    main(*sys.argv[1:4])
