"""The definitions that a policy gives: every key, dependency, check, job and sensor by name."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import dagster as dg
import pytest

from promotion_assets.defs.factory import promotion_definitions
from promotion_assets.gates.catalogue import settings_models
from promotion_assets.policy.load import load_policy
from promotion_assets.policy.model import Policy

# What stands where in the graph; a change here is a change of what users see.
GRAPH = {
    "evaluation_dataset": set(),
    "production_profile": set(),
    "candidate": set(),
    "artifact_gate": {"candidate"},
    "schema_gate": {"candidate", "production_profile"},
    "drift_gate": {"candidate", "production_profile"},
    "candidate_scores": {"candidate", "evaluation_dataset", "artifact_gate"},
    "champion_scores": {"evaluation_dataset"},
    "accuracy_gate": {"candidate", "evaluation_dataset", "candidate_scores", "champion_scores"},
    "fairness_gate": {"candidate", "evaluation_dataset", "candidate_scores", "champion_scores"},
    "latency_gate": {"candidate", "evaluation_dataset", "candidate_scores", "champion_scores"},
    "decision": {
        "accuracy_gate",
        "fairness_gate",
        "latency_gate",
        "drift_gate",
        "schema_gate",
        "artifact_gate",
    },
    "audit_record": {"decision"},
    "staging": {"audit_record"},
    "registry_mirror": {"staging"},
    "champion": {"audit_record"},
    "shadow_report": {"staging"},
    "review": {"shadow_report"},
    "production": {"review"},
    "promotion_record": {"production"},
    "rollout": {"production"},
    "challenger_report": {"rollout"},
}
SHARED = {"evaluation_dataset", "production_profile", "registry_mirror", "champion"}
MODEL = "credit-risk"
NOTIFICATIONS = dg.AssetKey(["notifications"])


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """The demo's policy."""
    path = tmp_path_factory.mktemp("policy") / "promotion.yaml"
    path.write_bytes((files("promotion_assets.demo") / "promotion.yaml").read_bytes())
    return load_policy(path, settings=settings_models, environ=os.environ)


@pytest.fixture(scope="module")
def definitions(policy: Policy) -> dg.Definitions:
    """What Dagster is given."""
    return promotion_definitions(policy, config=Path("promotion.yaml"))


def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    """Return the model's asset specifications by the last part of their key."""
    own = [s for s in definitions.resolve_all_asset_specs() if s.key != NOTIFICATIONS]
    found = {spec.key.path[-1]: spec for spec in own}
    assert all(spec.key.path[0] == MODEL for spec in found.values())
    return found


def test_the_graph_is_the_one_in_the_documentation(definitions: dg.Definitions) -> None:
    """Lineage shows what each step reads, and nothing else."""
    graph = {
        name: {dep.asset_key.path[-1] for dep in spec.deps}
        for name, spec in specs(definitions).items()
    }
    assert graph == GRAPH


def test_versions_are_partitions_and_shared_inputs_have_none(definitions: dg.Definitions) -> None:
    """The dataset's data version shows verbatim in what depends on it only without partitions."""
    for name, spec in specs(definitions).items():
        expected = None if name in SHARED else f"{MODEL} versions"
        assert getattr(spec.partitions_def, "name", None) == expected, name


def test_every_asset_has_what_a_reader_looks_for(definitions: dg.Definitions) -> None:
    """Description, owner, kind, group and code reference are there for all assets."""
    for name, spec in specs(definitions).items():
        assert spec.description, name
        assert list(spec.owners) == ["team:credit-risk"], name
        assert spec.kinds, name
        assert spec.group_name == "credit_risk", name
        assert "dagster/code_references" in spec.metadata, name


