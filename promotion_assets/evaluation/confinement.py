"""The last step before untrusted code: give up what the child must not have, then become it.

Run as a script by :mod:`promotion_assets.evaluation.isolation` with a JSON plan as its argument,
once on the host (limits, file descriptors) and, where bubblewrap is missing, once more inside
new namespaces (a root of its own with only what the plan names). It needs nothing but the
standard library, because it runs before any package can be found, with ``python -I -S``.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import stat
import sys
from pathlib import Path
from typing import Any

# From linux/mount.h and linux/prctl.h; the same on every architecture.
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC, MS_RELATIME = 1024, 2048, 4096, 16384, 1 << 21
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
LAST_CAPABILITY = 63
LINUX_CAPABILITY_VERSION_3 = 0x20080522
KEPT = {
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "noatime": MS_NOATIME,
    "nodiratime": MS_NODIRATIME,
    "relatime": MS_RELATIME,
}
REPLY_DESCRIPTOR = 3

libc = ctypes.CDLL(None, use_errno=True)


def main(plan: dict[str, Any]) -> None:
    """Carry out ``plan`` and replace this process by its command."""
    if plan["stage"] == "host":
        die_with(plan["parent"])
        hand_over_descriptors(plan["reply_descriptor"])
        set_limits(plan["limits"])
    else:
        build_root(plan["mounts"], plan["tmp_bytes"])
    if plan["drop_privileges"]:
        drop_privileges()
    if plan["stage"] == "inside":
        stay_as_init()
    command = plan["command"]
    os.execv(command[0], command)  # noqa: S606  (no shell is the point)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    _check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(1)


def hand_over_descriptors(reply_descriptor: int) -> None:
    """Put the reply pipe where the worker looks for it, and close everything else."""
    if reply_descriptor != REPLY_DESCRIPTOR:
        os.dup2(reply_descriptor, REPLY_DESCRIPTOR)
    os.set_inheritable(REPLY_DESCRIPTOR, True)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    os.closerange(REPLY_DESCRIPTOR + 1, 1 << 20 if most == resource.RLIM_INFINITY else most)


def set_limits(limits: dict[str, int]) -> None:
    """Set each named resource limit, soft and hard, no higher than it already is."""
    for name, value in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # At its soft CPU limit a process gets a signal that tells why, at its hard one SIGKILL.
        grace = 5 if kind == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY else 0
        resource.setrlimit(kind, (soft, soft + grace))


def build_root(readable: list[str], tmp_bytes: int) -> None:
    """Leave the host's file system for one with the ``readable`` paths, read-only, and a tmp.

    Needs new user, mount and process namespaces.
    """
    root = Path("/tmp")  # noqa: S108  (covered by a file system of our own two lines below)
    # Held open, for what lies in the host's tmp is out of reach once that is covered.
    inputs = {path: os.open(path, os.O_PATH) for path in readable}
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m")
    for private in ("tmp", "dev/shm"):
        (root / private).mkdir(parents=True)
        options = f"mode=1777,size={tmp_bytes}"
        _mount("tmpfs", root / private, "tmpfs", MS_NOSUID | MS_NODEV, options)
    for path, descriptor in inputs.items():
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        _bind(f"/proc/self/fd/{descriptor}", root / path.lstrip("/"), is_directory)
        os.close(descriptor)
    for path in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if Path(path).is_symlink() and not (root / path.lstrip("/")).exists():
            (root / path.lstrip("/")).symlink_to(Path(path).readlink())
    for name in ("null", "zero", "full", "random", "urandom"):
        _bind(f"/dev/{name}", root / "dev" / name, is_directory=False)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1")):
        (root / "dev" / name).symlink_to(target)
    (root / "proc").mkdir()
    _mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "")
    _make_read_only([f"{root}{path}" for path in readable])
    _mount("none", root, "", MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, "")
    os.chdir(root)
    _check(libc.pivot_root(b".", b"."), "pivot_root")
    _check(libc.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/tmp")  # noqa: S108
    # No namespaces inside this one: what they open to an attacker in the kernel stays shut.
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


def drop_privileges() -> None:
    """Give up every capability, for good, and the way to new ones."""
    for capability in range(LAST_CAPABILITY + 1):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            break
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    _check(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def stay_as_init() -> None:
    """Return in a new child only; stay behind as the namespace's first process until it ends.

    The kernel shields a first process from signals, so a worker in its place could neither be
    stopped by its CPU limit nor kill itself.
    """
    worker = os.fork()
    if worker == 0:
        return
    os.closerange(0, REPLY_DESCRIPTOR + 1)
    pid, status = 0, 0
    while pid != worker:
        pid, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    os._exit(128 - code if code < 0 else code)


def _bind(source: str, target: Path, is_directory: bool) -> None:
    if is_directory:
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(source, target, "", MS_BIND | MS_REC, "")


def _make_read_only(places: list[str]) -> None:
    """Remount all that lies below ``places``; a bind mount starts out writable."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        place = fields[4].encode().decode("unicode_escape")
        if any(place == p or place.startswith(f"{p}/") for p in places):
            flags = sum(KEPT.get(option, 0) for option in fields[5].split(","))
            _mount("none", Path(place), "", MS_BIND | MS_REMOUNT | MS_RDONLY | flags, "")


def _mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    result = libc.mount(
        source.encode(), os.fsencode(target), kind.encode(), flags, options.encode()
    )
    _check(result, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
