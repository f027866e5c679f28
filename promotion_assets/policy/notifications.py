"""The policy on notifications: who is told of what, through which door, how often it is tried."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from promotion_assets.policy.strict import Strict

EventName = Literal[
    "MODEL_VERSION_TRANSITIONED_STAGE",
    "MODEL_VERSION_TRANSITIONED_TO_STAGING",
    "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION",
    "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED",
    "MODEL_VERSION_TAG_SET",
    "REVIEW_REQUESTED",
    "REVIEW_REMINDED",
    "REVIEW_DECIDED",
    "ROLLOUT_STEP",
    "ROLLED_BACK",
    "REGISTRY_TAMPERED",
    "EVALUATION_FINISHED",
    "CHAMPION_FAILED",
    "DEPLOYMENT_CONFIRMED",
    "TEST",
]
EVENT_NAMES: tuple[str, ...] = get_args(EventName)
Kind = Literal["webhook", "slack", "gitlab", "github", "email"]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
EVERY = "*"
# What each kind cannot do without.
_NEEDED: dict[str, tuple[str, ...]] = {
    "webhook": ("url", "secret_env"),
    "slack": (),
    "gitlab": ("url", "project", "ref", "authorization_env"),
    "github": ("repository", "authorization_env"),
    "email": ("url", "sender", "to"),
}
_SCHEMES = {"email": ("smtp", "smtps")}
DEFAULT_URLS = {
    "slack": "https://slack.com/api/chat.postMessage",
    "github": "https://api.github.com",
}


class Subscription(Strict):
    """One receiver of notifications. Secrets are in environment variables; only names are here.

    Attributes:
        name: how it is called everywhere; unique over the whole policy.
        kind: ``webhook`` (signed JSON), ``slack``, ``gitlab`` (pipeline trigger), ``github``
            (``repository_dispatch``) or ``email``.
        url: where it is sent to; ``${NAME}`` is taken from the environment, which is where an
            address that is itself a secret, as Slack's incoming webhooks, belongs.
        events: which outgoing events; ``*`` is all of them.
        models: names or shell patterns of the models it is told of.
        authorization_env: variable that holds the ``Authorization`` header of a webhook, the
            token of Slack, GitLab or GitHub, or the password of the mail server.
        secret_env: variable that holds the key with which a webhook is signed, and with which
            the receiver signs a deployment's report.
        verify_tls: off, anybody on the way can read and answer in the receiver's name.
        channel: for Slack's ``chat.postMessage``.
        project, ref: for GitLab.
        repository: ``owner/name`` for GitHub.
        sender, to, username: for e-mail.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    kind: Kind = "webhook"
    url: Annotated[str, Field(max_length=2000)] = ""
    events: Annotated[tuple[EventName | Literal["*"], ...], Field(min_length=1)] = ("*",)
    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    authorization_env: VariableName | None = None
    secret_env: VariableName | None = None
    verify_tls: bool = True
    channel: str | None = None
    project: str | None = None
    ref: str | None = None
    repository: Annotated[str | None, Field(pattern=r"^[\w.-]+/[\w.-]+$")] = None
    sender: str | None = None
    to: tuple[str, ...] = ()
    username: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Subscription:
        missing = [name for name in _NEEDED[self.kind] if not getattr(self, name)]
        if missing:
            raise ValueError(f"{missing[0]} is missing for kind {self.kind}")
        if self.kind in ("gitlab", "github") and EVERY in self.events:
            raise ValueError("events: name those that start a pipeline; * would start one for each")
        if self.kind == "slack" and not self.url and not (self.channel and self.authorization_env):
            raise ValueError(
                "url is missing for kind slack: an incoming webhook as ${NAME}, or channel and "
                "authorization_env"
            )
        self._check_url()
        if any(ord(c) < 32 for text in (self.sender or "", *self.to) for c in text):
            raise ValueError("to: an address with a line break")
        return self

    def _check_url(self) -> None:
        # A URL that is wholly or partly a variable is checked when it is known.
        if not self.url or "${" in self.url:
            return
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        schemes = _SCHEMES.get(self.kind, ("https", "http"))
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"url: write {' or '.join(f'{s}://host/…' for s in schemes)}")
        if "@" in parts.netloc:
            raise ValueError("url: it holds a user name or password; use authorization_env")
        if parts.hostname == "hooks.slack.com":
            raise ValueError("url: this address is a secret; put it in a variable, url: ${NAME}")

    @property
    def address(self) -> str:
        """The URL as written, or the usual one of its kind."""
        return self.url or DEFAULT_URLS.get(self.kind, "")

    def wants(self, event: str, model: str) -> bool:
        """Whether it is told of ``event`` about ``model``."""
        return (EVERY in self.events or event in self.events) and any(
            fnmatchcase(model, pattern) for pattern in self.models
        )


class Notifications(Strict):
    """How notifications are delivered, and who gets those of every model.

    Attributes:
        allow_hosts: hosts (``name`` or ``name:port``) that may have private, loopback or
            link-local addresses and may be spoken to without TLS; nothing else may.
        max_attempts: after so many in vain a delivery is a dead letter.
        first_delay_seconds, longest_delay_seconds: the wait after the first failed attempt; it
            doubles after each further one, up to the longest, and is shortened by chance by up
            to a half.
        timeout_seconds: for one attempt from the look-up of the name to the answer's head.
        keep_days: delivered and dead notifications are kept so long.
        subscriptions: who is told; a model may have further ones of its own.
    """

    allow_hosts: tuple[Annotated[str, Field(min_length=1, max_length=260)], ...] = ()
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 20
    first_delay_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    longest_delay_seconds: Annotated[float, Field(gt=0, le=86400)] = 7200.0
    timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 10.0
    keep_days: Annotated[int, Field(ge=1)] = 90
    subscriptions: tuple[Subscription, ...] = ()

    def allows(self, host: str, port: int) -> bool:
        """Whether ``allow_hosts`` names this host."""
        named = host.lower().rstrip(".")
        entries = {entry.lower().rstrip(".") for entry in self.allow_hosts}
        shown = f"[{named}]" if ":" in named else named
        return named in entries or f"{shown}:{port}" in entries


def repeated(subscriptions: Iterable[Subscription]) -> list[str]:
    """Return the names that more than one of ``subscriptions`` has."""
    names = [each.name for each in subscriptions]
    return sorted({name for name in names if names.count(name) > 1})
