"""Who is it? Personal tokens and sessions: what is stored of them, and how they are compared.

A token is ``prv_<id>_<secret>``. Only a scrypt hash of the secret is stored (RFC 7914, with 16 MiB;
the secret is 256 random bits, so that guessing is hopeless at any cost), and a copied database
signs nobody in. A session's name is random as well and stored as its SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass

RandomBytes = Callable[[int], bytes]

COST, BLOCK, PARALLEL = 2**14, 8, 1
SALT_BYTES, SECRET_BYTES, ID_BYTES = 16, 32, 6
_SHAPE = re.compile(r"prv_([0-9a-f]{12})_([0-9a-f]{64})")


@dataclass(frozen=True)
class NewToken:
    """A token at the one moment at which it is known; ``text`` is shown once."""

    token_id: str
    text: str
    hash: str


def new_token(random: RandomBytes) -> NewToken:
    """Return a new token."""
    token_id, secret = random(ID_BYTES).hex(), random(SECRET_BYTES).hex()
    return NewToken(token_id, f"prv_{token_id}_{secret}", hashed(secret, random(SALT_BYTES)))


def split_token(text: str) -> tuple[str, str] | None:
    """Return a token's id and secret, or ``None`` where ``text`` has not the form of one."""
    match = _SHAPE.fullmatch(text.strip()[:200])
    return (match[1], match[2]) if match else None


def hashed(secret: str, salt: bytes) -> str:
    """Return what is stored of a secret: algorithm, parameters, salt and hash."""
    digest = _scrypt(secret, salt, COST, BLOCK, PARALLEL)
    return f"scrypt${COST}${BLOCK}${PARALLEL}${salt.hex()}${digest.hex()}"


def is_secret(secret: str, stored: str) -> bool:
    """Whether ``secret`` is the one of which ``stored`` is the hash; takes equally long."""
    try:
        algorithm, cost, block, parallel, salt, digest = stored.split("$")
        computed = _scrypt(secret, bytes.fromhex(salt), int(cost), int(block), int(parallel))
        known = bytes.fromhex(digest)
    except ValueError:
        return False
    return algorithm == "scrypt" and hmac.compare_digest(computed, known)


def name_hash(name: str) -> str:
    """Return what is stored of the random name of a session or of a one-time token."""
    return hashlib.sha256(name.encode()).hexdigest()


def csrf_token(session: str) -> str:
    """Return what every form of a session must carry; nothing of the session can be told of it."""
    return hmac.new(session.encode(), b"promotion csrf", hashlib.sha256).hexdigest()


def is_csrf_token(given: str, session: str) -> bool:
    """Whether a form carries its session's token."""
    return hmac.compare_digest(given.encode(), csrf_token(session).encode())


def _scrypt(secret: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        secret.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=64 * 1024**2, dklen=32
    )
