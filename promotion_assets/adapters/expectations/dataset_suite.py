"""The suite that every evaluation dataset version is held against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from promotion_assets.adapters.expectations.outcome import ExpectationOutcome
from promotion_assets.adapters.expectations.suites import great_expectations, run_suite
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.dataset_checks import times_of
from promotion_assets.evaluation.grouping import expected_names
from promotion_assets.policy.model import ModelPolicy


def validate_dataset(
    dataset: EvaluationDataset, policy: ModelPolicy, *, docs_dir: Path
) -> tuple[list[ExpectationOutcome], Path]:
    """Hold a dataset version against what its policy says; returns outcomes and Data Docs.

    Args:
        dataset: the version.
        policy: what must be true of it.
        docs_dir: where the Data Docs page goes; an earlier one there is replaced.

    Raises:
        StorageUnreachable: Data Docs cannot be written.
    """
    great_expectations()
    return run_suite(
        _table(dataset, policy),
        list(dataset_expectations(dataset, policy)),
        suite_name=f"evaluation dataset {dataset.digest[:12]}",
        docs_dir=docs_dir,
    )


def dataset_expectations(dataset: EvaluationDataset, policy: ModelPolicy) -> Iterator[Any]:
    """Yield the expectations of the suite."""
    yield from _of_shape(policy)
    yield from _of_label(policy)
    yield from _of_groups(policy)
    yield from _of_keys(policy)
    yield from _of_features(dataset)


def group_column(label: str) -> str:
    """Return the name of the column that holds the group names of an attribute."""
    return f"group: {label}"


def positive_column(label: str) -> str:
    """Return the name of the column that is 1 where the label is positive."""
    return f"positive: {label}"


def moment_column(name: str) -> str:
    """Return the name of the column that holds a time column's values as moments."""
    return f"moment: {name}"


def _table(dataset: EvaluationDataset, policy: ModelPolicy) -> pd.DataFrame:
    source = policy.dataset
    derived: dict[str, Any] = {group_column(name): names for name, names in dataset.groups.items()}
    if policy.task == "binary":
        derived[positive_column(source.label)] = dataset.labels
    if source.time and source.time in dataset.frame.columns:
        derived[moment_column(source.time)] = times_of(dataset.frame, source.time)
    return dataset.frame.assign(**derived)


def _of_shape(policy: ModelPolicy) -> Iterator[Any]:
    import great_expectations.expectations as gxe

    source = policy.dataset
    named = [source.label, source.id, source.time, *(group.column for group in policy.groups)]
    columns = list(dict.fromkeys(name for name in named if name))
    yield gxe.ExpectTableColumnsToMatchSet(
        column_set=columns,
        exact_match=False,
        meta={"sentence": f"the columns that the policy names are there: {', '.join(columns)}"},
    )
    yield gxe.ExpectTableRowCountToBeBetween(
        min_value=source.min_rows,
        meta={"sentence": f"there are at least {source.min_rows} rows"},
    )


def _of_label(policy: ModelPolicy) -> Iterator[Any]:
    import great_expectations.expectations as gxe

    source = policy.dataset
    label = source.label
    yield gxe.ExpectColumnValuesToNotBeNull(
        column=label, meta={"sentence": f"label {label} is known in every row"}
    )
    if policy.task == "regression":
        yield gxe.ExpectColumnUniqueValueCountToBeBetween(
            column=label, min_value=2, meta={"sentence": f"label {label} takes several values"}
        )
        return
    most = 2 if policy.task == "binary" else None
    words = "exactly two values" if most else "at least two values"
    yield gxe.ExpectColumnUniqueValueCountToBeBetween(
        column=label, min_value=2, max_value=most, meta={"sentence": f"label {label} takes {words}"}
    )
    if policy.task != "binary":
        return
    yield gxe.ExpectColumnDistinctValuesToContainSet(
        column=label,
        value_set=[source.positive],
        meta={"sentence": f"label {label} holds the positive value {source.positive!r}"},
    )
    low, high = source.label_rate or (0.0, 1.0)
    yield gxe.ExpectColumnMeanToBeBetween(
        column=positive_column(label),
        min_value=low,
        max_value=high,
        strict_min=source.label_rate is None,
        strict_max=source.label_rate is None,
        meta={"sentence": f"the share of positive labels is between {low:.2%} and {high:.2%}"},
    )


def _of_groups(policy: ModelPolicy) -> Iterator[Any]:
    from promotion_assets.adapters.expectations.custom import ExpectGroupsToHaveAtLeastRows

    least = policy.dataset.min_group_rows
    for group in policy.groups:
        yield ExpectGroupsToHaveAtLeastRows(
            column=group_column(group.label),
            min_rows=least,
            groups=list(expected_names(group)),
            meta={"sentence": f"every group of {group.label} has at least {least} rows"},
        )


def _of_keys(policy: ModelPolicy) -> Iterator[Any]:
    import great_expectations.expectations as gxe

    source = policy.dataset
    if source.id:
        yield gxe.ExpectColumnValuesToNotBeNull(
            column=source.id, meta={"sentence": f"id {source.id} is known in every row"}
        )
        yield gxe.ExpectColumnValuesToBeUnique(
            column=source.id, meta={"sentence": f"id {source.id} is unique"}
        )
    if source.time:
        yield gxe.ExpectColumnValuesToNotBeNull(
            column=moment_column(source.time),
            meta={"sentence": f"time {source.time} holds a moment in every row"},
        )


def _of_features(dataset: EvaluationDataset) -> Iterator[Any]:
    import great_expectations.expectations as gxe

    for name in dataset.features:
        yield gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(
            column=name,
            min_value=0,
            strict_min=True,
            meta={"sentence": f"feature {name} has a value in some row"},
        )
