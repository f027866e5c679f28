"""What each kind of receiver is sent: a request or a mail, made from an outgoing event."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import quote, urlencode

from promotion_assets.notification.addresses import NotSent
from promotion_assets.notification.outgoing import OutgoingEvent
from promotion_assets.notification.secrets import secret_of, url_of
from promotion_assets.notification.signing import key_of, sign
from promotion_assets.policy.notifications import DEFAULT_URLS, Subscription

AGENT = "promotion-assets"
MOST_TEXT = 3900


@dataclass(frozen=True)
class Request:
    """An HTTP POST. ``slack`` asks for Slack's own word on whether it was taken."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    slack: bool = False


@dataclass(frozen=True)
class Mail:
    """A message for a mail server, with what is needed to sign in there."""

    url: str
    message: EmailMessage
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Moment:
    """What a message is made with.

    Attributes:
        environ: where the secrets are.
        now: goes into the signature.
        text: says an event in words: for Slack in its markup, for mail plain.
        traceparent: the attempt in the form of W3C Trace Context, for receivers of one's own;
            empty where nothing is traced.
    """

    environ: Mapping[str, str] = field(repr=False)
    now: datetime
    text: Callable[[OutgoingEvent, str], str]
    traceparent: str = ""


def prepare(subscription: Subscription, event: OutgoingEvent, moment: Moment) -> Request | Mail:
    """Return what ``subscription`` is sent.

    Raises:
        NotSent: a secret is missing or unusable.
    """
    return _KINDS[subscription.kind](subscription, event, moment)


def _webhook(subscription: Subscription, event: OutgoingEvent, moment: Moment) -> Request:
    body = event.body()
    secret = secret_of(subscription.secret_env, moment.environ)
    assert secret is not None
    timestamp = int(moment.now.timestamp())
    try:
        signature = sign(key_of(secret), event.id, timestamp, body)
    except ValueError as error:
        raise NotSent(f"the environment variable {subscription.secret_env}: {error}") from None
    headers = {
        "Content-Type": "application/json",
        "webhook-id": event.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }
    authorization = secret_of(subscription.authorization_env, moment.environ)
    if authorization is not None:
        headers["Authorization"] = authorization
    if moment.traceparent:
        headers["traceparent"] = moment.traceparent
    return Request(url_of(subscription, moment.environ), _headers(headers), body)


def _slack(subscription: Subscription, event: OutgoingEvent, moment: Moment) -> Request:
    content: dict[str, str] = {"text": moment.text(event, "slack")[:MOST_TEXT]}
    headers = {"Content-Type": "application/json; charset=utf-8"}
    token = secret_of(subscription.authorization_env, moment.environ)
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if subscription.channel is not None:
        content["channel"] = subscription.channel
    url = url_of(subscription, moment.environ)
    return Request(url, _headers(headers), json.dumps(content).encode(), slack=True)


def _gitlab(subscription: Subscription, event: OutgoingEvent, moment: Moment) -> Request:
    token = secret_of(subscription.authorization_env, moment.environ)
    variables = {
        "PROMOTION_EVENT": event.type,
        "PROMOTION_EVENT_ID": event.id,
        "PROMOTION_MODEL": event.model,
        "PROMOTION_VERSION": event.version,
        "PROMOTION_SEGMENT": event.segment,
        "PROMOTION_STAGE": str(event.data.get("promoted_to", "")),
    }
    form = {"token": token or "", "ref": subscription.ref or ""}
    form |= {f"variables[{name}]": value for name, value in variables.items()}
    project = quote(subscription.project or "", safe="")
    base = url_of(subscription, moment.environ).rstrip("/")
    return Request(
        f"{base}/api/v4/projects/{project}/trigger/pipeline",
        _headers({"Content-Type": "application/x-www-form-urlencoded"}),
        urlencode(form).encode(),
    )


def _github(subscription: Subscription, event: OutgoingEvent, moment: Moment) -> Request:
    token = secret_of(subscription.authorization_env, moment.environ)
    # GitHub takes at most ten keys at the top of a payload.
    payload = {
        "id": event.id,
        "model": event.model,
        "version": event.version,
        "segment": event.segment,
        "sequence": event.sequence,
        "timestamp": event.at.isoformat(),
        "data": dict(event.data),
    }
    base = url_of(subscription, moment.environ) or DEFAULT_URLS["github"]
    return Request(
        f"{base.rstrip('/')}/repos/{subscription.repository}/dispatches",
        _headers(
            {
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "X-GitHub-Api-Version": "2022-11-28",
            }
        ),
        json.dumps({"event_type": event.type, "client_payload": payload}).encode(),
    )


def _email(subscription: Subscription, event: OutgoingEvent, moment: Moment) -> Mail:
    text = moment.text(event, "email")
    message = EmailMessage()
    first = text.splitlines()[0] if text else event.type
    message["Subject"] = "".join(c for c in f"[promotion] {first}" if ord(c) >= 32)[:200]
    message["From"] = subscription.sender or ""
    message["To"] = ", ".join(subscription.to)
    message["Date"] = format_datetime(moment.now)
    # The same for every attempt, so that a mail that came twice is known as one.
    message["Message-ID"] = f"<{event.id}@promotion-assets>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(f"{text}\n\nevent {event.id}, entry {event.sequence} of the ledger\n")
    return Mail(
        url_of(subscription, moment.environ),
        message,
        subscription.username,
        secret_of(subscription.authorization_env, moment.environ),
    )


def _headers(more: Mapping[str, str]) -> Mapping[str, str]:
    return {"User-Agent": AGENT, **more}


_KINDS: Mapping[str, Callable[[Subscription, OutgoingEvent, Moment], Request | Mail]] = {
    "webhook": _webhook,
    "slack": _slack,
    "gitlab": _gitlab,
    "github": _github,
    "email": _email,
}
