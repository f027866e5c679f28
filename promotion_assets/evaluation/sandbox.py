"""A child process for untrusted models: what is said to it, and how it ends.

What it can reach is :mod:`promotion_assets.evaluation.isolation`'s matter. Whatever it does, the
parent neither hangs nor breaks: it reads frames with a deadline, from a process that it can end
together with all that this one started.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from promotion_assets.evaluation.frames import Frame, FrameReader
from promotion_assets.evaluation.isolation import (
    TMP,
    Isolation,
    clean_environment,
    confined,
    launch,
    readable_paths,
    resource_limits,
)
from promotion_assets.evaluation.scores import FailureKind
from promotion_assets.policy.model import Sandbox

OUTPUT_TAIL = 2000
PREFIX = "promotion-sandbox-"
LOCK = "in-use"


class ChildFailure(Exception):
    """The child did not answer as it should; carries what becomes of a ``ScoringFailure``."""

    def __init__(self, kind: FailureKind, reason: str, because_of: str | None = None) -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason
        self.because_of = because_of


class SandboxedProcess:
    """One child in a sandbox, spoken to by frames.

    Args:
        command: module and arguments for the sandbox's Python (``-m module …``).
        limits: the policy's limits.
        isolation: how it is confined.
        readable: files and directories that the child may read, besides Python and the system.
        max_payload: the largest payload that is accepted from it, in bytes.
        workspace: where its private directory is made; the system's temporary directory
            where not given.

    Attributes:
        data: a directory for the parent to put files into, which the child can read.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        limits: Sandbox,
        isolation: Isolation,
        readable: Sequence[Path] = (),
        max_payload: int = 64 * 1024**2,
        workspace: Path | None = None,
    ) -> None:
        self.limits = limits
        self.isolation = isolation
        self.started = time.monotonic()
        base = workspace or Path(tempfile.gettempdir())
        remove_left_behind(base)
        self._private = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        self.data = self._private / "data"
        self._reader = FrameReader(max_payload)
        self._descriptors: list[int] = []
        try:
            self._descriptors.append(_mark_as_in_use(self._private))
            self._start(command, tuple(path.resolve() for path in readable))
        except BaseException:
            self._close()
            shutil.rmtree(self._private, ignore_errors=True)
            raise

    def _start(self, command: Sequence[str], readable: tuple[Path, ...]) -> None:
        (self._private / "tmp").mkdir()
        self.data.mkdir()
        request_read, self._requests = os.pipe2(os.O_CLOEXEC)
        self._replies, reply_write = os.pipe2(os.O_CLOEXEC)
        self._descriptors += [self._requests, self._replies]
        os.set_blocking(self._requests, False)
        os.set_blocking(self._replies, False)
        tmp = str(self._private / "tmp") if self.isolation == "limits" else TMP
        plan = {
            "stage": "host",
            "parent": os.getpid(),
            "reply_descriptor": reply_write,
            "limits": resource_limits(self.limits),
            "drop_privileges": self.isolation == "limits",
            "command": confined(
                [sys.executable, "-I", *command],
                self.isolation,
                readable_paths((*readable, self.data)),
                max(self.limits.output_bytes, 64 * 1024**2),
            ),
        }
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._process = subprocess.Popen(  # noqa: S603
                launch(plan),
                stdin=request_read,
                stdout=log,
                stderr=log,
                pass_fds=[reply_write],
                start_new_session=True,
                cwd=self._private / "tmp",
                env=clean_environment(tmp, self.limits.threads),
            )
        finally:
            for descriptor in (request_read, reply_write, log):
                os.close(descriptor)
        self._ended = os.pidfd_open(self._process.pid)
        self._descriptors.append(self._ended)

    @property
    def _log(self) -> Path:
        return self._private / "output"

    def send(self, frame: Frame, deadline: float) -> None:
        """Send a frame to the child; ``deadline`` is on the monotonic clock.

        Raises:
            ChildFailure: the child is gone, or does not read.
        """
        rest = memoryview(frame.encode())
        while rest:
            try:
                rest = rest[os.write(self._requests, rest) :]
            except BlockingIOError:
                self._wait(self._requests, select.POLLOUT, deadline)
            except BrokenPipeError:
                raise self._gone() from None

    def receive(self, deadline: float) -> Frame:
        """Return the child's next frame; one that already waits is returned past the deadline.

        Raises:
            ChildFailure: the child is gone, silent until the deadline, wrote more than it may,
                or did not speak in frames.
        """
        while True:
            try:
                frame = self._reader.take()
            except ValueError as error:
                raise ChildFailure("crash", f"it broke the protocol: {error}") from None
            if frame is not None:
                return frame
            try:
                data = os.read(self._replies, 1024 * 1024)
            except BlockingIOError:
                self._wait(self._replies, select.POLLIN, deadline)
                continue
            if not data:
                raise self._gone()
            self._reader.feed(data)

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        poll.register(self._ended, select.POLLIN)
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ChildFailure("timeout", "it did not answer in time")
            ready = dict(poll.poll(min(remaining, 0.25) * 1000))
            if self._log.stat().st_size >= self.limits.output_bytes:
                raise self._too_much_output()
            if descriptor in ready:
                return
            if self._ended in ready:
                raise self._gone()

    def _gone(self) -> ChildFailure:
        """Say how the child ended."""
        code = self._exit_code(time.monotonic() + 5)
        if self._log.stat().st_size >= self.limits.output_bytes:
            return self._too_much_output()
        return _how_it_ended(code, self.output_tail(), self.limits)

    def _exit_code(self, deadline: float) -> int | None:
        """Return the exit code, negative for a signal; the process is not reaped yet.

        Until it is, its number cannot belong to another process that a signal would then hit.
        """
        poll = select.poll()
        poll.register(self._ended, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        ended = os.waitid(os.P_PIDFD, self._ended, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def _too_much_output(self) -> ChildFailure:
        return ChildFailure(
            "output_limit", f"it printed more than {self.limits.output_bytes:,} bytes"
        )

    def output_tail(self) -> str:
        """Return the last lines that the child printed, at most 2,000 characters."""
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - 4 * OUTPUT_TAIL))
            return printable(file.read().decode(errors="replace"))[-OUTPUT_TAIL:]
        return ""

    def stop(self) -> None:
        """End the child and all that it started, and remove its files.

        Everything in a namespace ends with its first process. With limits alone a process that
        has left its parent and its session escapes; formats that carry code are not loaded then.
        """
        pids = [self._process.pid, *_descendants(self._process.pid)]
        if self.isolation != "limits":
            # The outer process first waits for the namespace to be empty, then ends.
            _kill(pids[1:])
            self._exit_code(time.monotonic() + 5)
        _kill(pids)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()
        shutil.rmtree(self._private, ignore_errors=True)

    def _close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()


