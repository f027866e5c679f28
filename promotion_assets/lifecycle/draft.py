"""A state while events are folded into it, and what an impossible history is answered with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from promotion_assets.errors import IntegrityError
from promotion_assets.lifecycle.events import IntentRecorded, Stage
from promotion_assets.lifecycle.stages import ModelState


@dataclass
class Draft:
    """A state under construction; containers are copied once, when the fold begins."""

    state: ModelState
    sequence: int
    stages: dict[str, dict[str, Stage]]
    champions: dict[str, str]
    rolling: dict[str, str]
    changed: dict[str, Any]

    @classmethod
    def of(cls, state: ModelState) -> Draft:
        """Begin from ``state``, which stays as it is."""
        return cls(
            state=state,
            sequence=state.sequence,
            stages={segment: dict(held) for segment, held in state.stages.items()},
            champions=dict(state.champions),
            rolling=dict(state.rolling),
            changed={},
        )

    def own(self, name: str) -> dict[Any, Any]:
        """Return the state's mapping ``name`` as a copy that may be changed."""
        if name not in self.changed:
            self.changed[name] = dict(getattr(self.state, name))
        copy: dict[Any, Any] = self.changed[name]
        return copy

    def look(self, name: str) -> Mapping[Any, Any]:
        """Return the state's mapping ``name`` as it is now, to be read."""
        found: Mapping[Any, Any] = self.changed.get(name, getattr(self.state, name))
        return found

    def stage(self, version: str, segment: str) -> Stage:
        """Return the version's stage as it is now."""
        return self.stages.get(segment, {}).get(version, Stage.NONE)

    def take_role(self, segment: str, version: str) -> None:
        """Make ``version`` the champion of ``segment``."""
        self.champions[segment] = version
        lines = self.own("lines")
        lines[segment] = (*lines.get(segment, ()), version)

    def look_one(self, name: str) -> Any:
        """Return one value of the state as it is now."""
        return self.changed.get(name, getattr(self.state, name))

    def intent(self) -> IntentRecorded | None:
        """Return the open intent, if there is one."""
        found: IntentRecorded | None = self.look_one("intent")
        return found

    def done(self) -> ModelState:
        """Return the state with everything that was changed."""
        return replace(
            self.state,
            sequence=self.sequence,
            stages=self.stages,
            champions=self.champions,
            rolling=self.rolling,
            **self.changed,
        )


def impossible(model: str, problem: str) -> IntegrityError:
    """Return the error of a history that no rule allows."""
    return IntegrityError(
        f"fold the history of model {model!r}",
        problem,
        "run `promotion audit verify`; if it finds nothing, report this as a defect",
    )
