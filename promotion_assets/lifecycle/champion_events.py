"""What can happen to a champion while it serves."""

from __future__ import annotations

from typing import Literal

from promotion_assets.lifecycle.event_base import DEFAULT_SEGMENT, Event, Value


class Moved(Value):
    """Something that is another value than when the champion was last approved."""

    name: str
    before: str | float | None
    after: str | float | None

    def sentence(self) -> str:
        """Say it in a few words."""
        return f"{self.name} {_shown(self.before)} → {_shown(self.after)}"


class ChampionFailed(Event):
    """A champion was judged again and would not be let through today.

    Attributes:
        decision_digest: of the decision that says so; ``before_digest`` of the last one on the
            version that approved it, empty where none did.
        gates: gates with another outcome than then.
        numbers: what was measured then and now, where it differs.
        inputs: ``artifact``, ``dataset`` and ``policy`` whose digests differ: with none of them
            the same was judged by the same, and what moved is measured (latency) or seen
            (drift) of today's world.
    """

    kind: Literal["CHAMPION_FAILED"] = "CHAMPION_FAILED"
    version: str
    segment: str = DEFAULT_SEGMENT
    reason: str
    decision_digest: str
    before_digest: str = ""
    gates: tuple[Moved, ...] = ()
    numbers: tuple[Moved, ...] = ()
    inputs: tuple[Moved, ...] = ()


def _shown(value: str | float | None) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else value[:12] or "none"
