"""Production, and the record of a version: materialised by a person, never by an evaluation."""

import dagster as dg

from promotion_assets.audit.explain import explain
from promotion_assets.audit.explain_text import render
from promotion_assets.defs.metadata import Materialized, table
from promotion_assets.defs.names import Names
from promotion_assets.defs.platform import Platform, segment_of
from promotion_assets.defs.spec import asset_spec, spoken
from promotion_assets.lifecycle.events import Stage
from promotion_assets.pipeline.promoting import promote
from promotion_assets.policy.model import ModelPolicy


def production(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that moves a Staging version to Production, if everything is there."""
    key = names.key("production")

    @dg.multi_asset(
        name=names.step("production"),
        specs=[
            asset_spec(
                names,
                policy,
                "production",
                "The version in Production. Decision, shadow report, approvals and digests are "
                "read from the ledger again before it moves; what is missing is named.",
                deps=["review"],
                kinds={"mlflow"},
                partitions=names.partitions,
            )
        ],
        partitions_def=names.partitions,
    )
    def _production(context: dg.AssetExecutionContext, platform: Platform) -> Materialized:
        evaluator = platform.evaluator(names.model, segment_of(context))
        with spoken():
            stage = promote(
                evaluator,
                context.partition_key,
                Stage.PRODUCTION,
                actor=f"dagster run {context.run.run_id}",
                reason="asked for in Dagster",
            )
        state = platform.workspace.ledger.state(names.model)
        return dg.MaterializeResult(
            asset_key=key,
            metadata={
                "stage": str(stage),
                "champion": state.champions.get(evaluator.segment, "none"),
                "rolling_out": state.rolling.get(evaluator.segment, "none"),
            },
        )

    return _production


def promotion_record(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that is a version's whole story, as the ledger tells it."""
    key = names.key("promotion_record")

    @dg.multi_asset(
        name=names.step("promotion_record"),
        specs=[
            asset_spec(
                names,
                policy,
                "promotion_record",
                "Why this version was allowed to go live, or was not: checks, metrics, reviews, "
                "dataset version, champion, and everything that happened to it, entry by entry.",
                deps=["production"],
                kinds={"sqlite"},
                partitions=names.partitions,
            )
        ],
        partitions_def=names.partitions,
    )
    def _promotion_record(context: dg.AssetExecutionContext, platform: Platform) -> Materialized:
        version = context.partition_key
        with spoken():
            story = explain(platform.workspace.ledger, names.model, version)
        return dg.MaterializeResult(
            asset_key=key,
            metadata={
                "story": dg.MetadataValue.md(f"```\n{render(story)}\n```"),
                "timeline": table(
                    [
                        {
                            "at": e["at"],
                            "event": e["event"],
                            "by": e["actor"],
                            "entry": e["hash"][:12],
                        }
                        for e in story["timeline"]
                    ]
                ),
                "bundle": f"promotion audit export {names.model} {version}",
            },
        )

    return _promotion_record
