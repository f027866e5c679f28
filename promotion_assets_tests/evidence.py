"""Small factories of evidence: synthetic, without MLflow, every part replaceable."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from promotion_assets.canonical import digest_of
from promotion_assets.evaluation.candidate import (
    ArtifactManifest,
    Candidate,
    ManifestEntry,
    MLmodelFacts,
    Signature,
)
from promotion_assets.evaluation.contract import Column, FeatureContract
from promotion_assets.evaluation.dataset import DatasetSummary, EvaluationDataset
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.profile import (
    CategoricalFeature,
    FeatureProfile,
    NumericFeature,
)
from promotion_assets.evaluation.scores import LatencySample, Probe, Scores
from promotion_assets.gates.catalogue import catalogue, run_gate
from promotion_assets.gates.contract import GateResult, GateSettings
from promotion_assets.policy.model import ModelPolicy

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DATASET_DIGEST = "d" * 64
FEATURES = ("limit", "age", "region")


def clock() -> datetime:
    """A clock that stands still."""
    return NOON


def ticking() -> Any:
    """Return a clock that goes on by a second whenever it is read."""
    times = (NOON + timedelta(seconds=second) for second in range(1_000_000))
    return lambda: next(times)


def policy(**changes: Any) -> ModelPolicy:
    """Return a policy of a binary model with two protected attributes."""
    stanza: dict[str, Any] = {
        "task": "binary",
        "dataset": {"uri": "rows.parquet", "label": "default"},
        "production": {"uri": "production.parquet"},
        "groups": [{"column": "education"}, {"column": "sex"}],
        "gates": {"accuracy": {}},
    }
    return ModelPolicy.model_validate({**stanza, **changes})


def labels(rows: int = 4000, rate: float = 0.25, seed: int = 7) -> npt.NDArray[np.int64]:
    """Return 0/1 labels."""
    rng = np.random.default_rng(seed)
    return (rng.random(rows) < rate).astype(np.int64)


def answers_of(
    truth: npt.NDArray[np.int64], strength: float, seed: int = 11
) -> npt.NDArray[np.float64]:
    """Return calibrated probabilities of a signal that is ``strength`` deviations apart.

    An AUC of .76 for a strength of 1, of .92 for 2. The same ``seed`` gives correlated models.
    """
    signal = np.random.default_rng(seed).normal(size=len(truth)) + strength * truth
    logit = strength * signal - strength**2 / 2 + np.log(0.25 / 0.75)
    return 1 / (1 + np.exp(-logit))


def groups(rows: int = 4000, seed: int = 3) -> dict[str, npt.NDArray[np.object_]]:
    """Return two protected attributes: three levels of education and two sexes."""
    rng = np.random.default_rng(seed)
    education = np.array(["graduate", "high school", "university"], dtype=object)
    sex = np.array(["female", "male"], dtype=object)
    return {
        "education": education[rng.choice(3, size=rows, p=[0.4, 0.2, 0.4])],
        "sex": sex[rng.integers(0, 2, size=rows)],
    }


def dataset(
    truth: npt.NDArray[Any] | None = None,
    by: Mapping[str, npt.NDArray[np.object_]] | None = None,
    **changes: Any,
) -> EvaluationDataset:
    """Return an evaluation dataset version of the given labels and groups."""
    truth = labels() if truth is None else truth
    found = groups(len(truth)) if by is None else dict(by)
    summary = DatasetSummary(
        digest=DATASET_DIGEST, uri="rows.parquet", rows=len(truth), columns=contract().columns
    )
    made = EvaluationDataset(
        summary=summary,
        path=Path("rows.parquet"),
        frame=pd.DataFrame(index=range(len(truth))),
        labels=truth,
        features=FEATURES,
        groups=found,
    )
    return dataclasses.replace(made, **changes)


def contract() -> FeatureContract:
    """Return what the feature pipeline delivers."""
    columns = (
        Column(name="limit", type="double"),
        Column(name="age", type="integer"),
        Column(name="region", type="string"),
    )
    return FeatureContract(columns=columns, source="production.parquet")


def signature(*columns: Column) -> Signature:
    """Return a column signature, of the contract's columns where none are given."""
    return Signature(kind="columns", inputs=columns or contract().columns)


