"""From a policy to Dagster definitions: the same assets for every model that it names."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from promotion_assets.defs.candidate import candidate, scores
from promotion_assets.defs.challenger import challenger_report
from promotion_assets.defs.champions import champion, champion_again
from promotion_assets.defs.decision import audit_record, decision, staging
from promotion_assets.defs.gates import gate_definition
from promotion_assets.defs.inputs import evaluation_dataset, production_profile
from promotion_assets.defs.mirror import registry_mirror
from promotion_assets.defs.names import Names
from promotion_assets.defs.notifications import notifications, notifications_sensor
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.production import production, promotion_record
from promotion_assets.defs.review import review, reviews_sensor
from promotion_assets.defs.rollout import rollout, rollout_job, rollouts_sensor
from promotion_assets.defs.sensors import changed_inputs, new_versions
from promotion_assets.defs.shadow import shadow_job, shadow_report, shadows_sensor
from promotion_assets.gates.catalogue import settings_for
from promotion_assets.policy.model import ModelPolicy, Policy


def model_assets(names: Names, policy: ModelPolicy) -> list[dg.AssetsDefinition]:
    """Return all assets of one model, in the order in which a version goes through them."""
    gates = settings_for(policy)
    early = tuple(name for name, (gate, _) in gates.items() if gate.before_loading)
    return [
        evaluation_dataset(names, policy),
        production_profile(names, policy),
        candidate(names, policy),
        *(gate_definition(names, policy, gate, settings) for gate, settings in gates.values()),
        scores(names, policy, early),
        decision(names, policy),
        audit_record(names, policy),
        staging(names, policy),
    ]


def evaluation_job(names: Names, assets: list[dg.AssetsDefinition]) -> Any:
    """Return the job that evaluates one version.

    One process runs its steps: a candidate is isolated by us in a child of its own, and a
    process a step costs seconds each. Another executor is a matter of configuration.
    """
    return dg.define_asset_job(
        names.job,
        selection=dg.AssetSelection.assets(*(key for asset in assets for key in asset.keys)),
        executor_def=dg.in_process_executor,
        description=f"Evaluates one version of {names.model}: from the registry to the ledger.",
        tags={"promotion/job": "evaluate"},
    )


def promotion_job(names: Names, assets: list[dg.AssetsDefinition]) -> Any:
    """Return the job that a person runs to move a Staging version to Production."""
    return dg.define_asset_job(
        f"promote_{names.slug}",
        selection=dg.AssetSelection.assets(*(key for asset in assets for key in asset.keys)),
        executor_def=dg.in_process_executor,
        description=f"Moves a version of {names.model} to Production, if everything is there.",
    )


def reading_job(names: Names) -> Any:
    """Return the job that reads the evaluation dataset's source, and nothing else."""
    return dg.define_asset_job(
        f"read_dataset_{names.slug}",
        selection=dg.AssetSelection.assets(names.key("evaluation_dataset")),
        executor_def=dg.in_process_executor,
        description=f"Reads the evaluation dataset of {names.model} anew.",
    )


def reconcile_job(mirrors: list[dg.AssetsDefinition]) -> Any:
    """Return the job that compares registry and champions with the ledger, for every model."""
    return dg.define_asset_job(
        "reconcile",
        selection=dg.AssetSelection.assets(*(key for asset in mirrors for key in asset.keys)),
        executor_def=dg.in_process_executor,
        description="Compares MLflow with the ledger and finishes what stopped half way.",
    )


def reconcile_sensor(job: Any, every_seconds: int = 600) -> dg.SensorDefinition:
    """Return the sensor that runs ``job`` when the daemon starts and regularly from then on."""

    @dg.sensor(
        name="reconcile_regularly",
        job=job,
        minimum_interval_seconds=every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Has MLflow compared with the ledger, on start and every ten minutes.",
    )
    def _reconcile_regularly() -> dg.RunRequest:
        return dg.RunRequest(tags={"promotion/reason": "regular reconciliation"})

    return _reconcile_regularly


def promotion_definitions(
    policy: Policy,
    *,
    config: Path | None = None,
    home: Path | None = None,
    look_seconds: float | None = None,
) -> dg.Definitions:
    """Return assets, checks, jobs and the sensor for every model of ``policy``.

    Args:
        config, home: where policy and state are; as the environment says where not given.
        look_seconds: how often the registry is looked at where no webhook hints at anything;
            as the policy says where not given.
    """
    poll = policy.schedule.poll_seconds if look_seconds is None else look_seconds
    taken: set[str] = set()
    names = [Names.of(model, taken) for model in policy.models]
    by_model = {n: model_assets(n, policy.models[n.model]) for n in names}
    jobs = {n.model: evaluation_job(n, assets) for n, assets in by_model.items()}
    live = {
        n: [
            review(n, policy.models[n.model]),
            production(n, policy.models[n.model]),
            promotion_record(n, policy.models[n.model]),
        ]
        for n in names
    }
    promoting = {n.model: promotion_job(n, assets) for n, assets in live.items()}
    shadows = {n: [shadow_report(n, policy.models[n.model])] for n in names}
    shadowing = {n.model: shadow_job(n, assets) for n, assets in shadows.items()}
    rollouts = {
        n: [rollout(n, policy.models[n.model]), challenger_report(n, policy.models[n.model])]
        for n in names
    }
    rolling = {n.model: rollout_job(n, assets) for n, assets in rollouts.items()}
    mirrors = [registry_mirror(n, policy.models[n.model]) for n in names]
    champions = [champion(n, policy.models[n.model]) for n in names]
    reading = {n.model: reading_job(n) for n in names}
    reconciling = reconcile_job([*mirrors, *champions])
    return dg.Definitions(
        assets=_with_code_references(
            [
                *(a for assets in by_model.values() for a in assets),
                *(a for assets in shadows.values() for a in assets),
                *(a for assets in live.values() for a in assets),
                *(a for assets in rollouts.values() for a in assets),
                *mirrors,
                *champions,
                notifications(names[0].group if len(names) == 1 else "platform"),
            ]
        ),
        jobs=[
            *jobs.values(),
            *promoting.values(),
            *shadowing.values(),
            *rolling.values(),
            *reading.values(),
            reconciling,
        ],
        sensors=[
            new_versions(names, jobs, look_seconds=poll),
            changed_inputs(names, jobs, reading, interval_seconds=policy.schedule.inputs_seconds),
            reviews_sensor(names, promoting),
            shadows_sensor(names, shadowing),
            rollouts_sensor(
                names,
                rolling,
                interval_seconds=min(p.rollout.tick_seconds for p in policy.models.values()),
            ),
            reconcile_sensor(reconciling),
            notifications_sensor(),
        ],
        schedules=[champion_again(n, jobs[n.model], policy.schedule) for n in names],
        resources={
            "platform": Platform(config=str(config or ""), home=str(home or "")),
        },
    )


def _with_code_references(assets: list[dg.AssetsDefinition]) -> Sequence[Any]:
    with warnings.catch_warnings():
        # Code references are called beta, once for every asset.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.with_source_code_references(assets)
