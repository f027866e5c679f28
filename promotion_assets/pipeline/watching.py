"""Looking for versions to judge: a cursor that loses none and judges none twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from pydantic import Field

from promotion_assets.adapters.mlflow_registry import Registered
from promotion_assets.adapters.registry_entries import Entry
from promotion_assets.pipeline.asking import (
    Asked,
    Cursor,
    Frozen,
    Judged,
    Question,
    Running,
    ask,
    decision_on,
    look_after,
)
from promotion_assets.pipeline.workspace import Workspace

# A sensor has a minute; one answer that hangs takes up to 49 s of it.
LONGEST_LOOK = timedelta(seconds=10)


class Seen(Frozen):
    """How far one model's versions have been seen.

    Attributes:
        highest: number of the last version seen; versions have no gaps, timestamps no order.
        created, updated: the stamp of the model's entry in the registry.
        alias: the version that the policy's alias pointed to.
    """

    highest: int = 0
    created: int = 0
    updated: int = 0
    alias: str | None = None


class Watch(Cursor):
    """The cursor: how far was seen, what was asked for, whose turn it is, and when it was looked.

    ``looked_at`` is in seconds since 1970.
    """

    # One model a look is asked for whatever its entry says: clocks are not in order, and two
    # changes in one millisecond look like one.
    taking_turns: ClassVar[int] = 1

    models: dict[str, Seen] = Field(default_factory=dict)
    asked: dict[str, tuple[Asked, ...]] = Field(default_factory=dict)
    looked_at: float = 0.0

    def is_due(self, now: datetime, every_seconds: float) -> bool:
        """Whether it is time for another look; a look in the future is none."""
        return not 0 <= now.timestamp() - self.looked_at < every_seconds

    def sentence(self) -> str:
        """Say up to where everything was seen, and what is awaited."""
        seen = [f"{model} up to version {s.highest}" for model, s in sorted(self.models.items())]
        shown = ", ".join(seen[:10]) + (f" and {len(seen) - 10} more" if len(seen) > 10 else "")
        awaited = sum(map(len, self.asked.values()))
        more = f"; {awaited} decisions are awaited" if awaited else ""
        return f"nothing new: {shown or 'no versions are registered'}{more}"


@dataclass(frozen=True)
class _Looking:
    """One look; ``room`` is how many more runs may be requested."""

    workspace: Workspace
    now: datetime
    room: int

    def at(self, model: str, entry: Entry | None, before: Seen | None, turn: bool) -> _Found:
        """Return what of one model is to be judged, and how far was seen."""
        if entry is None and not turn:
            return _Found(before, ())
        stamp = entry.stamp if entry else (before.created, before.updated) if before else (0, 0)
        made_again = bool(before and before.created and stamp[0] != before.created)
        if before is None or made_again:
            before = Seen(highest=0 if made_again else self._champion(model))
        watched = self.workspace.policy_of(model).watch
        points = entry.aliases.get(watched.alias) if entry and watched.alias else before.alias
        changed = stamp != (before.created, before.updated)
        if not (changed or turn or points != before.alias):
            return _Found(before, ())
        found = self.workspace.registry.registered_after(model, before.highest)
        taken = found[: self.room]
        seen = Seen(
            highest=int(taken[-1].version) if taken else before.highest,
            created=stamp[0],
            # Left as it was where something was left over, so that the next look comes back.
            updated=stamp[1] if len(taken) == len(found) else before.updated,
            alias=points,
        )
        asked = self._new(model, taken) if watched.judge == "registered" else []
        if points is not None and points != before.alias:
            asked += self._pointed_at(model, points, watched.alias or "", asked)
        return _Found(seen, tuple(asked))

    def _champion(self, model: str) -> int:
        """Return the highest number of a champion: what is below can only come by a rollback."""
        champions = self.workspace.ledger.state(model).champions.values()
        return max((int(v) for v in champions if v.isdecimal()), default=0)

    def _new(self, model: str, found: Sequence[Registered]) -> list[Asked]:
        if not found:
            return []
        state, by = self.workspace.ledger.state(model), Judged.now(self.workspace, model)
        reason = "new version in the registry"
        return [
            ask(state, version, by, reason, self.now)
            for version in found
            if decision_on(state, version) is None
        ]

    def _pointed_at(
        self, model: str, version: str, alias: str, asked: Sequence[Asked]
    ) -> list[Asked]:
        found = self.workspace.registry.registration(model, version)
        if found is None or version in {one.version for one in asked}:
            return []
        state, by = self.workspace.ledger.state(model), Judged.now(self.workspace, model)
        last = decision_on(state, found)
        if last is not None and by.stands_behind(last):
            return []
        return [ask(state, found, by, f"alias {alias} was moved to it", self.now)]


@dataclass(frozen=True)
class _Found:
    seen: Seen | None
    asked: tuple[Asked, ...]


def look_for_versions(
    workspace: Workspace,
    models: Sequence[str],
    seen: Watch,
    running: Running,
    *,
    most: int,
) -> tuple[list[Question], Watch]:
    """Return at most about ``most`` runs to be requested, and how far was seen.

    What it costs is what is new: one reading of the registry's entries, the versions of models
    whose entry has changed and of a few whose turn it is, the history of models with something
    to be judged. Where MLflow is slow a look ends early and the next one goes on from there.

    Raises:
        RegistryUnreachable, LedgerUnreachable: the next look comes back to all of it.
    """
    now = workspace.clock()
    turn = seen.in_turn(models)
    known = {model: (s.created, s.updated) for model, s in seen.models.items()}
    entries = {e.model: e for e in workspace.registry.entries(known, sorted(turn))}
    asked, questions = look_after(workspace, seen.asked, running, now, most=most)
    reached: dict[str, Seen] = dict(seen.models)
    for model in models:
        looking = _Looking(workspace, now, max(0, most - len(questions)))
        found = looking.at(model, entries.get(model), seen.models.get(model), model in turn)
        if found.seen is not None:
            reached[model] = found.seen
        new = _not_asked_yet(asked, model, found.asked)
        if new:
            asked[model] = (*asked.get(model, ()), *new)
            questions += [Question.of(model, one) for one in new]
        if found.seen != seen.models.get(model) and workspace.clock() - now > LONGEST_LOOK:
            break
    looked = now.timestamp()
    return questions, Watch(models=reached, asked=asked, turn=seen.turn + 1, looked_at=looked)


def _not_asked_yet(
    asked: Mapping[str, Sequence[Asked]], model: str, new: Sequence[Asked]
) -> list[Asked]:
    # A version of a model that was made again is another one, whatever its number.
    awaited = {(one.version, one.registered) for one in asked.get(model, ())}
    return [one for one in new if (one.version, one.registered) not in awaited]
