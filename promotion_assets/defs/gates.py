"""One asset a gate: it records what the gate found, and a check that says whether it passed.

The check does not block: a blocking check that fails would skip everything downstream, the
audit record too. What blocks is one check on the audit record.
"""

from collections.abc import Iterator

import dagster as dg

from promotion_assets.adapters.plots import as_markdown
from promotion_assets.defs.checks import PASSED, check_spec
from promotion_assets.defs.expectations import MEETS_EXPECTATIONS, met, unmet
from promotion_assets.defs.metadata import Materialized, check_metadata, gate_metadata
from promotion_assets.defs.names import Names, gate_asset
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.spec import asset_spec, spoken
from promotion_assets.errors import PromotionError
from promotion_assets.gates.contract import Gate, GateSettings
from promotion_assets.pipeline.pictures import pictures_of
from promotion_assets.pipeline.profile_expectations import ON_FEATURES, profile_expectations
from promotion_assets.policy.model import ModelPolicy


def gate_definition(
    names: Names, policy: ModelPolicy, gate: Gate, settings: GateSettings
) -> dg.AssetsDefinition:
    """Return the asset of one gate of a model."""
    asset = gate_asset(gate.name)
    key = names.key(asset)
    role = "" if settings.required else " It only informs and never decides."

    severity = dg.AssetCheckSeverity.ERROR if settings.required else dg.AssetCheckSeverity.WARN

    @dg.multi_asset(
        name=names.step(asset),
        specs=[
            asset_spec(
                names,
                policy,
                asset,
                gate.question + role,
                deps=_reads(gate),
                kinds={"python"},
                partitions=names.partitions,
            )
        ],
        check_specs=[
            check_spec(PASSED, key, gate.question, partitions=names.partitions),
            *([_expectations_spec(names, key)] if gate.name in ON_FEATURES else []),
        ],
        partitions_def=names.partitions,
    )
    def _gate(
        context: dg.AssetExecutionContext, platform: Platform
    ) -> Iterator[Materialized | dg.AssetCheckResult]:
        evaluator = platform.evaluator(names.model)
        with spoken(), platform.traced():
            result = evaluator.judge(context.partition_key, gate.name)
            drawn = pictures_of(result, evaluator.evidence(context.partition_key))
        pictures = {name: as_markdown(p.png, p.description) for name, p in drawn.items()}
        yield dg.MaterializeResult(asset_key=key, metadata=gate_metadata(result, pictures))
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=PASSED,
            passed=result.lets_through,
            severity=severity,
            description=result.reason,
            metadata=check_metadata(result),
        )
        if gate.name in ON_FEATURES:
            try:
                yield met(
                    key, *profile_expectations(evaluator, context.partition_key, result), severity
                )
            except PromotionError as error:
                yield unmet(key, error, severity)

    return _gate


def _expectations_spec(names: Names, key: dg.AssetKey) -> dg.AssetCheckSpec:
    return check_spec(
        MEETS_EXPECTATIONS,
        key,
        "A Great Expectations suite on the table of features that the gate measured.",
        partitions=names.partitions,
    )


def _reads(gate: Gate) -> list[str]:
    deps = ["candidate"]
    if gate.before_loading:
        return deps
    if "production" in gate.reads:
        deps.append("production_profile")
    if "scores" in gate.reads:
        deps += ["evaluation_dataset", "candidate_scores", "champion_scores"]
    return deps
