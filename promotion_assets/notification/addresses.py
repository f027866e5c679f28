"""Where a notification may go: no request to this host's own network unless the policy says so.

A subscription's address is data that somebody may change; without this check the dispatcher
would fetch whatever the platform's network reaches, as a cloud's metadata service. A name is
resolved once, judged, and connected to as it was resolved, so that a second answer of the name
server cannot slip past (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from promotion_assets.policy.notifications import Notifications

PORTS = {"https": 443, "http": 80, "smtp": 587, "smtps": 465}
SECURE = ("https", "smtps", "smtp")
# A receiver that has refused just this one is not asked twenty times over a day.
REFUSED = 5
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Host and port in, addresses out; raises OSError.
Resolve = Callable[[str, int], Sequence[str]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotSent(Exception):
    """An attempt in vain; the message holds no secret.

    Attributes:
        most_attempts: how many attempts are worth it at most, where the receiver has refused
            just this one; as the policy says where ``None``.
        wait_seconds: how long the receiver asks to be left alone.
    """

    def __init__(
        self,
        problem: str,
        *,
        most_attempts: int | None = None,
        wait_seconds: float | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.most_attempts = most_attempts
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Target:
    """A judged place to connect to.

    Attributes:
        host: the name, for TLS and the ``Host`` header.
        address: the address that the name was resolved to; connect to this one.
        path: path and query.
        trusted: whether the policy names the host, so that it may do without TLS.
    """

    scheme: str
    host: str
    port: int
    address: str
    path: str
    trusted: bool


def target_of(url: str, limits: Notifications, resolve: Resolve) -> Target:
    """Return where to connect to for ``url``.

    Raises:
        NotSent: it is no address to send to, does not resolve, or is not allowed.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise NotSent("the address cannot be read") from None
    if parts.scheme not in PORTS or not host:
        raise NotSent("the address is not https://host/… (or smtp://host)")
    if parts.username or parts.password:
        raise NotSent("the address holds a user name or password; use authorization_env")
    if any(ord(c) < 33 or ord(c) == 127 for c in url):
        raise NotSent("the address holds a space or control character")
    port = port or PORTS[parts.scheme]
    trusted = limits.allows(host, port)
    if parts.scheme not in SECURE and not trusted:
        raise NotSent(f"{host} is to be spoken to without TLS; write https, or see allow_hosts")
    try:
        found = list(resolve(host, port))
    except (OSError, UnicodeError) as error:
        raise NotSent(f"{host} cannot be resolved ({type(error).__name__})") from None
    if not found:
        raise NotSent(f"{host} has no address")
    forbidden = [address for address in found if not is_public(address)]
    if forbidden and not trusted:
        raise NotSent(
            f"{host} has the address {forbidden[0]}, which is not a public one; "
            "name the host in notifications.allow_hosts if it is meant"
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, found[0], path, trusted)


def is_public(text: str) -> bool:
    """Whether an address belongs to the public internet, in whatever form it is written."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(
        each.is_global
        and not each.is_multicast
        and not each.is_reserved
        and not each.is_unspecified
        and not each.is_loopback
        and not each.is_link_local
        for each in _carried(address)
    )


def _carried(address: Address) -> list[Address]:
    """Return the address and those of IPv4 that it stands for."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return [address.ipv4_mapped]
        if address.sixtofour is not None:
            found.append(address.sixtofour)
        if address in _NAT64:
            # Reserved as a range, public where what it carries is.
            return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return found
