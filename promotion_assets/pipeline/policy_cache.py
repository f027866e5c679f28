"""The policy file, parsed once for each content: a sensor opens the platform every few seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from promotion_assets.gates.catalogue import settings_models
from promotion_assets.policy.load import VARIABLE, load_policy
from promotion_assets.policy.model import Policy


@dataclass(frozen=True)
class ReadPolicy:
    """A policy with the digest of each model's.

    Attributes:
        source: digest of the file's bytes, and the variables of the environment that it names
            and that are set.
    """

    policy: Policy
    digests: Mapping[str, str]
    source: tuple[str, frozenset[str]]


_READ: dict[Path, ReadPolicy] = {}


def read_policy(path: Path, environ: Mapping[str, str]) -> ReadPolicy:
    """Return what the file says now; see :func:`load_policy` for what it raises."""
    source = _source(path, environ)
    known = _READ.get(path)
    if known is not None and known.source == source:
        return known
    policy = load_policy(path, settings=settings_models, environ=environ)
    digests = {model: stanza.digest for model, stanza in policy.models.items()}
    read = ReadPolicy(policy, digests, source)
    # Only what was parsed from the bytes that were digested; a file that was written in between
    # is read again the next time.
    if _source(path, environ) == source:
        _READ[path] = read
    return read


def _source(path: Path, environ: Mapping[str, str]) -> tuple[str, frozenset[str]]:
    try:
        data = path.read_bytes()
    except OSError:
        return "", frozenset()
    named = set(VARIABLE.findall(data.decode("utf-8", errors="replace")))
    return hashlib.sha256(data).hexdigest(), frozenset(name for name in named if name in environ)
