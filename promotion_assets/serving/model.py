"""What a server asks of a loaded version, and of those who bring it there."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pydantic import JsonValue

from promotion_assets.evaluation.candidate import Signature
from promotion_assets.serving.payload import Payload
from promotion_assets.serving.plan import Arm, TrafficPlan


class ModelFailed(Exception):
    """A version gave no answer that can be sent on; says why in one sentence."""


class Answer(NamedTuple):
    """What a version says to one request.

    Attributes:
        predictions: JSON values, one a row.
        scores: the number in each: the probability of the positive class where there is one;
            NaN where there is none.
    """

    predictions: list[Any]
    scores: list[float]


class Model(Protocol):
    """One loaded version."""

    arm: Arm
    signature: Signature | None
    how: str
    """``array``, ``table`` or ``pyfunc``: what its estimator is given."""

    def answer(self, payload: Payload) -> Answer:
        """Answer one request, row by row.

        Raises:
            RequestRefused: the request does not fit the model's signature.
            ModelFailed: the model raised, or what it answered is no answer to these rows.
        """


class Planned(NamedTuple):
    """The plan as the ledger has it, verified.

    Attributes:
        sequence: of the model's last ledger entry.
    """

    plan: TrafficPlan
    sequence: int


class PlanSource(Protocol):
    """Where the plan comes from."""

    def read(self) -> Planned:
        """Return the plan of now.

        Raises:
            IntegrityError: its attestation is missing, or is not what its signer signed, or the
                plan does not fit the model's stages.
            EvidenceMissing: there is no plan.
            LedgerUnreachable: the ledger does not answer.
        """


class ModelSource(Protocol):
    """Where versions come from."""

    def directory(self, arm: Arm) -> Path:
        """Return where the version's artifact is, its bytes verified against the digest.

        Raises:
            IntegrityError: they are others.
            Unreachable: they cannot be had.
        """

    def load(self, arm: Arm) -> Model:
        """Load a version and verify its bytes before and after.

        Raises:
            IntegrityError: its bytes are others, or it cannot be loaded.
            Unreachable: they cannot be had.
        """


def scores_of(predictions: Sequence[Any], positive: int = 1) -> list[float]:
    """Return the number in each prediction.

    Args:
        positive: which of two class probabilities is the positive one's.
    """
    return [_score(prediction, positive) for prediction in predictions]


def _score(prediction: Any, positive: int) -> float:
    if isinstance(prediction, dict) and len(prediction) == 1:
        (prediction,) = prediction.values()
    if isinstance(prediction, list):
        if len(prediction) == 2:
            prediction = prediction[positive]
        elif len(prediction) == 1:
            prediction = prediction[0]
    numeric = isinstance(prediction, int | float) and not isinstance(prediction, bool)
    return float(prediction) if numeric else math.nan


def as_json(prediction: JsonValue) -> str:
    """Return a prediction as JSON, short.

    Raises:
        ModelFailed: it holds NaN or infinity.
    """
    try:
        return json.dumps(prediction, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise ModelFailed("it answered NaN or infinity, which is no answer") from error
