"""Metadata that a person would rather look at than read: sentences, tables, pictures, numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from promotion_assets.gates.contract import GateResult, Interval, Measurement, Outcome

SIGNS = {
    Outcome.PASSED: "PASSED",
    Outcome.FAILED: "FAILED",
    Outcome.INCONCLUSIVE: "INCONCLUSIVE",
    Outcome.ERROR: "ERROR",
    Outcome.WAIVED: "WAIVED",
}

MOST_ROWS = 40
MOST_COLUMNS = 6
_MARKS = re.compile(r"([\\`*_\[\]<>#|~!&])")
_RANK: Mapping[Outcome | None, int] = {
    Outcome.FAILED: 0,
    Outcome.ERROR: 1,
    Outcome.INCONCLUSIVE: 2,
    Outcome.WAIVED: 3,
}

Metadata = dict[str, Any]
Materialized = dg.MaterializeResult[Any]


def as_text(said: str) -> str:
    """Return a sentence so that Markdown shows it as it is.

    Reasons quote what strangers chose: names of groups, columns and files, errors of a model.
    """
    return _MARKS.sub(r"\\\1", said)


def check_metadata(result: GateResult) -> Metadata:
    """Return what a gate's check shows; numbers are plotted over versions."""
    shown: Metadata = {"outcome": result.outcome.value}
    for name, number in (("observed", result.observed), ("limit", result.limit)):
        if number is not None:
            shown[name] = number
    return shown


def gate_metadata(result: GateResult, pictures: Mapping[str, str]) -> Metadata:
    """Return what a gate's asset shows: sentence, pictures, table, details, plotted numbers."""
    shown: Metadata = {
        "verdict": dg.MetadataValue.md(f"**{SIGNS[result.outcome]}** {as_text(result.reason)}")
    }
    shown |= {f"picture/{name}": dg.MetadataValue.md(p) for name, p in pictures.items()}
    for name in dict.fromkeys(m.name for m in result.measurements):
        shown[f"measured/{name}"] = measurement_table(
            [m for m in result.measurements if m.name == name]
        )
    for name, value in result.details.items():
        shown[f"details/{name}"] = _detail(value)
    for name, number in (
        ("observed", result.observed),
        ("limit", result.limit),
        ("sample_size", result.sample_size),
        ("duration_seconds", result.duration_seconds),
    ):
        if number is not None:
            shown[name] = number
    if result.interval:
        shown["interval"] = spoken_interval(result.interval)
    return shown


def measurement_table(measurements: Sequence[Measurement]) -> dg.TableMetadataValue:
    """Return measurements of one name as a table, the ones that decide first.

    A page shows no more than it can; the ledger has all of them.
    """
    ordered = sorted(measurements, key=lambda m: _RANK.get(m.outcome, len(_RANK)))
    return table(
        [
            {
                "of": m.subject,
                "outcome": m.outcome.value if m.outcome else "reported",
                "observed": _number(m.observed, m.unit),
                "limit": _limit(m),
                "interval": _bounds(m.interval) if m.interval else "",
                "champion": _number(m.baseline, m.unit),
                "n": "" if m.sample_size is None else f"{m.sample_size:,}",
            }
            for m in ordered[:MOST_ROWS]
        ]
    )


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Return rows as a table; an absent value is an empty cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    records = [dg.TableRecord({n: _cell(row.get(n)) for n in names}) for row in rows]
    schema = dg.TableSchema([dg.TableColumn(name, "string") for name in names])
    return dg.MetadataValue.table(records, schema)


def spoken_interval(interval: Interval) -> str:
    """Return an interval in words: bounds, level, method."""
    return f"{_bounds(interval)} ({interval.confidence * 100:.4g} %, {interval.method})"


def _bounds(interval: Interval) -> str:
    low = "-∞" if interval.low is None else f"{interval.low:.3g}"
    high = "∞" if interval.high is None else f"{interval.high:.3g}"
    return f"{low} … {high}"


def _limit(measurement: Measurement) -> str:
    if measurement.limit is None:
        return ""
    sign = "≥" if measurement.direction == "min" else "≤"
    # A no-break space keeps sign and number on one line of a narrow column.
    return f"{sign}\u00a0{_number(measurement.limit, measurement.unit)}"


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.4g}{' ' + unit if unit else ''}"


def _cell(value: Any) -> str | int | float | bool:
    if value is None:
        return ""
    return value if isinstance(value, str | int | float | bool) else str(value)


def _detail(value: Any) -> Any:
    rows = isinstance(value, list | tuple) and value and all(isinstance(r, Mapping) for r in value)
    # A wider table would widen the whole page; it opens as JSON instead.
    if rows and len({name for row in value for name in row}) <= MOST_COLUMNS:
        return table(value)
    if isinstance(value, str | int | float | bool):
        return value
    return dg.MetadataValue.json(value)
