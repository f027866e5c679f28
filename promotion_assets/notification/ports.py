"""What notification asks of the outbox; ``adapters`` give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from promotion_assets.notification.outgoing import OutgoingEvent
from promotion_assets.notification.retry import is_within
from promotion_assets.policy.notifications import Subscription

State = Literal["pending", "delivered", "dead", "dropped"]


@dataclass(frozen=True)
class Delivery:
    """One outgoing event on its way to one subscription.

    Attributes:
        attempts: how often it was tried in vain.
        attempted_at, next_at: of the last attempt in vain, and from when on it is tried again.
        settled_at: when it was delivered or given up.
        problem: why the last attempt failed, without any secret.
    """

    subscription: str
    place: int
    event: OutgoingEvent
    state: State = "pending"
    attempts: int = 0
    attempted_at: datetime | None = None
    next_at: datetime | None = None
    settled_at: datetime | None = None
    problem: str = ""

    def is_due(self, now: datetime) -> bool:
        """Whether it may be tried now."""
        if self.attempted_at is None or self.next_at is None:
            return True
        return not is_within(self.attempted_at, self.next_at, now)


@dataclass(frozen=True)
class Depth:
    """How much lies in the outbox.

    Attributes:
        unshared: events that no dispatcher has looked at.
        pending, delivered, dead: deliveries by subscription.
        oldest: when the oldest event was recorded that is unshared or pending.
    """

    unshared: int = 0
    pending: Mapping[str, int] = field(default_factory=dict)
    delivered: Mapping[str, int] = field(default_factory=dict)
    dead: Mapping[str, int] = field(default_factory=dict)
    oldest: datetime | None = None


class Outbox(Protocol):
    """Outgoing events and their deliveries, in the ledger's database."""

    def share(self, subscriptions: Sequence[Subscription], now: datetime) -> int:
        """Make deliveries of events that have none yet; return the number of those events.

        Whoever is subscribed then is told; repeating it makes no second delivery.
        """

    def lease(self, subscription: str, holder: str, now: datetime, until: datetime) -> bool:
        """Take or renew the right to deliver to a subscription; ``False`` if another has it."""

    def release(self, subscription: str, holder: str) -> None:
        """Give the right back."""

    def heads(self, subscription: str) -> list[Delivery]:
        """Return the oldest pending delivery of each model, the oldest first."""

    def head(self, subscription: str, model: str) -> Delivery | None:
        """Return the oldest pending delivery of a model."""

    def delivered(self, delivery: Delivery, now: datetime) -> None:
        """Note that the receiver has it."""

    def failed(
        self, delivery: Delivery, now: datetime, next_at: datetime | None, problem: str
    ) -> None:
        """Note an attempt in vain; without ``next_at`` it was the last: a dead letter."""

    def depth(self) -> Depth:
        """Count."""

    def event(self, event_id: str) -> OutgoingEvent | None:
        """Return an outgoing event by its id."""

    def receivers(self, event_id: str) -> tuple[str, ...]:
        """Return the subscriptions to which an event was shared out."""

    def prune(self, before: datetime) -> int:
        """Forget events recorded before then of which no delivery is pending."""