def test_one_check_blocks_and_all_of_a_version_are_per_partition(
    definitions: dg.Definitions, policy: Policy
) -> None:
    """A gate's check never blocks, or the audit record would be skipped with it."""
    checks = {
        (spec.asset_key.path[-1], spec.name): spec
        for asset in definitions.resolve_asset_graph().assets_defs
        for spec in asset.check_specs
        if spec.asset_key != NOTIFICATIONS
    }
    gates = {(f"{gate}_gate", "passed") for gate in policy.models[MODEL].gates}
    assert set(checks) == gates | {
        ("audit_record", "all_gates_passed"),
        ("evaluation_dataset", "meets_expectations"),
        ("drift_gate", "meets_expectations"),
        ("schema_gate", "meets_expectations"),
        ("registry_mirror", "shows_what_the_ledger_says"),
        ("champion", "still_passes"),
        ("rollout", "errors"),
        ("rollout", "latency"),
        ("rollout", "decision_rate"),
        ("rollout", "sample_ratio"),
        ("rollout", "drops"),
        ("challenger_report", "recommended"),
        ("challenger_report", "shares_as_planned"),
        ("shadow_report", "passed"),
        ("shadow_report", "saw_enough"),
        ("shadow_report", "answers"),
        ("shadow_report", "decides_alike"),
        ("shadow_report", "groups_alike"),
        ("shadow_report", "scores_alike"),
        ("shadow_report", "fast_enough"),
    }
    assert [key for key, spec in checks.items() if spec.blocking] == [
        ("audit_record", "all_gates_passed")
    ]
    for (asset, _), spec in checks.items():
        assert (spec.partitions_def is None) == (asset in SHARED)


def test_the_job_holds_every_asset_and_the_sensor_starts_it(definitions: dg.Definitions) -> None:
    """One job evaluates a version; the sensor runs unless somebody stops it."""
    job = definitions.resolve_job_def("evaluate_credit_risk")
    assert {key.path[-1] for key in job.asset_layer.selected_asset_keys} == set(GRAPH) - {
        "registry_mirror",
        "champion",
        "shadow_report",
        "review",
        "production",
        "promotion_record",
        "rollout",
        "challenger_report",
    }
    assert job.executor_def.name == "in_process"
    sensor = definitions.resolve_sensor_def("new_versions")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert [target.job_name for target in sensor.targets] == ["evaluate_credit_risk"]


def test_two_models_whose_names_collide_stay_apart(policy: Policy) -> None:
    """Dagster's names allow fewer characters than MLflow's: nothing is shared by accident."""
    one = policy.models[MODEL]
    twins = Policy(
        models={"credit-risk": one, "credit.risk": one, "\u043a\u0440\u0435\u0434\u0438\u0442": one}
    )
    found = promotion_definitions(twins)
    jobs = {f"evaluate_{slug}" for slug in ("credit_risk", "credit_risk_2", "______")}
    assert {job.name for job in found.resolve_all_job_defs() if job.name in jobs} == jobs
    # The outbox is one for all models.
    assert len(list(found.resolve_all_asset_specs())) == 3 * len(GRAPH) + 1


def test_reconciliation_is_asked_for_and_looks_at_what_is_live(definitions: dg.Definitions) -> None:
    """The first tick asks for it: what stopped half way is finished, champions are looked at."""
    sensor = definitions.resolve_sensor_def("reconcile_regularly")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    with dg.instance_for_test() as instance:
        asked = sensor.evaluate_tick(dg.build_sensor_context(instance=instance))
    assert [request.job_name for request in asked.run_requests or []] in ([None], ["reconcile"])
    job = definitions.resolve_job_def("reconcile")
    assert {key.path[-1] for key in job.asset_layer.selected_asset_keys} == {
        "registry_mirror",
        "champion",
    }


def test_inputs_are_watched_and_champions_have_a_night(definitions: dg.Definitions) -> None:
    """Both run unless somebody stops them; the champions' hour is the policy's."""
    sensor = definitions.resolve_sensor_def("changed_inputs")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert {target.job_name for target in sensor.targets} == {
        "evaluate_credit_risk",
        "read_dataset_credit_risk",
    }
    job = definitions.resolve_job_def("read_dataset_credit_risk")
    assert {key.path[-1] for key in job.asset_layer.selected_asset_keys} == {"evaluation_dataset"}
    schedule = definitions.resolve_schedule_def("champion_again_credit_risk")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")
    assert schedule.job_name == "evaluate_credit_risk"
