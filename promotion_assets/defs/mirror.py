"""The registry as the ledger's mirror: an asset whose check fails when somebody moved something."""

from collections.abc import Iterator

import dagster as dg

from promotion_assets.defs.checks import check_spec
from promotion_assets.defs.metadata import Materialized, as_text, table
from promotion_assets.defs.names import Names
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.spec import asset_spec, spoken
from promotion_assets.pipeline.reconciling import reconcile_model, sentences
from promotion_assets.policy.model import ModelPolicy

SHOWS_THE_LEDGER = "shows_what_the_ledger_says"


def registry_mirror(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that compares the registry with the ledger."""
    key = names.key("registry_mirror")

    @dg.multi_asset(
        name=names.step("registry_mirror"),
        specs=[
            asset_spec(
                names,
                policy,
                "registry_mirror",
                "Aliases, tags, stages and artifacts in MLflow, compared with the ledger. What "
                "stopped half way is finished; what somebody moved past the platform is recorded "
                f"and {'put back' if policy.on_bypass == 'revert' else 'reported'}.",
                deps=["staging"],
                kinds={"mlflow"},
            )
        ],
        check_specs=[
            check_spec(
                SHOWS_THE_LEDGER,
                key,
                "Nobody moved a stage, alias or tag in MLflow, or changed an artifact, by hand.",
            )
        ],
    )
    def _registry_mirror(platform: Platform) -> Iterator[Materialized | dg.AssetCheckResult]:
        with spoken():
            found = reconcile_model(platform.workspace, names.model)
            state = platform.workspace.ledger.state(names.model)
        said = sentences(found)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "result": dg.MetadataValue.md("\n".join(f"- {as_text(s)}" for s in said)),
                "versions": table(
                    [
                        {"version": v, "stage": str(state.stage_anywhere(v))}
                        for v in state.versions()
                    ]
                ),
                "champion": ", ".join(f"{s}: {v}" for s, v in state.champions.items()) or "none",
            },
        )
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=SHOWS_THE_LEDGER,
            passed=found.agrees,
            description="; ".join(said),
        )

    return _registry_mirror
