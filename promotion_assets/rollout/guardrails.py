"""The guardrails of a rollout: what each says of the statistics at one look.

Harm is looked for over the whole rollout, in every slice in which it can have begun. That a
candidate is safe must be shown by the step it is at: a fault that came with more traffic is not
outvoted by the step before. During the bake the champion's share is too small to show much by
itself, so there the steps before it count as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from promotion_assets.policy.rollout import (
    DecisionRate,
    Errors,
    Latency,
    RolloutPolicy,
)
from promotion_assets.rollout.changepoints import harm
from promotion_assets.rollout.findings import Finding, Verdict
from promotion_assets.rollout.rates import difference_bounds, rate_below
from promotion_assets.rollout.statistics import (
    ERROR,
    Slice,
    Statistics,
    StepCounts,
    slow_kind,
)
from promotion_assets.statistics.sequential import ArmCounts as PlannedShares
from promotion_assets.statistics.sequential import (
    EValue,
    EventCounts,
    average,
    event_safe,
    sample_ratio,
)

WHOLE = 10_000
# JSON has no infinity.
_MOST = 1e300


def judge(policy: RolloutPolicy, statistics: Statistics, step: int) -> tuple[Finding, ...]:
    """Return the findings of every guardrail of ``policy`` that is switched on, at ``step``."""
    found = [errors(policy, statistics, step)]
    if policy.latency is not None:
        found.append(latency(policy, policy.latency, statistics, step))
    if policy.decision_rate is not None:
        found.append(decision_rate(policy, policy.decision_rate, statistics, step))
    if policy.sample_ratio is not None:
        found.append(share_of_units(policy.sample_ratio.alpha, statistics))
    found.append(drops(policy.drops.limit, statistics))
    return tuple(found)


def errors(policy: RolloutPolicy, statistics: Statistics, step: int) -> Finding:
    """Judge how many units got no answer of the candidate."""
    evidence = harm(statistics.slices, ERROR, len(policy.way), alpha=policy.errors.alpha)
    return _rate(
        "errors", "got no answer", ERROR, evidence, policy.errors, policy, statistics, step
    )


def latency(policy: RolloutPolicy, limits: Latency, statistics: Statistics, step: int) -> Finding:
    """Judge how many units waited longer than the champion's frozen quantiles."""
    kinds = [slow_kind(q) for q in limits.quantiles]
    if any(kind not in statistics.thresholds for kind in kinds):
        return Finding(
            "latency",
            Verdict.INCONCLUSIVE,
            f"fewer than {limits.freeze_requests} answers of the champion are known, so there is "
            "nothing to compare with",
        )
    evidence = average(
        [harm(statistics.slices, k, len(policy.way), alpha=limits.alpha) for k in kinds],
        limits.alpha,
        "exceedances of the champion's frozen quantiles",
    )
    highest = kinds[-1]
    what = f"waited longer than the champion's {highest} of {statistics.thresholds[highest]:.3g} ms"
    return _rate("latency", what, highest, evidence, limits, policy, statistics, step)


def decision_rate(
    policy: RolloutPolicy, limits: DecisionRate, statistics: Statistics, step: int
) -> Finding:
    """Judge the difference of the shares that are decided positively, step by step.

    Each step has its part of the error rate, so that the same customers may be in several.
    """
    alpha = limits.alpha / len(policy.way)
    bounds = {each.step: _difference(each, alpha) for each in statistics.steps}
    for each in statistics.steps:
        low, high = bounds[each.step]
        if low > limits.limit or high < -limits.limit:
            return _shift(each, low, high, limits, Verdict.FAIL)
    low, high = bounds.get(step, (-1.0, 1.0))
    if step == len(policy.way) - 1:
        # All bounds hold at once. Where they exclude each other the difference has changed.
        low_of_all = max((b[0] for b in bounds.values()), default=low)
        high_of_all = min((b[1] for b in bounds.values()), default=high)
        if low_of_all <= high_of_all:
            low, high = low_of_all, high_of_all
    inside = -limits.limit <= low and high <= limits.limit
    verdict = Verdict.SUCCESS if inside else Verdict.INCONCLUSIVE
    return _shift(statistics.step(step), low, high, limits, verdict)


def share_of_units(alpha: float, statistics: Statistics) -> Finding:
    """Judge whether either arm got its planned share of the units."""
    by_share: dict[int, list[int]] = {}
    for each in statistics.slices:
        counts = by_share.setdefault(each.share, [0, 0])
        counts[0] += each.candidate.new_units
        counts[1] += each.stable.new_units
    rows = [
        PlannedShares((share / WHOLE, 1 - share / WHOLE), (units[0], units[1]))
        for share, units in by_share.items()
    ]
    evidence = sample_ratio(rows, alpha=alpha)
    seen = [sum(units[arm] for units in by_share.values()) for arm in (0, 1)]
    if not sum(seen):
        return Finding("sample ratio", Verdict.INCONCLUSIVE, "no unit was answered")
    verdict = Verdict.FAIL if evidence.shown else Verdict.SUCCESS
    expected = sum(share / WHOLE * sum(units) for share, units in by_share.items())
    return Finding(
        "sample ratio",
        verdict,
        f"{seen[0]:,} of {sum(seen):,} units came to the candidate where {expected:,.0f} were "
        "planned" + (", so units are lost or misdirected" if evidence.shown else ""),
        observed=seen[0] / sum(seen),
        e_value=min(evidence.value, _MOST),
        limit=evidence.limit,
        n=sum(seen),
    )


