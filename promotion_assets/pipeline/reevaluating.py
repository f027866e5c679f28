"""Judging again what is open or serves, because its policy or evaluation dataset has changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pydantic import Field

from promotion_assets.canonical import digest_of
from promotion_assets.lifecycle.events import Stage
from promotion_assets.lifecycle.stages import ModelState, version_key
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
from promotion_assets.pipeline.source_stamp import source_stamp
from promotion_assets.pipeline.workspace import Workspace


class Known(Frozen):
    """What one model was judged by when it was last looked at, and the stamp of its source."""

    by: Judged
    stamp: str


class Changes(Cursor):
    """The cursor: what was known of each model, and what was asked for."""

    # So many models a look are gone through whatever has changed.
    taking_turns: ClassVar[int] = 3

    models: dict[str, Known] = Field(default_factory=dict)
    asked: dict[str, tuple[Asked, ...]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """A source that is to be read again; its content may be the same nevertheless."""

    model: str
    run_key: str


def look_for_changes(
    workspace: Workspace,
    models: Sequence[str],
    seen: Changes,
    running: Running,
    *,
    most: int,
) -> tuple[list[Question], list[Reading], Changes]:
    """Return evaluations to be requested, sources to be read again, and what is known now.

    A changed source is read first, and evaluations are asked for once its content is known to
    be another. What is neither live nor open stays as it was judged.

    Raises:
        RegistryUnreachable, LedgerUnreachable: the next look comes back to all of it.
    """
    now = workspace.clock()
    asked, questions = look_after(workspace, seen.asked, running, now, most=most)
    known, readings = dict(seen.models), list[Reading]()
    turn = seen.in_turn(models)
    for model in models:
        before = seen.models.get(model)
        at = Known(by=Judged.now(workspace, model), stamp=source_stamp(workspace, model))
        if at == before and model not in turn:
            continue
        state = workspace.ledger.state(model)
        if before is None or at.stamp != before.stamp:
            readings += _reading(state, model, at)
        if len(questions) >= most:
            # What is known stays as it was, so that the next look comes back to this model.
            known[model] = before or at.model_copy(update={"by": Judged(dataset="", policy="")})
            continue
        known[model] = at
        new = list(_stale(workspace, state, at.by, now, asked.get(model, ())))
        if new:
            asked[model] = (*asked.get(model, ()), *new)
            questions += [Question.of(model, one) for one in new]
    return questions, readings, Changes(models=known, asked=asked, turn=seen.turn + 1)


def live_and_open(state: ModelState) -> tuple[str, ...]:
    """Return the versions that serve, roll out, are in shadow or under review."""
    held = {
        version
        for by_version in state.stages.values()
        for version, stage in by_version.items()
        if stage in (Stage.STAGING, Stage.PRODUCTION)
    }
    return tuple(sorted(held, key=version_key))


def _reading(state: ModelState, model: str, at: Known) -> Iterator[Reading]:
    # A source that nothing live is judged on is read when the next version is.
    if at.stamp and live_and_open(state):
        yield Reading(model, digest_of([model, at.stamp, at.by.dataset]))


def _stale(
    workspace: Workspace, state: ModelState, by: Judged, now: datetime, awaited: Sequence[Asked]
) -> Iterator[Asked]:
    waiting = {one.version for one in awaited}
    for version in live_and_open(state):
        last = state.decisions.get(version)
        if version in waiting or (last is not None and by.stands_behind(last)):
            continue
        found = workspace.registry.registration(state.model, version)
        if found is None:
            continue
        of_this = decision_on(state, found)
        changed = (
            [
                word
                for word, then, current in (
                    ("evaluation dataset", of_this.dataset_digest, by.dataset),
                    ("policy", of_this.policy_digest, by.policy),
                )
                if then != current
            ]
            if of_this
            else []
        )
        reason = f"the {' and the '.join(changed)} changed" if changed else "it was never judged"
        yield ask(state, found, by, reason, now)
