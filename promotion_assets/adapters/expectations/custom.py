"""Our own expectations: on profile tables, one row a feature, and on group sizes.

Imported only where Great Expectations is wanted. A class here registers itself with it by being
defined, so the names are ours for good: stored results carry them.
"""

# Great Expectations is untyped to the type checker, and pairs are A and B in its own words.
# mypy: disable-error-code="attr-defined, misc, untyped-decorator"
# ruff: noqa: N815

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from great_expectations.compatibility import pydantic
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import (
    ColumnAggregateExpectation,
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    render_suite_parameter_string,
)
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnMapMetricProvider,
    ColumnPairMapMetricProvider,
    column_condition_partial,
    column_pair_condition_partial,
)
from great_expectations.render import (
    LegacyDiagnosticRendererType,
    LegacyRendererType,
    RenderedStringTemplateContent,
    RenderedTableContent,
)
from great_expectations.render.renderer.renderer import renderer


def _said(configuration: Any) -> list[Any]:
    """Render an expectation in Data Docs as the sentence that it carries."""
    sentence = str((configuration.meta or {}).get("sentence") or configuration.type)
    return [
        RenderedStringTemplateContent(
            content_block_type="string_template",
            string_template={"template": sentence.replace("$", "$$"), "params": {}},
        )
    ]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "none" if math.isnan(value) else f"{value:.4g}"
    return "none" if value is None else str(value)


class _Spoken:
    """Mix-in: the sentence in ``meta`` is what Data Docs show."""

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    @render_suite_parameter_string
    def _prescriptive_renderer(
        cls, configuration: Any = None, result: Any = None, **_: Any
    ) -> list[Any]:
        return _said(configuration or result.expectation_config)


class _OnFeatures(_Spoken):
    """Mix-in for expectations on a table with a row a feature: every row counts.

    Great Expectations leaves missing values out of its shares, so a column that is missing
    altogether would meet any map expectation. Its own table of what does not hold groups rows
    by value and shows ten groups; here every feature has its row.
    """

    def _validate(self, metrics: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        found = super()._validate(metrics, *arguments, **options)
        unexpected = metrics[f"{self.map_metric}.unexpected_count"]
        return {**found, "success": metrics["table.row_count"] > 0 and unexpected == 0}

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.UNEXPECTED_TABLE)
    def _diagnostic_unexpected_table_renderer(
        cls, configuration: Any = None, result: Any = None, **_: Any
    ) -> list[Any] | None:
        rows = ((result.result if result else None) or {}).get("unexpected_index_list") or []
        if not rows:
            return None
        names = sorted(rows[0], key=lambda name: (name != "feature", name != "psi", name))
        return [
            RenderedTableContent(
                content_block_type="table",
                header_row=names,
                table=[[_cell(row.get(name)) for name in names] for row in rows],
                styling={"body": {"classes": ["table-bordered", "table-sm", "mt-3"]}},
            )
        ]


class ColumnValuesHold(ColumnMapMetricProvider):
    """A row holds where its value is true; a missing value does not."""

    condition_metric_name = "column_values.promotion_hold"
    filter_column_isnull = False

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series[Any], **_: Any) -> pd.Series[bool]:  # noqa: N805
        return column.map(lambda value: isinstance(value, bool | np.bool_) and bool(value))


class ColumnPairAtMost(ColumnPairMapMetricProvider):
    """A row holds where A is at most B; where either is missing it does not."""

    condition_metric_name = "column_pair_values.promotion_at_most"
    condition_domain_keys = (
        "batch_id",
        "table",
        "column_A",
        "column_B",
        "row_condition",
        "condition_parser",
        "ignore_row_if",
    )
    condition_value_keys = ()

    @column_pair_condition_partial(engine=PandasExecutionEngine)
    def _pandas(
        cls,  # noqa: N805
        column_A: pd.Series[Any],
        column_B: pd.Series[Any],
        **_: Any,
    ) -> pd.Series[bool]:
        return column_A.le(column_B)


class ExpectFeaturePsiToBeAtMostItsLimit(_OnFeatures, ColumnPairMapExpectation):
    """Expect the population stability index of every feature to be at most its limit."""

    column_A: str = "psi"
    column_B: str = "limit"
    ignore_row_if: str = "neither"
    map_metric = "column_pair_values.promotion_at_most"
    success_keys = ("column_A", "column_B", "ignore_row_if", "mostly")
    args_keys = ("column_A", "column_B")


class ExpectFeatureToBePresentInProduction(_OnFeatures, ColumnMapExpectation):
    """Expect every feature of the training data to be sent by production."""

    column: str = "present_in_production"
    map_metric = "column_values.promotion_hold"
    success_keys = ("column", "mostly")
    args_keys = ("column",)


class ExpectFeatureToFitItsContract(_OnFeatures, ColumnMapExpectation):
    """Expect the pipeline to deliver every input of the model in a type that fits."""

    column: str = "fits_contract"
    map_metric = "column_values.promotion_hold"
    success_keys = ("column", "mostly")
    args_keys = ("column",)


class ExpectGroupsToHaveAtLeastRows(_Spoken, ColumnAggregateExpectation):
    """Expect every group in a column of group names to have at least ``min_rows`` rows.

    ``groups`` names groups that must be there even where no row is in them.
    """

    min_rows: int
    groups: list[str] = pydantic.Field(default_factory=list)

    metric_dependencies = ("column.value_counts",)
    success_keys = ("min_rows", "groups")
    args_keys: ClassVar[tuple[str, ...]] = ("column", "min_rows", "groups")

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        sizes = dict.fromkeys(self.groups, 0) | {
            str(name): int(rows) for name, rows in metrics["column.value_counts"].items()
        }
        small = {name: rows for name, rows in sizes.items() if rows < self.min_rows}
        return {
            "success": bool(sizes) and not small,
            "result": {"observed_value": dict(sorted((small or sizes).items()))},
        }
