"""Secrets, which are in the environment and go nowhere but to their receiver."""

from __future__ import annotations

import re
from collections.abc import Mapping

from promotion_assets.notification.addresses import NotSent
from promotion_assets.policy.notifications import Subscription

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
HIDDEN = "[hidden]"


def secret_of(name: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the value of the variable ``name``; ``None`` where no variable is named.

    Raises:
        NotSent: it is not set, or holds what cannot stand in a header.
    """
    if name is None:
        return None
    value = environ.get(name, "")
    if not value:
        raise NotSent(f"the environment variable {name} is not set where notifications are sent")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise NotSent(f"the environment variable {name} holds a line break or control character")
    return value


def url_of(subscription: Subscription, environ: Mapping[str, str]) -> str:
    """Return the address with its variables replaced.

    Raises:
        NotSent: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        return secret_of(match.group(1), environ) or ""

    return _VARIABLE.sub(value, subscription.address)


def redacted(text: str, subscription: Subscription, environ: Mapping[str, str]) -> str:
    """Return ``text`` without the values of the subscription's variables."""
    names = [*_VARIABLE.findall(subscription.address)]
    names += [n for n in (subscription.authorization_env, subscription.secret_env) if n]
    for name in names:
        value = environ.get(name, "")
        if len(value) >= 4:
            text = text.replace(value, HIDDEN)
    return text
