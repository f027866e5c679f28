"""What `deploy/` holds: valid for what reads it, and confined as it says."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner
from dagster._core.instance.config import dagster_instance_config
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import construct_dagster_k8s_job
from kubernetes.client import ApiClient

from promotion_assets.cli.root import root
from promotion_assets.pipeline.listening import Listener
from promotion_assets_tests.deploy.kube_schema import problems
from promotion_assets_tests.notification.worlds import World, serving

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = sorted(
    path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "dagster.yaml"
)
HOMES = ("postgres", "celery", "kubernetes")
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: none
contexts: [{name: none, context: {cluster: none, user: none}}]
clusters: [{name: none, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: none, user: {token: none}}]
"""


def manifests() -> Iterator[dict[str, Any]]:
    """Every manifest of every file."""
    for path in KUBERNETES:
        yield from yaml.safe_load_all(path.read_text())


def deployments() -> dict[str, dict[str, Any]]:
    """The pods of all deployments, by name."""
    return {
        found["metadata"]["name"]: found["spec"]["template"]["spec"]
        for found in manifests()
        if found["kind"] == "Deployment"
    }


def confined(pod: Mapping[str, Any]) -> list[str]:
    """Return what keeps a pod from being as confined as the strictest standard asks."""
    found: list[str] = []
    own = pod.get("securityContext", {})
    if own.get("runAsNonRoot") is not True or not own.get("runAsUser"):
        found.append("it may run as root")
    if own.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        found.append("no seccomp profile")
    for container in pod["containers"]:
        context = container.get("securityContext", {})
        if context.get("readOnlyRootFilesystem") is not True:
            found.append("its root file system may be written")
        if context.get("allowPrivilegeEscalation") is not False:
            found.append("it may gain privileges")
        if context.get("capabilities", {}).get("drop") != ["ALL"]:
            found.append("it keeps capabilities")
        limits = container.get("resources", {}).get("limits", {})
        found += [f"no limit of {name}" for name in ("cpu", "memory") if name not in limits]
        if not pinned(container["image"]):
            found.append(f"image {container['image']} is not pinned")
    return found


def pinned(image: str) -> bool:
    """Whether an image names a version, by number or digest."""
    tag = image.rpartition("/")[2].partition(":")[2]
    return "@sha256:" in image or bool(re.match(r"\d+\.\d+", tag))


def test_manifests_are_of_the_apis_types() -> None:
    """Every key exists, every needed one is there, and every value has its type."""
    assert {found["kind"] for found in manifests()} >= {"Deployment", "Service", "NetworkPolicy"}
    for found in manifests():
        assert problems(found) == [], found["metadata"]["name"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"replica": 2}, "no such key"),
        ({"replicas": "2"}, "int is due"),
        ({"selector": None}, "selector"),
        ({"template": []}, "an object is due"),
    ],
)
def test_a_wrong_manifest_is_found(change: dict[str, Any], said: str) -> None:
    """The check can fail: a misspelt key, a wrong type, something missing."""
    found = next(found for found in manifests() if found["kind"] == "Deployment")
    spec = {**found["spec"], **change}
    wrong = {**found, "spec": {key: value for key, value in spec.items() if value is not None}}
    assert any(said in problem for problem in problems(wrong)), problems(wrong)


def test_every_part_has_its_manifest_and_each_is_confined_and_probed() -> None:
    """Not root, nothing to write to but volumes, limits, and probes that begin patiently."""
    assert set(deployments()) == {
        "promotion-webserver",
        "promotion-daemon",
        "promotion-review",
        "promotion-server",
        "promotion-webhooks",
    }
    for name, pod in deployments().items():
        assert confined(pod) == [], name
        for container in pod["containers"]:
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), name
            mounted = {m["mountPath"] for m in container["volumeMounts"]}
            assert "/tmp" in mounted, name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"securityContext": {}}, "root"),
        ({"image": "x/y:latest"}, "not pinned"),
        ({"image": "x/y"}, "not pinned"),
        ({"resources": {"limits": {"cpu": 1}}}, "no limit of memory"),
    ],
)
def test_a_pod_that_is_not_confined_is_found(change: dict[str, Any], said: str) -> None:
    """The check can fail, too."""
    pod = deployments()["promotion-server"]
    container = {**pod["containers"][0], **change}
    wrong = {**pod, **change, "containers": [container]}
    assert any(said in problem for problem in confined(wrong))


def test_commands_that_manifests_start_exist() -> None:
    """What a part is started with is a command of this release, with these options."""
    commands = [
        container["args"] for pod in deployments().values() for container in pod["containers"]
    ]
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    commands += [str(s["command"]).split() for s in services.values() if "command" in s]
    ours = [command for command in commands if command[0] == "promotion"]
    assert len(ours) == 6
    for command in ours:
        words = [word for word in command[1:] if not word.startswith(("-", "$"))]
        depth = 2 if words[0] in ("review", "webhook") else 1
        helped = CliRunner().invoke(root, [*words[:depth], "--help"])
        assert helped.exit_code == 0, command
        for option in (word for word in command if word.startswith("--")):
            assert option in helped.output, (command, option)


