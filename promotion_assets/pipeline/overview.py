"""The outbox in short, for the command, and for Dagster."""

from __future__ import annotations

from typing import TypedDict

from promotion_assets.notification.ports import Delivery
from promotion_assets.pipeline.notifying import Notifier


class SubscriptionView(TypedDict):
    """A subscription, with what waits for it; secrets are named, never shown."""

    name: str
    kind: str
    source: str
    url: str
    events: list[str]
    models: list[str]
    authorization_env: str | None
    secret_env: str | None
    verify_tls: bool
    pending: int
    delivered: int
    dead: int


class DeliveryView(TypedDict):
    """A delivery that waits or was given up."""

    subscription: str
    id: str
    type: str
    model: str
    version: str
    attempts: int
    next_at: str | None
    problem: str


class Overview(TypedDict):
    """Everything about the outbox."""

    subscriptions: list[SubscriptionView]
    unshared: int
    waiting: list[DeliveryView]
    dead_letters: list[DeliveryView]


def overview(notifier: Notifier, *, most_dead: int = 20) -> Overview:
    """Return who is told, what waits after a failure, and the newest dead letters.

    A subscription that is configured no more and for which something waits is shown as ``gone``.
    """
    depth = notifier.outbox.depth()
    known = {each.name: each for each in notifier.subscriptions()}
    by_policy = {each.name for each in notifier.workspace.policy.subscriptions()}
    added = {each.name for each in notifier.outbox.added()}
    views: list[SubscriptionView] = []
    for name in sorted({*known, *depth.pending}):
        each = known.get(name)
        source = "policy" if name in by_policy else "command" if name in added else "environment"
        views.append(
            SubscriptionView(
                name=name,
                kind=each.kind if each else "",
                source=source if each else "gone",
                url=each.address if each else "",
                events=list(each.events) if each else [],
                models=list(each.models) if each else [],
                authorization_env=each.authorization_env if each else None,
                secret_env=each.secret_env if each else None,
                verify_tls=each.verify_tls if each else True,
                pending=depth.pending.get(name, 0),
                delivered=depth.delivered.get(name, 0),
                dead=depth.dead.get(name, 0),
            )
        )
    heads = [head for name in depth.pending for head in notifier.outbox.heads(name)]
    return Overview(
        subscriptions=views,
        unshared=depth.unshared,
        waiting=[_view(head) for head in heads if head.attempts],
        dead_letters=[
            _view(dead) for dead in notifier.outbox.deliveries(state="dead", most=most_dead)
        ],
    )


def _view(delivery: Delivery) -> DeliveryView:
    event = delivery.event
    return DeliveryView(
        subscription=delivery.subscription,
        id=event.id,
        type=event.type,
        model=event.model,
        version=event.version,
        attempts=delivery.attempts,
        next_at=delivery.next_at.isoformat() if delivery.next_at else None,
        problem=delivery.problem,
    )
