"""Robustness probes: the same rows, deliberately a little or very wrong, asked once more."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import (
    is_bool_dtype,
    is_datetime64_any_dtype,
    is_float_dtype,
    is_integer_dtype,
    is_numeric_dtype,
)

from promotion_assets.evaluation.scores import Probe, ScoringFailure
from promotion_assets.evaluation.session import Session

UNSEEN_CATEGORY = "never seen before"


@dataclass(frozen=True)
class ProbingPlan:
    """What is changed, and on how many rows.

    Attributes:
        rows: evaluation rows that each probe changes.
        noise: standard deviation of the noise on numeric features, as a share of the feature's.
        ranges_out: how far out of its range a feature is put, in widths of the range.
        budget_seconds: for all probes; those left over are failures of kind ``timeout``.
        seed: of the choice of rows and of the noise.
    """

    rows: int = 200
    noise: float = 0.01
    ranges_out: float = 10.0
    budget_seconds: float = 20.0
    seed: int = 0


def probe(
    session: Session, features: pd.DataFrame, plan: ProbingPlan
) -> tuple[Probe, ...] | ScoringFailure:
    """Return the answers on perturbed rows, on each feature missing, and on each out of range.

    To be called after scores and latency were taken: a probe may end the model's process, and
    then it and all later ones are failures.

    Args:
        session: the model's session.
        features: the evaluation rows, features only.
        plan: what is changed.
    """
    if (failure := session.load()) is not None:
        return failure
    generator = np.random.default_rng(plan.seed)
    count = min(plan.rows, len(features))
    rows = np.sort(generator.choice(len(features), size=count, replace=False)).astype(np.int64)
    used = _used(session, features)
    deadline = time.monotonic() + plan.budget_seconds
    return tuple(
        _ask(session, name, rows, changed, deadline)
        for name, changed in _changes(features, rows, used, plan, generator)
    )


def _ask(
    session: Session,
    name: str,
    rows: npt.NDArray[np.int64],
    changed: pd.DataFrame,
    deadline: float,
) -> Probe:
    if session.failure is None and time.monotonic() > deadline:
        late = ScoringFailure(kind="timeout", reason="the time for probes was used up before this")
        return Probe(name=name, rows=rows, values=None, failure=late)
    answer = session.answer(changed, deadline)
    if isinstance(answer, ScoringFailure):
        return Probe(name=name, rows=rows, values=None, failure=answer)
    return Probe(name=name, rows=rows, values=answer)


def _used(session: Session, features: pd.DataFrame) -> tuple[str, ...]:
    """Return the features that the model reads, by its signature; all where it has none."""
    if session.signature is None or session.signature.kind == "tensor":
        return tuple(features.columns)
    named = {column.name for column in session.signature.inputs}
    return tuple(name for name in features.columns if name in named)


def _changes(
    features: pd.DataFrame,
    rows: npt.NDArray[np.int64],
    used: Sequence[str],
    plan: ProbingPlan,
    generator: np.random.Generator,
) -> Iterator[tuple[str, pd.DataFrame]]:
    sample = features.iloc[rows].reset_index(drop=True)
    yield "perturbed", _perturbed(features, sample, used, plan.noise, generator)
    for name in used:
        yield f"missing:{name}", sample.assign(**{name: _missing(sample[name])})
    for name in used:
        outside = _outside(features[name], len(sample), plan.ranges_out)
        if outside is not None:
            yield f"out_of_range:{name}", sample.assign(**{name: outside})


def _perturbed(
    features: pd.DataFrame,
    sample: pd.DataFrame,
    used: Sequence[str],
    noise: float,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Add noise to each numeric feature; integers stay integers, missing values missing."""
    changed = sample.copy()
    for name in used:
        column = sample[name]
        if not is_numeric_dtype(column) or is_bool_dtype(column):
            continue
        spread = float(features[name].std())
        if not np.isfinite(spread):
            continue
        shift = generator.normal(0.0, noise * spread, len(sample))
        if is_integer_dtype(column):
            shift = np.rint(shift).astype(np.int64)
        changed[name] = (column + shift).astype(column.dtype)
    return changed


def _missing(column: pd.Series) -> pd.Series:
    """Return a column of missing values, in the type that pandas would give it."""
    if is_float_dtype(column) or is_datetime64_any_dtype(column):
        return column.where(np.zeros(len(column), dtype=bool))
    if is_integer_dtype(column):
        return pd.Series(np.nan, index=column.index, dtype=np.float64)
    if is_bool_dtype(column):
        return pd.Series([None] * len(column), index=column.index, dtype=object)
    return pd.Series([None] * len(column), index=column.index).astype(column.dtype)


def _outside(column: pd.Series, count: int, widths: float) -> pd.Series | None:
    """Return values far outside of the column's range, above and below it in turn."""
    if is_bool_dtype(column) or is_datetime64_any_dtype(column):
        return None
    if not is_numeric_dtype(column):
        return pd.Series([UNSEEN_CATEGORY] * count)
    low, high = float(column.min()), float(column.max())
    if not np.isfinite(high - low):
        return None
    width = (high - low) or 1.0
    values = np.where(np.arange(count) % 2, high + widths * width, low - widths * width)
    if is_integer_dtype(column):
        bounds = np.iinfo(str(column.dtype).lower())
        return pd.Series(np.rint(values).clip(bounds.min, bounds.max).astype(np.int64)).astype(
            column.dtype
        )
    return pd.Series(values).astype(column.dtype)
