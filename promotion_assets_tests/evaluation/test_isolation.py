"""What a child in the sandbox can reach: nothing that is ours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from promotion_assets.evaluation import isolation as isolating
from promotion_assets.evaluation.isolation import Isolation, clean_environment, detect_isolation
from promotion_assets.evaluation.sandbox import (
    ChildFailure,
)
from promotion_assets_tests.evaluation.children import (
    ALL,
    NAMESPACES,
    ask,
    eventually,
    processes_with,
    running,
)
from promotion_assets_tests.evaluation.logged import usable


def test_the_strongest_isolation_that_works_is_taken() -> None:
    """Detection tries, and prefers bubblewrap to unshare to limits."""
    first = next((i for i in NAMESPACES if isolating.works(i)), "limits")
    detect_isolation.cache_clear()
    assert detect_isolation() == first


def test_a_missing_tool_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither tool is installed, limits are what remains."""
    monkeypatch.setenv("PATH", "/nonexistent")
    detect_isolation.cache_clear()
    try:
        assert detect_isolation() == "limits"
    finally:
        detect_isolation.cache_clear()


@pytest.mark.parametrize("isolation", ALL)
def test_no_secret_of_the_environment_is_inherited(
    isolation: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child sees the variables that we name, with the policy's threads, and no other."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    monkeypatch.setenv("PYTHONPATH", "/planted")
    seen = ask(
        """
        parent = f"/proc/{os.getppid()}/environ"
        try:
            inherited = open(parent).read()
        except OSError:
            inherited = ""
        say(own=dict(os.environ), parent=inherited)
        """,
        isolation,
        threads=3,
    )
    allowed = {*clean_environment("", 1), "PWD", "LC_CTYPE"}
    assert set(seen["own"]) <= allowed
    assert seen["own"]["OMP_NUM_THREADS"] == "3"
    if isolation != "limits":
        assert "planted" not in seen["parent"]


@pytest.mark.parametrize("isolation", ALL)
def test_no_open_file_is_inherited(isolation: Isolation, tmp_path: Path) -> None:
    """The child holds its pipes and its log, even where the parent's files are inheritable."""
    secret = os.open(tmp_path / "secret", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(secret, True)
    try:
        seen = ask('say(open=sorted(map(int, os.listdir("/proc/self/fd"))))', isolation)
    finally:
        os.close(secret)
    # The last one is the directory that is being listed.
    assert seen["open"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("isolation", NAMESPACES)
def test_there_is_no_network(isolation: Isolation) -> None:
    """Neither the host's loopback nor an abstract Unix socket of the host can be reached."""
    name = f"\0promotion-{os.getpid()}-{isolation}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(name)
        unix.listen()
        code = f"""
        import socket
        tried = []
        for family, address in (
            (socket.AF_INET, ("127.0.0.1", {server.getsockname()[1]})), (socket.AF_UNIX, {name!r})
        ):
            try:
                socket.socket(family).connect(address)
                tried.append("connected")
            except OSError as error:
                tried.append(type(error).__name__)
        say(tried=tried)
        """
        seen = ask(code, isolation)
        for listener in (server, unix):
            listener.settimeout(0)
            with pytest.raises(BlockingIOError):
                listener.accept()
    assert len(seen["tried"]) == 2
    assert "connected" not in seen["tried"]


@pytest.mark.parametrize("isolation", NAMESPACES)
def test_only_the_artifact_can_be_read_and_only_tmp_written(
    isolation: Isolation, tmp_path: Path
) -> None:
    """The artifact is read-only, its neighbours do not exist, tmp is private and limited."""
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    (artifact / "weights").write_text("weights")
    (tmp_path / "signing.key").write_text("secret")
    code = f"""
    def attempt(action):
        try:
            return action() or "done"
        except OSError as error:
            return type(error).__name__
    def write(path):
        return lambda: open(path, "w").write("x") and None
    say(
        weights=open({str(artifact / "weights")!r}).read(),
        change=attempt(write({str(artifact / "weights")!r})),
        add=attempt(write({str(artifact / "new")!r})),
        chmod=attempt(lambda: os.chmod({str(artifact / "weights")!r}, 0o777)),
        key=attempt(lambda: open({str(tmp_path / "signing.key")!r}).read()),
        usr=attempt(write("/usr/planted")),
        etc=sorted(os.listdir("/etc")),
        shadow=attempt(lambda: open("/etc/shadow").read()),
        work=attempt(write({str(Path.cwd() / "planted")!r})),
        tmp=attempt(write("/tmp/promotion-planted")),
        shm=attempt(write("/dev/shm/promotion-planted")),
        fill=attempt(lambda: [open(f"/tmp/{{n}}", "wb").write(bytes(8 << 20)) for n in range(16)]),
    )
    """
    seen = ask(code, isolation, readable=(artifact,), output_bytes=16 * 1024**2)
    assert seen["weights"] == "weights"
    # A checkout below /tmp is in the private tmp: what is written there is seen by nobody.
    below_tmp = Path.cwd().is_relative_to("/tmp")
    refusals = ("change", "add", "chmod", "key", "usr", "shadow", "fill")
    for refused in refusals if below_tmp else (*refusals, "work"):
        assert seen[refused] in {"OSError", "FileNotFoundError", "PermissionError"}, refused
    assert (seen["tmp"], seen["shm"]) == ("done", "done")
    assert (artifact / "weights").read_text() == "weights"
    assert sorted(p.name for p in artifact.iterdir()) == ["weights"]
    assert not Path("planted").exists()
    assert not Path("/tmp/promotion-planted").exists()
    assert not Path("/dev/shm/promotion-planted").exists()


@pytest.mark.parametrize("isolation", NAMESPACES)
def test_other_processes_are_out_of_sight(isolation: Isolation) -> None:
    """The child cannot name, and so not signal or read, any process of the host."""
    seen = ask('say(all=[int(p) for p in os.listdir("/proc") if p.isdigit()])', isolation)
    assert len(seen["all"]) <= 3
    assert os.getpid() not in seen["all"]


@pytest.mark.parametrize("isolation", ALL)
def test_there_is_no_privilege_to_gain(isolation: Isolation) -> None:
    """The child has no capability, even started by root, and no way to new ones."""
    code = """
    import ctypes
    status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
    CLONE_NEWUSER = 0x10000000
    refused = ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) != 0
    say(effective=int(status["CapEff"], 16), permitted=int(status["CapPrm"], 16),
        no_new=status["NoNewPrivs"].strip(), namespaces_refused=refused)
    """
    seen = ask(code, isolation)
    assert (seen["effective"], seen["permitted"], seen["no_new"]) == (0, 0, "1")
    assert seen["namespaces_refused"] or isolation == "limits"


@pytest.mark.parametrize("isolation", ALL)
def test_a_grandchild_in_its_own_session_neither_hangs_us_nor_survives(
    isolation: Isolation, tmp_path: Path
) -> None:
    """A process that was started to outlive the child ends with it, pipe and log held open."""
    mark = f"promotion-grandchild-{isolation}-{os.getpid()}"
    trace = tmp_path / "trace"
    trace.mkdir(mode=0o777)
    code = f"""
    import subprocess
    script = "import time; time.sleep(3600)  # {mark}"
    subprocess.Popen([sys.executable, "-c", script], start_new_session=True, pass_fds=[3])
    say(op="started")
    import time; time.sleep(3600)
    """
    with running(code, isolation) as child:
        child.receive(time.monotonic() + 30)
        # The outer processes carry the mark too, in the code that they were given.
        assert eventually(lambda: len(processes_with(f"3600)  # {mark}")) >= 2)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert eventually(lambda: processes_with(mark) == [])


@pytest.mark.parametrize("isolation", NAMESPACES)
def test_a_daemon_ends_with_the_worker_that_left_it_behind(isolation: Isolation) -> None:
    """Even a process that was forked twice is gone once the worker has ended by itself."""
    mark = f"promotion-daemon-{isolation}-{os.getpid()}"
    code = f"""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            sleep = "import time; time.sleep(3600)"
            os.execv(sys.executable, [sys.executable, "-c", sleep, "{mark}"])
        os._exit(0)
    os.wait()
    say(op="started")
    """
    with running(code, isolation) as child:
        child.receive(time.monotonic() + 30)
        with pytest.raises(ChildFailure):
            child.receive(time.monotonic() + 30)
        assert eventually(lambda: processes_with(mark) == [])


@pytest.mark.parametrize("isolation", ALL)
def test_the_child_dies_with_us(isolation: Isolation) -> None:
    """Killed without a chance to clean up, we leave no child behind."""
    mark = f"promotion-orphan-{isolation}-{os.getpid()}"
    usable(isolation)
    parent = f"""
import sys, time
from promotion_assets.evaluation.sandbox import SandboxedProcess
from promotion_assets.policy.model import Sandbox
code = "import os, time; os.write(3, bytes(12)); time.sleep(3600)  # {mark}"
child = SandboxedProcess(["-c", code], limits=Sandbox(), isolation={isolation!r})
try:
    child.receive(time.monotonic() + 30)
finally:
    print("up", flush=True)
    time.sleep(3600)
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert len(processes_with(mark)) >= 2
        process.send_signal(signal.SIGKILL)
    assert eventually(lambda: processes_with(mark) == [])


def test_it_works_for_a_user_who_is_not_root() -> None:
    """A plain user, without any capability, gets the same sandbox."""
    usable("bubblewrap")
    code = """
import os, time
from promotion_assets.evaluation.isolation import detect_isolation
from promotion_assets.evaluation.sandbox import SandboxedProcess
from promotion_assets.policy.model import Sandbox
say = "import os, json; b = json.dumps({'uid': os.getuid()}).encode();"
say += "os.write(3, len(b).to_bytes(4, 'little') + bytes(8) + b)"
isolation = detect_isolation()
child = SandboxedProcess(["-c", say], limits=Sandbox(), isolation=isolation)
seen = child.receive(time.monotonic() + 30)
child.stop()
print(os.getuid(), isolation, seen.header["uid"])
"""
    user = ["bwrap", "--dev-bind", "/", "/", "--unshare-user", "--uid", "1234", "--gid", "1234"]
    ran = subprocess.run(
        [*user, "--cap-drop", "ALL", "--", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout.split()[:2] == ["1234", "bubblewrap"], ran.stderr
