"""One form for every asset's specification: group, owner, kinds, tags, partitions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import dagster as dg

from promotion_assets.defs.names import Names
from promotion_assets.errors import PromotionError, Unreachable
from promotion_assets.policy.model import ModelPolicy

_OWNER = re.compile(r"^(team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+)$")


def asset_spec(
    names: Names,
    policy: ModelPolicy,
    asset: str,
    description: str,
    *,
    deps: Iterable[str] = (),
    kinds: Iterable[str] = (),
    partitions: dg.PartitionsDefinition[str] | None = None,
    skippable: bool = False,
) -> dg.AssetSpec:
    """Return the specification of one of a model's assets; ``deps`` are named without prefix."""
    owner = policy.owner if _OWNER.match(policy.owner) else ""
    return dg.AssetSpec(
        names.key(asset),
        deps=[names.key(dep) for dep in deps],
        description=description,
        group_name=names.group,
        owners=[owner] if owner else [],
        kinds=set(kinds),
        tags={"model": re.sub(r"[^A-Za-z0-9_.-]", "_", names.model)[:63]},
        partitions_def=partitions,
        skippable=skippable,
    )


@contextmanager
def spoken() -> Iterator[None]:
    """Turn an error of ours into a failure that shows its three parts and no traceback."""
    try:
        yield
    except PromotionError as error:
        raise failure(error) from None


def failure(error: PromotionError) -> dg.Failure:
    """Return an error of ours as a failure; only an unreachable part is worth another try."""
    return dg.Failure(
        description=str(error),
        metadata={"doing": error.doing, "problem": error.problem, "next": error.next_step},
        allow_retries=isinstance(error, Unreachable),
    )
