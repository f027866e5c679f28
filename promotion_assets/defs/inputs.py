"""Assets that all versions of a model share: the evaluation dataset and the production sample."""

from collections.abc import Iterator, Sequence

import dagster as dg

from promotion_assets.defs.checks import check_spec
from promotion_assets.defs.expectations import MEETS_EXPECTATIONS, met, unmet
from promotion_assets.defs.metadata import Materialized, Metadata, as_text, table
from promotion_assets.defs.names import Names
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.spec import asset_spec, failure, spoken
from promotion_assets.errors import PromotionError, Unreachable
from promotion_assets.evaluation.contract import Column
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.pipeline.dataset_expectations import dataset_expectations
from promotion_assets.policy.model import ModelPolicy


def evaluation_dataset(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that holds the evaluation dataset version."""
    key = names.key("evaluation_dataset")

    @dg.multi_asset(
        name=names.step("evaluation_dataset"),
        specs=[
            asset_spec(
                names,
                policy,
                "evaluation_dataset",
                f"Labelled rows of {policy.dataset.uri}, kept once for every content. "
                "Its data version is the digest of every byte of its columns.",
                kinds={"parquet", "greatexpectations"},
            )
        ],
        check_specs=[
            check_spec(
                MEETS_EXPECTATIONS,
                key,
                "A Great Expectations suite on schema, nulls, label, and group sizes.",
            )
        ],
    )
    def _evaluation_dataset(
        platform: Platform,
    ) -> Iterator[Materialized | dg.AssetCheckResult]:
        evaluator = platform.evaluator(names.model)
        try:
            with platform.traced():
                dataset = evaluator.inputs.take_dataset()
        except Unreachable as error:
            raise failure(error) from None
        except PromotionError as error:
            # Later steps are told by the pointer; candidates get a recorded rejection.
            yield _unusable(key, error)
            yield unmet(key, error)
            return
        yield dg.MaterializeResult(
            asset_key=key,
            data_version=dg.DataVersion(dataset.digest),
            metadata=_dataset_metadata(dataset),
        )
        yield met(key, *dataset_expectations(evaluator, dataset))

    return _evaluation_dataset


def _unusable(key: dg.AssetKey, error: PromotionError) -> Materialized:
    return dg.MaterializeResult(
        asset_key=key,
        data_version=dg.DataVersion("cannot be judged on"),
        metadata={
            "problem": dg.MetadataValue.md(f"**NOT USABLE** {as_text(error.problem)}"),
            "next": error.next_step,
        },
    )


def production_profile(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that holds what production sends now."""
    key = names.key("production_profile")
    where = policy.production.uri if policy.production else "nowhere: the policy names no source"

    @dg.multi_asset(
        name=names.step("production_profile"),
        specs=[
            asset_spec(
                names,
                policy,
                "production_profile",
                f"What production sends now ({where}): columns, types, and distribution. "
                "The contract of the feature pipeline is read from it.",
                kinds={"parquet"},
            )
        ],
    )
    def _production_profile(platform: Platform) -> Materialized:
        evaluator = platform.evaluator(names.model)
        if policy.production is None:
            return dg.MaterializeResult(
                asset_key=key,
                metadata={"note": "The policy names no production source; a drift gate fails."},
            )
        with spoken():
            sample = evaluator.inputs.take_production()
            profile = sample.profile()
        return dg.MaterializeResult(
            asset_key=key,
            data_version=dg.DataVersion(sample.digest),
            metadata={
                "rows": profile.rows,
                "columns": dg.MetadataValue.table_schema(_schema(sample.columns)),
                "digest": sample.digest,
                "sample": dg.MetadataValue.path(str(sample.path)),
            },
        )

    return _production_profile


def _dataset_metadata(dataset: EvaluationDataset) -> Metadata:
    summary = dataset.summary
    groups = [
        {
            "attribute": attribute,
            "group": group,
            "rows": size,
            "positives": summary.group_positives.get(attribute, {}).get(group, ""),
            "share": f"{size / summary.rows:.1%}",
        }
        for attribute, sizes in summary.group_sizes.items()
        for group, size in sorted(sizes.items())
    ]
    shown: Metadata = {
        "rows": summary.rows,
        "digest": summary.digest,
        "source": summary.uri,
        "columns": dg.MetadataValue.table_schema(_schema(summary.columns)),
        "snapshot": dg.MetadataValue.path(str(dataset.path)),
    }
    if summary.label_rate is not None:
        shown["label_rate"] = summary.label_rate
    if groups:
        shown["groups"] = table(groups)
    if summary.time_range:
        shown["time_range"] = f"{summary.time_range[0]} … {summary.time_range[1]}"
    if summary.problems:
        shown["problems"] = dg.MetadataValue.md(
            "\n".join(f"- {as_text(p)}" for p in summary.problems)
        )
    return shown


def _schema(columns: Sequence[Column]) -> dg.TableSchema:
    return dg.TableSchema(
        [
            dg.TableColumn(
                c.name, c.type, constraints=dg.TableColumnConstraints(nullable=not c.required)
            )
            for c in columns
        ]
    )
