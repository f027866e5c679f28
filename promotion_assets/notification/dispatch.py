"""Sending what is due: every subscription by itself, in order, one failure ending its turn."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from promotion_assets.notification.addresses import NotSent
from promotion_assets.notification.outgoing import OutgoingEvent
from promotion_assets.notification.ports import Delivery, Outbox
from promotion_assets.notification.retry import wait_after
from promotion_assets.policy.notifications import Notifications, Subscription

MOST_AT_ONCE = 32
LEASE_SECONDS = 90.0
# Raises NotSent.
Send = Callable[[Subscription, OutgoingEvent], None]


@dataclass(frozen=True)
class Turn:
    """What became of one subscription in one round.

    Attributes:
        problem: why it ended early, if it did.
    """

    subscription: str
    delivered: int = 0
    dead: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Round:
    """What one round of the dispatcher did."""

    shared: int = 0
    turns: tuple[Turn, ...] = ()

    @property
    def delivered(self) -> int:
        """How many deliveries arrived."""
        return sum(turn.delivered for turn in self.turns)

    @property
    def problems(self) -> tuple[str, ...]:
        """Which subscriptions could not be served, and why."""
        return tuple(f"{t.subscription}: {t.problem}" for t in self.turns if t.problem)


@dataclass(frozen=True)
class Dispatcher:
    """Delivers; several may run at once, on several hosts.

    Attributes:
        clock: the time; ``chance`` gives numbers from 0 to 1.
        holder: names this dispatcher among others.
        go_on: asked before every delivery whether there is time for it.
    """

    outbox: Outbox
    limits: Notifications
    send: Send
    clock: Callable[[], datetime]
    chance: Callable[[], float]
    holder: str
    go_on: Callable[[], bool] = field(default=lambda: True)

    def round(self, subscriptions: Sequence[Subscription]) -> Round:
        """Share out what is new, and send everything that is due.

        Raises:
            LedgerUnreachable: the database does not answer; what was sent and not noted is sent
                again under the same id.
        """
        now = self.clock()
        shared = self.outbox.share(subscriptions, now)
        self.outbox.prune(now - timedelta(days=self.limits.keep_days))
        due = [each for each in subscriptions if self._is_due(each)]
        if not due:
            return Round(shared)
        with ThreadPoolExecutor(min(len(due), MOST_AT_ONCE), "notifications") as pool:
            return Round(shared, tuple(pool.map(self.turn, due)))

    def turn(self, subscription: Subscription) -> Turn:
        """Send one subscription what is due, the oldest first, until one attempt fails."""
        if not self._lease(subscription):
            return Turn(subscription.name)
        try:
            return self._turn(subscription)
        finally:
            self.outbox.release(subscription.name, self.holder)

    def _turn(self, subscription: Subscription) -> Turn:
        now = self.clock()
        heads = [d for d in self.outbox.heads(subscription.name) if d.is_due(now)]
        lanes = [(d.place, d) for d in heads]
        heapq.heapify(lanes)
        delivered = 0
        leased = now
        while lanes and self.go_on():
            _, delivery = heapq.heappop(lanes)
            now = self.clock()
            if abs(now - leased) > timedelta(seconds=LEASE_SECONDS / 3):
                if not self._lease(subscription):
                    return Turn(subscription.name, delivered)
                leased = now
            problem = self._attempt(subscription, delivery)
            if problem is not None:
                dead = self._failed(delivery, problem)
                return Turn(subscription.name, delivered, int(dead), problem.problem)
            self.outbox.delivered(delivery, self.clock())
            delivered += 1
            following = self.outbox.head(subscription.name, delivery.event.model)
            if following is not None and following.is_due(self.clock()):
                heapq.heappush(lanes, (following.place, following))
        return Turn(subscription.name, delivered)

    def _attempt(self, subscription: Subscription, delivery: Delivery) -> NotSent | None:
        try:
            self.send(subscription, delivery.event)
        except NotSent as error:
            return error
        except Exception as error:  # one subscription's defect must not stop the others
            return NotSent(f"a defect of the sender ({type(error).__name__})")
        return None

    def _failed(self, delivery: Delivery, problem: NotSent) -> bool:
        now, attempts = self.clock(), delivery.attempts + 1
        wait = wait_after(attempts, self.chance(), self.limits)
        if problem.most_attempts is not None and attempts >= problem.most_attempts:
            wait = None
        if wait is not None and problem.wait_seconds is not None:
            longest = self.limits.longest_delay_seconds
            wait = max(wait, timedelta(seconds=min(problem.wait_seconds, longest)))
        self.outbox.failed(delivery, now, None if wait is None else now + wait, problem.problem)
        return wait is None

    def _is_due(self, subscription: Subscription) -> bool:
        now = self.clock()
        return any(d.is_due(now) for d in self.outbox.heads(subscription.name))

    def _lease(self, subscription: Subscription) -> bool:
        now = self.clock()
        until = now + timedelta(seconds=LEASE_SECONDS)
        return self.outbox.lease(subscription.name, self.holder, now, until)
