"""Canonical JSON (RFC 8785) and digests: one form for everything that is named by its content."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785


def canonical_json(value: Any) -> bytes:
    """Return ``value`` (JSON types only) in the canonical form of RFC 8785.

    Raises:
        rfc8785.CanonicalizationError: for a value with no canonical form, such as a NaN.
    """
    return rfc8785.dumps(value)


def digest_of(value: Any) -> str:
    """Return the SHA-256 of the canonical form, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of ``data``, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
