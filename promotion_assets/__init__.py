"""A promotion platform for machine learning models, built of Dagster assets.

The way of one version through the package, in the order of its folders: a **policy** says what
must hold; **statistics** turns arrays into numbers with intervals; **evaluation** takes in the
candidate and scores it once, in isolation, on an evaluation dataset version; **gates** each put
one question; the **decision** is the verdict on all of them; **serving** answers requests by the
traffic plan, and **rollout** says what its next share is; **lifecycle** moves stages, and only
with an approved decision; **audit** keeps the record of it all; **review** asks people, and
**notification** tells others. ``adapters`` talk to MLflow, databases and files; ``pipeline`` has
the steps that everybody calls; ``defs`` shows them as Dagster assets; ``cli`` is the ``promotion``
command; ``demo`` tries all of it on real data.

Words
-----
model, version
    A registered model in MLflow and one of its numbered versions.
candidate
    The version under evaluation.
champion
    The version in Production for a segment; what a candidate is compared with.
shadow
    A Staging version that gets copies of live requests; its answers are logged, never returned.
challenger
    A version that answers a small share of live requests, its outcomes compared with the
    champion's.
evaluation dataset version
    An immutable snapshot of labelled rows, named by the digest of its content.
feature profile
    Per-feature summary of a data set (bin edges, counts, missing, categories, type); mergeable
    across shards.
policy
    What must hold for a model, as validated YAML; named by the digest of its canonical form.
gate
    One question put to a candidate; gives a gate result.
gate result
    An outcome (``passed``, ``failed``, ``inconclusive``, ``error``, ``waived``) with observed
    value, limit, interval, sample size, reason, details, digests of its inputs, duration.
decision
    The verdict on one candidate from all gate results of one evaluation.
ledger
    The append-only, hash-chained record of everything that happened; the source of truth for
    stages.
attestation
    One ledger entry as a signed in-toto Statement in a DSSE envelope.
checkpoint
    A signed statement of the ledger's size and head, published outside the ledger's own store.
traffic plan
    Which version answers which share of which segment, with digests and a generation number.
exposure, outcome
    A unit was served by an arm; what later became of that unit.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

__all__ = ["log_feature_profile"]

log_feature_profile: Callable[..., Any]

# By name and on first use: MLflow takes seconds to load, and domain code must not load it.
_LAZY = {"log_feature_profile": "promotion_assets.adapters.profile_logging"}


def __getattr__(name: str) -> Any:
    """Return what training code calls from the package itself."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
