"""Broken and hostile candidates, logged by real MLflow: each ends in a failure that says why."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from promotion_assets.evaluation.answers import Question
from promotion_assets.evaluation.isolation import Isolation, detect_isolation
from promotion_assets.evaluation.probing import ProbingPlan, probe
from promotion_assets.evaluation.scores import Scores, ScoringFailure
from promotion_assets.evaluation.session import Session
from promotion_assets.policy.model import Sandbox
from promotion_assets_tests.evaluation.children import eventually, processes_with
from promotion_assets_tests.evaluation.logged import Logged, usable

ROWS = 8


def in_a_mood(mood: str) -> pd.DataFrame:
    """Return features that tell the moody model what to do."""
    return pd.DataFrame({"x": [float(i) for i in range(ROWS)], "mood": mood})


def ask(session: Session, features: pd.DataFrame) -> Scores | ScoringFailure:
    """Score."""
    return session.score(features, dataset_digest="d" * 64)


def failure_of(session: Session, features: pd.DataFrame) -> ScoringFailure:
    """Return the failure, which must be one that a person can read."""
    answer = ask(session, features)
    assert isinstance(answer, ScoringFailure)
    assert "Traceback" not in answer.reason
    assert "\n" not in answer.reason
    assert len(answer.output) <= 2000
    return answer


@pytest.fixture(scope="module")
def moody(logged: Logged) -> Iterator[Session]:
    """One process in which the model does whatever leaves it alive."""
    with logged.open("moody", allow_pickle=True) as session:
        yield session


@pytest.mark.parametrize(
    ("mood", "kind", "words"),
    [
        ("nan", "not_finite", "1 of 8 rows, the first is row 4"),
        ("infinity", "not_finite", "1 of 8 rows, the first is row 4"),
        ("strings", "not_numeric", "high"),
        ("none", "not_numeric", "NoneType"),
        ("labels", "not_probability", "labels (integers)"),
        ("booleans", "not_probability", "labels (booleans)"),
        ("above", "not_probability", "in row 1 for instance 1.5"),
        ("below", "not_probability", "8 of 8 rows"),
        ("short", "wrong_length", "7 values for 8 rows"),
        ("long", "wrong_length", "9 values for 8 rows"),
        ("cube", "wrong_length", "(8, 2, 2)"),
        ("wide", "wrong_length", "(8, 50)"),
        ("three", "not_probability", "3 classes"),
        ("odd_sum", "not_probability", "sum to 0.6"),
        ("raise", "exception", "RuntimeError: I would rather not"),
        ("library", "missing_dependency", "a_library_that_nobody_has"),
        ("memory", "out_of_memory", ""),
    ],
)
def test_an_answer_that_is_no_answer(moody: Session, mood: str, kind: str, words: str) -> None:
    """Each useless answer has its kind and a reason with the values seen; the next can be asked."""
    failure = failure_of(moody, in_a_mood(mood))
    assert (failure.kind, words in failure.reason) == (kind, True), failure.reason


@pytest.mark.parametrize(
    ("mood", "expected"),
    [("", 0.5), ("objects", 0.5), ("list", 0.5), ("two", 0.3), ("table", 0.3), ("mean", None)],
)
def test_an_answer_in_an_unusual_form(moody: Session, mood: str, expected: float | None) -> None:
    """Lists, objects, two columns and tables are understood; one above one is not."""
    answer = ask(moody, in_a_mood(mood))
    if expected is None:
        assert isinstance(answer, ScoringFailure)
        assert answer.kind == "not_probability"
    else:
        assert isinstance(answer, Scores), answer
        assert answer.values.tolist() == pytest.approx([expected] * ROWS)


def test_an_integer_is_an_answer_to_a_regression(moody: Session) -> None:
    """What is no probability may be a value."""
    original = moody.question
    try:
        moody.question = Question("regression")
        answer = ask(moody, in_a_mood("labels"))
        failure = failure_of(moody, in_a_mood("two"))
    finally:
        moody.question = original
    assert isinstance(answer, Scores)
    assert answer.values.tolist() == [0, 1] * 4
    assert failure.kind == "wrong_length"


def test_the_time_for_probes_begins_when_the_model_is_loaded(logged: Logged) -> None:
    """Loading takes longer than this budget, and takes nothing of it."""
    began = time.monotonic()
    with logged.open("moody", allow_pickle=True) as session:
        assert session.load() is None
        loading = time.monotonic() - began
    with logged.open("moody", allow_pickle=True) as session:
        found = probe(session, in_a_mood("fine"), ProbingPlan(rows=2, budget_seconds=loading / 2))
    assert isinstance(found, tuple), found
    assert found[0].values is not None, found[0].failure


FATAL = {
    "hang": ("timeout", "in time"),
    "sys_exit": ("crash", "exit code 3"),
    "os_exit": ("crash", "exit code 0"),
    "killed": ("crash", "SIGKILL"),
    "many_objects": ("out_of_memory", ""),
    "print": ("output_limit", ""),
}


@pytest.fixture(scope="module")
def doomed(logged: Logged) -> Iterator[dict[str, Session]]:
    """A process for each way to end one, all starting at once."""
    limits = Sandbox(wall_seconds=60, memory_bytes=2 * 1024**3, output_bytes=4 * 1024**2)
    with ExitStack() as stack:
        yield {
            mood: stack.enter_context(logged.open("moody", allow_pickle=True, limits=limits))
            for mood in FATAL
        }


@pytest.mark.parametrize("mood", FATAL)
def test_a_model_that_ends_its_process(doomed: dict[str, Session], mood: str) -> None:
    """Hanging, leaving, crashing, eating memory and flooding the log are told apart."""
    session = doomed[mood]
    assert isinstance(ask(session, in_a_mood("")), Scores)
    if mood == "hang":
        session.limits = session.limits.model_copy(update={"wall_seconds": 0.5})
    failure = failure_of(session, in_a_mood(mood))
    kind, words = FATAL[mood]
    assert (failure.kind, words in failure.reason) == (kind, True), failure.reason
    if mood != "many_objects":
        # A model that ran out of memory may have let go of it; all the others are gone.
        again = ask(session, in_a_mood(""))
        assert isinstance(again, ScoringFailure) or mood == "print"


@pytest.fixture(scope="module")
def unloadable(
    logged: Logged, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Session]]:
    """Sessions on artifacts that cannot be loaded, all trying at once."""
    corrupt = logged.copy("sound", tmp_path_factory.mktemp("corrupt") / "artifact")
    model = corrupt / "model.skops"
    model.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    with ExitStack() as stack:
        yield {
            "needs_library": stack.enter_context(logged.open("needs_library", allow_pickle=True)),
            "fails_to_load": stack.enter_context(logged.open("fails_to_load", allow_pickle=True)),
            "corrupt": stack.enter_context(logged.open(corrupt)),
            "untrusted": stack.enter_context(logged.open("boosting")),
            "tiny": stack.enter_context(
                logged.open("sound", limits=Sandbox(memory_bytes=200 * 1024**2))
            ),
        }


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("needs_library", "missing_dependency", "a_library_that_nobody_has"),
        ("fails_to_load", "load_error", "weights are from another epoch"),
        ("corrupt", "load_error", "zip"),
        ("untrusted", "load_error", "TreePredictor"),
        ("tiny", "out_of_memory", ""),
    ],
)
def test_a_model_that_cannot_be_loaded(
    unloadable: dict[str, Session], logged: Logged, name: str, kind: str, words: str
) -> None:
    """A missing library, a broken file and a type that only the artifact trusts are told apart."""
    failure = failure_of(unloadable[name], logged.rows())
    assert (failure.kind, words in failure.reason) == (kind, True), failure


@pytest.mark.parametrize("name", ["pickled", "moody", "foreign_loader"])
def test_code_is_not_loaded_unless_the_policy_says_so(logged: Logged, name: str) -> None:
    """Without allow_pickle no process is started for a format that can carry code."""
    with logged.open(name) as session:
        failure = failure_of(session, logged.rows())
        assert session._child is None
    assert (failure.kind, failure.because_of) == ("not_loaded", "artifact")
    assert "skops" in failure.reason


@pytest.mark.parametrize("name", ["pickled", "moody", "foreign_loader"])
def test_code_is_never_loaded_without_namespaces(logged: Logged, name: str) -> None:
    """With limits alone even a policy that allows pickle gets a refusal, not a load."""
    with logged.open(name, allow_pickle=True, isolation="limits") as session:
        failure = failure_of(session, logged.rows())
        assert session._child is None
    assert failure.kind == "no_isolation"
    assert "bubblewrap" in failure.reason


def test_a_policy_can_require_namespaces(logged: Logged) -> None:
    """Where they are required and missing, even a safe format is not loaded."""
    limits = Sandbox(require="namespaces")
    with logged.open("sound", isolation="limits", limits=limits) as session:
        assert failure_of(session, logged.rows()).kind == "no_isolation"


def test_an_environment_that_is_not_built_is_not_ignored(logged: Logged) -> None:
    """A policy that wants the model's own libraries is not answered with the platform's."""
    with logged.open("sound", limits=Sandbox(env_manager="uv")) as session:
        failure = failure_of(session, logged.rows())
    assert failure.kind == "no_isolation"
    assert "env_manager: local" in failure.reason


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: (root / "MLmodel").unlink(), "no MLmodel"),
        (lambda root: (root / "MLmodel").write_text("{{{"), "not valid YAML"),
        (lambda root: (root / "MLmodel").write_text("flavors: 3"), "no flavors"),
    ],
)
def test_an_artifact_without_a_readable_mlmodel(
    logged: Logged, tmp_path: Path, damage: Any, words: str
) -> None:
    """A missing or corrupt MLmodel is a load error, found before anything is started."""
    root = logged.copy("sound", tmp_path / "artifact")
    damage(root)
    with logged.open(root) as session:
        failure = failure_of(session, logged.rows())
    assert (failure.kind, words in failure.reason) == ("load_error", True), failure.reason


ATTACK = """
import os, socket, subprocess, sys, time
def attempt(name, action):
    try:
        print("attempt", name, "->", action())
    except BaseException as error:
        print("attempt", name, "->", type(error).__name__)
