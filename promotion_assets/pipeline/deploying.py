"""The deployment hand-shake: what a pipeline that a transition started reports back."""

from __future__ import annotations

from promotion_assets.errors import Refusal
from promotion_assets.lifecycle.events import DeploymentConfirmed
from promotion_assets.notification.heard import DEPLOYABLE, Report
from promotion_assets.notification.ports import Outbox
from promotion_assets.pipeline.workspace import Workspace


def confirm(
    workspace: Workspace, outbox: Outbox, event_id: str, report: Report, *, actor: str
) -> DeploymentConfirmed:
    """Record a report in the ledger; the same report once more changes nothing.

    Raises:
        Refusal: the event is unknown, or nothing is deployed because of it.
        LedgerUnreachable: nothing was recorded.
    """
    doing = f"recording the deployment that {event_id[:80]!r} started"
    event = outbox.event(event_id)
    if event is None:
        raise Refusal(
            doing,
            "the outbox has no such event",
            "use the id of the event that started the pipeline; old ones are forgotten, see "
            "notifications.keep_days",
        )
    if event.type not in DEPLOYABLE:
        raise Refusal(
            doing,
            f"it is {event.type} of {event.model} version {event.version}, which nothing is "
            "deployed for",
            f"name the id of one of {', '.join(sorted(DEPLOYABLE))}",
        )
    before = [
        known
        for known in workspace.ledger.state(event.model).deployments.get(
            (event.segment, event.version), ()
        )
        if (known.notification, known.environment) == (event_id, report.environment)
    ]
    told = report.model_dump()
    if before and {name: getattr(before[-1], name) for name in told} == told:
        return before[-1]
    confirmed = DeploymentConfirmed(
        model=event.model,
        version=event.version,
        segment=event.segment,
        actor=actor,
        notification=event_id,
        reported_at=workspace.clock(),
        **told,
    )
    workspace.ledger.append([confirmed])
    return confirmed
