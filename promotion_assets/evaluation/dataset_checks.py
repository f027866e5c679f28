"""What can be wrong with an evaluation dataset: what stops a judgement, and what mars it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from promotion_assets.errors import EvidenceMissing
from promotion_assets.evaluation.grouping import expected_names
from promotion_assets.evaluation.labels import Labels
from promotion_assets.policy.model import ModelPolicy

Groups = Mapping[str, npt.NDArray[np.object_]]


def require_columns(frame: pd.DataFrame, policy: ModelPolicy, *, model: str) -> None:
    """Raise where rows or columns are absent without which nothing can be judged.

    Raises:
        EvidenceMissing: no rows, or a column that the policy names is not there.
    """
    doing = f"Taking in {model}'s evaluation dataset"
    dataset = policy.dataset
    named = [
        ("label", dataset.label),
        *(("group", group.column) for group in policy.groups),
        *(("id", name) for name in [dataset.id] if name),
        *(("time", name) for name in [dataset.time] if name),
    ]
    for role, name in named:
        if name not in frame.columns:
            raise EvidenceMissing(
                doing,
                f"the {role} column {name!r} is not there; the columns are "
                + ", ".join(str(column) for column in list(frame.columns)[:30]),
                "correct the column's name in promotion.yaml, or add the column to the source",
            )
    if frame.empty:
        raise EvidenceMissing(
            doing,
            "it has no rows",
            "check the source or the query: nothing can be judged on nothing",
        )
    if not feature_columns(frame, policy):
        raise EvidenceMissing(
            doing,
            "no column is left for the models once label, id, time and ignored ones are taken out",
            "add the features to the source, or correct `dataset.ignore`",
        )


def feature_columns(frame: pd.DataFrame, policy: ModelPolicy) -> tuple[str, ...]:
    """Return the columns that models are given: all but label, id, time and ignored ones.

    A group's column stays in unless it is ignored; a model's signature picks what it needs.
    """
    dataset = policy.dataset
    out = {dataset.label, dataset.id, dataset.time, *dataset.ignore}
    return tuple(str(name) for name in frame.columns if name not in out)


def problems_of(
    frame: pd.DataFrame, labels: Labels, groups: Groups, policy: ModelPolicy, *, model: str
) -> tuple[str, ...]:
    """Return what is wrong with rows that can be judged all the same, in sentences."""
    return (
        *_size_problems(labels, policy, model),
        *_group_problems(groups, policy, model),
        *_column_problems(frame, policy, model),
    )


def _size_problems(labels: Labels, policy: ModelPolicy, model: str) -> Iterator[str]:
    dataset = policy.dataset
    if len(labels) < dataset.min_rows:
        yield f"{model}: {len(labels)} rows, fewer than the {dataset.min_rows} of the policy"
    if policy.task == "binary" and dataset.label_rate:
        rate = float(labels.mean())
        low, high = dataset.label_rate
        if not low <= rate <= high:
            yield (
                f"{model}: {rate:.2%} of label column {dataset.label!r} are positive, "
                f"outside {low:.2%} to {high:.2%}"
            )


def _group_problems(groups: Groups, policy: ModelPolicy, model: str) -> Iterator[str]:
    for group in policy.groups:
        sizes = sizes_of(groups[group.label])
        expected = expected_names(group)
        for name in expected:
            if name not in sizes:
                yield f"{model}: group {group.label}={name} (column {group.column!r}) has 0 rows"
        for name, rows in sizes.items():
            if rows < policy.dataset.min_group_rows:
                yield (
                    f"{model}: group {group.label}={name} (column {group.column!r}) has {rows} "
                    f"rows, fewer than the {policy.dataset.min_group_rows} of the policy"
                )


def _column_problems(frame: pd.DataFrame, policy: ModelPolicy, model: str) -> Iterator[str]:
    dataset = policy.dataset
    if dataset.id:
        ids = frame[dataset.id]
        repeated = ids[ids.duplicated()]
        if len(repeated):
            yield (
                f"{model}: id column {dataset.id!r} repeats {len(repeated)} times, "
                f"{repeated.tolist()[0]!r} among them"
            )
        if ids.isna().any():
            yield f"{model}: id column {dataset.id!r} is missing in {int(ids.isna().sum())} rows"
    if dataset.time:
        moments = times_of(frame, dataset.time)
        absent = int(moments.isna().sum())
        if absent:
            first = frame[dataset.time][moments.isna()].tolist()[0]
            yield (
                f"{model}: time column {dataset.time!r} holds no moment in {absent} rows, "
                f"{first!r} among them"
            )
    for name in feature_columns(frame, policy):
        if frame[name].isna().all():
            yield f"{model}: feature column {name!r} has no value in any of {len(frame)} rows"


def sizes_of(names: npt.NDArray[np.object_]) -> dict[str, int]:
    """Return the rows of every group, by sorted group name."""
    codes, found = pd.factorize(names, sort=True)
    counts = np.bincount(codes, minlength=len(found))
    return {str(name): int(count) for name, count in zip(found, counts, strict=True)}


def times_of(frame: pd.DataFrame, name: str) -> pd.Series[pd.Timestamp]:
    """Return a time column as moments in UTC; text is read as ISO 8601, the rest is missing."""
    column = frame[name]
    if not pd.api.types.is_datetime64_any_dtype(column.dtype) and not (
        pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype)
    ):
        # A bare number could be seconds, days or a year.
        return pd.Series(pd.NaT, index=column.index, dtype="datetime64[us, UTC]")
    return pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
