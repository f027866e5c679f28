"""Units of an experiment with their arm, the period in which they came, and what became of them.

A unit belongs to the arm that answered it first, and counts once, by that answer. When the
candidate's share grows some units go over from the champion to it, which changes nothing of their
first answer. Any other crossing is counted: assignment is by hash, so there should be none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from promotion_assets.rollout.labelled_pairs import Horizon, last_told
from promotion_assets.serving.events import microseconds

Loss = Literal["brier", "accuracy", "log_loss"]
Arm = Literal["candidate", "stable"]
ARMS: tuple[Arm, Arm] = ("candidate", "stable")
# A probability of exactly 0 that was wrong would weigh more than all others together.
CLIPPED = 0.001


@dataclass(frozen=True)
class Trial:
    """Which exposures are compared.

    Attributes:
        salt: of the rollout; exposures of others are not its own.
        periods: when each share of the candidate began, in microseconds, and the share in basis
            points, ascending in time; at least one. What came before the first is left out.
    """

    candidate: str
    champion: str
    salt: str
    periods: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class UnitOutcomes:
    """Units by arm.

    Attributes:
        frame: a row a unit: ``arm``, ``period`` (its place in the trial's), ``score``, ``matured``,
            ``label`` (NaN where not known).
        crossed: units that both arms answered though no share had grown in between.
        immature: outcomes that are there already of units that are not matured; not in ``label``.
        late: outcomes after the window; not in ``label``.
    """

    trial: Trial
    frame: pd.DataFrame
    crossed: int = 0
    immature: int = 0
    late: int = 0

    def units(self, arm: Arm, period: int | None = None) -> int:
        """Return how many units an arm has answered, of all periods or of one."""
        chosen = self.frame["arm"] == arm
        if period is not None:
            chosen &= self.frame["period"] == period
        return int(chosen.sum())

    def matured(self, arm: Arm) -> pd.DataFrame:
        """Return an arm's matured units."""
        return self.frame[(self.frame["arm"] == arm) & self.frame["matured"]]

    def known(self, arm: Arm) -> pd.DataFrame:
        """Return an arm's matured units whose outcome is known."""
        matured = self.matured(arm)
        return matured[matured["label"].notna()]


def unit_outcomes(
    exposures: Iterable[pa.RecordBatch],
    outcomes: Iterable[pa.RecordBatch],
    trial: Trial,
    horizon: Horizon,
) -> UnitOutcomes:
    """Join the units of a trial with their outcomes.

    Args:
        exposures, outcomes: as :func:`promotion_assets.serving.events.arrow_schema` has them.
    """
    exposed = _first_answers(exposures, trial)
    first = exposed.drop_duplicates("unit", keep="first")
    now_us = microseconds(horizon.now)
    told = last_told(outcomes, set(first["request_id"]), now_us)
    joined = first.merge(told, on="request_id", how="left")
    window_us = int(horizon.window.total_seconds() * 1e6)
    late = joined["observed_us"] - joined["time_us"] > window_us
    matured = joined["time_us"] <= horizon.matured_us
    there = joined["label"].notna() & ~late
    frame = pd.DataFrame(
        {
            "arm": joined["arm"],
            "period": joined["period"],
            "score": joined["score"],
            "matured": matured,
            "label": joined["label"].where(there & matured),
        }
    )
    return UnitOutcomes(
        trial=trial,
        frame=frame.reset_index(drop=True),
        crossed=_crossed(exposed),
        immature=int((there & ~matured).sum()),
        late=int(late.sum()),
    )


def losses(frame: pd.DataFrame, loss: Loss, threshold: float = 0.5) -> npt.NDArray[np.float64]:
    """Return each unit's loss, lower is better: what its answer was worth once the truth is known.

    Args:
        frame: ``score`` and ``label``, neither missing.
    """
    score, truth = frame["score"].to_numpy(np.float64), frame["label"].to_numpy(np.float64)
    if loss == "brier":
        found: npt.NDArray[np.float64] = (score - truth) ** 2
        return found
    if loss == "accuracy":
        wrong: npt.NDArray[np.float64] = ((score >= threshold) != (truth >= 0.5)).astype(np.float64)
        return wrong
    clipped = np.clip(score, CLIPPED, 1 - CLIPPED)
    log: npt.NDArray[np.float64] = -(truth * np.log(clipped) + (1 - truth) * np.log1p(-clipped))
    return log


def _first_answers(exposures: Iterable[pa.RecordBatch], trial: Trial) -> pd.DataFrame:
    """Return what concerns the trial, in order of time: unit, arm, time, request, score."""
    arms = {trial.candidate: "candidate", trial.champion: "stable"}
    starts = [start for start, _ in trial.periods]
    parts: list[pd.DataFrame] = []
    for batch in exposures:
        frame: pd.DataFrame = pa.Table.from_batches([batch]).to_pandas()
        own = frame[
            (frame["salt"] == trial.salt)
            & frame["version"].isin(list(arms))
            & (frame["unit"] != "")
            & (frame["time_us"] >= starts[0])
        ]
        period = np.searchsorted(starts, own["time_us"], side="right") - 1
        parts.append(own.assign(arm=own["version"].map(arms), period=period)[_COLUMNS])
    kept: Sequence[pd.DataFrame] = [part for part in parts if len(part)]
    if not kept:
        return pd.DataFrame({name: pd.Series(dtype=of) for name, of in _TYPES.items()})
    return pd.concat(kept).sort_values("time_us", kind="stable")


def _crossed(exposed: pd.DataFrame) -> int:
    """Count units that went over within one period, or from the candidate back to the champion."""
    by_arm = exposed.drop_duplicates(["unit", "arm"]).pivot(
        index="unit", columns="arm", values="period"
    )
    if not set(ARMS) <= set(by_arm.columns):
        return 0
    both = by_arm.dropna()
    return int((both["candidate"] <= both["stable"]).sum())


_TYPES = {
    "unit": "str",
    "arm": "str",
    "period": "int64",
    "time_us": "int64",
    "request_id": "str",
    "score": "float64",
}
_COLUMNS = list(_TYPES)