def remove_left_behind(base: Path) -> None:
    """Remove the private directories, features in them, of processes of ours that were killed."""
    for directory in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if directory.lstat().st_uid != os.geteuid():
                continue
            lock = os.open(directory / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(lock)


def _mark_as_in_use(directory: Path) -> int:
    """Return a lock that the kernel lets go of when this process ends, however it ends."""
    unlocked = directory / "new"
    lock = os.open(unlocked, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Under its name it is never seen unlocked.
    unlocked.rename(directory / LOCK)
    return lock


def printable(text: str) -> str:
    """Return ``text`` without control characters: it was written by whoever wrote the model."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def _how_it_ended(code: int | None, output: str, limits: Sandbox) -> ChildFailure:
    if code is None:
        return ChildFailure("crash", "it closed its connection and would not end")
    # A shell and bubblewrap report a signal as 128 and its number.
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if any(sign in output for sign in ("bad_alloc", "MemoryError", "Cannot allocate memory")):
        return ChildFailure("out_of_memory", f"it needs more than {limits.memory_bytes:,} bytes")
    if number == signal.SIGXCPU:
        return ChildFailure("timeout", f"it used more than {limits.cpu_seconds} s of CPU time")
    if number == signal.SIGXFSZ:
        return ChildFailure("output_limit", f"it wrote a file past {limits.output_bytes:,} bytes")
    if 0 < number < signal.NSIG:
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        return ChildFailure("crash", f"its process was killed by signal {name}")
    return ChildFailure("crash", f"its process left with exit code {code} before it answered")


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> tuple[int, ...]:
    """Return the processes below ``pid``, those in sessions of their own too."""
    found: list[int] = []
    pending = [pid]
    while pending:
        parent = pending.pop()
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                children = [int(child) for child in (task / "children").read_text().split()]
                found += children
                pending += children
    return tuple(found)
