"""Evaluations that were asked for, kept until their decisions are in the ledger.

A run may be killed, fail because MLflow is away, or never start; a decision is all that counts.
So what was asked for is remembered, and asked for again where neither a decision nor a run is
there. Waits double up to six hours and no decision is ever given up. Where a run ended after its
decision and before the move to Staging that the policy wants, the move alone is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from promotion_assets.adapters.mlflow_registry import Registered
from promotion_assets.canonical import digest_of
from promotion_assets.lifecycle.events import EvaluationFinished, Stage
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.pipeline.inputs import Inputs
from promotion_assets.pipeline.workspace import Workspace

LONGEST_WAIT = timedelta(hours=6)
# A move that is refused, and not only interrupted, is not asked for without end.
MOST_ATTEMPTS_TO_MOVE = 12
# As much of a model's name as the tag of a run holds.
TAG_LENGTH = 255

Running = Callable[[], Collection[tuple[str, str]]]
"""Gives model and version of every evaluation that is queued or runs."""


class Frozen(BaseModel):
    """Base of what stands in a cursor."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cursor(Frozen):
    """Base of a sensor's cursor over many models, of which some take turns in each look.

    Attributes:
        turn: number of the next look.
    """

    taking_turns: ClassVar[int]
    turn: int = 0

    @classmethod
    def parse(cls, cursor: str | None) -> Self:
        """Read a cursor; an unreadable one begins from the start, which asks nothing twice."""
        try:
            return cls.model_validate_json(cursor) if cursor else cls()
        except ValidationError:
            return cls()

    def dump(self) -> str:
        """Return the cursor as text."""
        return self.model_dump_json(exclude_defaults=True)

    def in_turn(self, models: Sequence[str]) -> frozenset[str]:
        """Return the models that are gone through in this look whatever else is known of them."""
        if len(models) <= self.taking_turns:
            return frozenset(models)
        places = (
            (self.turn * self.taking_turns + i) % len(models) for i in range(self.taking_turns)
        )
        return frozenset(models[place] for place in places)


class Judged(Frozen):
    """What a version is judged by: digests of dataset version and policy.

    The dataset's is empty before the first one was taken in.
    """

    dataset: str
    policy: str

    @classmethod
    def now(cls, workspace: Workspace, model: str) -> Judged:
        """Return what is current for ``model``."""
        policy = workspace.policy_of(model)
        inputs = Inputs(workspace.home, model, policy, workspace.environ)
        return cls(dataset=inputs.dataset_digest(), policy=workspace.policy_digests[model])

    def stands_behind(self, decision: EvaluationFinished) -> bool:
        """Whether ``decision`` was made on this."""
        return (decision.dataset_digest, decision.policy_digest) == (self.dataset, self.policy)


class Asked(Frozen):
    """One evaluation that was asked for.

    Attributes:
        after: digest of the version's decision that was the last one then.
        attempt: how often a run was asked for.
        at: when it was last.
    """

    version: str
    reason: str
    registered: AwareDatetime
    by: Judged
    after: str = ""
    attempt: int = 1
    at: AwareDatetime

    def answered_in(self, state: ModelState) -> bool:
        """Whether a decision came since."""
        last = state.decisions.get(self.version)
        return last is not None and last.decision_digest != self.after

    def due(self, now: datetime, first_wait: timedelta) -> bool:
        """Whether to look after it; always where the clock has gone back behind the asking."""
        wait = min(first_wait * 2 ** min(self.attempt - 1, 16), LONGEST_WAIT)
        return not self.at <= now < self.at + wait


class Question(Frozen):
    """A run to be requested; equal keys are one run, however often they are requested.

    Attributes:
        move: whether the version is decided, and only its move to Staging is missing.
    """

    model: str
    version: str
    reason: str
    run_key: str
    move: bool = False

    @classmethod
    def of(cls, model: str, asked: Asked, *, move: bool = False) -> Question:
        """Return the run for ``asked``."""
        parts = [asked.version, asked.registered.isoformat(), asked.by.dataset, asked.by.policy]
        key = digest_of([model, *parts, asked.after, asked.attempt])
        reason = "approved, and its move to Staging did not come through" if move else asked.reason
        return cls(model=model, version=asked.version, reason=reason, run_key=key, move=move)


def decision_on(state: ModelState, found: Registered) -> EvaluationFinished | None:
    """Return the last decision on this very version, not on an earlier one of its number."""
    last = state.decisions.get(found.version)
    if last is None or last.registered_at in (None, found.at):
        return last
    return None


def ask(state: ModelState, found: Registered, by: Judged, reason: str, now: datetime) -> Asked:
    """Return the first asking for a version."""
    last = state.decisions.get(found.version)
    return Asked(
        version=found.version,
        reason=reason,
        registered=found.at,
        by=by,
        after="" if last is None else last.decision_digest,
        at=now,
    )


def look_after(
    workspace: Workspace,
    asked: Mapping[str, Sequence[Asked]],
    running: Running,
    now: datetime,
    *,
    most: int,
) -> tuple[dict[str, tuple[Asked, ...]], list[Question]]:
    """Drop what is done or gone, and ask again for what does not run and is not done.

    Returns:
        What is still open, and the runs to be requested, at most ``most``.
    """
    still: dict[str, tuple[Asked, ...]] = {}
    again: list[Question] = []
    alive: Collection[tuple[str, str]] | None = None
    wait = timedelta(seconds=workspace.policy.schedule.retry_seconds)
    for model, open_ones in asked.items():
        if not any(one.due(now, wait) for one in open_ones):
            still[model] = tuple(open_ones)
            continue
        state = workspace.ledger.state(model)
        kept: list[Asked] = []
        for one in open_ones:
            move = one.answered_in(state)
            if move and not _to_be_moved(workspace, model, one, state):
                continue
            alive = running() if alive is None else alive
            if (
                not one.due(now, wait)
                or (model[:TAG_LENGTH], one.version) in alive
                or len(again) >= most
            ):
                kept.append(one)
                continue
            if workspace.registry.registration(model, one.version) is None:
                continue
            one = one.model_copy(update={"attempt": one.attempt + 1, "at": now})
            kept.append(one)
            again.append(Question.of(model, one, move=move))
        if kept:
            still[model] = tuple(kept)
    return still, again


def _to_be_moved(workspace: Workspace, model: str, one: Asked, state: ModelState) -> bool:
    """Whether an approved version is still where it was, and the policy moves such ones at once."""
    policy = workspace.policy.models.get(model)
    return (
        policy is not None
        and policy.auto_to_staging
        and state.decisions[one.version].verdict == "approved"
        and state.stage_anywhere(one.version) is Stage.NONE
        and one.attempt < MOST_ATTEMPTS_TO_MOVE
    )
