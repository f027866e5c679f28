"""What of a version travels to another registry, under which name, and what may not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from promotion_assets.adapters.copy_process import target_environment
from promotion_assets.errors import IntegrityError, Refusal
from promotion_assets.lifecycle.copy_identity import Identity, identity_of, rewritten
from promotion_assets.lifecycle.copy_identity import same_but_for_identity as same
from promotion_assets.lifecycle.copy_values import (
    COPY_TAG,
    DatasetUse,
    Held,
    MetricPoint,
    ModelRecord,
    RunRecord,
    SourceVersion,
    carried_tags,
    copy_id,
    cut_params,
    differences,
    without_credentials,
)
from promotion_assets.lifecycle.copying import check_copyable
from promotion_assets.lifecycle.events import AnyEvent, DigestLatched, ReviewDecided, VersionCopied
from promotion_assets.lifecycle.fold import fold
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL, digest, evaluated

HERE = Identity(model_id="m-1", run_id="r1", artifact_path="mlflow-artifacts:/1/m-1")
THERE = Identity(model_id="m-2", run_id="r2", artifact_path="mlflow-artifacts:/7/m-2")
MLMODEL = b"""artifact_path: mlflow-artifacts:/1/m-1
flavors:
  python_function:
    loader_module: mlflow.sklearn
