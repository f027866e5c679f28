"""Metadata that a person would rather look at than read: sentences, tables, pictures, numbers."""

from __future__ import annotations

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

Metadata = dict[str, Any]
Materialized = dg.MaterializeResult[Any]


def gate_metadata(result: GateResult, pictures: Mapping[str, str]) -> Metadata:
    """Return what a gate's asset shows: sentence, pictures, table, details, plotted numbers."""
    shown: Metadata = {
        "verdict": dg.MetadataValue.md(f"**{SIGNS[result.outcome]}** {result.reason}")
    }
    shown |= {name: dg.MetadataValue.md(picture) for name, picture in pictures.items()}
    if result.measurements:
        shown["measurements"] = measurement_table(result.measurements)
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
    """Return measurements as a table, a row a number, narrow enough for the page of an asset."""
    return table(
        [
            {
                "what": m.name,
                "of": m.subject,
                "outcome": m.outcome.value if m.outcome else "reported",
                "observed": _number(m.observed, m.unit),
                "limit": _limit(m),
                "interval": _bounds(m.interval) if m.interval else "",
                "champion": _number(m.baseline, m.unit),
                "n": "" if m.sample_size is None else f"{m.sample_size:,}",
            }
            for m in measurements
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
    if isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value):
        return table(value)
    if isinstance(value, str | int | float | bool):
        return value
    return dg.MetadataValue.json(value)
