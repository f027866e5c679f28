"""Slack's requests: is it Slack, is it now, is it the first time, and what is asked?"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

TOLERANCE_SECONDS = 300


@dataclass(frozen=True)
class Command:
    """A slash command.

    Attributes:
        sender: ``TEAM/USER``, as the policy names reviewers in Slack.
        words: what stands behind the command, split at spaces.
        trigger: names this one invocation.
    """

    name: str
    sender: str
    words: tuple[str, ...]
    trigger: str


def is_from_slack(body: bytes, timestamp: str, signature: str, secret: str, now: datetime) -> bool:
    """Whether a request is signed by Slack and not older than five minutes.

    https://docs.slack.dev/authentication/verifying-requests-from-slack: HMAC-SHA256 with the
    signing secret over ``v0:<timestamp>:<raw body>``.
    """
    if not timestamp.isdecimal() or len(timestamp) > 12:
        return False
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    return hmac.compare_digest(signed(body, timestamp, secret).encode(), signature.encode())


def signed(body: bytes, timestamp: str, secret: str) -> str:
    """Return the signature of a request."""
    base = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


def command_of(form: dict[str, str]) -> Command:
    """Return the command that a form of Slack's carries."""
    return Command(
        name=form.get("command", ""),
        sender=f"{form.get('team_id', '')}/{form.get('user_id', '')}",
        words=tuple(form.get("text", "").split()),
        trigger=form.get("trigger_id", ""),
    )


def split_words(words: tuple[str, ...]) -> tuple[str, str, str, tuple[str, ...]]:
    """Return model, version, the segment where one is named, and the words after them."""
    model, version, *rest = words
    if rest and rest[0].startswith("segment="):
        return model, version, rest[0].removeprefix("segment="), tuple(rest[1:])
    return model, version, "", tuple(rest)
