"""The demo's customers, split by a fixed rule into training, evaluation and production."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import pandas as pd

LABEL = "default"
UNIT = "ID"
# Known to the bank, never given to a model: the groups that fairness is judged on.
PROTECTED = ("SEX", "AGE", "MARRIAGE")
TRAINING_ROWS = 15_000
EVALUATION_ROWS = 10_000


@dataclass(frozen=True)
class Split:
    """The three parts; no customer is in two of them.

    Attributes:
        training: 15,000 rows, all columns.
        evaluation: 10,000 rows, all columns.
        production: 5,000 rows as the feature pipeline sends them: features, no label and no
            protected column.
    """

    training: pd.DataFrame
    evaluation: pd.DataFrame
    production: pd.DataFrame


def features_of(frame: pd.DataFrame) -> list[str]:
    """Return the columns that a model may see, in the data's order."""
    return [name for name in frame.columns if name not in {UNIT, LABEL, *PROTECTED}]


def read_customers() -> pd.DataFrame:
    """Return all 30,000 customers as shipped."""
    with as_file(files(__package__) / "data" / "taiwan_credit.parquet") as path:
        return pd.read_parquet(path)


def split(customers: pd.DataFrame) -> Split:
    """Split by the rank of SHA-256("credit-risk/<ID>").

    The rule needs no seed, does not depend on the order of the rows, and gives the same parts
    with every version of every library.
    """
    key = [hashlib.sha256(f"credit-risk/{unit}".encode()).hexdigest() for unit in customers[UNIT]]
    order = pd.Series(key, index=customers.index).sort_values().index
    evaluation_end = TRAINING_ROWS + EVALUATION_ROWS
    return Split(
        training=_by_unit(customers.loc[order[:TRAINING_ROWS]]),
        evaluation=_by_unit(customers.loc[order[TRAINING_ROWS:evaluation_end]]),
        production=_by_unit(customers.loc[order[evaluation_end:]])[features_of(customers)],
    )


def live_customers(customers: pd.DataFrame) -> pd.DataFrame:
    """Return the customers of the production part with id and label, in a fixed mixed order.

    No version was trained or evaluated on any of them.
    """
    parts = split(customers)
    seen = {*parts.training[UNIT], *parts.evaluation[UNIT]}
    live = customers[~customers[UNIT].isin(seen)]
    return live.sample(frac=1, random_state=0)[[UNIT, LABEL, *features_of(customers)]]


def write_parts(parts: Split, home: Path) -> None:
    """Write ``evaluation.parquet`` and ``production.parquet`` into ``home``, whole or not at all.

    A file that is there already is left alone, its digest names an evaluation dataset version.
    """
    home.mkdir(parents=True, exist_ok=True)
    for name, frame in (("evaluation", parts.evaluation), ("production", parts.production)):
        target = home / f"{name}.parquet"
        if not target.exists():
            unfinished = home / f".{name}.parquet.part"
            frame.to_parquet(unfinished, index=False)
            unfinished.replace(target)


def _by_unit(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(UNIT).reset_index(drop=True)
