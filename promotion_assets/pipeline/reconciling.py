"""Ledger and registry brought together: after a crash, on a schedule, and when asked."""

from __future__ import annotations

import tempfile
from pathlib import Path

from promotion_assets.errors import IntegrityError, UsageError
from promotion_assets.evaluation.artifact import manifest
from promotion_assets.lifecycle.reconcile import Reconciliation, reconcile
from promotion_assets.lifecycle.transitions import Facts, Request
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import facts_for
from promotion_assets.pipeline.workspace import Workspace


def reconcile_model(workspace: Workspace, model: str) -> Reconciliation:
    """Finish what was intended, and find what somebody else moved; repeating changes nothing.

    Artifacts of live versions are downloaded and digested afresh.

    Raises:
        RegistryUnreachable, LedgerUnreachable: try again later; nothing is lost.
    """

    def _facts_of(request: Request) -> Facts:
        return facts_for(Evaluator(workspace, model, request.segment), request)

    def _digest_of(version: str) -> str | None:
        with tempfile.TemporaryDirectory(prefix="reconcile-") as scratch:
            try:
                root = workspace.registry.download(model, version, Path(scratch))
                return manifest(root).digest
            except (FileNotFoundError, IntegrityError, UsageError):
                return None

    return reconcile(
        workspace.ledger,
        workspace.registry,
        model,
        _facts_of,
        workspace.clock(),
        on_bypass=workspace.policy_of(model).on_bypass,
        digest_of=_digest_of,
    )


def sentences(found: Reconciliation) -> list[str]:
    """Say what a reconciliation found and did, a sentence each."""
    said: list[str] = []
    if found.finished:
        said.append(f"finished a change that had stopped half way: {found.finished}")
    if found.abandoned:
        said.append(f"gave up a change that had stopped half way: {found.abandoned}")
    if found.tagged:
        said.append(f"wrote tags that were behind: version {', '.join(found.tagged)}")
    said += [f"changed past the platform: {d.sentence()}" for d in found.deviations]
    said += [f"is as it should be again: {d.subject} {d.name!r}" for d in found.restored]
    return said or ["MLflow shows what the ledger says"]
