"""Freeze a home as an earlier release left it: policy, ledger, checkpoints, what it said of them.

It is run with the code of that release, once, and never again::

    git archive COMMIT | tar -x -C /tmp/release
    cd /tmp/release && PYTHONPATH=. python /path/to/make_home.py /path/to/golden/home-0002 SCRATCH

Everything is real: two versions logged to MLflow, judged by the command line in the sandbox, one
promoted. Only shadow report and vote are appended as events, since they would take days.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MODEL = "credit-risk"
SECRET = b"a key of the tests, not a secret"
POLICY = """\
version: 1
models:
  credit-risk:
    task: binary
    owner: ana@example.org
    risk_class: medium
    dataset: {uri: evaluation.parquet, label: y, min_rows: 50}
    groups:
      - {column: c, name: third, bands: [0.0]}
    first_version: {accept: absolute, reason: nothing predicted this before}
    gates:
      accuracy: {minimum: 0.6, improvement: -0.5}
      fairness: {gap_to_overall: 0.5}
      schema:
      artifact:
"""


def make(target: Path, scratch: Path) -> None:
    """Live in ``scratch``, and keep in ``target`` what the test needs."""
    scratch.mkdir(parents=True)
    (scratch / "promotion.yaml").write_text(POLICY)
    _speak_of(scratch)
    _register(scratch)
    _command("adopt", MODEL, "1", "--reason", "has been serving since 2024")
    _command("evaluate", MODEL, "2")
    _to_production("2")
    _freeze(target, scratch)


def _speak_of(scratch: Path) -> None:
    private = Ed25519PrivateKey.from_private_bytes(SECRET)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    os.environ |= {
        "PROMOTION_CONFIG": str(scratch / "promotion.yaml"),
        "PROMOTION_HOME": str(scratch / "home"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{scratch}/mlflow.db",
        "PROMOTION_SIGNING_KEY": pem.decode(),
    }


def _freeze(target: Path, scratch: Path) -> None:
    target.mkdir(parents=True)
    for name, words in (
        ("status.json", ("status", "--json")),
        ("explain.json", ("explain", MODEL, "2", "--json")),
    ):
        said = json.loads(_command(*words))
        (target / name).write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    shutil.copytree(scratch / "home" / "checkpoints", target / "checkpoints")
    shutil.copy(scratch / "home" / "keys" / "ledger.pub", target)
    shutil.copy(scratch / "promotion.yaml", target)
    with closing(sqlite3.connect(scratch / "home" / "ledger.db")) as database:
        (target / "home.sql").write_text("\n".join(database.iterdump()) + "\n")


def _register(folder: Path) -> None:
    import mlflow
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    mlflow.set_experiment(MODEL)
    drawn = np.random.default_rng(1)
    rows = pd.DataFrame(drawn.normal(size=(400, 3)), columns=list("abc"))
    labels = (rows.sum(axis=1) + drawn.normal(size=400) > 0).astype("int64")
    rows.assign(y=labels).to_parquet(folder / "evaluation.parquet")
    for number in range(3):
        with mlflow.start_run():
            mlflow.sklearn.log_model(
                LogisticRegression(C=0.1 + number).fit(rows, labels),
                name="model",
                signature=mlflow.models.infer_signature(rows, labels),
                pip_requirements=["scikit-learn==1.9.1"],
                registered_model_name=MODEL,
            )


def _to_production(version: str) -> None:
    from promotion_assets.lifecycle.events import ReviewDecided, ShadowReported, Stage
    from promotion_assets.lifecycle.promotion import complete_rollout, promote
    from promotion_assets.lifecycle.transitions import Request, evidence_of
    from promotion_assets.pipeline import promoting
    from promotion_assets.pipeline.evaluator import Evaluator
    from promotion_assets.pipeline.workspace import Workspace

    workspace = Workspace.open()
    evaluator = Evaluator(workspace, MODEL)
    ledger = workspace.ledger
    to = Stage.PRODUCTION
    asked = Request(model=MODEL, version=version, to=to, actor="ana", reason="it is better")
    # The name has changed since.
    facts_of: Any = getattr(promoting, "facts_now", None)
    found = facts_of(evaluator, version) if facts_of else promoting.facts_for(evaluator, asked)
    # The champion answered when it was adopted, a moment ago.
    facts = found.model_copy(update={"predecessor": "ready"})
    ledger.append(
        [
            ShadowReported(
                model=MODEL,
                version=version,
                passed=True,
                model_digest=facts.model_digest,
                summary="2 % of decisions differ over 50,000 pairs",
                report_digest="5" * 64,
            )
        ]
    )
    vote = ReviewDecided(
        model=MODEL,
        version=version,
        actor="bo",
        verdict="approved",
        reviewed_at=datetime.now(UTC),
        evidence=evidence_of(ledger.state(MODEL), asked, facts),
        answers={"on-call cover": "Ana, until Friday"},
    )
    ledger.append([vote])
    promote(ledger, workspace.registry, asked, facts, workspace.clock())
    complete_rollout(ledger, workspace.registry, MODEL, actor="ana", reason="baked for 24 h")
    workspace.checkpointer.publish()


def _command(*words: str) -> str:
    from promotion_assets.cli import main

    said = io.StringIO()
    sys.argv = ["promotion", *words]
    with contextlib.redirect_stdout(said):
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                raise
    return said.getvalue()


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