@pytest.mark.parametrize("home", HOMES)
def test_an_instance_is_configured_as_dagster_understands(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every key of dagster.yaml is one of Dagster's, and so are those of what it loads."""
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", "postgresql+psycopg2://u@127.0.0.1:9/d")
    monkeypatch.setenv("PROMOTION_CELERY_BROKER", "memory://")
    monkeypatch.setenv("PROMOTION_CELERY_BACKEND", "cache+memory://")
    config, _ = dagster_instance_config(str(DEPLOY / home))
    assert config["run_monitoring"]["enabled"] is True
    ref = dg._core.instance.ref.InstanceRef.from_dir(str(DEPLOY / home))
    assert ref.storage_data is not None
    assert ref.run_launcher_data is not None
    if home == "celery":
        launcher = ref.run_launcher
        assert launcher.celery.conf.task_track_started is True
        assert launcher.broker == "memory://"


def test_a_run_is_a_confined_job(tmp_path: Path) -> None:
    """The Job that Dagster's launcher makes of the configuration is valid and as confined."""
    raw = yaml.safe_load((DEPLOY / "kubernetes" / "dagster.yaml").read_text())
    config = raw["run_launcher"]["config"]
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    values = {
        **config,
        "load_incluster_config": False,
        "kubeconfig_file": str(tmp_path / "kubeconfig"),
    }
    checked = dg._config.process_config(K8sRunLauncher.config_type(), values)
    assert checked.success, checked.errors
    launcher = K8sRunLauncher.from_config_value(None, checked.value)
    run = dg.DagsterRun(job_name="evaluate_credit_risk", run_id="0" * 32)
    context = launcher.get_container_context_for_run(run)
    job = construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config(config["job_image"], launcher),
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run-0",
        pod_name="dagster-run-0",
        component="run_worker",
        user_defined_k8s_config=context.run_k8s_config,
    )
    made = ApiClient().sanitize_for_serialization(job)
    assert problems(made) == []
    pod = made["spec"]["template"]["spec"]
    assert confined(pod) == []
    assert pod["serviceAccountName"] == "promotion-runs"
    assert pod["automountServiceAccountToken"] is False
    mounted = {m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    assert {"/var/promotion", "/etc/promotion/promotion.yaml", "/tmp"} <= mounted


def test_compose_services_are_confined_and_probed() -> None:
    """On one machine, too: not root, read-only, bounded, pinned, healthy before others start."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for name, service in compose["services"].items():
        user, group = service["user"].split(":")
        assert int(user) > 0 < int(group), name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert {"mem_limit", "cpus", "healthcheck"} <= set(service), name
        assert pinned(service["image"]), name
        for port in service.get("ports", []):
            assert str(port).startswith("127.0.0.1:"), f"{name} listens to the whole network"
        for other in service.get("depends_on", {}):
            assert other in compose["services"], name
        for volume in service.get("volumes", []):
            source = str(volume).split(":")[0]
            known = source in compose["volumes"] or source == "./promotion.yaml"
            assert known or (DEPLOY / source).exists(), f"{name} mounts {source}"


def test_probes_and_ports_are_those_of_the_command(tmp_path: Path) -> None:
    """The webhooks' receiver answers where the manifest and compose ask: live, then ready."""
    (container,) = deployments()["promotion-webhooks"]["containers"]
    port = container["ports"][0]["containerPort"]
    assert container["args"][-2:] == ["--port", str(port)]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["webhooks"]
    asked = [container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("liveness", "readiness")]
    checked = re.search(r"http://localhost:(\d+)(/[\w/]+)", compose["healthcheck"]["test"][-1])
    assert checked is not None
    assert f"--port {checked[1]}" in compose["command"]
    assert compose["ports"] == [f"127.0.0.1:{checked[1]}:{checked[1]}"]
    world = World(tmp_path / "world")
    world.workspace().ledger.close()
    with serving(Listener(world.notifier())) as url:
        for path in (*asked, checked[2]):
            assert urllib.request.urlopen(f"{url}{path}", timeout=30).status == 200


def test_every_database_that_compose_uses_is_made() -> None:
    """PostgreSQL makes at its first start what the services connect to."""
    text = (DEPLOY / "compose.yaml").read_text()
    used = set(re.findall(r"@postgres/(\w+)", text))
    made = set(
        re.findall(r"CREATE DATABASE (\w+);", (DEPLOY / "postgres/databases.sql").read_text())
    )
    assert used == made


def dockerfile() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, lines joined."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined: list[tuple[str, str]] = []
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        joined.append((word, rest.strip()))
    return joined


def test_the_image_is_pinned_lean_and_not_roots() -> None:
    """What hadolint would say: pinned bases, lists removed, no ADD, a user by number, a probe."""
    found = dockerfile()
    for _, image in (line for line in found if line[0] == "FROM"):
        assert pinned(image.split()[0]), image
    words = [word for word, _ in found]
    assert "ADD" not in words
    last = max(at for at, word in enumerate(words) if word == "FROM")
    users = [rest for word, rest in found[last:] if word == "USER"]
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    assert words.count("HEALTHCHECK") == words.count("CMD") == 1
    for _, rest in (line for line in found if line[0] == "RUN"):
        if "apt-get install" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists/*" in rest
        assert "sudo" not in rest
        assert "curl" not in rest
    for word, rest in found:
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (DEPLOY.parent / source).exists(), source
        if word in ("CMD", "ENTRYPOINT"):
            assert rest.startswith("["), "a shell would not hand signals on"
