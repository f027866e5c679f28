"""The policy on environments: through which registries a version goes, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from promotion_assets.policy.strict import Strict


class Environment(Strict):
    """One registry on the way to production.

    Attributes:
        name: what ``promotion copy --to`` calls it.
        registry: MLflow's address there; ``${NAME}`` is looked up in the environment. The
            installation whose own registry it is, is in this environment.
        trusted_keys: files, beside the policy, with public keys of the environment before: what
            arrives without an attestation that one of them has signed is neither promoted nor
            copied on. The first environment has none, every other one needs one.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
    registry: Annotated[str, Field(min_length=1)]
    trusted_keys: tuple[str, ...] = ()


def contradiction(environments: Sequence[Environment]) -> str | None:
    """Say what is wrong with a sequence of environments, if anything is."""
    names = [environment.name for environment in environments]
    registries = [environment.registry for environment in environments]
    if len(set(names)) < len(names) or len(set(registries)) < len(registries):
        return "two environments have one name or one registry"
    for environment in environments[1:]:
        if not environment.trusted_keys:
            return f"{environment.name} needs trusted_keys: those of the environment before it"
    return None
