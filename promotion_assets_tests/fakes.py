"""Stand-ins for parts of the world that tests want to break at will."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from promotion_assets.errors import RegistryUnreachable, UsageError
from promotion_assets.lifecycle.events import Stage
from promotion_assets.lifecycle.mirror import is_managed
from promotion_assets.lifecycle.ports import MirroredVersion, RegistryView


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    now: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        """Go forward, or back with a negative span."""
        self.now += timedelta(**span)


@dataclass
class FakeRegistry:
    """A registry in memory that does what :class:`Registry` asks, or fails where it is told to.

    Attributes:
        fail_at: numbers of the coming ``mirror`` calls (1 is the next) that raise; a negative
            number makes that call change the registry first and raise then.
        deleted: versions that are not in the registry (any more).
        calls: what was asked, in order.
    """

    aliases: dict[str, str] = field(default_factory=dict)
    versions: dict[str, MirroredVersion] = field(default_factory=dict)
    fail_at: set[int] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    calls: list[tuple[str, str]] = field(default_factory=list)

    def mirror(
        self,
        model: str,
        version: str,
        stage: Stage,
        aliases: Collection[str],
        tags: Mapping[str, str],
    ) -> None:
        self.calls.append((model, version))
        fails, self.fail_at = self.fail_at, {n - 1 if n > 0 else n + 1 for n in self.fail_at}
        self.fail_at.discard(0)
        if 1 in fails:
            raise _down(version)
        if version in self.deleted:
            raise UsageError(f"mirror version {version}", "there is none", "check the number")
        for alias in aliases:
            self.aliases[alias] = version
        for alias, holder in list(self.aliases.items()):
            if holder == version and alias not in aliases and is_managed(alias):
                del self.aliases[alias]
        known = self.versions.get(version, MirroredVersion())
        merged = {**known.tags, **tags}
        self.versions[version] = MirroredVersion(merged["promotion.stage"], str(stage), merged)
        if -1 in fails:
            raise _down(version)

    def read_mirror(self, model: str, versions: Collection[str] | None = None) -> RegistryView:
        wanted = set(self.versions if versions is None else versions) - self.deleted
        return RegistryView(
            aliases={a: v for a, v in self.aliases.items() if is_managed(a)},
            versions={
                v: self.versions[v] for v in wanted if v in self.versions and v not in self.deleted
            },
        )


def _down(version: str) -> RegistryUnreachable:
    return RegistryUnreachable(f"mirror version {version}", "no answer", "start the registry")
