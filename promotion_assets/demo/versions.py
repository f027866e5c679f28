"""The nine versions that the demo registers, in the order of their numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from promotion_assets.demo import models
from promotion_assets.demo.cards import OLD, card
from promotion_assets.demo.models import Trained

MODEL = "credit-risk"


@dataclass(frozen=True)
class Version:
    """One version of the demo's model.

    Attributes:
        number: the number that it gets in the registry.
        title: a few words for people.
        author: who registered it, as the version's ``author`` tag.
        card: its model card.
        train: gives the fitted model from the training part.
        signed: whether it is registered with a signature.
        poisoned: whether its model file is replaced by a pickle that runs a command.
        deciding_gate: the gate that is meant to stop it; ``None`` where none is.
    """

    number: int
    title: str
    author: str
    card: str
    train: Callable[[pd.DataFrame], Trained]
    signed: bool = True
    poisoned: bool = False
    deciding_gate: str | None = None


VERSIONS: tuple[Version, ...] = (
    Version(
        1,
        "champion",
        "mei.lin",
        card("Credit risk, logistic regression", "The model that serves today."),
        models.train_champion,
    ),
    Version(
        2,
        "sound challenger",
        "tomas.novak",
        card("Credit risk, gradient boosting", "Finds what a straight line cannot."),
        models.train_sound,
    ),
    Version(
        3,
        "the incident",
        "tomas.novak",
        card(
            "Credit risk, gradient boosting with joined history",
            "Payment history now comes from the feature store, joined by education code.",
        ),
        models.train_incident,
        deciding_gate="fairness",
    ),
    Version(
        4,
        "too slow",
        "ada.osei",
        card("Credit risk, bagged boosting", "Fifty boosted pipelines vote; smoother scores."),
        models.train_slow,
        deciding_gate="latency",
    ),
    Version(
        5,
        "stale data",
        "ada.osei",
        card("Credit risk, boosting on the archive", "Trained on the cleaned archive.", OLD),
        models.train_stale,
        deciding_gate="drift",
    ),
    Version(
        6,
        "wrong schema",
        "jonas.weber",
        card(
            "Credit risk, boosting, tidy types", "Amounts are whole dollars, so they are integers."
        ),
        models.train_whole,
        deciding_gate="schema",
    ),
    Version(
        7,
        "no signature",
        "jonas.weber",
        card("Credit risk, boosting, quick export", "Exported from a notebook."),
        lambda training: models.train_sound(training, seed=2),
        signed=False,
        deciding_gate="schema",
    ),
    Version(
        8,
        "malicious pickle",
        "contractor",
        card("Credit risk, vendor build", "Drop-in replacement."),
        models.train_champion,
        poisoned=True,
        deciding_gate="artifact",
    ),
    Version(
        9,
        "boasted metrics",
        "tomas.novak",
        card("Credit risk, boosting, tuned", "AUC .91 after tuning."),
        models.train_boasted,
        deciding_gate="accuracy",
    ),
)
