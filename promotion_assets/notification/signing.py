"""Signatures of webhooks, in the form of Standard Webhooks; MLflow's are of the same form.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md:
HMAC-SHA256 over ``<id>.<timestamp>.<body>``, in Base64 behind ``v1,``. A header may hold
several, apart by spaces, while a key is changed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import datetime

# An attempt older or newer than this is refused: the replay window.
TOLERANCE_SECONDS = 300
LEAST_KEY_BYTES = 24
PREFIX = "whsec_"


def key_of(secret: str) -> bytes:
    """Return the key: what is behind ``whsec_`` in Base64, anything else as its own bytes.

    Raises:
        ValueError: it is no Base64, or shorter than 24 bytes.
    """
    if secret.startswith(PREFIX):
        try:
            key = base64.b64decode(secret[len(PREFIX) :], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("what stands behind whsec_ is no Base64") from None
    else:
        key = secret.encode()
    if len(key) < LEAST_KEY_BYTES:
        raise ValueError(f"a key has at least {LEAST_KEY_BYTES} bytes")
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of one attempt."""
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def verify(
    key: bytes, message_id: str, timestamp: str, body: bytes, signatures: str, now: datetime
) -> bool:
    """Whether one of ``signatures`` is by ``key``, over this message, and of now."""
    if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > 12:
        return False
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    expected = sign(key, message_id, int(timestamp), body).encode()
    return any(
        hmac.compare_digest(expected, found.encode(errors="replace"))
        for found in signatures.split(" ")[:10]
    )
