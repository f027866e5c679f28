"""Traces by OTLP: what is in them, whose they are, and that they are never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from opentelemetry import trace

from promotion_assets.adapters import otlp, tracing
from promotion_assets.adapters.tracing import run_ended, span, start_tracing, within_run
from promotion_assets.decision.decide import Decision
from promotion_assets.defs.instance import evaluate_version, open_instance
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.collectors import (
    ENDPOINT,
    Collector,
    Here,
    collecting,
    collector,
    here,
)
from promotion_assets_tests.small_models import (
    MODEL,
    log_both,
    register,
    write_dataset,
    write_policy,
)

PLANTED = "planted-secret-of-tests"
__all__ = ["collecting", "here"]


@dataclass(frozen=True)
class Home:
    """A platform with one version of a model."""

    folder: Path

    def environment(self) -> dict[str, str]:
        """What the platform is told here."""
        return {
            "PROMOTION_CONFIG": str(self.folder / "promotion.yaml"),
            "PROMOTION_HOME": str(self.folder / "home"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db",
            "OMP_NUM_THREADS": "1",
        }

    def evaluate(self, version: str, monkeypatch: pytest.MonkeyPatch) -> Evaluated:
        """Evaluate a version as the command does, in this process."""
        for name, value in self.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        workspace = Workspace.open()
        with open_instance(workspace) as instance:
            decision = evaluate_version(workspace, MODEL, version, instance)
            partition = dg.RunsFilter(tags={"dagster/partition": version})
            return Evaluated(decision, next(iter(instance.get_runs(partition))))


@dataclass(frozen=True)
class Evaluated:
    """A decision, and the run that made it."""

    decision: Decision
    run: dg.DagsterRun


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose registry is a file."""
    folder = tmp_path_factory.mktemp("traced")
    write_policy(folder, staging="true")
    write_dataset(folder)
    uri = f"sqlite:///{folder}/mlflow.db"
    register(uri, log_both(uri, folder / "artifacts")[0])
    return Home(folder)


