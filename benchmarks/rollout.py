"""A thousand rollouts of 200 looks: how often a sound candidate is taken back, and a bad one found.

The same streams are given to our guardrails, to tests made for one look, and to Flagger's rule.
"""

from __future__ import annotations

import math
import time

import numpy as np
from scipy.special import ndtr, ndtri

from benchmarks.measuring import Line
from benchmarks.rollout_peers import flagger, repeated_chi_square, repeated_z
from promotion_assets.policy.rollout import RolloutPolicy
from promotion_assets.rollout.rehearsal import (
    Rehearsal,
    Traffic,
    failures,
    harm_paths,
    rehearse,
)
from promotion_assets.rollout.statistics import ERROR
from promotion_assets.statistics.event_counts import EventCounts, event_harm
from promotion_assets.statistics.paths import event_paths, first_shown, units_until
from promotion_assets.statistics.streams import Stream

RUNS = 1000
#: For medians: with these the one of trebled errors has a standard error of 9 requests.
MANY_RUNS = 4000
POLICY = RolloutPolicy()
LOOKS = (80, 80, 40)
#: The first step alone, and one look at each other: faults at the first share.
FIRST = (198, 1, 1)
#: Deviation of the logarithm of latency: p95 is 1.9 times p50.
SIGMA = 0.4
ALPHAS = {
    guard.replace("_", " "): getattr(POLICY, guard).alpha
    for guard in ("errors", "latency", "decision_rate", "sample_ratio")
}


def results() -> list[Line]:
    """Rehearse sound candidates, then bad ones."""
    _compare()
    started = time.perf_counter()
    lines = _sound()
    took = time.perf_counter() - started
    lines.append(Line("A/A, 1,000 x 200 looks, all guardrails", "wall seconds", took, "", None))
    return [*lines, *_moving(), *_errors(), *_latency(), *_late()]


def _compare() -> None:
    """Compare a path with the evidence of its counts, computed at one look."""
    stream = _draw(0, Traffic(), (10, 1, 1)).rates[ERROR]
    at = int(stream.shares.tolist().index(stream.shares[-1])) - 2
    counts = [
        int(c[0, : at + 1].sum())
        for c in (
            stream.events_candidate,
            stream.events_stable,
            stream.units_candidate,
            stream.units_stable,
        )
    ]
    alone = event_harm([EventCounts(float(stream.shares[0]), *counts)]).log_e
    assert math.isclose(alone, float(event_paths(stream)[0, at]), abs_tol=1e-9), "one look"


def _draw(
    seed: int, traffic: Traffic, looks: tuple[int, ...] = LOOKS, runs: int = RUNS
) -> Rehearsal:
    return rehearse(np.random.default_rng(seed), POLICY, traffic, runs=runs, looks=looks)


def _ever(stops: np.ndarray) -> float:
    return float(stops.any(axis=1).mean())


def _family(stops: dict[str, np.ndarray]) -> float:
    return float(np.any([s.any(axis=1) for s in stops.values()], axis=0).mean())


def _peers(rehearsal: Rehearsal, burn_in: int = 0) -> dict[str, np.ndarray]:
    """Return the same guardrails with tests made for one look, at the same alphas."""
    slowest = max(kind for kind in rehearsal.rates if kind != ERROR)
    errors, slow = rehearsal.rates[ERROR], rehearsal.rates[slowest]
    return {
        "errors": repeated_z(errors, ALPHAS["errors"], burn_in=burn_in),
        "latency": repeated_z(slow, ALPHAS["latency"], burn_in=burn_in),
        "decision rate": repeated_z(
            rehearsal.decisions, ALPHAS["decision rate"], two_sided=True, burn_in=burn_in
        ),
        "sample ratio": repeated_chi_square(errors, ALPHAS["sample ratio"]),
    }


def _sound() -> list[Line]:
    rehearsal = _draw(1, Traffic())
    ours, naive, later = failures(POLICY, rehearsal), _peers(rehearsal), _peers(rehearsal, 200)
    lines = []
    for name, alpha in ALPHAS.items():
        found = _ever(ours[name])
        lines.append(_false(f"A/A: {name}", found, alpha, "repeated z-test", _ever(naive[name])))
    family, rate = _family(ours), POLICY.family_rate
    job = "A/A: all guardrails"
    lines.append(_false(job, family, rate, "repeated z-tests", _family(naive)))
    lines.append(_false(job, family, rate, "the same after 200 units", _family(later)))
    errors, stops = rehearsal.rates[ERROR], _ever(ours["errors"])
    for every in (1, 10):
        how = f"Flagger's rule, checks of {every * 20} requests"
        peer = _ever(flagger(errors, every=every))
        lines.append(_false("A/A: errors", stops, ALPHAS["errors"], how, peer))
    return lines