def drops(limit: float, statistics: Statistics) -> Finding:
    """Judge whether too many events were lost to conclude anything from the rest."""
    shares = {}
    for arm in ("candidate", "stable"):
        lost, kept = statistics.drops.get(arm, 0), statistics.requests(arm)
        shares[arm] = lost / (lost + kept) if lost + kept else 0.0
    arm = max(shares, key=lambda name: shares[name])
    total = statistics.requests("candidate") + statistics.requests("stable")
    if not total:
        return Finding("drops", Verdict.INCONCLUSIVE, "no event was counted", limit=limit)
    lost = shares[arm] > limit
    return Finding(
        "drops",
        Verdict.ERROR if lost else Verdict.SUCCESS,
        f"{shares[arm]:.2%} of the events of the {arm} arm were lost (limit {limit:.2%})",
        observed=shares[arm],
        limit=limit,
        n=total,
    )


def event_rows(slices: Sequence[Slice], kind: str) -> list[EventCounts]:
    """Return the slices as rows of one kind of event."""
    return [
        EventCounts(
            share=each.share / WHOLE,
            events_candidate=each.candidate.events.get(kind, 0),
            events_stable=each.stable.events.get(kind, 0),
            units_candidate=each.candidate.at_risk.get(kind, 0),
            units_stable=each.stable.at_risk.get(kind, 0),
        )
        for each in slices
    ]


def _rate(
    guardrail: str,
    what: str,
    kind: str,
    evidence: EValue,
    limits: Errors | Latency,
    policy: RolloutPolicy,
    statistics: Statistics,
    step: int,
) -> Finding:
    rows = event_rows([s for s in statistics.slices if s.step == step], kind)
    events, units = _sums(rows)
    every = event_rows(statistics.slices, kind)
    all_events, all_units = _sums(every)
    rates = [e / u if u else 0.0 for e, u in zip(all_events, all_units, strict=True)]
    said = f"{rates[0]:.2%} of the candidate's units {what}, {rates[1]:.2%} of the champion's"

    def _finding(verdict: Verdict, reason: str) -> Finding:
        return Finding(
            guardrail,
            verdict,
            reason,
            observed=rates[0],
            e_value=min(evidence.value, _MOST),
            limit=evidence.limit,
            n=all_units[0],
        )

    if evidence.shown:
        return _finding(Verdict.FAIL, said)
    if not units[0]:
        return _finding(Verdict.INCONCLUSIVE, "the candidate has answered no unit in this step")
    ratio_rows = every if step == len(policy.way) - 1 else rows
    safe = event_safe(ratio_rows, limits.max_ratio, alpha=limits.alpha)
    low = rate_below(events[0], units[0], limits.max_rate, alpha=limits.alpha)
    if safe.shown or low.shown:
        return _finding(Verdict.SUCCESS, said)
    return _finding(
        Verdict.INCONCLUSIVE,
        f"{said}; neither less than {limits.max_ratio:g} times the champion's nor less than "
        f"{limits.max_rate:.2%} is shown yet",
    )


def _sums(rows: Sequence[EventCounts]) -> tuple[tuple[int, int], tuple[int, int]]:
    events = (sum(r.events_candidate for r in rows), sum(r.events_stable for r in rows))
    units = (sum(r.units_candidate for r in rows), sum(r.units_stable for r in rows))
    return events, units


def _difference(counts: StepCounts, alpha: float) -> tuple[float, float]:
    """Return bounds of candidate minus champion; without data they are -1 and 1."""
    new, old = counts.candidate, counts.stable
    return difference_bounds((new.positive, new.decided), (old.positive, old.decided), alpha=alpha)


def _shift(
    counts: StepCounts, low: float, high: float, limits: DecisionRate, verdict: Verdict
) -> Finding:
    new, old = counts.candidate, counts.stable
    if not new.decided or not old.decided:
        who = "candidate" if not new.decided else "champion"
        return Finding(
            "decision rate", Verdict.INCONCLUSIVE, f"the {who} has decided nothing in this step"
        )
    rates = new.positive / new.decided, old.positive / old.decided
    return Finding(
        "decision rate",
        verdict,
        f"{rates[0]:.2%} decided positively against {rates[1]:.2%} by the champion; the "
        f"difference lies in {low:+.3f} … {high:+.3f} (limit ±{limits.limit:g})",
        observed=rates[0] - rates[1],
        low=low,
        high=high,
        limit=limits.limit,
        n=new.decided,
    )
