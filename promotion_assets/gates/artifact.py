"""Artifact: is the model safe to load, and the one that was registered?

Judged before anything is loaded. The ``MLmodel`` file is the author's claim, so nothing in it is
believed: which types a skops file may build is decided by our list, which code loads the model
by an allow-list, and what a file is by its bytes. A scanner only advises: what it finds refuses,
what it does not find proves nothing; the sandbox is the protection.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import Field, JsonValue

from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.mlmodel import loads_without_pickle
from promotion_assets.gates.contract import Gate, GateResult, GateSettings, Measurement, Outcome
from promotion_assets.gates.file_kinds import FileKind, kind_of
from promotion_assets.gates.trusted_types import (
    PICKLE_PARTS,
    SCIKIT_LEARN,
    trusted_by_skops,
    untrusted_in_skops,
)
from promotion_assets.gates.verdict import conclude

NAME = "artifact"

# Flavors whose native format is data. Keras is absent: a Lambda layer is code.
LOADER_MODULES = (
    "mlflow.sklearn",
    "mlflow.xgboost",
    "mlflow.lightgbm",
    "mlflow.catboost",
    "mlflow.onnx",
    "mlflow.statsmodels",
)
PATH_KEYS = ("data", "model_path", "pickled_model", "model_file", "env", "config")
PICKLES = ("pickle", "cloudpickle", "joblib")


class ArtifactSettings(GateSettings):
    """Settings of the artifact gate.

    Attributes:
        loader_modules: accepted besides the built-in ones (:data:`LOADER_MODULES`).
        trusted_types: full names of types that a model may build besides scikit-learn's own.
            Whoever adds a type here trusts its code.
        allow_pickle: accept pickle formats whose every global is trusted. They execute code on
            loading, so only the sandbox then stands between them and the host.
        allow_code: accept a ``code`` directory in the artifact; loading imports it.
        require_pinned: every declared requirement must be ``name==version``.
        max_unpacked_bytes: largest unpacked size of an archive.
    """

    loader_modules: tuple[str, ...] = ()
    trusted_types: tuple[str, ...] = ()
    allow_pickle: bool = False
    allow_code: bool = False
    require_pinned: bool = True
    max_unpacked_bytes: int = Field(default=2 * 1024**3, gt=0)


@dataclass(frozen=True)
class Allowed:
    """What the sandbox may load: handed from this gate's settings to the scorer."""

    trusted_types: frozenset[str]
    allow_pickle: bool
    allow_code: bool


def allowed(settings: ArtifactSettings) -> Allowed:
    """Return what ``settings`` allows to be loaded."""
    return Allowed(
        trusted_types=SCIKIT_LEARN | frozenset(settings.trusted_types),
        allow_pickle=settings.allow_pickle,
        allow_code=settings.allow_code,
    )


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: which check, of what, and what to do."""

    check: str
    subject: str
    problem: str


def evaluate(evidence: Evidence, settings: ArtifactSettings) -> GateResult:
    """Inspect the candidate's artifact, file by file, without loading any of it."""
    candidate = evidence.candidate
    checks: tuple[tuple[str, Callable[[], list[Finding]]], ...] = (
        # What a file would do is what a reader wants first, before how it was declared.
        ("files", lambda: list(_files(candidate, settings))),
        ("intact", lambda: list(_intact(candidate))),
        ("code", lambda: list(_code(candidate, settings))),
        ("loader", lambda: list(_loader(candidate, settings))),
        ("format", lambda: list(_format(candidate, settings))),
        ("requirements", lambda: list(_requirements(candidate, settings))),
    )
    found = {name: check() for name, check in checks}
    measurements = [_measured(name, findings) for name, findings in found.items()]
    rows: list[JsonValue] = [
        {"check": f.check, "subject": f.subject, "problem": f.problem}
        for findings in found.values()
        for f in findings
    ]
    size = sum(entry.size for entry in candidate.artifact.files) if candidate.artifact else 0
    count = len(candidate.artifact.files) if candidate.artifact else 0
    return conclude(
        NAME,
        measurements,
        passed_reason=(
            f"{count} files intact, {_executes(settings)}, digest {candidate.digest[:12]}"
        ),
        details={"findings": rows, "files": count, "bytes": size, "digest": candidate.digest},
    )


def _executes(settings: ArtifactSettings) -> str:
    if settings.allow_code:
        return "code in them is allowed by the policy"
    if settings.allow_pickle:
        return "pickles in them name trusted types only"
    return "nothing in them executes on loading"


