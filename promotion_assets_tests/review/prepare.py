"""Prepares a home with a champion, a version under review and the incident, judged by real gates.

Run as ``python -m promotion_assets_tests.review.prepare FOLDER``: in a process of its own, since
what MLflow and its libraries warn of is not ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mlflow.utils.environment

from promotion_assets.demo.data import read_customers, split, write_parts
from promotion_assets.demo.home import DemoHome
from promotion_assets.demo.register import register_versions
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import adopt, record_decision, to_staging
from promotion_assets.pipeline.review_requests import keep_requests
from promotion_assets.pipeline.reviewing import ReviewDesk
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.fakes import Clock

MODEL = "credit-risk"
# Enough for the same verdicts as the demo's, in a fraction of the time.
TRAINING_ROWS = 5000
POLICY = """
version: 1
models:
  credit-risk:
    task: binary
    risk_class: high
    dataset: {uri: evaluation.parquet, label: default, id: ID, min_group_rows: 5}
    production: {uri: production.parquet}
    groups:
      - {column: SEX, name: sex}
      - {column: EDUCATION, name: education, labels: {"3": high school}}
    first_version: {accept: absolute, reason: Version 1 served before there was a platform.}
    gates:
      accuracy: {minimum: 0.70, improvement: 0.005}
      fairness: {}
      schema: {}
      artifact: {trusted_types: [promotion_assets.demo.features.join_payment_history]}
    segments: [default, eu]
    shadow: {waive: There is no live traffic to be shadowed in a test.}
    review:
      reviewers:
        - {name: ana, role: risk, slack: T01/U01}
        - {name: bo, role: data science, slack: T01/U02}
        - {name: cy, role: operations}
        - {name: tomas, accounts: [tomas.novak]}
"""


def main(root: Path) -> None:
    """Register three versions, adopt the first, judge the others."""
    home = DemoHome(root)
    parts = split(read_customers())
    write_parts(parts, home.root)
    home.config.write_text(POLICY)
    register_versions(home, lambda line: None, most=3, training=parts.training.head(TRAINING_ROWS))
    workspace = Workspace.open(
        home=home.state,
        config=home.config,
        environ={"MLFLOW_TRACKING_URI": home.tracking_uri},
        clock=Clock(),
    )
    evaluator = Evaluator(workspace, MODEL)
    evaluator.inputs.take_dataset()
    adopt(evaluator, "1", actor="ana", reason="it has been serving since 2024")
    for version in ("2", "3"):
        evaluator = Evaluator(workspace, MODEL)
        evaluator.take(version)
        for gate in evaluator.gates:
            if evaluator.gates[gate][0].before_loading:
                evaluator.judge(version, gate)
        evaluator.score(version)
        for gate in evaluator.gates:
            evaluator.judge(version, gate)
        decision = evaluator.decide(version)
        record_decision(evaluator, decision)
        if decision.approved:
            to_staging(evaluator, version, actor="promotion")
    _open_requests(workspace)


def _open_requests(workspace: Workspace) -> None:
    """Open what waits for review a minute later, and draw the pictures once for all tests."""
    clock = workspace.clock
    assert isinstance(clock, Clock)
    clock.advance(minutes=1)
    assert keep_requests(workspace, MODEL).problems == []
    desk = ReviewDesk(workspace)
    for version in ("2", "3"):
        desk.show(MODEL, version, "default", "observer")


if __name__ == "__main__":
    # MLflow looks through every installed file to warn of a version that it was not told.
    mlflow.utils.environment.warn_dependency_requirement_mismatches = lambda *_, **__: None
    main(Path(sys.argv[1]))
