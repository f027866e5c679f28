"""How children end, and what is said to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from promotion_assets.evaluation.frames import Frame
from promotion_assets.evaluation.isolation import Isolation, detect_isolation
from promotion_assets.evaluation.sandbox import (
    ChildFailure,
    SandboxedProcess,
    printable,
    remove_left_behind,
)
from promotion_assets.policy.model import Sandbox
from promotion_assets_tests.evaluation.children import (
    ALL,
    SAY,
    ending,
    running,
)


@pytest.mark.parametrize("isolation", ALL)
@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("sys.exit(3)", "crash", "exit code 3"),
        ("os._exit(0)", "crash", "exit code 0"),
        ("os.kill(os.getpid(), 9)", "crash", "SIGKILL"),
        ("os.kill(os.getpid(), 11)", "crash", "SIGSEGV"),
        ("os.abort()", "crash", "SIGABRT"),
        ("hoard = bytearray(1 << 33)", "out_of_memory", "more than 536,870,912 bytes"),
        ("while True: pass", "timeout", "1 s of CPU"),
        ('os.write(3, b"no frame at all, certainly")', "crash", "protocol"),
        ("os.write(3, bytes([2, 0, 0, 0] + [0] * 8) + b'[]')", "crash", "protocol"),
    ],
)
def test_each_end_of_a_child_has_its_name(
    isolation: Isolation, code: str, kind: str, words: str
) -> None:
    """Exit, signal, memory, CPU time and nonsense are told apart, in every isolation."""
    failure = ending(code, isolation, memory_bytes=512 * 1024**2, cpu_seconds=1)
    assert (failure.kind, words in failure.reason) == (kind, True), failure.reason


def test_silence_ends_at_the_deadline() -> None:
    """A child that hangs is a timeout, at the time that was given."""
    began = time.monotonic()
    failure = ending("import time; time.sleep(3600)", detect_isolation(), seconds=1.0)
    assert failure.kind == "timeout"
    assert 1.0 <= time.monotonic() - began < 8


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("print('x' * (1 << 30))", id="at once"),
        pytest.param(
            """
            while True:
                try:
                    os.write(1, b"x" * 65536)
                except OSError:
                    pass
            """,
            id="ignoring the error",
        ),
    ],
)
def test_a_flood_of_output_is_cut_off(code: str, tmp_path: Path) -> None:
    """Printing past the limit ends the child, whether or not it minds, and fills no disk."""
    failure = ending(code, detect_isolation(), output_bytes=1024**2)
    assert failure.kind == "output_limit"


@pytest.mark.parametrize("isolation", ALL)
def test_a_frame_comes_back_whole(isolation: Isolation) -> None:
    """What is sent arrives, larger than a pipe holds, and the reply is read in pieces."""
    code = """
    import time
    data = b""
    while len(data) < 12 or len(data) < 12 + sum(struct.unpack("<IQ", data[:12])):
        data += os.read(0, 65536)
    say(size=len(data))
    """
    with running(code, isolation) as child:
        frame = Frame({"op": "x"}, b"." * 300_000)
        child.send(frame, time.monotonic() + 30)
        assert child.receive(time.monotonic() + 30).header == {"size": len(frame.encode())}


def test_a_child_that_does_not_read_does_not_block_us() -> None:
    """Sending has a deadline as well."""
    with (
        running("import time; time.sleep(3600)", detect_isolation()) as child,
        pytest.raises(ChildFailure) as failure,
    ):
        child.send(Frame({}, b"." * 10_000_000), time.monotonic() + 0.5)
    assert failure.value.kind == "timeout"


def test_private_files_are_removed(tmp_path: Path) -> None:
    """Nothing of a sandbox remains on disk after it has stopped."""
    child = SandboxedProcess(
        ["-c", SAY + "say()"], limits=Sandbox(), isolation="limits", workspace=tmp_path
    )
    child.receive(time.monotonic() + 30)
    assert list(tmp_path.iterdir()) != []
    child.stop()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_parent_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """Features do not stay on disk after a crash; a sandbox that is in use is left alone."""
    script = """
import os, signal, sys
from pathlib import Path
from promotion_assets.evaluation.sandbox import SandboxedProcess
from promotion_assets.policy.model import Sandbox
options = {"limits": Sandbox(), "isolation": "limits", "workspace": Path(sys.argv[1])}
child = SandboxedProcess(["-c", "import time; time.sleep(3600)"], **options)
(child.data / "features").write_text("personal")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "data" / "features").exists()
    limits = Sandbox()
    children = [
        SandboxedProcess(["-c", "pass"], limits=limits, isolation="limits", workspace=tmp_path)
        for _ in range(2)
    ]
    assert len(list(tmp_path.iterdir())) == 2
    assert not left.exists()
    for child in children:
        child.stop()
    assert list(tmp_path.iterdir()) == []


def test_what_a_model_printed_cannot_command_a_terminal() -> None:
    """Escape sequences and other control characters are replaced."""
    assert printable("\x1b[2Jgone\r\x00\n") == "�[2Jgone��\n"


def test_the_output_is_kept_for_the_reader() -> None:
    """The last 2,000 characters that the child printed are there for the failure's report."""
    with running("print('y' * 5000 + 'the end', flush=True); say()", "limits") as child:
        child.receive(time.monotonic() + 30)
        assert child.output_tail().endswith("the end\n")
        assert len(child.output_tail()) == 2000
    json.dumps(child.output_tail())


def test_a_child_that_cannot_be_started_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither a folder nor an open pipe stays, however often it is tried."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(OSError, match="too long"):
            SandboxedProcess(
                ["-c", "x" * 4_000_000], limits=Sandbox(), isolation="limits", workspace=tmp_path
            )
    assert list(tmp_path.iterdir()) == []
    # Files of other tests may have been closed meanwhile.
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_child_that_stops_listening_is_gone() -> None:
    """Closing what we write to ends the conversation, and how it ended is said."""
    code = "os.close(0); say(); sys.exit(4)"
    with running(code, detect_isolation()) as child:
        child.receive(time.monotonic() + 30)
        with pytest.raises(ChildFailure) as failure:
            child.send(Frame({}, b"." * 1_000_000), time.monotonic() + 30)
    assert "exit code 4" in failure.value.reason


def test_a_child_that_hangs_up_and_lives_on_is_ended() -> None:
    """It is not waited for: what it would still do, nobody hears."""
    failure = ending("os.close(3); import time; time.sleep(3600)", "limits")
    assert failure.kind == "crash"
    assert "would not end" in failure.reason


@pytest.mark.parametrize("isolation", ALL)
def test_a_file_past_the_limit_ends_the_child(isolation: Isolation) -> None:
    """A model that fills its tmp is told from one that crashed."""
    code = """
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    open("big", "wb").write(b"." * (1 << 22))
    """
    failure = ending(code, isolation, output_bytes=1024**2)
    assert failure.kind == "output_limit"
    assert "past 1,048,576 bytes" in failure.reason


def test_what_another_user_left_is_not_ours_to_remove(tmp_path: Path) -> None:
    """A shared folder for temporary files holds other people's sandboxes too."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    foreign = tmp_path / "promotion-sandbox-foreign"
    foreign.mkdir()
    (foreign / "in-use").touch()
    os.chown(foreign, 65534, 65534)
    remove_left_behind(tmp_path)
    assert foreign.exists()
    os.chown(foreign, 0, 0)
    remove_left_behind(tmp_path)
    assert not foreign.exists()
