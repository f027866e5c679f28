"""The shadow report as rows of a reviewer's page."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from promotion_assets.rollout.shadow_report import ShadowReport
from promotion_assets.rollout.shadow_text import bounds_of, limit_of, title_of, value_of

# What decides comes first; quantiles are in the picture.
LEFT_OUT = frozenset({"score_quantile"})


class ShadowRow(BaseModel):
    """One number of a shadow report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    outcome: str
    value: str
    champion: str
    limit: str
    interval: str
    sample_size: str


def shadow_rows(report: ShadowReport | None) -> tuple[ShadowRow, ...]:
    """Return a row for each number that a reviewer compares, judged ones first."""
    if report is None:
        return ()
    rows = [
        ShadowRow(
            title=title_of(m),
            outcome=str(m.outcome) if m.outcome else "reported",
            value=value_of(m),
            champion="" if m.baseline is None else f"{m.baseline:.4g}",
            limit=limit_of(m),
            interval=bounds_of(m),
            sample_size="" if m.sample_size is None else f"{m.sample_size:,}",
        )
        for m in report.result.measurements
        if m.name not in LEFT_OUT
    ]
    return tuple(sorted(rows, key=lambda row: row.outcome == "reported"))