def _moving() -> list[Line]:
    """Let the base rate treble in mid-ramp, in both arms."""
    looks = np.arange(sum(LOOKS))
    rehearsal = _draw(2, Traffic(errors=np.where(looks < 120, 0.005, 0.015)))
    ours = _ever(failures(POLICY, rehearsal)["errors"])
    stream, job = rehearsal.rates[ERROR], "A/A, errors treble in both arms"
    alpha = ALPHAS["errors"]
    return [
        _false(job, ours, alpha, "repeated z-test", _ever(repeated_z(stream, alpha))),
        _false(job, ours, alpha, "Flagger's rule", _ever(flagger(stream, every=10))),
    ]


def _errors() -> list[Line]:
    rehearsal = _draw(3, Traffic(errors_ratio=3.0), FIRST, MANY_RUNS)
    stops = harm_paths(rehearsal, ERROR) >= -math.log(ALPHAS["errors"])
    stream, job = rehearsal.rates[ERROR], "errors .5 % -> 1.5 % at 5 %"
    rule = flagger(stream, every=10)
    plain = event_paths(stream) >= -math.log(ALPHAS["errors"])
    found, median = _found(stream, stops)
    return [
        Line(job, "found", found, ">= 0.99", found >= 0.99, "Flagger's rule", _ever(rule)),
        Line(
            job,
            "candidate requests",
            median,
            "<= 600",
            median <= 600,
            "without restarts",
            _found(stream, plain)[1],
        ),
    ]


def _latency() -> list[Line]:
    assert POLICY.latency is not None
    quantiles = POLICY.latency.quantiles
    slower = np.array([float(ndtr(math.log(1.2) / SIGMA - ndtri(q))) for q in quantiles])
    rehearsal = _draw(4, Traffic(slower=slower), FIRST)
    stops = failures(POLICY, rehearsal)["latency"]
    job = f"p99 x 1.2 at 5 %, log-normal with sigma {SIGMA}"
    found, median = _found(rehearsal.rates[ERROR], stops)
    alone = harm_paths(rehearsal, "p99") >= -math.log(ALPHAS["latency"])
    other = _found(rehearsal.rates[ERROR], alone)
    return [
        Line(job, "found", found, ">= 0.99", found >= 0.99, "p99 alone", other[0]),
        Line(job, "candidate requests", median, "<= 500", median <= 500, "p99 alone", other[1]),
    ]


def _late() -> list[Line]:
    """Let errors treble in the middle of the 25 % step, after good hours."""
    begin = LOOKS[0] + LOOKS[1] // 2
    ratio = np.where(np.arange(sum(LOOKS)) < begin, 1.0, 3.0)
    rehearsal = _draw(5, Traffic(errors_ratio=ratio))
    stream = rehearsal.rates[ERROR]
    since = stream.units_candidate.copy()
    since[:, :begin] = 0
    alpha = ALPHAS["errors"]
    log_e = harm_paths(rehearsal, ERROR)
    plain = event_paths(stream)
    medians = [
        float(np.median(units_until(since, first_shown(evidence, alpha))))
        for evidence in (log_e, plain)
    ]
    job = "errors x 3 from the middle of 25 % on"
    found = float((first_shown(log_e, alpha) >= begin).mean())
    return [
        Line(job, "found", found, "", None),
        Line(job, "candidate requests", medians[0], "", None, "without restarts", medians[1]),
    ]


def _found(stream: Stream, stops: np.ndarray) -> tuple[float, float]:
    """Return how many runs were stopped, and the median of the candidate's requests until then."""
    looks = np.where(stops.any(axis=1), stops.argmax(axis=1), -1)
    return _ever(stops), float(np.median(units_until(stream.units_candidate, looks)))


def _false(job: str, value: float, alpha: float, peer: str, peer_value: float) -> Line:
    return Line(job, "false rollbacks", value, f"<= {alpha:g}", value <= alpha, peer, peer_value)


if __name__ == "__main__":
    for line in results():
        print(line)