def attack():
    attempt("marker", lambda: open({marker!r}, "w").write("owned"))
    attempt("beside", lambda: open({beside!r}, "w").write("owned"))
    attempt("secret", lambda: os.environ["PLANTED_SECRET"])
    attempt("parent", lambda: open("/proc/%d/environ" % os.getppid()).read().count("PLANTED"))
    attempt("key", lambda: open({key!r}).read())
    attempt("socket", lambda: socket.create_connection(("127.0.0.1", {port}), 2))
    attempt("home", lambda: os.listdir(os.path.expanduser("~root/.ssh")))
    script = "import time; time.sleep(1); open({late!r}, 'w'); time.sleep(3600) # {mark}"
    attempt("spawn", lambda: subprocess.Popen([sys.executable, "-c", script],
        start_new_session=True, stdin=0, stdout=1, stderr=2, close_fds=False).pid)
    sys.stdout.flush()
"""


def _malicious_pickle(logged: Logged, root: Path, attack: str) -> Path:
    """Return an artifact whose pickle runs ``attack`` when it is loaded."""
    import pickle

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return exec, (f"{attack}\nattack()\n", {})

    artifact = logged.copy("pickled", root)
    (artifact / "model.pkl").write_bytes(pickle.dumps(Payload()))
    return artifact


def _foreign_loader(logged: Logged, root: Path, attack: str) -> Path:
    """Return an artifact with a loader of its own that runs ``attack``; it holds no pickle."""
    artifact = logged.copy("foreign_loader", root)
    (artifact / "code" / "evil_payload.py").write_text(attack)
    return artifact


@pytest.mark.parametrize("isolation", ["bubblewrap", "unshare"])
@pytest.mark.parametrize("build", [_malicious_pickle, _foreign_loader])
def test_an_attack_leaves_no_trace(
    logged: Logged,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    isolation: Isolation,
    build: Any,
) -> None:
    """Code in an artifact runs in the sandbox alone: no file, secret, socket or process outside."""
    usable(isolation)
    monkeypatch.setenv("PLANTED_SECRET", "hunter2")
    mark = f"promotion-attack-{os.getpid()}-{time.monotonic_ns()}"
    (tmp_path / "signing.key").write_text("hunter3")
    with socket.create_server(("127.0.0.1", 0)) as server:
        attack = ATTACK.format(
            marker=str(tmp_path / "marker"),
            beside=str(tmp_path / "artifact" / "marker"),
            late=str(tmp_path / "late"),
            key=str(tmp_path / "signing.key"),
            port=server.getsockname()[1],
            mark=mark,
        )
        artifact = build(logged, tmp_path / "artifact", attack)
        before = logged.manifest("sound")
        files = {path.name for path in tmp_path.rglob("*")}
        with logged.open(artifact, allow_pickle=True, isolation=isolation) as session:
            failure = failure_of(session, logged.rows())
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    tried = dict(
        line.removeprefix("attempt ").split(" -> ")
        for line in failure.output.splitlines()
        if line.startswith("attempt ")
    )
    names = {"marker", "beside", "secret", "parent", "key", "socket", "home", "spawn"}
    assert set(tried) == names, failure
    assert tried["spawn"].isdigit(), "the attack must really have started a process"
    assert tried["secret"] == "KeyError"
    assert tried["parent"] in {"0", "PermissionError", "FileNotFoundError"}
    # A marker may be written, to a tmp that only looks like ours.
    for refused in ("beside", "key", "socket", "home"):
        assert tried[refused].endswith("Error"), (refused, tried[refused])
    assert "hunter" not in failure.output + failure.reason
    assert eventually(lambda: processes_with(mark) == [])
    assert {path.name for path in tmp_path.rglob("*")} == files
    assert logged.manifest("sound") == before


def test_what_an_artifact_asks_to_be_trusted_is_not(logged: Logged) -> None:
    """The types that MLmodel lists are overwritten by ours before MLflow sees the file."""
    from promotion_assets.evaluation.mlmodel import read_mlmodel
    from promotion_assets.evaluation.session import with_trusted_types

    facts = read_mlmodel(logged.artifact("boosting"))
    assert facts.skops_trusted_types != ()
    flavors = with_trusted_types(facts, ["ours.Only"])["flavors"]
    assert flavors["sklearn"]["skops_trusted_types"] == ["ours.Only"]
    assert "skops_trusted_types" not in flavors["python_function"]
    assert facts.raw["flavors"]["sklearn"]["skops_trusted_types"] != ["ours.Only"]  # type: ignore


def test_a_closed_session_answers_with_a_failure(logged: Logged) -> None:
    """Whoever asks after the end gets a reason, not an exception."""
    session = logged.open("pickled")
    session.close()
    session.close()
    assert isinstance(ask(session, logged.rows()), ScoringFailure)


def test_the_host_is_judged_once() -> None:
    """The isolation is found out by trying, and remembered."""
    detect_isolation()
    hits = detect_isolation.cache_info().hits
    detect_isolation()
    assert detect_isolation.cache_info().hits == hits + 1
