"""Pictures of gate results, as PNG bytes: ROC curves, group gaps, PSI bars, latencies.

Every picture says in words and shapes what it says in colour, so that it reads in grey too.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from promotion_assets.gates.contract import Measurement, Outcome

INK = "#1d2433"
CANDIDATE = "#2f5fd0"
CHAMPION = "#8a93a6"
BAD = "#c4320a"
GOOD = "#1a7f4e"
UNSURE = "#b7791f"

COLOURS = {
    Outcome.PASSED: GOOD,
    Outcome.WAIVED: UNSURE,
    Outcome.INCONCLUSIVE: UNSURE,
    Outcome.FAILED: BAD,
    Outcome.ERROR: BAD,
    None: CHAMPION,
}
MARKERS = {
    Outcome.PASSED: "o",
    Outcome.WAIVED: "D",
    Outcome.INCONCLUSIVE: "D",
    Outcome.FAILED: "X",
    Outcome.ERROR: "X",
    None: "o",
}


def as_markdown(png: bytes, description: str) -> str:
    """Return a picture as Markdown with the picture inside, for a metadata entry."""
    return f"![{description}](data:image/png;base64,{base64.b64encode(png).decode()})"


def roc(
    labels: npt.NDArray[np.int64],
    candidate: npt.NDArray[np.float64],
    champion: npt.NDArray[np.float64] | None,
    *,
    names: tuple[str, str],
) -> bytes:
    """Draw the ROC curve of the candidate, and of the champion where there is one."""
    from sklearn.metrics import roc_auc_score, roc_curve

    figure, axes = canvas(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color="#d5d9e2", linewidth=1)
    curves = [(champion, CHAMPION, "--", names[1]), (candidate, CANDIDATE, "-", names[0])]
    for scores, colour, style, name in curves:
        if scores is None:
            continue
        false_positive, true_positive, _ = roc_curve(labels, scores)
        area = roc_auc_score(labels, scores)
        axes.plot(
            false_positive,
            true_positive,
            style,
            color=colour,
            linewidth=1.8,
            label=f"{name}: AUC {area:.3f}",
        )
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    return as_png(figure)


def intervals(
    measurements: Sequence[Measurement], *, title: str, limit: float | None, limit_label: str
) -> bytes:
    """Draw a row a measurement: its estimate, its interval, and the limit as a line.

    Rows keep their order, the first on top. An estimate is drawn as a dot where it passed, a
    cross where it failed, a diamond where it is inconclusive.
    """
    rows = [m for m in measurements if m.observed is not None]
    figure, axes = canvas(6.6, 0.9 + 0.32 * max(len(rows), 1))
    for place, row in enumerate(rows):
        colour, marker = COLOURS[row.outcome], MARKERS[row.outcome]
        assert row.observed is not None
        if row.interval and row.interval.low is not None and row.interval.high is not None:
            axes.plot(
                [row.interval.low, row.interval.high], [place, place], color=colour, linewidth=2.2
            )
        axes.plot([row.observed], [place], marker, color=colour, markersize=7)
    axes.set_yticks(range(len(rows)), [_row_label(row) for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="#d5d9e2", linewidth=1, zorder=0)
    if limit is not None:
        axes.axvline(limit, color=BAD, linewidth=1.2, linestyle="--")
        axes.annotate(
            limit_label,
            (limit, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, 3),
            textcoords="offset points",
            color=BAD,
            fontsize=8,
        )
    axes.set_title(title, loc="left", fontsize=9.5, pad=14)
    return as_png(figure)


def bars(
    names: Sequence[str],
    values: Sequence[float],
    *,
    lines: Sequence[tuple[float, str]],
    title: str,
    most: int = 25,
) -> bytes:
    """Draw horizontal bars, largest on top, at most ``most``; ``lines`` are labelled limits."""
    order = sorted(range(len(values)), key=lambda i: -values[i])[:most]
    figure, axes = canvas(6.4, 0.9 + 0.26 * max(len(order), 1))
    worst = max((limit for limit, _ in lines), default=float("inf"))
    kept = [values[i] for i in order]
    axes.barh(
        range(len(order)), kept, color=[BAD if v > worst else CANDIDATE for v in kept], height=0.65
    )
    axes.set_yticks(range(len(order)), [names[i] for i in order], fontsize=8)
    axes.invert_yaxis()
    for limit, label in lines:
        axes.axvline(limit, color=BAD, linewidth=1.1, linestyle="--")
        axes.annotate(
            label,
            (limit, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, 3),
            textcoords="offset points",
            color=BAD,
            fontsize=8,
        )
    axes.set_title(title, loc="left", fontsize=9.5, pad=14)
    return as_png(figure)


def latencies(
    candidate: npt.NDArray[np.float64],
    champion: npt.NDArray[np.float64] | None,
    *,
    limit: float | None,
    names: tuple[str, str],
) -> bytes:
    """Draw the share of requests answered within a time, on a logarithmic axis."""
    figure, axes = canvas(5.6, 3.4)
    for times, colour, style, name in (
        (champion, CHAMPION, "--", names[1]),
        (candidate, CANDIDATE, "-", names[0]),
    ):
        if times is None or not len(times):
            continue
        ordered = np.sort(times)
        share = np.arange(1, len(ordered) + 1) / len(ordered)
        p95 = float(np.quantile(ordered, 0.95))
        axes.step(
            ordered,
            share * 100,
            where="post",
            color=colour,
            linestyle=style,
            linewidth=1.8,
            label=f"{name}: p95 {p95:.1f} ms",
        )
    axes.set_xscale("log")
    axes.axhline(95, color="#d5d9e2", linewidth=1, zorder=0)
    if limit is not None:
        axes.axvline(limit, color=BAD, linewidth=1.2, linestyle="--")
        axes.annotate(
            f"p95 limit {limit:g} ms",
            (limit, 0),
            xytext=(4, 4),
            textcoords="offset points",
            color=BAD,
            fontsize=8,
        )
    axes.set(xlabel="milliseconds (log scale)", ylabel="% of requests answered", ylim=(0, 101))
    axes.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return as_png(figure)


def _row_label(row: Measurement) -> str:
    size = f"  (n = {row.sample_size:,})" if row.sample_size else ""
    return f"{row.subject}{size}"


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty picture of so many inches, in the style of all of them."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    return figure, axes


def as_png(figure: Figure) -> bytes:
    """Return a picture as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
