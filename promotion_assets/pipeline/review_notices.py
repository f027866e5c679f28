"""What reviewers are told of a request, in Slack's markup."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from promotion_assets.notification.outgoing import OutgoingEvent
from promotion_assets.pipeline.workspace import Workspace

URL = "PROMOTION_REVIEW_URL"


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
    if event.data.get("what") == "expired":
        return f"The review of {name} expired without a decision; the next in turn are asked."
    policy = workspace.policy_of(model)
    assigned = event.data.get("assigned")
    whose = [str(w) for w in assigned] if isinstance(assigned, Sequence) else []
    turn = ", ".join(_called(policy.review.reviewer(w), w) for w in whose) or "nobody"
    begin = "waits" if event.type == "REVIEW_REQUESTED" else "still waits"
    lines = [f"*{name}* {begin} for review; it is the turn of {turn}."]
    decision = workspace.ledger.state(model).decision(version, event.segment)
    for gate in decision.gates if decision else ():
        lines.append(f"• {safe(gate.gate)}: {gate.outcome}, {safe(gate.reason)[:200]}")
    url = workspace.environ.get(URL, "").rstrip("/")
    if url:
        place = f"models/{quote(model, safe='')}/versions/{quote(version, safe='')}"
        lines.append(f"<{url}/{place}|Read the evidence and decide>")
    lines.append(f"`/approve-model {safe(model)} {safe(version)}` or `/reject-model … REASON`")
    return "\n".join(lines)


def safe(text: str) -> str:
    """Return text in which Slack sees no mention and no link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _called(entry: object, name: str) -> str:
    slack = getattr(entry, "slack", None)
    return f"<@{slack.partition('/')[2]}>" if slack else safe(name)