def _measured(check: str, findings: list[Finding]) -> Measurement:
    outcome = Outcome.FAILED if findings else Outcome.PASSED
    reason = f"{findings[0].subject}: {findings[0].problem}" if findings else ""
    if len(findings) > 1:
        reason += f" (and {len(findings) - 1} more)"
    return Measurement(
        name="findings",
        subject=check,
        observed=float(len(findings)),
        limit=0.0,
        direction="max",
        outcome=outcome,
        reason=reason,
    )


def _intact(candidate: Candidate) -> Iterator[Finding]:
    for problem in candidate.problems:
        yield Finding("intact", "artifact", problem)
    if candidate.artifact is None or candidate.artifact_dir is None:
        if not candidate.problems:
            yield Finding("intact", "artifact", "it could not be read; register the version again")
        return
    if not candidate.artifact.files:
        yield Finding("intact", "artifact", "it has no files; log the model again")
    for entry in candidate.artifact.files:
        try:
            with (candidate.artifact_dir / entry.path).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            words = f"it cannot be read ({error.strerror}); take the version in again"
            yield Finding("intact", entry.path, words)
            continue
        if digest != entry.sha256:
            words = "its bytes are not those that were taken in; take the version in again"
            yield Finding("intact", entry.path, words)


def _loader(candidate: Candidate, settings: ArtifactSettings) -> Iterator[Finding]:
    facts = candidate.mlmodel
    if facts is None:
        yield Finding("loader", "MLmodel", "it is absent or unreadable; log the model with MLflow")
        return
    known = (*LOADER_MODULES, *settings.loader_modules)
    if facts.loader_module not in known:
        words = (
            f"loader_module {facts.loader_module!r} is not one of {', '.join(known)}; it would run "
            "code of its author's choice. Log the model with one of these flavors"
        )
        yield Finding("loader", "MLmodel", words)
    for flavor, values in _flavors(candidate).items():
        model_class = values.get("model_class")
        if isinstance(model_class, str) and not model_class.startswith(f"{flavor}."):
            words = f"flavor {flavor} would build {model_class!r}, which is not part of {flavor}"
            yield Finding("loader", "MLmodel", words)
        for key in PATH_KEYS:
            if _leaves(values.get(key)):
                words = f"{flavor}.{key} points outside the artifact: {values[key]!r}"
                yield Finding("loader", "MLmodel", words)


def _flavors(candidate: Candidate) -> Mapping[str, Mapping[str, JsonValue]]:
    raw = candidate.mlmodel.raw if candidate.mlmodel else {}
    flavors = raw.get("flavors")
    if not isinstance(flavors, dict):
        return {}
    return {name: values for name, values in flavors.items() if isinstance(values, dict)}


