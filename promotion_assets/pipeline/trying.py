"""Hand-made inputs on candidate and champion, each in a sandbox of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pandas as pd

from promotion_assets.errors import UsageError
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.contract import Column
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.scores import ScoringFailure
from promotion_assets.evaluation.session import Session
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.scoring_step import open_session
from promotion_assets.review.ports import Answered

MOST_INPUTS = 200
LONGEST_VALUE = 200
SECONDS = 60.0
_WHOLE = ("integer", "long")
_DECIMAL = ("float", "double")
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def example_inputs(evaluator: Evaluator, version: str) -> dict[str, str]:
    """Return the first row of the evaluation dataset as text, for the inputs of either version."""
    row = evaluator.inputs.dataset().frame.iloc[0]
    names = [c.name for c in _inputs(evaluator, version) if c.name in row.index][:MOST_INPUTS]
    return {name: "" if pd.isna(row[name]) else str(row[name]) for name in names}


def try_inputs(evaluator: Evaluator, version: str, values: Mapping[str, str]) -> Answered:
    """Score one hand-made row on both versions.

    Raises:
        UsageError: a value is not of its input's type.
    """
    frame = pd.DataFrame(
        {
            c.name: [_parsed(c, values[c.name])]
            for c in _inputs(evaluator, version)
            if c.name in values
        }
    )
    candidate, champion = evaluator.candidate(version), evaluator.compared_with(version)
    dataset = evaluator.inputs.dataset()
    if frame.empty:
        return Answered("no inputs were given", None)
    refused = evaluator.refused_before_loading(version)
    if refused is not None:
        return Answered(f"nothing of it is loaded: {refused.reason}", None)
    own = _opened(evaluator, candidate, dataset)
    theirs = _opened(evaluator, champion, dataset) if champion else None
    try:
        answered = _answer(own, frame)
        return Answered(answered, _answer(theirs, frame) if champion else None)
    finally:
        for session in (own, theirs):
            if session is not None:
                session.close()


def _opened(evaluator: Evaluator, version: Candidate, dataset: EvaluationDataset) -> Session | None:
    if version.artifact_dir is None or version.problems:
        return None
    return open_session(version, evaluator.policy, evaluator.scoring_plan(), dataset)


def _answer(session: Session | None, frame: pd.DataFrame) -> str:
    if session is None:
        return "it cannot be loaded: its artifact has a problem"
    answered = session.answer(frame, time.monotonic() + SECONDS)
    if isinstance(answered, ScoringFailure):
        return f"it gave no answer: {answered.reason}"
    return ", ".join(f"{value:.4f}" for value in answered.reshape(-1)[:20])


def _inputs(evaluator: Evaluator, version: str) -> tuple[Column, ...]:
    columns: dict[str, Column] = {}
    for known in (evaluator.candidate(version), evaluator.compared_with(version)):
        signature = known.signature if known else None
        for column in signature.inputs if signature else ():
            columns.setdefault(column.name, column)
    return tuple(columns.values())


def _parsed(column: Column, text: str) -> object:
    written = text.strip()
    doing = f"reading the input {column.name[:60]}"
    if len(written) > LONGEST_VALUE:
        raise UsageError(
            doing,
            f"it has {len(written):,} characters",
            f"give a value of at most {LONGEST_VALUE:,} characters",
        )
    if not written:
        return float("nan") if column.type in (*_WHOLE, *_DECIMAL) else None
    try:
        if column.type in _WHOLE:
            return int(written)
        if column.type in _DECIMAL:
            return float(written)
        if column.type == "boolean":
            return _TRUTHS[written.lower()]
    except (ValueError, KeyError):
        raise UsageError(
            doing,
            f"{written[:60]!r} is no {column.type}",
            f"give a value of the type {column.type}, or none at all where it is missing",
        ) from None
    return written