model_id: m-1
model_uuid: m-1
run_id: r1
utc_time_created: '2026-03-01 09:00:00.123456'
"""


def source(**changes: Any) -> SourceVersion:
    """A version with something of everything."""
    values: dict[str, Any] = {
        "model": MODEL,
        "version": "3",
        "created_at": datetime(2026, 3, 1, tzinfo=UTC),
        "run": RunRecord(
            params={"C": "1.0"},
            tags={"team": "risk"},
            metrics=(
                MetricPoint(key="auc", value=0.8, timestamp=1, step=0, of_model=True),
                MetricPoint(key="nan", value=float("nan"), timestamp=1, step=0),
            ),
            datasets=(DatasetUse(name="d", digest="1", source_type="local", source="{}"),),
        ),
        "logged": ModelRecord(params={"depth": "3"}, tags={"kind": "tree"}),
        "later": {"r9": (MetricPoint(key="brier", value=0.1, timestamp=2, step=0, of_model=True),)},
        **changes,
    }
    return SourceVersion(**values)


@pytest.mark.parametrize(
    ("uri", "bare"),
    [
        (
            "https://ana:hunter2@mlflow.example.org:8443/base/",
            "https://mlflow.example.org:8443/base",
        ),
        ("https://t0ken@mlflow.example.org?key=hunter2#x", "https://mlflow.example.org"),
        ("postgresql://ana:p@ss@db/mlflow", "postgresql://db/mlflow"),
        ("https://ana:hunt/er2@mlflow.example.org/base", "https://mlflow.example.org/base"),
        ("https://ana:hunt?er2@mlflow.example.org", "https://mlflow.example.org"),
        ("https://ana:hunt#er2@mlflow.example.org", "https://mlflow.example.org"),
        ("sqlite:////srv/at@home/mlflow.db", "sqlite:////srv/at@home/mlflow.db"),
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_addresses_are_recorded_without_credentials(uri: str, bare: str) -> None:
    """User, password, query and fragment go; what names the registry stays."""
    assert without_credentials(uri) == bare


def test_a_copy_has_one_name_wherever_it_is_asked_for_again() -> None:
    """The same version to the same place has it; each thing that differs gives another."""
    one = copy_id(source(), "a" * 64, ("http://a", "http://b"), "m")
    assert one == copy_id(source(description="x"), "a" * 64, ("http://a", "http://b"), "m")
    reborn = source(created_at=datetime(2026, 3, 2, tzinfo=UTC))
    others = {
        copy_id(reborn, "a" * 64, ("http://a", "http://b"), "m"),
        copy_id(source(), "b" * 64, ("http://a", "http://b"), "m"),
        copy_id(source(), "a" * 64, ("http://a", "http://c"), "m"),
        copy_id(source(), "a" * 64, ("http://a", "http://b"), "n"),
    }
    assert len(others | {one}) == 5


def test_an_mlmodel_says_where_it_belongs_and_is_else_the_same() -> None:
    """Model, run and path are rewritten; the UUID of the original and all else stay."""
    new = rewritten(MLMODEL, THERE)
    assert identity_of(new) == THERE
    assert b"model_uuid: m-1" in new
    assert same(MLMODEL, new)
    assert rewritten(new, HERE) == MLMODEL


@pytest.mark.parametrize(
    "change",
    [
        (b"mlflow.sklearn", b"evil"),
        (b"model_uuid: m-1", b"model_uuid: m-1\ncode: code"),
        (b"'2026-03-01 09:00:00.123456'", b"2026-03-01 09:00:00.123456"),
    ],
)
def test_any_other_word_of_an_mlmodel_counts(change: tuple[bytes, bytes]) -> None:
    """A loader, a new key, or another type of the same text is not the same."""
    assert not same(MLMODEL, rewritten(MLMODEL, THERE).replace(*change))


@pytest.mark.parametrize("broken", [b"- a list", b"a: [", b"\xff\xfe", b""])
def test_an_mlmodel_that_is_none_is_refused(broken: bytes) -> None:
    """What is no mapping in YAML is an integrity error, not a traceback."""
    with pytest.raises(IntegrityError, match="MLmodel"):
        rewritten(broken, THERE)


def test_tags_of_a_place_do_not_travel() -> None:
    """Stages and copies are of one registry; a team's own tags and the gates' results travel."""
    tags = {
        "ticket": "R-1",
        "gate.accuracy.passed": "true",
        "promotion.stage": "Production",
        "promotion.stage.eu": "Staging",
        "promoted_to_version": "4",
        "source_run_id": "r0",
        COPY_TAG: "x",
    }
    assert carried_tags(tags) == {"ticket": "R-1", "gate.accuracy.passed": "true"}


def test_parameters_that_mlflow_has_cut_are_named() -> None:
    """A value as long as the limit has probably lost its end."""
    assert cut_params({"a": "x" * 6000, "b": "x" * 5999}) == ("a",)


def held(**changes: Any) -> Held:
    """What a target holds of :func:`source`, but for some changes of its run."""
    whole = source()
    run = whole.run.model_copy(update=changes)
    return Held(run=run, logged=whole.logged, later=whole.later)


def test_a_target_that_holds_everything_lacks_nothing() -> None:
    """NaN is the same as NaN, and what the target has besides does not matter."""
    assert differences(source(), held()) == ()
    assert differences(source(), held(tags={"team": "risk", "more": "yes"})) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"params": {"C": "1"}}, "parameter 'C' is '1' and not '1.0'"),
        ({"params": {}}, "parameter 'C' is absent"),
        ({"tags": {}}, "tag of the run, 'team' is absent"),
        ({"metrics": ()}, "metric 'auc' at step 0 of the run is absent"),
        ({"datasets": ()}, "dataset input 'd'"),
        (
            {"metrics": (MetricPoint(key="auc", value=0.81, timestamp=1, step=0, of_model=True),)},
            "metric 'auc' at step 0 of the run is 0.81",
        ),
        (
            {"metrics": (MetricPoint(key="auc", value=0.8, timestamp=1, step=0),)},
            "metric 'auc' at step 0 is not one of the model's",
        ),
    ],
)
def test_whatever_a_target_lacks_is_named(changes: dict[str, Any], said: str) -> None:
    """Each kind of record is compared, value by value."""
    assert any(said in found for found in differences(source(), held(**changes)))


def test_values_of_the_model_and_of_later_runs_are_compared_too() -> None:
    """Parameters of the logged model, and evaluations that other runs have logged for it."""
    bare = Held(run=source().run, logged=ModelRecord())
    found = " ".join(differences(source(), bare))
    for said in ("parameter of the model, 'depth'", "tag of the model, 'kind'", "of the run r9"):
        assert said in found


def events(clock: Clock, **changes: Any) -> list[AnyEvent]:
    """An evaluation of version 3."""
    return [evaluated("3", clock, **changes)]


def test_only_an_approved_decision_on_these_bytes_lets_a_version_go(clock: Clock) -> None:
    """Everything else is refused with what is wrong: fail closed."""
    approved = fold(MODEL, events(clock))
    assert check_copyable(approved, "3", digest("3"), "copy it").verdict == "approved"
    rejected = events(clock, verdict="rejected", deciding_gates=("fairness",), reason="gap")
    latch = DigestLatched(model=MODEL, version="3", digest=digest("3"), reason="wrong prices")
    review = ReviewDecided(
        model=MODEL,
        version="3",
        actor="cy",
        verdict="rejected",
        reviewed_at=clock(),
        evidence={},
        comment="not now",
    )
    cases: list[tuple[list[AnyEvent], str, str]] = [
        ([], digest("3"), "no decision"),
        (rejected, digest("3"), "rejected by fairness"),
        ([*events(clock), *rejected], digest("3"), "rejected by fairness"),
        (events(clock), digest("4"), "the artifact judged was"),
        (events(clock), "", "unreadable"),
        ([*events(clock), latch], digest("3"), "wrong prices"),
        ([*events(clock), review], digest("3"), "cy has rejected it"),
    ]
    for history, found, said in cases:
        with pytest.raises(Refusal, match=said):
            check_copyable(fold(MODEL, history), "3", found, "copy it")


def test_no_ledger_holds_a_copy_of_what_was_not_approved(clock: Clock) -> None:
    """The fold refuses the event, whoever writes it."""
    copied = VersionCopied(
        model=MODEL,
        version="3",
        source_registry="http://a",
        target_registry="http://b",
        target_model="m",
        target_version="1",
        target_run_id="r",
        model_digest=digest("3"),
        target_digest="1" * 64,
        content_digest="2" * 64,
        decision_digest="3" * 64,
        attestation_digest="4" * 64,
    )
    assert fold(MODEL, [*events(clock), copied]).copies == {"3": (copied,)}
    for history in ([], events(clock, verdict="rejected"), events(clock, model_digest="f" * 64)):
        with pytest.raises(IntegrityError, match="without an approved decision"):
            fold(MODEL, [*history, copied])


def test_the_targets_process_hears_nothing_of_the_source() -> None:
    """Its environment names the target alone, with the target's credentials and no key."""
    environ = {
        "PATH": "/bin",
        "MLFLOW_TRACKING_URI": "http://source",
        "MLFLOW_TRACKING_TOKEN": "of the source",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "PROMOTION_SIGNING_KEY": "secret",
        "PROMOTION_TARGET_MLFLOW_TRACKING_USERNAME": "ana",
    }
    given = target_environment(environ, "http://target")
    assert not {"http://source", "of the source", "secret"} & set(given.values())
    assert given["MLFLOW_TRACKING_URI"] == given["MLFLOW_REGISTRY_URI"] == "http://target"
    assert given["MLFLOW_TRACKING_USERNAME"] == "ana"
    assert given["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert given["PATH"] == "/bin"
