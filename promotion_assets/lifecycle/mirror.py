"""What the registry has to show for a state: aliases, stages and tags, and nothing remembered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from promotion_assets.lifecycle.events import DEFAULT_SEGMENT, MirrorSlice, Stage
from promotion_assets.lifecycle.ports import Registry
from promotion_assets.lifecycle.stages import ModelState, version_key

STAGE_TAG = "promotion.stage"
_MANAGED = re.compile(r"(champion|challenger|shadow)(-[a-z0-9_-]+)?")


def is_managed(alias: str) -> bool:
    """Whether an alias is one that the platform sets and moves."""
    return _MANAGED.fullmatch(alias) is not None


def alias_name(role: str, segment: str) -> str:
    """Return the alias of a role in a segment, within the characters that MLflow allows."""
    if segment == DEFAULT_SEGMENT:
        return role
    return f"{role}-{re.sub(r'[^a-z0-9_-]', '-', segment.lower())}"


def aliases_of(state: ModelState) -> dict[str, str]:
    """Return the version that each managed alias points to.

    An alias names one version only, so ``shadow`` is the newest of the versions in Staging.
    """
    found: dict[str, str] = {}
    for segment in sorted(state.stages):
        staged = state.in_stage(Stage.STAGING, segment)
        roles = {
            "champion": state.champions.get(segment),
            "challenger": state.rolling.get(segment),
            "shadow": staged[-1] if staged else None,
        }
        for role, version in roles.items():
            if version is not None:
                found[alias_name(role, segment)] = version
    return found


def tags_of(state: ModelState, version: str) -> dict[str, str]:
    """Return the tags that a version is to have."""
    decision = state.decisions.get(version)
    tags = dict(decision.tags) if decision is not None else {}
    tags[STAGE_TAG] = str(state.stage_anywhere(version))
    for segment, held in state.stages.items():
        if segment != DEFAULT_SEGMENT and version in held:
            tags[f"{STAGE_TAG}.{segment}"] = str(held[version])
    return tags


@dataclass(frozen=True)
class Difference:
    """What a change from one state to another means for the mirror.

    Attributes:
        versions: those to be written, whoever gains an alias before whoever loses it, so that
            there is no moment without a champion's alias.
    """

    before: MirrorSlice
    after: MirrorSlice
    versions: tuple[str, ...]


def difference(old: ModelState, new: ModelState, touched: Iterable[str]) -> Difference:
    """Return what differs between the mirrors of two states; ``touched`` are always written."""
    was, will_be = aliases_of(old), aliases_of(new)
    moved = sorted(
        name for name in was.keys() | will_be.keys() if was.get(name) != will_be.get(name)
    )
    gaining = {will_be[name] for name in moved if name in will_be}
    losing = {was[name] for name in moved if name in was}
    versions = sorted(
        gaining | losing | set(touched), key=lambda v: (v not in gaining, version_key(v))
    )
    return Difference(
        before=MirrorSlice(
            aliases={name: was.get(name) for name in moved},
            stages={v: old.stage_anywhere(v) for v in versions},
        ),
        after=MirrorSlice(
            aliases={name: will_be.get(name) for name in moved},
            stages={v: new.stage_anywhere(v) for v in versions},
        ),
        versions=tuple(versions),
    )


def write_mirror(registry: Registry, state: ModelState, versions: Iterable[str]) -> None:
    """Make the registry show ``versions`` as ``state`` has them.

    Raises:
        RegistryUnreachable: if it does not take all of it; repeating it is safe.
    """
    aliases: Mapping[str, str] = aliases_of(state)
    for version in versions:
        held = sorted(name for name, holder in aliases.items() if holder == version)
        registry.mirror(
            state.model, version, state.stage_anywhere(version), held, tags_of(state, version)
        )
