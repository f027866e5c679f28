"""The evidence behind a decision, kept under the decision's digest so that it can be replayed."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from promotion_assets.decision.decide import Decision
from promotion_assets.errors import EvidenceMissing, StorageUnreachable
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.contract import FeatureContract
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.profile import FeatureProfile
from promotion_assets.evaluation.versions import load_version
from promotion_assets.lifecycle.events import EvaluationFinished
from promotion_assets.pipeline.answers_read import with_answers
from promotion_assets.pipeline.files import read_value, write_value
from promotion_assets.pipeline.records import VersionFolder
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.model import ModelPolicy


class KeptEvidence(BaseModel):
    """What a decision was made on, except what is kept elsewhere under its own digest.

    The evaluation dataset, the artifacts and the scores are in the content-addressed store.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: ModelPolicy
    base: str
    candidate: Candidate
    champion: Candidate | None
    contract: FeatureContract | None
    production_profile: FeatureProfile | None
    judged_before: int
    missing: dict[str, str]


def evidence_folder(home: Path, decision_digest: str) -> VersionFolder:
    """Return where the evidence of a decision is kept."""
    return VersionFolder(home / "store" / "evidence" / decision_digest)


def keep_evidence(
    home: Path, folder: VersionFolder, evidence: Evidence, decision: Decision
) -> Path:
    """Keep what ``decision`` was made on; keeping it again changes nothing.

    Raises:
        StorageUnreachable: the store cannot be written.
    """
    target = evidence_folder(home, decision.digest).root
    if target.exists():
        return target
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        unfinished.mkdir(parents=True)
        for name in ("latency.arrow", "champion_latency.arrow", "probes.arrow", "sample.arrow"):
            if (folder.root / name).exists():
                shutil.copyfile(folder.root / name, unfinished / name)
        if (folder.root / "failures").exists():
            shutil.copytree(folder.root / "failures", unfinished / "failures")
        write_value(unfinished / "decision.json", decision)
        write_value(unfinished / "evidence.json", _kept(evidence))
        unfinished.rename(target)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if target.exists():
            return target
        raise StorageUnreachable(
            f"keeping the evidence of {decision.model} version {decision.version}",
            f"{target.parent} cannot be written ({error.strerror})",
            "free space or mend the permissions, then evaluate the version again",
        ) from error
    return target


def load_evidence(
    home: Path,
    model: str,
    version: str,
    decision_digest: str,
    proposed: ModelPolicy | None = None,
) -> Evidence:
    """Return what a decision was made on, every part verified by its digest.

    Args:
        proposed: a policy that takes the place of the pinned one, to see what it would say.

    Raises:
        EvidenceMissing: it was made elsewhere, or its evidence was removed.
        IntegrityError: a part is not what it is named by.
    """
    folder = evidence_folder(home, decision_digest)
    kept = read_value(folder.root / "evidence.json", KeptEvidence)
    decision = folder.decision()
    if kept is None or decision is None:
        raise EvidenceMissing(
            f"reading what {model} version {version} was judged on",
            f"there is no evidence of decision {decision_digest[:12]} in {home}",
            "use the PROMOTION_HOME in which it was evaluated, or a copy of its store",
        )
    policy = proposed or kept.policy.model_copy(update={"base": kept.base})
    missing = dict(kept.missing)
    dataset = None
    if decision.pins.dataset_digest:
        try:
            dataset = load_version(
                policy, home / "store", decision.pins.dataset_digest, model=model
            )
        except EvidenceMissing as error:
            missing["dataset"] = error.problem
    evidence = Evidence(
        model=model,
        version=version,
        policy=policy,
        candidate=kept.candidate,
        dataset=dataset,
        contract=kept.contract,
        production_profile=kept.production_profile,
        champion=kept.champion,
        judged_before=kept.judged_before,
        missing=missing,
    )
    return with_answers(evidence, dataset, folder, home) if dataset else evidence


def last_decision(workspace: Workspace, model: str, version: str | None = None) -> str:
    """Return the digest of the last decision on a version, or on any where not given.

    Raises:
        EvidenceMissing: there is none.
    """
    last: EvaluationFinished | None = None
    for recorded in workspace.ledger.events(model):
        event = recorded.event
        if isinstance(event, EvaluationFinished) and version in (None, event.version):
            last = event
    if last is None:
        raise EvidenceMissing(
            f"looking for the last decision on {model} version {version or 'any'}",
            "the ledger has none",
            f"evaluate it first: `promotion evaluate {model} {version or 'VERSION'}`",
        )
    return last.decision_digest


def last_evidence(workspace: Workspace, model: str, version: str | None = None) -> Evidence:
    """Return what the last decision on a version, or on any where not given, was made on.

    Raises:
        EvidenceMissing: there is no decision, or its evidence is not in this store.
    """
    digest = last_decision(workspace, model, version)
    decision = evidence_folder(workspace.home, digest).decision()
    judged = decision.version if decision else version or ""
    return load_evidence(workspace.home, model, judged, digest)


def _kept(evidence: Evidence) -> KeptEvidence:
    return KeptEvidence(
        policy=evidence.policy,
        base=evidence.policy.base,
        candidate=evidence.candidate,
        champion=evidence.champion,
        contract=evidence.contract,
        production_profile=evidence.production_profile,
        judged_before=evidence.judged_before,
        missing=evidence.missing,
    )