def profile(shift: float = 0.0, rows: int = 20_000, **changes: Any) -> FeatureProfile:
    """Return a profile whose ``limit`` lies ``shift`` deciles higher than in training."""
    share = np.linspace(1 - shift, 1 + shift, 10) / 10
    counts = tuple(int(n) for n in np.round(share * rows))
    features = (
        NumericFeature(
            name="limit",
            type="double",
            edges=tuple(float(edge) for edge in range(1, 10)),
            counts=counts,
            missing=rows - sum(counts) if rows > sum(counts) else 0,
            minimum=0.0,
            maximum=10.0,
        ),
        NumericFeature(
            name="age",
            type="integer",
            edges=(30.0, 50.0),
            counts=(rows // 4, rows // 2, rows // 4),
            minimum=18.0,
            maximum=90.0,
        ),
        CategoricalFeature(
            name="region", type="string", counts={"north": rows // 2, "south": rows // 2}
        ),
    )
    return FeatureProfile(rows=rows, features=features).model_copy(update=changes)


def manifest(files: Mapping[str, bytes]) -> ArtifactManifest:
    """Return the manifest of ``files``."""
    entries = tuple(
        ManifestEntry(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        for path, data in sorted(files.items())
    )
    digest = digest_of([entry.model_dump(mode="json") for entry in entries])
    return ArtifactManifest(files=entries, digest=digest, content_digest=digest)


def artifact_files() -> dict[str, bytes]:
    """Return the files of a plain artifact without a model in it."""
    return {"MLmodel": b"flavors: {}\n", "requirements.txt": b"scikit-learn==1.9.1\n"}


def candidate(root: Path | None = None, **changes: Any) -> Candidate:
    """Return a candidate; its artifact is written below ``root`` where one is given."""
    files = changes.pop("files", artifact_files())
    if root is not None:
        for path, data in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
    facts: dict[str, Any] = {
        "model": "credit-risk",
        "version": "2",
        "created_at": NOON,
        "source": "models:/m-2",
        "artifact_dir": root,
        "artifact": manifest(files),
        "mlmodel": sklearn_facts(),
        "signature": signature(),
        "profile": profile(),
        "requirements": ("scikit-learn==1.9.1", "skops==0.14.0"),
    }
    return Candidate(**{**facts, **changes})


def sklearn_facts(**changes: Any) -> MLmodelFacts:
    """Return what the MLmodel of a scikit-learn model in skops format says."""
    flavor = {"serialization_format": "skops", "pickled_model": "model.skops"}
    facts: dict[str, Any] = {
        "flavors": ("python_function", "sklearn"),
        "loader_module": "mlflow.sklearn",
        "serialization_format": "skops",
        "raw": {
            "flavors": {
                "python_function": {
                    "loader_module": "mlflow.sklearn",
                    "model_path": "model.skops",
                },
                "sklearn": flavor,
            }
        },
    }
    return MLmodelFacts(**{**facts, **changes})


def scores(values: npt.NDArray[np.float64], version: Candidate, **changes: Any) -> Scores:
    """Return scores that belong to ``version`` and to the dataset of :func:`dataset`."""
    made = Scores(values=values, model_digest=version.digest, dataset_digest=DATASET_DIGEST)
    return dataclasses.replace(made, **changes)


def latency(
    center: float = 10.0, requests: int = 400, seed: int = 5, **changes: Any
) -> LatencySample:
    """Return wall times around ``center`` milliseconds, skewed to the right."""
    times = center * np.random.default_rng(seed).lognormal(0.0, 0.25, size=requests)
    made = LatencySample(milliseconds=times, rows=1, cpu="test", interleaved=True)
    return dataclasses.replace(made, **changes)


def evidence(
    *, strength: float = 1.6, champion_strength: float | None = 1.2, **changes: Any
) -> Evidence:
    """Return complete evidence of a sound candidate that beats its champion."""
    truth = changes.pop("truth", None)
    rows = dataset(truth) if "dataset" not in changes else changes.pop("dataset")
    truth = rows.labels if rows is not None else labels()
    own = changes.pop("candidate", None) or candidate()
    theirs = None
    if champion_strength is not None:
        theirs = candidate(version="1", files={"MLmodel": b"champion\n"})
    found: dict[str, Any] = {
        "model": "credit-risk",
        "version": own.version,
        "policy": policy(),
        "candidate": own,
        "dataset": rows,
        "contract": contract(),
        "production_profile": profile(shift=0.05),
        "candidate_scores": scores(answers_of(truth, strength), own),
        "champion": theirs,
        "champion_scores": None,
        "candidate_latency": (latency(), latency(40.0, seed=6, rows=100)),
        "champion_latency": (latency(9.0, seed=8),),
        "candidate_probes": (probe(answers_of(truth, strength)),),
    }
    if theirs is not None and champion_strength is not None:
        found["champion_scores"] = scores(answers_of(truth, champion_strength), theirs)
    return Evidence(**{**found, **changes})


def probe(values: npt.NDArray[np.float64], name: str = "perturbed", rows: int = 200) -> Probe:
    """Return a probe of the first rows whose answers hardly change."""
    chosen = np.arange(min(rows, len(values)))
    return Probe(name=name, rows=chosen, values=np.clip(values[chosen] + 0.001, 0.0, 1.0))


def judge(gate: str, given: Evidence, **settings: Any) -> GateResult:
    """Run a built-in gate by name."""
    found = catalogue()[gate]
    return run_gate(found, given, found.settings.model_validate(settings), clock)


def default_settings(gate: str) -> GateSettings:
    """Return a gate's settings as they are where the policy says nothing."""
    return catalogue()[gate].settings.model_validate({})
