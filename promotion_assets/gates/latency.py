"""Latency: does it answer in time?

Quantiles of wall times of single-row and of batch requests, in milliseconds, with intervals from
order statistics (no assumption about their shape), held against a budget. Only requests after
warm-up are in the samples. Where the champion was timed in turns with the candidate, the ratio of
both is reported and can be limited: the host's noise is in both and cancels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field, JsonValue, model_validator

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.scores import LatencySample, ScoringFailure
from promotion_assets.gates.contract import Gate, GateResult, GateSettings, Measurement, Outcome
from promotion_assets.gates.limits import DecideOn, interval_of, judged
from promotion_assets.gates.verdict import NotJudged, conclude, naming, shown
from promotion_assets.statistics.quantiles import (
    quantile_interval,
    quantile_ratio,
    quantile_sample_size,
)

NAME = "latency"
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


class LatencySettings(GateSettings):
    """Settings of the latency gate; budgets in milliseconds, ``null`` for none.

    Attributes:
        p50_ms, p95_ms, p99_ms: of a request with one row, at every concurrency that was timed.
        batch_p50_ms, batch_p95_ms, batch_p99_ms: of a request with several rows.
        max_ratio_to_champion: largest ratio of the p95 of one row to the champion's.
        decide_on: ``point`` holds the quantile against the budget; ``upper_bound`` the upper
            end of its interval, and is inconclusive in between.
        min_requests: fewer timed requests than this are inconclusive.
        requests: single-row requests that each model is timed on, as far as ``seconds`` allow.
        batch_rows, batch_requests: rows of a batch, and batches; 1 row leaves batches out.
        concurrency: requests under way at once.
        seconds: for the timing of both models together; a slow one is asked less often, yet
            never fewer than 30 times.
    """

    p50_ms: float | None = Field(default=None, gt=0)
    p95_ms: float | None = Field(default=50.0, gt=0)
    p99_ms: float | None = Field(default=None, gt=0)
    batch_p50_ms: float | None = Field(default=None, gt=0)
    batch_p95_ms: float | None = Field(default=None, gt=0)
    batch_p99_ms: float | None = Field(default=None, gt=0)
    max_ratio_to_champion: float | None = Field(default=None, gt=0)
    decide_on: Literal["point", "upper_bound"] = "point"
    min_requests: int = Field(default=30, ge=10)
    requests: int = Field(default=200, ge=30)
    batch_rows: int = Field(default=100, ge=1)
    batch_requests: int = Field(default=40, ge=30)
    concurrency: int = Field(default=1, ge=1, le=64)
    seconds: float = Field(default=4.0, gt=0)

    @model_validator(mode="after")
    def _limits_agree(self) -> LatencySettings:
        for prefix in ("", "batch_"):
            budgets = {f"{prefix}{q}_ms": self.budget(q, batch=bool(prefix)) for q in QUANTILES}
            given = [(name, value) for name, value in budgets.items() if value is not None]
            for (lower, low), (higher, high) in itertools.pairwise(given):
                if low > high:
                    raise ValueError(f"{lower} {low} is above {higher} {high}")
        limits = [self.budget(q, batch=b) for q in QUANTILES for b in (False, True)]
        if all(limit is None for limit in (*limits, self.max_ratio_to_champion)):
            raise ValueError("p95_ms and all other budgets are null, so nothing would be judged")
        return self

    def budget(self, quantile: str, *, batch: bool) -> float | None:
        """Return the budget of ``p50``, ``p95`` or ``p99``."""
        value: float | None = getattr(self, f"{'batch_' if batch else ''}{quantile}_ms")
        return value


def evaluate(evidence: Evidence, settings: LatencySettings) -> GateResult:
    """Hold the candidate's quantiles against the budget, and against the champion's."""
    samples = _samples(evidence)
    decide_on: DecideOn = "bound" if settings.decide_on == "upper_bound" else "point"
    measurements = [
        *(m for sample in samples for m in _quantiles(sample, settings, decide_on)),
        *_unmeasured(samples, settings),
        *_ratio(samples, evidence, settings, decide_on),
    ]
    first = next((m for m in measurements if m.outcome is Outcome.PASSED), None)
    return conclude(
        NAME,
        measurements,
        passed_reason=first.reason if first else "within the budget",
        details={"conditions": [_conditions(sample) for sample in samples]},
    )


def _samples(evidence: Evidence) -> tuple[LatencySample, ...]:
    doing, found = naming(NAME, evidence), evidence.candidate_latency
    if isinstance(found, ScoringFailure):
        raise NotJudged(
            doing,
            f"the candidate could not be timed ({found.kind}): {found.reason.rstrip('. ')}",
            "mend the model and register a new version",
            because_of=found.because_of,
        )
    if not found:
        words = evidence.missing.get("candidate_latency", "the candidate was not timed")
        raise NotJudged(doing, words, "evaluate the version again")
    for sample in found:
        times = sample.milliseconds
        if times.size == 0 or not np.isfinite(times).all() or (times < 0).any():
            raise NotJudged(
                doing,
                f"the wall times of {_request(sample)} are empty, negative or not numbers",
                "evaluate the version again",
            )
    return found


def _quantiles(
    sample: LatencySample, settings: LatencySettings, decide_on: DecideOn
) -> Iterator[Measurement]:
    for name, q in QUANTILES.items():
        budget = settings.budget(name, batch=sample.rows > 1)
        estimate = quantile_interval(sample.milliseconds, q)
        if budget is None:
            yield Measurement(
                name=f"{name}_ms",
                subject=_request(sample),
                observed=estimate.value,
                unit="ms",
                interval=interval_of(estimate),
                sample_size=estimate.n,
            )
        elif estimate.n < settings.min_requests:
            yield _too_few(sample, f"{name}_ms", budget, settings.min_requests)
        else:
            measured = judged(
                estimate,
                name=f"{name}_ms",
                subject=_request(sample),
                limit=budget,
                direction="max",
                decide_on=decide_on,
                unit="ms",
                called=f"{name} of {_request(sample)}",
                next_step="make the model smaller, or raise the budget with those who wait for it",
            )
            yield _with_least_sample(measured, q)


def _with_least_sample(measured: Measurement, q: float) -> Measurement:
    """An open interval is closed by a sample that holds the order statistic at all."""
    interval = measured.interval
    bounded = interval is None or interval.high is not None
    if measured.outcome is not Outcome.INCONCLUSIVE or bounded:
        return measured
    needed = quantile_sample_size(q)
    reason = measured.reason.split(";")[0] + f"; at least {needed:,} requests bound it"
    return measured.model_copy(update={"needed_sample_size": needed, "reason": reason})


def _too_few(sample: LatencySample, name: str, budget: float, needed: int) -> Measurement:
    size = len(sample.milliseconds)
    return Measurement(
        name=name,
        subject=_request(sample),
        limit=budget,
        direction="max",
        unit="ms",
        sample_size=size,
        needed_sample_size=needed,
        outcome=Outcome.INCONCLUSIVE,
        reason=f"{_request(sample)} was timed {size} times, of {needed} that are needed",
    )


def _unmeasured(
    samples: Sequence[LatencySample], settings: LatencySettings
) -> Iterator[Measurement]:
    """A budget for requests that nobody timed is a missing measurement, not a pass."""
    for batch in (False, True):
        if any((sample.rows > 1) == batch for sample in samples):
            continue
        for name in QUANTILES:
            budget = settings.budget(name, batch=batch)
            if budget is not None:
                kind = "batches" if batch else "single rows"
                yield Measurement(
                    name=f"{name}_ms",
                    subject=kind,
                    limit=budget,
                    direction="max",
                    unit="ms",
                    outcome=Outcome.ERROR,
                    reason=f"{name} of {kind} has a budget and was not timed; evaluate it again",
                )


def _ratio(
    samples: Sequence[LatencySample],
    evidence: Evidence,
    settings: LatencySettings,
    decide_on: DecideOn,
) -> Iterator[Measurement]:
    limit = settings.max_ratio_to_champion
    theirs = evidence.champion_latency
    pairs = []
    if isinstance(theirs, tuple):
        pairs = [(own, other) for own in samples for other in theirs if _alike(own, other)]
    if not pairs:
        if limit is not None:
            yield _no_ratio(evidence, limit)
        return
    own, other = min(pairs, key=lambda pair: (pair[0].rows, pair[0].concurrency))
    estimate = quantile_ratio(own.milliseconds, other.milliseconds, 0.95)
    if limit is None:
        yield Measurement(
            name="p95_ratio_to_champion",
            subject=_request(own),
            observed=estimate.value,
            interval=interval_of(estimate),
            sample_size=estimate.n,
        )
        return
    yield judged(
        estimate,
        name="p95_ratio_to_champion",
        subject=_request(own),
        limit=limit,
        direction="max",
        decide_on=decide_on,
        called=f"p95 of {_request(own)} over the champion's",
        next_step="make the model faster, or allow a larger max_ratio_to_champion",
    )


def _no_ratio(evidence: Evidence, limit: float) -> Measurement:
    if evidence.champion is None and evidence.policy.first_version is not None:
        return Measurement(
            name="p95_ratio_to_champion",
            limit=limit,
            direction="max",
            reason="first version: there is no champion to compare with",
        )
    if evidence.champion is None:
        words, outcome = "there is no champion to compare with", Outcome.INCONCLUSIVE
    else:
        words, outcome = "the champion was not timed under the same conditions", Outcome.ERROR
    return Measurement(
        name="p95_ratio_to_champion",
        limit=limit,
        direction="max",
        outcome=outcome,
        reason=f"{words}, and max_ratio_to_champion is set; evaluate the version again",
    )


def _alike(own: LatencySample, other: LatencySample) -> bool:
    """Whether two samples can be compared: same request, same load, taken in turns."""
    return (
        own.rows == other.rows
        and own.concurrency == other.concurrency
        and own.threads == other.threads
        and own.interleaved
        and other.interleaved
        and other.milliseconds.size > 0
        and bool(np.isfinite(other.milliseconds).all())
        and bool((own.milliseconds > 0).all())
        and bool((other.milliseconds > 0).all())
    )


def _request(sample: LatencySample) -> str:
    rows = "one row" if sample.rows == 1 else f"{sample.rows} rows"
    return rows if sample.concurrency == 1 else f"{rows} at concurrency {sample.concurrency}"


def _conditions(sample: LatencySample) -> dict[str, JsonValue]:
    return {
        "request": _request(sample),
        "requests": int(sample.milliseconds.size),
        "threads": sample.threads,
        "cpu": sample.cpu,
        "interleaved": sample.interleaved,
        "slowest": shown(float(sample.milliseconds.max()), "ms"),
    }


GATE = Gate(
    name=NAME,
    question="Does it answer in time?",
    settings=LatencySettings,
    evaluate=evaluate,
)