def _leaves(value: JsonValue) -> bool:
    if not isinstance(value, str):
        return False
    path = PurePosixPath(value.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in value


def _code(candidate: Candidate, settings: ArtifactSettings) -> Iterator[Finding]:
    if settings.allow_code:
        return
    if candidate.mlmodel and candidate.mlmodel.code:
        words = "loading would import it; log the model without code_paths, or set allow_code"
        yield Finding("code", candidate.mlmodel.code, words)
    for flavor, values in _flavors(candidate).items():
        if values.get("model_code_path"):
            words = f"flavor {flavor} loads the model by running a script; log a fitted model"
            yield Finding("code", str(values["model_code_path"]), words)
    for entry in candidate.artifact.files if candidate.artifact else ():
        if entry.path.endswith((".py", ".pyc", ".so", ".pth")):
            words = "it is code inside the artifact; log the model without it, or set allow_code"
            yield Finding("code", entry.path, words)


def _format(candidate: Candidate, settings: ArtifactSettings) -> Iterator[Finding]:
    facts = candidate.mlmodel
    if facts is None:
        return
    declared = {
        flavor: values["serialization_format"]
        for flavor, values in _flavors(candidate).items()
        if "serialization_format" in values
    }
    if facts.serialization_format:
        declared.setdefault("sklearn", facts.serialization_format)
    elif "sklearn" in facts.flavors:
        # MLflow assumes pickle where nothing is declared.
        declared.setdefault("sklearn", "pickle")
    for flavor, name in declared.items():
        if name == "skops" or (name in PICKLES and settings.allow_pickle):
            continue
        words = f"flavor {flavor} declares {name!r}; log it with serialization_format='skops'"
        yield Finding("format", "MLmodel", words)
    if not declared and not settings.allow_pickle and not loads_without_pickle(facts):
        words = f"{facts.loader_module} would unpickle it; log it in the flavor's native format"
        yield Finding("format", "MLmodel", words)
    own = SCIKIT_LEARN | frozenset(settings.trusted_types)
    for name in facts.skops_trusted_types:
        if name not in own and not trusted_by_skops(name):
            words = f"it asks to trust {name!r}, which the policy does not; see trusted_types"
            yield Finding("format", "MLmodel", words)


def _files(candidate: Candidate, settings: ArtifactSettings) -> Iterator[Finding]:
    if candidate.artifact is None or candidate.artifact_dir is None:
        return
    for entry in candidate.artifact.files:
        path = candidate.artifact_dir / entry.path
        try:
            kind = kind_of(path)
        except OSError:
            continue  # already a finding of `intact`
        for problem in _file_problems(path, kind, settings):
            yield Finding("files", entry.path, problem)


def _file_problems(path: Path, kind: FileKind, settings: ArtifactSettings) -> Iterator[str]:
    if kind.unpacked_bytes > settings.max_unpacked_bytes:
        yield f"it unpacks to {kind.unpacked_bytes:,} bytes, more than max_unpacked_bytes"
    elif kind.kind == "opaque":
        yield f"it is {kind.what}, which cannot be looked into; log the model in a plain format"
    elif kind.kind == "skops":
        yield from _skops_problems(path, settings)
    elif kind.kind == "pickle":
        yield from _pickle_problems(path, kind, settings)


def _skops_problems(path: Path, settings: ArtifactSettings) -> Iterator[str]:
    own = SCIKIT_LEARN | frozenset(settings.trusted_types)
    try:
        untrusted = untrusted_in_skops(path, own)
    except Exception as error:
        yield f"skops cannot read it ({type(error).__name__}); log the model again"
        return
    if untrusted:
        yield (
            f"it would build {', '.join(untrusted[:5])}{' …' if len(untrusted) > 5 else ''}, "
            "which the policy does not trust; use scikit-learn's own types, or add them to "
            "artifact.trusted_types after reading their code"
        )


def _pickle_problems(path: Path, kind: FileKind, settings: ArtifactSettings) -> Iterator[str]:
    dangerous, unknown = _scan(path, settings)
    calls = f" that names {', '.join(dangerous[:3])}" if dangerous else ""
    if dangerous or not settings.allow_pickle:
        yield (
            f"it is {kind.what}{calls}; unpickling executes what its author wrote. "
            "Log the model with serialization_format='skops'"
        )
    elif not kind.plain_pickle:
        yield f"it is {kind.what}, which no scanner reads; store it uncompressed"
    elif unknown:
        yield f"it is a pickle that names {', '.join(unknown[:3])}, which the policy does not trust"


def _scan(path: Path, settings: ArtifactSettings) -> tuple[list[str], list[str]]:
    """Return the dangerous and the unknown globals; whatever goes wrong is unknown."""
    from picklescan.scanner import SafetyLevel, scan_file_path

    own = SCIKIT_LEARN | PICKLE_PARTS | frozenset(settings.trusted_types)
    try:
        scan = scan_file_path(str(path))
    except Exception as error:
        return [], [f"something that the scanner cannot read ({type(error).__name__})"]
    dangerous, unknown = [], []
    for found in scan.globals:
        name = f"{found.module}.{found.name}"
        if found.safety is SafetyLevel.Dangerous:
            dangerous.append(name)
        elif name not in own and not trusted_by_skops(name):
            unknown.append(name)
    if scan.scan_err:
        unknown.append("something that the scanner cannot read")
    return sorted(set(dangerous)), sorted(set(unknown))


def _requirements(candidate: Candidate, settings: ArtifactSettings) -> Iterator[Finding]:
    if not settings.require_pinned:
        return
    lines = [line.split(" #")[0].strip() for line in candidate.requirements]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        words = "none are declared; log the model with pip_requirements=['name==version', …]"
        yield Finding("requirements", "requirements.txt", words)
    for line in lines:
        if not _pinned(line):
            words = "it is not pinned to one version; write name==version"
            yield Finding("requirements", line, words)


def _pinned(line: str) -> bool:
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return False
    pins = [s for s in requirement.specifier if s.operator in ("==", "===")]
    exact = any(not s.version.endswith(".*") for s in pins)
    return exact and requirement.url is None


GATE = Gate(
    name=NAME,
    question="Is the artifact intact, and safe to load?",
    settings=ArtifactSettings,
    evaluate=evaluate,
    reads=frozenset(),
    before_loading=True,
)