def test_an_evaluation_is_one_trace(
    home: Home, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is under the evaluation, with model, version, gate and outcome; no secret is."""
    monkeypatch.setenv("HOOK_KEY", PLANTED)
    done = home.evaluate("1", monkeypatch)
    every = here.spans()
    (whole,) = (each for each in every if each.name == "evaluation")
    assert done.run.tags["promotion/trace"] == whole.trace
    assert (whole["model"], whole["version"], whole["verdict"]) == (MODEL, "1", "approved")
    assert whole["run"] == done.run.run_id
    spans = {each.name: each for each in every if each.trace == whole.trace}
    steps = ["candidate", "dataset", "gate artifact", "scoring", "gate accuracy", "decision"]
    for name in (*steps, "audit record", "promotion"):
        assert spans[name].parent == whole.id, name
        assert spans[name].began >= whole.began, name
    assert whole.ended >= spans["audit record"].ended
    accuracy = spans["gate accuracy"]
    assert (accuracy["gate"], accuracy["outcome"]) == ("accuracy", "passed")
    assert accuracy["observed"] > accuracy["limit"]
    assert accuracy["sample_size"] == spans["dataset"]["rows"] == 400
    assert spans["decision"]["verdict"] == "approved"
    assert not any(each.failed for each in spans.values())
    record, promotion = spans["audit record"], spans["promotion"]
    appends = [s for s in every if s.name == "ledger append" and s.parent == record.id]
    assert "EVALUATION_FINISHED" in appends[0]["kinds"]
    assert (promotion["to"], promotion["stage"]) == ("Staging", "Staging")
    within = [each for each in every if each.parent == promotion.id]
    changes = [each["kinds"] for each in within if each.name == "ledger append"]
    assert "INTENT" in changes[0]
    assert "MODEL_PROMOTION" in changes[1]
    assert any(each.name == "registry mirror" for each in within)
    assert PLANTED.encode() not in b"".join(here.collector.bodies)


def test_a_collector_that_hangs_delays_no_span(here: Here) -> None:
    """More spans than wait for it are lost, and whoever makes them does not notice."""
    here.collector.hangs = True
    for number in range(3000):
        with span("step", model="m") as made:
            made.note(number=number)
    assert here.collector.bodies == []


ENDING = """
import os
from promotion_assets.adapters.tracing import span, start_tracing
start_tracing(os.environ)
with span("last", model="m"):
    print("done")
"""


IN_RUN = """
import os
from promotion_assets.adapters.tracing import span, start_tracing, within_run
start_tracing(os.environ)
with within_run("a run"), span("in another process"):
    pass
"""


def ended(program: str = ENDING, **more: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Run a process that makes one span and ends; return how long it took."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=kept | more,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return time.monotonic() - began, ran


def test_a_process_sends_its_last_spans_when_it_ends(collecting: Collector) -> None:
    """Nobody waits for the next batch, and nothing is lost; the address may be the traces' own."""
    _, ran = ended(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collecting.url}/v1/traces")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
    assert [each.name for each in collecting.spans] == ["last"]
    assert collecting.resource["service.name"] == "promotion-assets"
    assert collecting.resource["telemetry.sdk.name"] == "opentelemetry"
    ended(OTEL_SERVICE_NAME="another", **{ENDPOINT: collecting.url})
    assert collecting.resource["service.name"] == "another"


@pytest.mark.parametrize("kind", ["nobody listens", "hangs", "refuses"])
def test_a_collector_that_does_not_take_spans_costs_little(kind: str) -> None:
    """Two seconds at most, at the very end, and one sentence; the exit code is the command's."""
    with collector() as found:
        found.hangs, found.status = kind == "hangs", 503
        url = "http://127.0.0.1:9" if kind == "nobody listens" else found.url
        took, ran = ended(**{ENDPOINT: url})
    assert (ran.returncode, ran.stdout) == (0, "done\n")
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) <= 1
    calm, _ = ended()
    assert took - calm < otlp.END_SECONDS + 8


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "otlp"},
        {ENDPOINT: "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {ENDPOINT: "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
        {ENDPOINT: "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_nothing_is_traced_unless_a_collector_is_named(
    environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off by default, and by OpenTelemetry's own switches."""
    monkeypatch.setattr(tracing, "_looked", False)
    monkeypatch.setattr(tracing, "_tracing", None)
    start_tracing(environ)
    assert tracing.request_tracer(MODEL) is None
    with span("anything", model="m") as made:
        made.note(outcome="passed")
    assert made.traceparent == ""
    assert run_ended("run", "evaluation", None) == ""


def test_without_the_extra_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A collector is named, the exporter is not installed, and everything else goes on."""
    monkeypatch.setattr(tracing, "_looked", False)
    monkeypatch.setattr(tracing, "_tracing", None)
    monkeypatch.setitem(sys.modules, "promotion_assets.adapters.otlp", None)
    for _ in range(2):
        start_tracing({ENDPOINT: "http://127.0.0.1:9"})
    assert [r.getMessage() for r in caplog.records] == [
        "no traces: install the extra promotion-assets[otel]"
    ]
    with span("anything") as made:
        assert made.traceparent == ""


def test_mlflows_provider_and_the_global_one_stay_as_they_are(here: Here) -> None:
    """Spans of the platform are none of MLflow's, nor of the program's around it."""
    before = trace.get_tracer_provider()
    with span("ours"):
        assert not trace.get_current_span().get_span_context().is_valid
    assert trace.get_tracer_provider() is before
    theirs = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))
    with trace.use_span(theirs), span("ours, too"):
        pass
    assert [each.parent for each in here.spans()] == ["", ""]


def test_an_error_is_told_by_its_kind_alone(here: Here) -> None:
    """A message may hold values of rows, and those go into no trace."""

    def _fail() -> None:
        with span("outer"), span("inner"):
            raise ValueError(PLANTED)

    with pytest.raises(ValueError, match=PLANTED):
        _fail()
    outer, inner = here.spans()
    assert outer.failed
    assert inner.failed
    assert inner.attributes["error.type"] == "ValueError"
    assert (inner.trace, inner.parent) == (outer.trace, outer.id)
    assert PLANTED.encode() not in b"".join(here.collector.bodies)


def test_processes_of_one_run_share_a_trace(here: Here) -> None:
    """What belongs together follows from the run's id; other runs have traces of their own."""
    with within_run("a run"), span("in this process"):
        pass
    _, ran = ended(IN_RUN, **{ENDPOINT: here.collector.url})
    assert ran.stderr == ""
    _make("another run")
    told = run_ended("a run", "evaluation", time.time() - 60, model="m")
    first, *_ = every = here.spans()
    assert (first.name, first.trace) == ("evaluation", told)
    assert first.ended - first.began > 59e9
    assert [each.parent == first.id for each in every] == [False, True, True, False]
    assert len({each.trace for each in every}) == 2


def test_a_run_is_sampled_as_a_whole(
    collecting: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share of the runs, by the standard's names, and each with all of its spans or none."""
    monkeypatch.setenv(ENDPOINT, collecting.url)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.3")
    made = otlp.open_tracing(os.environ)
    monkeypatch.setattr(tracing, "_tracing", made)
    for number in range(200):
        _make(f"run {number}")
        run_ended(f"run {number}", "evaluation", None)
    made.processor.shutdown()
    per_trace = [
        sum(each.trace == other.trace for other in collecting.spans)
        for each in collecting.named("evaluation")
    ]
    assert set(per_trace) == {2}
    assert 30 <= len(per_trace) <= 90


def _make(run: str) -> None:
    with within_run(run), span("step"):
        pass
