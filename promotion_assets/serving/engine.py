"""The engine: one reference to the generation that holds, and the way of a request through it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from promotion_assets.errors import RequestRefused
from promotion_assets.policy.serving import ServingPolicy
from promotion_assets.serving.breaker import CandidateBreaker
from promotion_assets.serving.generation import Generation
from promotion_assets.serving.metrics import Metrics
from promotion_assets.serving.model import Answer, ModelFailed, as_json
from promotion_assets.serving.payload import Payload, refuse
from promotion_assets.serving.plan import Arm, TrafficPlan
from promotion_assets.serving.recorder import PINNED, Outcome, Recorder
from promotion_assets.serving.router import Routed, route, segment_of
from promotion_assets.serving.shadow import ShadowLine

NOT_ASKED = "not asked: its breaker is open"


class Ask(NamedTuple):
    """What a caller wants to know, of whom, and about whom."""

    payload: Payload
    request_id: str
    unit: str = ""
    segment: str | None = None
    attributes: Mapping[str, str] | None = None
    version: str | None = None


class Reply(NamedTuple):
    """What is sent back: one JSON text a row, and who said it."""

    predictions: list[str]
    arm: Arm
    role: str
    segment: str
    generation: int
    request_id: str


class _Held(NamedTuple):
    """All that one request needs, so that another plan never meets it half way."""

    generation: Generation
    lines: Mapping[str, ShadowLine]
    breakers: Mapping[str, CandidateBreaker]


class _Turn(NamedTuple):
    """One request under way."""

    held: _Held
    ask: Ask
    routed: Routed
    began: float


class _Declined(NamedTuple):
    """Why the champion answers in the candidate's place.

    ``unfit``: the candidate does not take the request, which is its fault only if the champion
    does.
    """

    reason: str
    unfit: bool = False


class Engine:
    """Answers requests by the generation that holds when they arrive.

    Args:
        start_shadow: opens the line to a shadow.
        clock: seconds, for the breaker.
    """

    def __init__(
        self,
        generation: Generation,
        policy: ServingPolicy,
        recorder: Recorder,
        metrics: Metrics,
        start_shadow: Callable[[Arm], ShadowLine],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        self.recorder = recorder
        self.metrics = metrics
        self.recent: Payload | None = None
        self._start_shadow = start_shadow
        self._clock = clock
        self._held = _Held(generation, {}, {})
        self.swap(generation)

    @property
    def generation(self) -> Generation:
        """The generation that holds."""
        return self._held.generation

    @property
    def lines(self) -> Mapping[str, ShadowLine]:
        """The lines to its shadows, by digest."""
        return self._held.lines

    @property
    def breakers(self) -> Mapping[str, CandidateBreaker]:
        """The breakers of its candidates, by digest."""
        return self._held.breakers

    @property
    def model(self) -> str:
        """The model's name."""
        return self.recorder.model

    def swap(self, generation: Generation) -> tuple[ShadowLine, ...]:
        """Let another generation hold, from one request to the next.

        Returns:
            The lines of shadows that are in it no more; the caller closes them.
        """
        old = self._held
        shadows = generation.shadows()
        candidates = {s.candidate.digest for s in generation.plan.segments if s.candidate}
        lines = {d: old.lines.get(d) or self._start_shadow(arm) for d, arm in shadows.items()}
        breakers = {
            d: old.breakers.get(d) or CandidateBreaker(self.policy.breaker) for d in candidates
        }
        self._held = _Held(generation, lines, breakers)
        self.metrics.follows(generation.plan.generation)
        return tuple(line for digest, line in old.lines.items() if digest not in shadows)

    def answer(self, ask: Ask) -> Reply:
        """Answer one request and write it down.

        Raises:
            RequestRefused: no version that may answer takes it.
            ModelFailed: the version that had to answer failed.
        """
        held = self._held
        self._check_size(ask.payload)
        plan = held.generation.plan
        if ask.version is not None:
            routed = self._pinned(plan, held.generation, ask, ask.version)
            return self._asked(_Turn(held, ask, routed, time.perf_counter()), PINNED, routed.arm)
        routed = route(
            plan,
            unit=ask.unit,
            request_id=ask.request_id,
            segment=ask.segment,
            attributes=ask.attributes,
        )
        turn = _Turn(held, ask, routed, time.perf_counter())
        if routed.role == "stable":
            return self._asked(turn, "stable", routed.arm)
        answered = self._from_candidate(turn)
        if isinstance(answered, Answer):
            return self._done(turn, "candidate", routed.arm, answered)
        stable = segment_of(plan, routed.segment).stable
        reply = self._asked(turn, "fallback", stable, answered.reason)
        if answered.unfit:
            held.breakers[routed.arm.digest].went(self._clock(), well=False)
        return reply

    def _check_size(self, payload: Payload) -> None:
        if payload.count == 0:
            refuse("it has no rows", "send at least one")
        if payload.count > self.policy.rows:
            refuse(
                f"it has {payload.count:,} rows",
                f"send at most {self.policy.rows:,} at once",
                status=413,
            )

    def _pinned(self, plan: TrafficPlan, generation: Generation, ask: Ask, version: str) -> Routed:
        if version not in generation.models:
            raise RequestRefused(
                f"asking version {version[:20]} of {self.model}",
                f"generation {plan.generation} of the plan answers with "
                f"{', '.join(sorted(generation.models, key=int))}",
                "leave the version out, and the plan decides",
                404,
            )
        segment = segment_of(plan, ask.segment, ask.attributes)
        arm = generation.models[version].arm
        return Routed(segment.name, "stable", arm, segment.share, segment.salt, None)

    def _from_candidate(self, turn: _Turn) -> Answer | _Declined:
        """Ask the candidate, if its breaker lets anybody through."""
        arm = turn.routed.arm
        breaker = turn.held.breakers[arm.digest]
        if not breaker.allows(self._clock()):
            return _Declined(NOT_ASKED)
        began = time.perf_counter()
        try:
            answered = turn.held.generation.models[arm.version].answer(turn.ask.payload)
            answered = answered._replace(predictions=list(map(as_json, answered.predictions)))
        except RequestRefused as refused:
            breaker.given_up()
            return _Declined(refused.problem, unfit=True)
        except ModelFailed as failed:
            breaker.went(self._clock(), well=False)
            self.metrics.failed(arm.version, "candidate")
            return _Declined(str(failed))
        milliseconds = (time.perf_counter() - began) * 1000
        breaker.went(self._clock(), well=not breaker.too_slow(milliseconds))
        return answered

    def _asked(self, turn: _Turn, role: str, arm: Arm, error: str = "") -> Reply:
        """Have ``arm`` answer; if it fails, that is written down as well."""
        try:
            answered = turn.held.generation.models[arm.version].answer(turn.ask.payload)
            answered = answered._replace(predictions=list(map(as_json, answered.predictions)))
        except ModelFailed as failed:
            self.metrics.failed(arm.version, role)
            self._record(turn, role, arm, Answer([], []), str(failed))
            raise
        return self._done(turn, role, arm, answered, error)

    def _done(self, turn: _Turn, role: str, arm: Arm, answered: Answer, error: str = "") -> Reply:
        took = self._record(turn, role, arm, answered, error)
        self.metrics.answered(arm.version, role, took / 1000)
        self.recent = turn.ask.payload
        generation = turn.held.generation.plan.generation
        return Reply(
            answered.predictions, arm, role, turn.routed.segment, generation, turn.ask.request_id
        )

    def _record(self, turn: _Turn, role: str, arm: Arm, answered: Answer, error: str) -> float:
        took = (time.perf_counter() - turn.began) * 1000
        outcome = Outcome(
            turn.ask.request_id,
            turn.ask.unit,
            turn.routed,
            turn.held.generation.plan.generation,
            PINNED if role == PINNED else turn.routed.role,
            role,
            arm,
            took,
            answered.predictions,
            answered.scores,
            error,
        )
        self.recorder.record(turn.ask.payload, outcome, turn.held.lines)
        return took
