"""What reviewers are told of a request, in Slack's markup."""

from __future__ import annotations

from collections.abc import Sequence

from promotion_assets.lifecycle.events import DEFAULT_SEGMENT
from promotion_assets.notification.outgoing import OutgoingEvent
from promotion_assets.pipeline.pages import review_page
from promotion_assets.pipeline.past_drills import find_drill
from promotion_assets.pipeline.workspace import Workspace


def notice(workspace: Workspace, event: OutgoingEvent) -> str:
    """Return the message: whose turn it is, the gates in short, the page and the commands.

    Args:
        event: ``REVIEW_REQUESTED`` or ``REVIEW_REMINDED``.

    Raises:
        UsageError: the policy does not name the model (any more).
        LedgerUnreachable, IntegrityError: the ledger cannot be read.
    """
    model, version = event.model, event.version
    name = f"{safe(model)} version {safe(version)}"
    if event.segment != DEFAULT_SEGMENT:
        name += f" in {safe(event.segment)}"
    if event.data.get("what") == "expired":
        return f"The review of {name} expired without a decision; the next in turn are asked."
    policy = workspace.policy_of(model)
    assigned = event.data.get("assigned")
    whose = [str(w) for w in assigned] if isinstance(assigned, Sequence) else []
    turn = ", ".join(_called(policy.review.reviewer(w), w) for w in whose) or "nobody"
    begin = "waits" if event.type == "REVIEW_REQUESTED" else "still waits"
    lines = [f"*{name}* {begin} for review; it is the turn of {turn}."]
    for gate, outcome, reason in _gates(workspace, event):
        lines.append(f"• {safe(gate)}: {outcome}, {safe(reason)[:200]}")
    page = review_page(workspace, model, version, event.segment)
    if page:
        lines.append(f"<{page}|Read the evidence and decide>")
    words = f"{safe(model)} {safe(version)}"
    if event.segment != DEFAULT_SEGMENT:
        words += f" segment={safe(event.segment)}"
    lines.append(f"`/approve-model {words}` or `/reject-model {words} REASON`")
    return "\n".join(lines)


def safe(text: str) -> str:
    """Return text in which Slack sees no mention and no link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _gates(workspace: Workspace, event: OutgoingEvent) -> Sequence[tuple[str, str, str]]:
    decision = workspace.ledger.state(event.model).decision(event.version, event.segment)
    if decision is not None:
        return [(g.gate, g.outcome, g.reason) for g in decision.gates]
    drill = find_drill(workspace, event.model, event.version, event.segment)
    if drill is None:
        return ()
    # Seconds to import, and drills are seldom.
    from promotion_assets.pipeline.drill_case import gates_of_drill

    return gates_of_drill(workspace, drill)


def _called(entry: object, name: str) -> str:
    slack = getattr(entry, "slack", None)
    return f"<@{slack.partition('/')[2]}>" if slack else safe(name)
