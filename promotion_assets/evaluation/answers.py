"""A model's raw answer, judged on our side: are these the probabilities that we asked for?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import JsonValue

from promotion_assets.evaluation.arrow_values import decode_values
from promotion_assets.evaluation.frames import Frame
from promotion_assets.evaluation.sandbox import ChildFailure
from promotion_assets.evaluation.scores import Floats
from promotion_assets.policy.model import Task

# Single precision sums to one, and stays within zero and one, up to its rounding.
ROUNDING = 1e-6
SUM_ROUNDING = 1e-3
MAX_SIDE = 1 << 24
ASK_FOR_PROBABILITIES = (
    "log it with pyfunc_predict_fn='predict_proba', or have its predict return probabilities"
)


@dataclass(frozen=True)
class Question:
    """What a model is asked for.

    Attributes:
        positive: the label value whose probability is asked for (binary).
        classes: the label values in order (multiclass).
    """

    task: Task
    positive: JsonValue = 1
    classes: tuple[str, ...] = ()


def interpret(answer: Frame, rows: int, first_row: int, question: Question) -> Floats:
    """Return the values of one answer in the form that :class:`Scores` has.

    Args:
        answer: from the child; nothing in it is believed.
        rows: how many rows were asked about.
        first_row: the number of the first of them, for messages.
        question: what was asked.

    Raises:
        ChildFailure: ``wrong_length``, ``not_numeric``, ``not_finite`` or ``not_probability``.
    """
    raw = _decode(answer)
    if raw.shape[0] != rows:
        raise ChildFailure("wrong_length", f"it answered {raw.shape[0]:,} values for {rows:,} rows")
    bad = ~np.isfinite(raw).reshape(rows, -1).all(axis=1)
    if bad.any():
        raise ChildFailure(
            "not_finite",
            f"it answered NaN or infinity for {int(bad.sum()):,} of {rows:,} rows, "
            f"the first is row {first_row + int(bad.argmax()):,}",
        )
    if question.task == "regression":
        return _one_column(raw)
    if answer.header.get("kind") != "floats":
        raise ChildFailure(
            "not_probability",
            f"it answered labels ({answer.header.get('kind')}), not probabilities; "
            + ASK_FOR_PROBABILITIES,
        )
    _check_range(raw, first_row)
    names = answer.header.get("classes") or _as_classes(answer.header.get("columns"), question)
    if question.task == "binary":
        return _positive(raw, names, question.positive)
    return _by_class(raw, names, question.classes)


def _decode(answer: Frame) -> Floats:
    """Read the values of one answer; its shape must fit its length."""
    shape = answer.header.get("shape")
    if not (
        isinstance(shape, list)
        and len(shape) in (1, 2)
        and all(isinstance(n, int) and 0 <= n <= MAX_SIDE for n in shape)
        and math.prod(shape) * 8 <= len(answer.payload)
    ):
        raise ChildFailure("wrong_length", f"it answered an array of shape {shape!r:.100}")
    try:
        return decode_values(answer.payload, math.prod(shape)).reshape(shape)
    except ValueError as error:
        raise ChildFailure("crash", f"it broke the protocol: {error}") from None


def _one_column(raw: Floats) -> Floats:
    if raw.ndim == 2 and raw.shape[1] != 1:
        raise ChildFailure(
            "wrong_length", f"it answered {raw.shape[1]} values for each row, one was asked for"
        )
    return raw.reshape(raw.shape[0])


def _check_range(raw: Floats, first_row: int) -> None:
    outside = ((raw < -ROUNDING) | (raw > 1 + ROUNDING)).reshape(raw.shape[0], -1).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise ChildFailure(
            "not_probability",
            f"it answered values outside of 0 to 1 for {int(outside.sum()):,} of "
            f"{raw.shape[0]:,} rows, in row {first_row + row:,} for instance "
            f"{np.asarray(raw[row]).ravel()[0]:.6g}; {ASK_FOR_PROBABILITIES}",
        )
    if raw.ndim == 2 and raw.shape[1] > 1:
        off = np.abs(raw.sum(axis=1) - 1) > SUM_ROUNDING
        if off.any():
            row = int(off.argmax())
            raise ChildFailure(
                "not_probability",
                f"the probabilities of row {first_row + row:,} sum to {raw[row].sum():.6g}",
            )


def _as_classes(columns: Any, question: Question) -> Any:
    """Return an answer table's column names where they are the class labels."""
    labels: Iterable[Any] = [question.positive] if question.task == "binary" else question.classes
    if isinstance(columns, list) and {_key(label) for label in labels} <= set(map(_key, columns)):
        return columns
    return None


def _positive(raw: Floats, names: Any, positive: JsonValue) -> Floats:
    """Return the column of the positive class, clipped to [0, 1]."""
    if raw.ndim == 1 or raw.shape[1] == 1:
        return np.clip(raw.reshape(raw.shape[0]), 0, 1)
    if raw.shape[1] != 2:
        raise ChildFailure(
            "not_probability", f"it answered for {raw.shape[1]} classes, the task has two"
        )
    column = 1
    if isinstance(names, list) and len(names) == 2:
        keys = [_key(name) for name in names]
        if _key(positive) in keys:
            column = keys.index(_key(positive))
        elif set(keys) != {"0", "1"}:
            raise ChildFailure(
                "not_probability",
                f"its classes are {names!r:.200}, the positive label {positive!r} is not one",
            )
    return np.clip(raw[:, column], 0, 1)


def _by_class(raw: Floats, names: Any, classes: tuple[str, ...]) -> Floats:
    """Return the columns in the order of ``classes``; a class it does not know gets zero."""
    if raw.ndim != 2:
        raise ChildFailure(
            "not_probability", f"it answered one value a row for {len(classes)} classes"
        )
    wanted = [_key(name) for name in classes]
    known = [_key(name) for name in names] if isinstance(names, list) else wanted
    if not set(known) <= set(wanted) and set(known) <= {str(i) for i in range(len(classes))}:
        known = [wanted[int(code)] for code in known]
    if len(known) != raw.shape[1] or len(set(known)) != len(known) or not set(known) <= set(wanted):
        raise ChildFailure(
            "not_probability",
            f"it answered for {raw.shape[1]} classes ({known!r:.200}), "
            f"the dataset has {len(classes)} ({wanted!r:.200})",
        )
    values = np.zeros((raw.shape[0], len(wanted)))
    values[:, [wanted.index(name) for name in known]] = np.clip(raw, 0, 1)
    return values


def _key(label: Any) -> str:
    """Return one spelling for a label, whether it came as 1, 1.0, True or "1"."""
    if isinstance(label, bool):
        return str(int(label))
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)
