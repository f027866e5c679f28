"""Who may tell a server what became of its requests.

Labels decide rollouts and shadow reports, so whoever can write them can promote a bad version.
With a token in the environment, whoever knows it may. Without one, programs of this host may, if
the server listens to this host alone, and nobody whom a browser or a proxy speaks for.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from promotion_assets.errors import RequestRefused, UsageError

VARIABLE = "PROMOTION_OUTCOMES_TOKEN"
LEAST_CHARACTERS = 24
DOING = "telling outcomes"
# What browsers and proxies add, and programs on the same host do not.
GO_BETWEENS = (
    "origin",
    "sec-fetch-site",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
)


@dataclass(frozen=True)
class OutcomeAccess:
    """The door of ``POST /outcomes``.

    Attributes:
        digests: SHA-256 of every token that opens it; several while one is replaced.
        alone: whether the server listens to its own host only.
    """

    digests: tuple[bytes, ...] = field(default=(), repr=False)
    alone: bool = False

    @classmethod
    def of(cls, environ: Mapping[str, str], host: str) -> OutcomeAccess:
        """Return the door of a server that listens at ``host``.

        Raises:
            UsageError: a token is so short that it could be guessed.
        """
        tokens = environ.get(VARIABLE, "").split()
        if any(len(token) < LEAST_CHARACTERS for token in tokens):
            raise UsageError(
                f"reading {VARIABLE}",
                f"a token in it has fewer than {LEAST_CHARACTERS} characters",
                "make one with `openssl rand -hex 32`; two may stand there, apart by a space, "
                "while one is replaced",
            )
        return cls(tuple(_digest(token) for token in tokens), is_loopback(host))

    def check(self, headers: Mapping[str, str], caller: str) -> None:
        """Do nothing where the caller may tell outcomes.

        Args:
            headers: by name, in whatever case the mapping takes.
            caller: the address that the request comes from.

        Raises:
            RequestRefused: with status 401 where a token would help, 403 where none is set.
        """
        if self.digests:
            kind, _, token = headers.get("authorization", "").partition(" ")
            given = _digest(token.strip()) if kind.lower() == "bearer" else b""
            if not any(hmac.compare_digest(given, digest) for digest in self.digests):
                raise RequestRefused(
                    DOING,
                    "it carries no token, or an unknown one",
                    f"send `Authorization: Bearer …` with the server's {VARIABLE}",
                    401,
                )
            return
        spoken_for = [name for name in GO_BETWEENS if headers.get(name)]
        host = headers.get("host", "")
        if not self.alone or spoken_for or not is_loopback(caller) or not is_loopback(host):
            raise RequestRefused(
                DOING,
                "without a token only programs of this host may, at a server that listens to it "
                "alone",
                f"set {VARIABLE} where the server runs, and send `Authorization: Bearer …`",
                403,
            )


def is_loopback(host: str) -> bool:
    """Whether a name or address, with or without a port, is this very host's."""
    if host.startswith("["):
        name = host[1:].partition("]")[0]
    else:
        name = host.rpartition(":")[0] if host.count(":") == 1 else host
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
