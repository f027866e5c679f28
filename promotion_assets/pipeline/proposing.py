"""A first policy for a model: proposed from its registry entry and a file of labelled rows.

Limits are proposed from what the version that serves today reaches when it is measured here, by
the same code that will judge its successors; each says so in a comment. Nothing is recorded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from promotion_assets.errors import PromotionError, UsageError
from promotion_assets.evaluation.guessing import LABELS, Guess, guess, likely_labels
from promotion_assets.evaluation.intake import take_candidate
from promotion_assets.evaluation.reading import column_names, read_frame
from promotion_assets.evaluation.sources import is_sql
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.proposed_text import METRIC, Asked, Measured, render_policy
from promotion_assets.pipeline.workspace import Workspace, utc_now


@dataclass(frozen=True)
class Proposal:
    """A policy file, and what was looked at to write it.

    Attributes:
        text: the commented YAML.
        version: the version that was measured, or whose signature was read.
        problems: why something could not be measured; the default stands there then.
    """

    text: str
    version: str
    guess: Guess
    problems: tuple[str, ...] = ()


def propose(workspace: Workspace, asked: Asked, *, measure: bool = True) -> Proposal:
    """Return a policy for ``asked.model``.

    Args:
        workspace: gives the registry; its policy is not read.
        measure: load and score the version in the sandbox; otherwise defaults stand.

    Raises:
        UsageError: the model or the label is not there; says which ones are.
        RegistryUnreachable, StorageUnreachable: a part does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="promotion-init-") as scratch:
        version = asked.version or _serving(workspace, asked.model)
        candidate = take_candidate(
            workspace.registry, asked.model, version, Path(scratch) / "store" / "artifacts"
        )
        inputs = {c.name for c in candidate.signature.inputs} if candidate.signature else set()
        frame = read_frame(asked.data, base=asked.folder)
        label = asked.label or _label(asked, frame, inputs)
        if label not in frame.columns:
            raise UsageError(
                f"reading {asked.data}",
                f"it has no column {label!r}",
                f"name one of {', '.join(map(str, frame.columns))} with --label",
            )
        guessed = guess(frame, label, inputs)
        extra = [str(c) for c in frame.columns if c not in inputs]
        measured = Measured()
        if measure:
            _measure(workspace, asked, guessed, version, Path(scratch), measured)
        text = render_policy(asked, guessed, candidate, measured, extra)
    return Proposal(text, version, guessed, tuple(measured.problems))


def _serving(workspace: Workspace, model: str) -> str:
    """Return the version that seems to serve: an alias says so, or it is the newest."""
    if model not in workspace.registry.models():
        known = ", ".join(workspace.registry.models()) or "none at all"
        raise UsageError(
            f"looking for {model} in MLflow",
            f"there is no registered model of this name (there is {known})",
            "name one of them, or set MLFLOW_TRACKING_URI to the right server",
        )
    aliases = workspace.registry.aliases(model)
    for alias in ("champion", "production", "prod", "live"):
        if alias in aliases:
            return str(aliases[alias])
    versions = workspace.registry.versions_after(model, 0, limit=10_000)
    if not versions:
        raise UsageError(
            f"looking for versions of {model}",
            "none is registered",
            "register one with `mlflow.register_model`, then run this again",
        )
    return versions[-1]


def _label(asked: Asked, frame: pd.DataFrame, inputs: Collection[str]) -> str:
    likely = likely_labels(frame, inputs)
    named = likely and LABELS.match(likely[0])
    if not named and asked.production and not is_sql(asked.production):
        sent = column_names(asked.production, base=asked.folder)
        never = [str(c) for c in frame.columns if c not in sent and c not in inputs]
        # Production sends no answers, so that one column which it lacks is likely to be them.
        if len(never) == 1:
            return never[0]
    return _only_label(likely, asked)


def _only_label(likely: list[str], asked: Asked) -> str:
    if not likely:
        raise UsageError(
            f"looking for the label in {asked.data}",
            "no column looks like one: all are inputs of the model, or hold too many values",
            "name it with --label",
        )
    return likely[0]


def _measure(
    workspace: Workspace,
    asked: Asked,
    guessed: Guess,
    version: str,
    scratch: Path,
    measured: Measured,
) -> None:
    """Judge the version by limits that anything meets, only to see its numbers."""
    draft = scratch / "promotion.yaml"
    data = _absolute(asked.data, asked.folder)
    production = _absolute(asked.production, asked.folder) if asked.production else None
    draft.write_text(yaml.safe_dump(_loose(asked.model, guessed, data, production)))
    trial = Evaluator(
        Workspace(
            home=scratch,
            config=draft,
            database_url=f"sqlite:///{scratch}/ledger.db",
            tracking_uri=workspace.tracking_uri,
            registry_uri=workspace.registry_uri,
            environ=workspace.environ,
            clock=utc_now,
        ),
        asked.model,
    )
    try:
        trial.inputs.take_dataset()
        if production:
            trial.inputs.take_production()
        trial.take(version)
        trial.score(version)
        for gate in trial.gates:
            measured.results[gate] = trial.judge(version, gate)
    except PromotionError as error:
        measured.problems.append(str(error))
        return
    for gate, result in measured.results.items():
        if result.outcome in ("error", "inconclusive"):
            measured.problems.append(f"{gate}: {result.reason}")


def _loose(model: str, guessed: Guess, data: str, production: str | None) -> Mapping[str, object]:
    metric = METRIC[guessed.task]
    gates: dict[str, object] = {
        "artifact": {},
        "accuracy": {"metric": metric, "minimum": -1e9 if metric == "r2" else 0.0}
        | {"improvement": None, "suspicious_above": None, "on_logged_mismatch": "report"},
        "latency": {"p95_ms": 60_000},
    }
    if guessed.groups and guessed.task == "binary":
        gates["fairness"] = {"first_version_gap": 1.0}
    if production:
        gates["drift"] = {"psi": 1e6}
    return {
        "models": {
            model: {
                "task": guessed.task,
                "dataset": {
                    "uri": data, "label": guessed.label, "positive": guessed.positive,
                    "min_rows": 1, "min_group_rows": 1,
                },
                **({"production": {"uri": production}} if production else {}),
                "groups": [
                    {"column": g.column, **({"bands": list(g.bands)} if g.bands else {})}
                    for g in guessed.groups
                ],
                "first_version": {"accept": "absolute", "reason": "only measured, not judged"},
                "gates": gates,
            }
        }
    }  # fmt: skip


def _absolute(uri: str, folder: Path) -> str:
    return uri if "://" in uri or Path(uri).is_absolute() else str((folder / uri).absolute())
