"""What a data file is likely to hold: label, task, unit, groups; for a person to correct.

Guesses are never used to judge anything. They fill a policy that somebody reads.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from pydantic import JsonValue

Task = Literal["binary", "multiclass", "regression"]

LABELS = re.compile(
    r"(?i)^(label|target|y|outcome|response|class|truth|actual|default(ed)?|churn(ed)?|fraud|"
    r"converted|clicked|bought|survived|is_.*|has_.*|.*_(label|target|outcome|next_month))$"
)
IDS = re.compile(r"(?i)^(id|uuid|key|.*[_ ]id|.*_(key|uuid|number))$|ID$")
PROTECTED = re.compile(
    r"(?i)\b(sex|gender|age|race|ethnic\w*|education|school\w*|marri\w*|marital\w*|nationality|"
    r"religion|disab\w*|country|region|state|segment)\b"
)
MOST_CLASSES = 20
MOST_VALUES_OF_A_GROUP = 12
BANDS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class GuessedGroup:
    """A column that people may be told apart by; ``bands`` where it is a measure."""

    column: str
    bands: tuple[float, ...] = ()


@dataclass(frozen=True)
class Guess:
    """What the columns seem to be; ``why`` has a short reason by the name of the guess."""

    label: str
    task: Task
    positive: JsonValue
    id: str | None
    time: str | None
    groups: tuple[GuessedGroup, ...]
    why: dict[str, str]


def likely_labels(frame: pd.DataFrame, inputs: Collection[str]) -> list[str]:
    """Return the columns that may be the label, likeliest first.

    Args:
        inputs: what the model takes, by its signature; a label is none of them.
    """
    free = [str(c) for c in frame.columns if c not in inputs]
    named = [c for c in free if LABELS.match(c)]
    few = [c for c in free if c not in named and 2 <= frame[c].nunique() <= MOST_CLASSES]
    return [*sorted(named, key=lambda c: frame[c].nunique()), *few]


def guess(frame: pd.DataFrame, label: str, inputs: Collection[str]) -> Guess:
    """Return what the other columns seem to be, given the label.

    Raises:
        KeyError: if there is no such label column.
    """
    task, positive, why_task = _task_of(frame[label])
    others = [str(c) for c in frame.columns if c != label]
    unit = next((c for c in others if c not in inputs and _names_a_unit(frame[c], c)), None)
    time = next((c for c in others if pd.api.types.is_datetime64_any_dtype(frame[c])), None)
    groups = tuple(
        found
        for c in others
        if c not in (unit, time) and (found := _group(frame[c], c, c in inputs)) is not None
    )
    why = {"task": why_task}
    if unit:
        why["id"] = f"each of its {len(frame)} values is another one"
    return Guess(label, task, positive, unit, time, groups, why)


def _task_of(column: pd.Series[Any]) -> tuple[Task, JsonValue, str]:
    values = sorted(column.dropna().unique().tolist(), key=str)
    whole = all(isinstance(v, int | str | bool) or float(v).is_integer() for v in values[:1000])
    if len(values) == 2:
        positive = next((v for v in (1, True, "1", "yes", "true") if v in values), values[-1])
        return "binary", positive, f"it holds {values[0]!r} and {values[1]!r}"
    if not pd.api.types.is_numeric_dtype(column) or (whole and len(values) <= MOST_CLASSES):
        return "multiclass", 1, f"it holds {len(values)} different values"
    return "regression", 1, f"it holds numbers, {len(values)} different ones"


def _names_a_unit(column: pd.Series[Any], name: str) -> bool:
    if column.isna().any() or not column.is_unique or len(column) < 2:
        return False
    return bool(IDS.search(name)) or pd.api.types.is_integer_dtype(column)


def _group(column: pd.Series[Any], name: str, is_input: bool) -> GuessedGroup | None:
    protected = bool(PROTECTED.search(re.sub(r"[_\-]", " ", name)))
    if is_input and not protected:
        return None
    distinct = column.nunique()
    if 2 <= distinct <= MOST_VALUES_OF_A_GROUP:
        return GuessedGroup(name)
    if not protected or not pd.api.types.is_numeric_dtype(column):
        return None
    edges = tuple(sorted({float(round(column.quantile(q))) for q in BANDS}))
    return GuessedGroup(name, edges)
