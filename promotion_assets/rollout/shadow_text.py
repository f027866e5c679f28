"""A shadow report as text and as rows, for terminals and pages."""

from __future__ import annotations

from collections.abc import Iterator

from promotion_assets.gates.contract import Measurement
from promotion_assets.gates.verdict import shown
from promotion_assets.rollout.shadow_report import ShadowReport

TITLES = {
    "pairs": "pairs of answers",
    "hours": "time from the first to the last",
    "errors": "copies not answered",
    "drops": "copies dropped unseen",
    "disagreement": "decided differently",
    "shift": "decided positively",
    "group_shift": "decided positively",
    "psi": "PSI of the scores",
    "ks": "Kolmogorov-Smirnov distance of the scores",
    "wasserstein": "Wasserstein distance of the scores",
    "mean_score_change": "mean score",
    "rank_correlation": "rank correlation of the scores",
    "score_quantile": "score",
    "latency_change": "time of one answer",
    "labelled_pairs": "matured pairs with an outcome",
    "accuracy_change": "accuracy on labels",
    "auc_change": "AUC on labels",
    "brier_change": "Brier score on labels",
    "absolute_error_change": "absolute error on labels",
}
# Differences of the two versions, which read better with their sign.
SIGNED = frozenset(
    {"shift", "group_shift", "latency_change", "mean_score_change"}
    | {name for name in TITLES if name.endswith("_change")}
)


def title_of(measurement: Measurement) -> str:
    """Return what a number is, in words."""
    title = TITLES.get(measurement.name, measurement.name.replace("_", " "))
    if measurement.subject == "overall":
        return title
    return f"{title}, {measurement.subject}"


def value_of(measurement: Measurement) -> str:
    """Return a number with its unit, and with its sign where it is a difference."""
    observed = measurement.observed
    if observed is None:
        return ""
    plus = "+" if measurement.name in SIGNED and observed > 0 else ""
    return f"{plus}{shown(observed, measurement.unit)}"


def limit_of(measurement: Measurement) -> str:
    """Return a limit with its direction."""
    if measurement.limit is None:
        return ""
    if measurement.name in ("shift", "group_shift"):
        sign = "±"
    else:
        sign = "≥ " if measurement.direction == "min" else "≤ "
    return f"{sign}{shown(measurement.limit, measurement.unit)}"


def bounds_of(measurement: Measurement) -> str:
    """Return an interval's bounds."""
    interval = measurement.interval
    if interval is None:
        return ""
    low = "-∞" if interval.low is None else shown(interval.low)
    high = "∞" if interval.high is None else shown(interval.high)
    return f"{low} … {high}"


def as_text(report: ShadowReport) -> str:
    """Return a report as text."""
    return "\n".join(_lines(report))


def _lines(report: ShadowReport) -> Iterator[str]:
    where = "" if report.segment == "default" else f" in segment {report.segment!r}"
    yield (
        f"{report.model} version {report.version} as the shadow of champion "
        f"{report.champion}{where}: {report.result.outcome}"
    )
    yield f"  {report.result.reason}"
    if report.first and report.last:
        seen = (moment.isoformat(timespec="minutes") for moment in (report.first, report.last))
        yield f"  {report.pairs:,} pairs, {' to '.join(seen)}"
    yield ""
    for m in report.result.measurements:
        baseline = "" if m.baseline is None else f"champion {shown(m.baseline, m.unit)}"
        limit = limit_of(m)
        yield (
            f"  {m.outcome or 'reported':<13} {title_of(m):<50} {value_of(m):>10}  "
            f"{bounds_of(m):<22} {limit:<9} n {m.sample_size or 0:<8,} {baseline}"
        ).rstrip()
