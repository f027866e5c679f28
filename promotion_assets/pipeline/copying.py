"""A version and its attestation, from this installation's registry to another one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from promotion_assets.adapters.copy_process import open_target
from promotion_assets.adapters.registry_copy import MlflowCopySource
from promotion_assets.audit.bundle import export_bundle
from promotion_assets.audit.copy_proof import verify_proof, write_proof
from promotion_assets.canonical import digest_of
from promotion_assets.errors import Conflict, EvidenceMissing, StorageUnreachable, UsageError
from promotion_assets.evaluation.intake import take_candidate
from promotion_assets.lifecycle import copy_identity
from promotion_assets.lifecycle.copy_values import copy_id, cut_params, without_credentials
from promotion_assets.lifecycle.copying import (
    CopyPlan,
    CopyTarget,
    Placed,
    Proven,
    Reach,
    check_copyable,
    copy_version,
)
from promotion_assets.lifecycle.events import VersionCopied
from promotion_assets.pipeline.environments import check_arrival
from promotion_assets.pipeline.evidence_store import last_evidence
from promotion_assets.pipeline.files import write_bytes
from promotion_assets.pipeline.workspace import Workspace

WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Copied:
    """What became of a copy.

    Attributes:
        notes: what the reader should know, in sentences.
    """

    event: VersionCopied
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Order:
    """Which version is to be copied where, by whom."""

    model: str
    version: str
    to: str
    name: str
    actor: str

    def doing(self) -> str:
        """Say what is being done, as the first part of a message."""
        return f"copy {self.model} version {self.version} to {without_credentials(self.to)}"


def copy(workspace: Workspace, order: Order, *, reach: Reach = lambda _: None) -> Copied:
    """Copy a version to the registry at ``order.to``; repeating it gives the same version.

    Raises:
        Refusal: its decision is not approved, or is on another artifact.
        UsageError: there is no such version; or the target is this very registry.
        TransitionRefused: it has to come from another environment and has no attestation of it.
        IntegrityError: what lies at the target is not what was sent.
        Unreachable: a part does not answer; repeating the command goes on from there.
    """
    with (
        _alone(workspace, order) as lock,
        open_target(order.to, workspace.environ, keep=[lock]) as target,
    ):
        return copy_to(workspace, target, order, reach=reach)


def copy_to(
    workspace: Workspace,
    target: CopyTarget,
    order: Order,
    *,
    reach: Reach = lambda _: None,
) -> Copied:
    """Do so with a target that is open already."""
    here, there = without_credentials(workspace.tracking_uri), without_credentials(order.to)
    if here == there:
        raise UsageError(
            order.doing(),
            "that is the registry that it is in",
            "name another registry with --to; within one, MLflow's own copy of a version will do",
        )
    check_arrival(workspace, order.model, order.version)
    registry = workspace.registry
    source = MlflowCopySource(registry)
    read = source.read(order.model, order.version)
    candidate = take_candidate(registry, order.model, order.version, workspace.store / "artifacts")
    state = workspace.ledger.state(order.model)
    decision = check_copyable(state, order.version, candidate.digest, order.doing())
    assert candidate.artifact is not None
    assert candidate.artifact_dir is not None
    name = copy_id(read, candidate.digest, (here, there), order.name)
    folder = workspace.home / "copies" / name
    with _scratch(folder, order) as work:
        plan = CopyPlan(
            copy=name,
            source_uri=here,
            target_uri=there,
            name=order.name,
            source=read,
            manifest=candidate.artifact,
            decision=decision,
            work=work,
            actor=order.actor,
        )
        courier = _Courier(workspace, candidate.artifact_dir)
        event = copy_version(plan, source, target, courier, workspace.ledger, reach)
    workspace.checkpointer.publish()
    return Copied(event, tuple(_notes(plan)))


@dataclass(frozen=True)
class _Courier:
    """Packs here and verifies there, for one version."""

    workspace: Workspace
    artifact: Path

    def pack_artifact(self, plan: CopyPlan, placed: Placed) -> Path:
        packed = plan.work / "packed"
        # Not the modes: what is taken in is read-only, and one file is to be written anew.
        shutil.copytree(self.artifact, packed, copy_function=shutil.copyfile)
        _make_writable(packed)
        mlmodel = copy_identity.rewritten(copy_identity.read(packed), placed.identity())
        (packed / "MLmodel").write_bytes(mlmodel)
        return packed

    def pack_attestation(self, plan: CopyPlan, placed: Placed) -> Path:
        packed = plan.work / "proof"
        write_proof(plan, placed, self.artifact, self._bundle(plan), packed, self.workspace.signer)
        return packed

    def verify(self, plan: CopyPlan, placed: Placed, artifact: Path, attached: Path) -> Proven:
        return verify_proof(plan, placed, artifact, attached, self.workspace.trusted_keys)

    def _bundle(self, plan: CopyPlan) -> bytes:
        # Kept for all copies on this decision, so that one that goes on sends the same bundle.
        kept = self.workspace.home / "copies" / f"{plan.decision.decision_digest}.zip"
        if not kept.exists():
            made = plan.work / "bundle.zip"
            model, version = plan.source.model, plan.source.version
            try:
                evidence = last_evidence(self.workspace, model, version)
            except EvidenceMissing:
                # Evaluated in another home: the bundle still proves what was decided and when.
                evidence = None
            export_bundle(
                self.workspace.ledger,
                self.workspace.signer,
                self.workspace.checkpointer.publish(),
                model,
                version,
                made,
                self.workspace.clock(),
                evidence=evidence,
                trusted=self.workspace.trusted_keys,
            )
            write_bytes(kept, made.read_bytes())
        return kept.read_bytes()


def _notes(plan: CopyPlan) -> Iterator[str]:
    for key in cut_params(plan.source.run.params):
        yield (
            f"parameter {key!r} is as long as MLflow keeps them: its end was probably cut off "
            "when it was logged at the source"
        )


@contextmanager
def _scratch(folder: Path, order: Order) -> Iterator[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # What a copy that was killed has left here is of no use to the next one.
        for left in folder.glob("work-*"):
            shutil.rmtree(left, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix="work-", dir=folder))
    except OSError as error:
        raise StorageUnreachable(
            order.doing(),
            str(error),
            f"free space or make {folder} writable, and repeat the command",
        ) from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _alone(
    workspace: Workspace,
    order: Order,
    *,
    seconds: float = WAIT_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[int]:
    """Hold the lock of one copy; yield its descriptor.

    The target's process inherits it: one that outlives its killed parent by a call keeps the
    next copy waiting until that call is done.
    """
    named = digest_of([order.model, order.version, without_credentials(order.to), order.name])
    path = workspace.home / "copies" / f"{named}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageUnreachable(
            order.doing(),
            f"{path} cannot be written ({error})",
            "make its folder writable for this user, and repeat the command",
        ) from error
    try:
        waited = 0.0
        while not _locked(descriptor):
            if waited >= seconds:
                raise Conflict(
                    order.doing(),
                    "another process is at this very copy",
                    "wait for it; repeating the command is safe",
                )
            sleep(0.1)
            waited += 0.1
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_writable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
