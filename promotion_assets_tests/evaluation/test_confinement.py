"""The last step before untrusted code, taken in a process that coverage can look into."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from promotion_assets.evaluation.isolation import readable_paths
from promotion_assets_tests.evaluation.logged import usable

ROOT = Path(__file__).parents[2]
MODULE = [sys.executable, "-m", "promotion_assets.evaluation.confinement"]
NAMESPACES = ["--user", "--map-root-user", "--mount", "--net", "--ipc", "--uts", "--pid", "--fork"]
SEES = """
import json, os, resource
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16) * (os.geteuid() == 0),
    "no_new_privileges": status["NoNewPrivs"].strip(),
    "descriptors": sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1],
    "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "cpu": resource.getrlimit(resource.RLIMIT_CPU),
    "processes": [int(n) for n in os.listdir("/proc") if n.isdigit()],
    "passwords": os.path.exists("/etc/passwd"),
}))
"""

# Takes what coverage has measured out of the namespace, by a folder that was opened outside of it.
SAVE = """
import glob, os, shutil
for path in glob.glob("/tmp/data.*"):
    flags = os.O_WRONLY | os.O_CREAT
    with open(path, "rb") as file, open(
        os.path.basename(path), "wb", opener=lambda name, _: os.open(name, flags, dir_fd={folder})
    ) as target:
        shutil.copyfileobj(file, target)
"""


def on_host(command: list[str], *before: str, **changes: Any) -> subprocess.CompletedProcess[str]:
    """Carry out a plan on the host, with ``command`` at its end."""
    plan = {
        "stage": "host",
        "parent": os.getpid(),
        "reply_descriptor": 2,
        "limits": {},
        "drop_privileges": False,
        "command": command,
        **changes,
    }
    return subprocess.run(
        [*before, *MODULE, json.dumps(plan)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def inside(code: str, **changes: Any) -> subprocess.CompletedProcess[str]:
    """Carry out a plan in namespaces of its own, with Python code at its end."""
    usable("unshare")
    environment = dict(os.environ)
    measured = environment.pop("COVERAGE_PROCESS_CONFIG", None) is not None
    data = Path(environment["COVERAGE_FILE"]).parent if measured else ROOT
    kept = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    if measured:
        environment["COVERAGE_PROCESS_START"] = str(ROOT / "pyproject.toml")
        environment["COVERAGE_FILE"] = "/tmp/data"
        code = SAVE.format(folder=kept) + code
    plan = {
        "stage": "inside",
        "mounts": readable_paths((ROOT / "pyproject.toml",)),
        "tmp_bytes": 2**22,
        "drop_privileges": True,
        "command": [sys.executable, "-I", "-c", code],
        **changes,
    }
    try:
        return subprocess.run(
            ["unshare", *NAMESPACES, "--kill-child", *MODULE, json.dumps(plan)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            pass_fds=[kept],
        )
    finally:
        os.close(kept)


def test_whose_parent_is_gone_runs_nothing() -> None:
    """A child that nobody would end any more does not begin."""
    ran = on_host([sys.executable, "-c", "print('ran')"], parent=1)
    assert (ran.returncode, ran.stdout) == (1, "")


def test_limits_are_set_and_never_raised() -> None:
    """A second plan within the first gets what the first allows; CPU time ends with a warning."""
    within = {
        "stage": "host",
        "parent": 0,
        "reply_descriptor": 2,
        "limits": {"RLIMIT_NOFILE": 4096, "RLIMIT_CPU": 500},
        "drop_privileges": False,
        "command": [sys.executable, "-I", "-c", SEES],
    }
    starting = f"""
import json, os, subprocess, sys
plan = {{**json.loads({json.dumps(json.dumps(within))}), "parent": os.getpid()}}
sys.exit(subprocess.run([*{MODULE!r}, json.dumps(plan)]).returncode)
"""
    limits = {"RLIMIT_NOFILE": 100, "RLIMIT_CPU": 300}
    ran = on_host([sys.executable, "-c", starting], limits=limits)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert seen["files"] == [100, 100]
    assert seen["cpu"][0] <= 305


@pytest.mark.parametrize(
    "before", [(), ("sh", "-c", 'exec "$0" "$@" 3>&1')], ids=["moved", "there"]
)
def test_only_the_reply_descriptor_is_handed_over(before: tuple[str, ...]) -> None:
    """What the platform has open besides it, another version's pipe for one, is closed."""
    opened = os.open(ROOT / "pyproject.toml", os.O_RDONLY)
    try:
        os.set_inheritable(opened, True)
        ran = on_host(
            [sys.executable, "-I", "-c", SEES], *before, reply_descriptor=3 if before else 2
        )
    finally:
        os.close(opened)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["descriptors"] == [0, 1, 2, 3]


def test_privileges_are_given_up_for_good() -> None:
    """No capability is left, and no program can give one back."""
    ran = on_host([sys.executable, "-I", "-c", SEES], drop_privileges=True)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert (seen["capabilities"], seen["no_new_privileges"]) == (0, "1")


def test_inside_there_is_nothing_but_what_is_named() -> None:
    """A root that cannot be written, a tmp of one's own, no other process, no capability."""
    ran = inside(SEES)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert (seen["capabilities"], seen["no_new_privileges"]) == (0, "1")
    assert len(seen["processes"]) == 2
    assert not seen["passwords"]
    read = inside(f"print(open({str(ROOT / 'pyproject.toml')!r}).readline())")
    assert "[build-system]" in read.stdout
    assert "FileNotFoundError" in inside(f"open({str(ROOT / 'README.md')!r})").stderr


def test_inside_nothing_but_a_tmp_of_its_own_can_be_written(tmp_path: Path) -> None:
    """What lies in the host's tmp is neither seen nor reached, and what is given is read only."""
    given = tmp_path / "features"
    given.write_text("as they were")
    own = f"/tmp/planted-{tmp_path.name}"
    written = inside(
        f"open({own!r}, 'w').write('x'); import os; print(os.listdir('/tmp'))",
        mounts=readable_paths((given,)),
    )
    assert Path(own).name in written.stdout, written.stderr
    assert not Path(own).exists()
    for place in (given, "/planted", "/usr/planted"):
        refused = inside(f"open({str(place)!r}, 'w')", mounts=readable_paths((given,)))
        assert "Read-only file system" in refused.stderr, place
    assert given.read_text() == "as they were"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", 128 + signal.SIGKILL),
        ("import os, time\nif os.fork() == 0: os._exit(7)\ntime.sleep(0.3)\nos._exit(0)", 0),
        (
            "import os, time\n"
            "if os.fork() == 0:\n    if os.fork() == 0: os._exit(7)\n    os._exit(0)\n"
            "os.wait(); time.sleep(0.3); os._exit(5)",
            5,
        ),
    ],
    ids=["exit", "signal", "a child before it", "an orphan before it"],
)
def test_how_the_worker_ends_is_told_to_the_outside(code: str, status: int) -> None:
    """By its own exit code or signal, whatever else ends in the namespace meanwhile."""
    assert inside(code).returncode == status


def test_where_the_root_cannot_be_built_nothing_runs() -> None:
    """A mount that fails ends the child before the command, with the mount's name."""
    ran = inside("print('ran')", tmp_bytes=-1)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "mount /tmp/tmp" in ran.stderr
