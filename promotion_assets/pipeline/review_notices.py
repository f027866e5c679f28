"""What reviewers are told of a request, and where."""

from __future__ import annotations

from urllib.parse import quote

from promotion_assets.adapters.slack import Slack
from promotion_assets.lifecycle.events import ReviewReminded, ReviewRequested
from promotion_assets.pipeline.review_requests import Announce
from promotion_assets.pipeline.workspace import Workspace

URL = "PROMOTION_REVIEW_URL"


def announcer(workspace: Workspace) -> Announce:
    """Return what tells reviewers, or tells nobody where no channel is configured."""
    slack = Slack.configured(workspace.environ)

    def announce(event: ReviewRequested | ReviewReminded) -> None:
        if slack is not None:
            slack.post(notice(workspace, event))

    return announce


def notice(workspace: Workspace, event: ReviewRequested | ReviewReminded) -> str:
    """Return the message: whose turn it is, the gates in short, the page and the commands."""
    name = f"{event.model} version {event.version}"
    if isinstance(event, ReviewReminded) and event.what == "expired":
        return f"The review of {name} expired without a decision; the next in turn are asked."
    policy = workspace.policy_of(event.model)
    turn = ", ".join(_called(policy.review.reviewer(w), w) for w in event.assigned) or "nobody"
    begin = "waits for review" if isinstance(event, ReviewRequested) else "still waits for review"
    lines = [f"*{name}* {begin}; it is the turn of {turn}."]
    decision = workspace.ledger.state(event.model).decision(event.version, event.segment)
    for gate in decision.gates if decision else ():
        lines.append(f"• {_safe(gate.gate)}: {gate.outcome}, {_safe(gate.reason)[:200]}")
    url = workspace.environ.get(URL, "").rstrip("/")
    if url:
        place = f"models/{quote(event.model, safe='')}/versions/{quote(event.version, safe='')}"
        lines.append(f"<{url}/{place}|Read the evidence and decide>")
    lines.append(f"`/approve-model {event.model} {event.version}` or `/reject-model … REASON`")
    return "\n".join(lines)


def _called(entry: object, name: str) -> str:
    slack = getattr(entry, "slack", None)
    return f"<@{slack.partition('/')[2]}>" if slack else _safe(name)


def _safe(text: str) -> str:
    """Return text in which Slack sees no mention and no link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
