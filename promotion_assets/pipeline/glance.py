"""One screen for whoever is on call: what serves, how it answers, and what waits for somebody."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, TypedDict

from promotion_assets.adapters.event_log import EventLog
from promotion_assets.errors import StorageUnreachable
from promotion_assets.lifecycle.rollouts import segment_plan, standing
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.pipeline.alive_servers import SILENT, servers
from promotion_assets.pipeline.notifying import Notifier
from promotion_assets.pipeline.review_queue import waiting
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.serving.events import Pace, microseconds
from promotion_assets.serving.plan import WHOLE

#: A server that was killed so long ago is nobody's concern tonight.
FORGOTTEN = timedelta(days=1)

Urgency = Literal["broken", "waits"]


class Lane(TypedDict):
    """A version that answers requests of a segment.

    ``share`` is in basis points. ``per_second``, ``failed`` (a fraction) and ``latency_ms`` are
    of the window, ``None`` where nothing was asked or the event log does not answer.
    """

    model: str
    segment: str
    version: str
    role: str
    share: int
    servers: int
    per_second: float | None
    failed: float | None
    latency_ms: float | None


class Attention(TypedDict):
    """Something that does not go on by itself."""

    urgency: Urgency
    model: str
    version: str
    what: str
    next_step: str


class Glance(TypedDict):
    """Everything on the screen."""

    at: str
    window_seconds: float
    attention: list[Attention]
    lanes: list[Lane]


class _Answers(NamedTuple):
    pace: Mapping[tuple[str, str], Pace]
    alive: int


def glance(
    workspace: Workspace, events: EventLog, models: Sequence[str] = (), *, window: timedelta
) -> Glance:
    """Return what serves and what waits; nothing is recorded.

    Args:
        models: which; all of the policy where empty.
        window: how far back requests are counted.

    Raises:
        Unreachable: the ledger does not answer. An event log that does not is an item.
    """
    now = workspace.clock()
    attention: list[Attention] = []
    lanes: list[Lane] = []
    for model in models or tuple(workspace.policy.models):
        state = workspace.ledger.state(model)
        attention += _of_state(state)
        try:
            answers = _answers(events, model, now, window)
            attention += _of_servers(events, state, now)
        except StorageUnreachable as error:
            answers = _Answers({}, 0)
            attention.append(_unreadable(model, error))
        lanes += _lanes(state, answers, window)
        attention += _of_reviews(workspace, model)
    if not models:
        with closing(Notifier(workspace)) as notifier:
            attention += _of_outbox(notifier)
    return Glance(
        at=now.isoformat(),
        window_seconds=window.total_seconds(),
        attention=sorted(attention, key=lambda item: item["urgency"]),
        lanes=sorted(lanes, key=lambda lane: -(lane["failed"] or 0.0)),
    )


def _answers(events: EventLog, model: str, now: datetime, window: timedelta) -> _Answers:
    limit = microseconds(now - SILENT)
    return _Answers(
        {(one.segment, one.assigned): one for one in events.pace(model, since=now - window)},
        sum(said.time_us >= limit for said in events.acknowledged(model)),
    )


def _lanes(state: ModelState, answers: _Answers, window: timedelta) -> Iterator[Lane]:
    for segment, champion in state.champions.items():
        candidate = state.rolling.get(segment)
        share = segment_plan(state, segment).share if state.traffic and candidate else 0
        yield _lane(state, segment, champion, "champion", WHOLE - share, answers, window)
        if candidate is not None:
            yield _lane(state, segment, candidate, "candidate", share, answers, window)


def _lane(
    state: ModelState,
    segment: str,
    version: str,
    role: str,
    share: int,
    answers: _Answers,
    window: timedelta,
) -> Lane:
    pace = answers.pace.get((segment, "stable" if role == "champion" else role))
    return Lane(
        model=state.model,
        segment=segment,
        version=version,
        role=role,
        share=share,
        servers=answers.alive,
        per_second=pace.answers / window.total_seconds() if pace else None,
        failed=pace.failed / pace.answers if pace else None,
        latency_ms=pace.latency_ms if pace else None,
    )


def _of_state(state: ModelState) -> Iterator[Attention]:
    model = state.model
    if state.intent is not None:
        doing = f"a {state.intent.action} was announced and is not finished"
        yield _item("broken", model, "", doing, f"promotion reconcile {model}")
    for deviation in state.deviations:
        yield _item(
            "broken",
            model,
            deviation.version or "",
            f"the registry was changed by hand: {deviation.sentence()}",
            f"promotion reconcile {model}",
        )
    for (segment, version), failure in state.champion_failures.items():
        if state.champions.get(segment) == version:
            yield _item(
                "broken",
                model,
                version,
                f"the champion would not be let through today: {failure.reason}",
                f"promotion explain {model} {version}",
            )
    for segment in state.rolling:
        yield from _of_rollout(state, segment)


def _of_rollout(state: ModelState, segment: str) -> Iterator[Attention]:
    plan = standing(state, segment)
    assert plan is not None
    asks = f"promotion rollout status {state.model}"
    if plan.latched:
        yield _item("broken", state.model, plan.version, f"it is latched: {plan.latched}", asks)
    if plan.held:
        yield _item("broken", state.model, plan.version, f"its rollout holds: {plan.held}", asks)
    if plan.paused:
        where = f" --segment {shlex.quote(segment)}" if len(state.rolling) > 1 else ""
        resume = f"promotion rollout resume {state.model}{where} --reason …"
        yield _item("waits", state.model, plan.version, f"paused: {plan.paused}", resume)


def _of_servers(events: EventLog, state: ModelState, now: datetime) -> Iterator[Attention]:
    last = max((said.time_us for said in events.acknowledged(state.model)), default=0)
    if microseconds(now - FORGOTTEN) <= last < microseconds(now - SILENT):
        # One that is ended in order takes its word back, so these were killed or cut off.
        at = datetime.fromtimestamp(last / 1e6, UTC)
        yield _item(
            "broken",
            state.model,
            "",
            f"no server has said anything since {at:%d %B %H:%M} UTC, and none took its leave",
            f"promotion serve {state.model}",
        )
    for segment in state.rolling:
        if state.traffic is None:
            continue
        for problem in servers(events, state, segment, now)[1]:
            yield _item(
                "broken",
                state.model,
                state.rolling[segment],
                problem,
                f"promotion traffic show {state.model}",
            )


def _of_reviews(workspace: Workspace, model: str) -> Iterator[Attention]:
    for item in waiting(workspace, model):
        until = f", until {item.expires_at:%d %B %H:%M} UTC" if item.expires_at else ""
        yield _item(
            "waits",
            model,
            item.version,
            f"a review of segment {item.segment!r} has {item.approvals} of {item.quorum} "
            f"approvals{until}; asked: {', '.join(item.assigned) or 'any reviewer'}",
            f"promotion review show {model} {item.version}",
        )


def _of_outbox(notifier: Notifier) -> Iterator[Attention]:
    try:
        depth = notifier.outbox.depth()
    except StorageUnreachable as error:
        yield _unreadable("", error)
        return
    for name, dead in sorted(depth.dead.items()):
        if dead:
            what = f"{dead} notifications to {name} were given up"
            yield _item("broken", "", "", what, "promotion webhook list")


def _unreadable(model: str, error: StorageUnreachable) -> Attention:
    return _item("broken", model, "", f"{error.doing}: {error.problem}", error.next_step)


def _item(urgency: Urgency, model: str, version: str, what: str, next_step: str) -> Attention:
    return Attention(urgency=urgency, model=model, version=version, what=what, next_step=next_step)
