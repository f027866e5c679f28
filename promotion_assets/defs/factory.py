"""From a policy to Dagster definitions: the same assets for every model that it names."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from promotion_assets.defs.candidate import candidate, scores
from promotion_assets.defs.challenger import challenger_report
from promotion_assets.defs.champions import champion, champion_again
from promotion_assets.defs.decision import audit_record, decision, staging
from promotion_assets.defs.gates import gate_definition
from promotion_assets.defs.inputs import evaluation_dataset, production_profile
from promotion_assets.defs.jobs import job_of
from promotion_assets.defs.mirror import reconcile_sensor, registry_mirror
from promotion_assets.defs.names import Names
from promotion_assets.defs.notifications import notifications, notifications_sensor
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.production import production, promotion_record
from promotion_assets.defs.review import review, reviews_sensor
from promotion_assets.defs.rollout import rollout, rollouts_sensor
from promotion_assets.defs.sensors import changed_inputs, new_versions
from promotion_assets.defs.shadow import shadow_report, shadows_sensor
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


@dataclass(frozen=True)
class ModelParts:
    """The assets of one model by the job that materialises them, and those jobs."""

    names: Names
    evaluated: list[dg.AssetsDefinition]
    shadowed: list[dg.AssetsDefinition]
    promoted: list[dg.AssetsDefinition]
    rolled_out: list[dg.AssetsDefinition]
    watched: list[dg.AssetsDefinition]

    @classmethod
    def of(cls, names: Names, policy: ModelPolicy) -> ModelParts:
        """Build every asset of one model."""
        return cls(
            names,
            evaluated=model_assets(names, policy),
            shadowed=[shadow_report(names, policy)],
            promoted=[
                review(names, policy),
                production(names, policy),
                promotion_record(names, policy),
            ],
            rolled_out=[rollout(names, policy), challenger_report(names, policy)],
            watched=[registry_mirror(names, policy), champion(names, policy)],
        )

    def assets(self) -> list[dg.AssetsDefinition]:
        """Return all of them, in the order in which a version goes through them."""
        return [
            *self.evaluated,
            *self.shadowed,
            *self.promoted,
            *self.rolled_out,
            *self.watched,
        ]

    @cached_property
    def jobs(self) -> Mapping[str, Any]:
        """The model's jobs, by what they do."""
        model, slug = self.names.model, self.names.slug
        return {
            "evaluate": job_of(
                self.names.job,
                self.evaluated,
                f"Evaluates one version of {model}: from the registry to the ledger.",
                {"promotion/job": "evaluate"},
            ),
            "promote": job_of(
                f"promote_{slug}",
                self.promoted,
                f"Moves a version of {model} to Production, if everything is there.",
            ),
            "shadow": job_of(
                f"shadow_{slug}",
                self.shadowed,
                f"Reports how a shadow of {model} answers beside the champion.",
            ),
            "rollout": job_of(
                f"rollout_{slug}",
                self.rolled_out,
                f"Shows how traffic moves to a version of {model}.",
            ),
            "read": job_of(
                f"read_dataset_{slug}",
                self.evaluated[:1],
                f"Reads the evaluation dataset of {model} anew.",
            ),
        }


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
    taken: set[str] = set()
    names = [Names.of(model, taken) for model in policy.models]
    parts = [ModelParts.of(n, policy.models[n.model]) for n in names]
    outbox = notifications(names[0].group if len(names) == 1 else "platform")
    reconciling = job_of(
        "reconcile",
        [asset for part in parts for asset in part.watched],
        "Compares MLflow with the ledger and finishes what stopped half way.",
    )
    evaluating = {p.names.model: p.jobs["evaluate"] for p in parts}
    return dg.Definitions(
        assets=_with_code_references([*(a for p in parts for a in p.assets()), outbox]),
        jobs=[*(job for p in parts for job in p.jobs.values()), reconciling],
        sensors=[
            *_sensors(policy, parts, look_seconds),
            reconcile_sensor(reconciling),
            notifications_sensor(),
        ],
        schedules=[champion_again(n, evaluating[n.model], policy.schedule) for n in names],
        resources={
            "platform": Platform(config=str(config or ""), home=str(home or "")),
        },
    )


def _sensors(
    policy: Policy, parts: Sequence[ModelParts], look_seconds: float | None
) -> list[dg.SensorDefinition]:
    """Return the sensors that go over all models."""
    names = [part.names for part in parts]

    def _jobs(what: str) -> dict[str, Any]:
        return {part.names.model: part.jobs[what] for part in parts}

    schedule = policy.schedule
    poll = schedule.poll_seconds if look_seconds is None else look_seconds
    tick = min(p.rollout.tick_seconds for p in policy.models.values())
    return [
        new_versions(names, _jobs("evaluate"), look_seconds=poll),
        changed_inputs(
            names, _jobs("evaluate"), _jobs("read"), interval_seconds=schedule.inputs_seconds
        ),
        reviews_sensor(names, _jobs("promote")),
        shadows_sensor(names, _jobs("shadow")),
        rollouts_sensor(names, _jobs("rollout"), interval_seconds=tick),
    ]


def _with_code_references(assets: list[dg.AssetsDefinition]) -> Sequence[Any]:
    with warnings.catch_warnings():
        # Code references are called beta, once for every asset.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.with_source_code_references(assets)
