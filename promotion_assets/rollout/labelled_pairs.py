"""Pairs whose true outcome is known, and only those of which it would be known by now.

What is known early is not typical: a missed payment shows before a kept one does. So a pair
counts only when it is older than the time that an outcome takes (``label delay``), and then with
whatever became of it. Among those, an outcome may still be missing for a reason that the model
itself gave: a customer who was refused has no loan to pay back. That cannot be mended here; it
is shown by the share of known outcomes on either side of production's decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from promotion_assets.rollout.pair_sample import PairSample
from promotion_assets.serving.events import microseconds
from promotion_assets.statistics.estimates import Difference
from promotion_assets.statistics.intervals import newcombe

Floats = npt.NDArray[np.float64]
# A share of known outcomes below which the rest is called out, whatever its reason.
NEARLY_ALL = 0.95


@dataclass(frozen=True)
class Horizon:
    """From when on an outcome counts.

    Attributes:
        delay: how long it takes until everybody's outcome is known.
        window: an outcome that became known longer than this after its request is late.
    """

    now: datetime
    delay: timedelta
    window: timedelta

    @property
    def matured_us(self) -> int:
        """Requests up to this time are matured."""
        return microseconds(self.now - self.delay)


@dataclass(frozen=True)
class LabelledPairs:
    """Matured pairs with their outcomes.

    Attributes:
        labels, production, shadow: of the pairs whose outcome is known, shape (known,).
        matured: pairs that are old enough.
        immature: labels that are there already of pairs that are not.
        late: outcomes that came after the window.
        positive, negative: matured pairs by production's decision, and how many of them have a
            known outcome, as ``(known, matured)``.
    """

    labels: Floats
    production: Floats
    shadow: Floats
    matured: int = 0
    immature: int = 0
    late: int = 0
    positive: tuple[int, int] = (0, 0)
    negative: tuple[int, int] = (0, 0)

    @property
    def known(self) -> int:
        """Matured pairs whose outcome is known."""
        return len(self.labels)

    def coverage_gap(self, confidence: float) -> Difference | None:
        """Return how much more often outcomes are known where production decided positively."""
        if not self.positive[1] or not self.negative[1]:
            return None
        return newcombe(*self.positive, *self.negative, confidence=confidence)

    def selective(self, confidence: float) -> str:
        """Warn of labels that are not typical of the traffic; empty where nothing shows it."""
        if not self.matured or not self.known:
            return ""
        gap = self.coverage_gap(confidence)
        share = self.known / self.matured
        if gap is not None and (gap.low > 0 or gap.high < 0):
            return (
                f"selective labels: outcomes are known of {gap.first:.1%} of those that production "
                f"decided positively and of {gap.second:.1%} of the others, so what follows is "
                "true of those with an outcome and perhaps of nobody else"
            )
        if share < NEARLY_ALL:
            return (
                f"selective labels: {1 - share:.1%} of the matured pairs have no outcome; "
                "nobody can tell whether those are like the others"
            )
        return ""


def label_pairs(
    sample: PairSample, outcomes: Iterable[pa.RecordBatch], horizon: Horizon, threshold: float
) -> LabelledPairs:
    """Join pairs with outcomes by request id; of several outcomes the one told last holds.

    Args:
        outcomes: as :func:`promotion_assets.serving.events.arrow_schema` has them.
        threshold: score from which production's decision is positive.
    """
    pairs = sample.table.select(
        ["time_us", "request_id", "production_score", "shadow_score"]
    ).to_pandas()
    told = last_told(outcomes, set(pairs["request_id"]), microseconds(horizon.now))
    joined = pairs.merge(told, on="request_id", how="left")
    late = joined["observed_us"] - joined["time_us"] > horizon.window // timedelta(microseconds=1)
    has_label = joined["label"].notna() & ~late
    matured = joined["time_us"] <= horizon.matured_us
    positive = joined["production_score"] >= threshold
    use = joined[matured & has_label]
    return LabelledPairs(
        labels=use["label"].to_numpy(dtype=np.float64),
        production=use["production_score"].to_numpy(dtype=np.float64),
        shadow=use["shadow_score"].to_numpy(dtype=np.float64),
        matured=int(matured.sum()),
        immature=int((has_label & ~matured).sum()),
        late=int(late.sum()),
        positive=(int((matured & has_label & positive).sum()), int((matured & positive).sum())),
        negative=(int((matured & has_label & ~positive).sum()), int((matured & ~positive).sum())),
    )


def last_told(outcomes: Iterable[pa.RecordBatch], wanted: set[str], now_us: int) -> pd.DataFrame:
    """Return ``request_id``, ``label`` and ``observed_us``, one row a request.

    Args:
        wanted: requests that are of interest; others are passed over, batch by batch.
        now_us: what was observed after it does not exist yet.
    """
    kept = [_EMPTY]
    for batch in outcomes:
        frame: pd.DataFrame = pa.Table.from_batches([batch]).to_pandas()
        frame = frame[frame["request_id"].isin(wanted) & (frame["observed_us"] <= now_us)]
        kept.append(frame[["request_id", "label", "observed_us", "time_us", "event_id"]])
    told = pd.concat([frame for frame in kept if len(frame)] or [_EMPTY])
    told = told.sort_values(["time_us", "event_id"]).drop_duplicates("request_id", keep="last")
    return told[["request_id", "label", "observed_us"]]


_EMPTY = pd.DataFrame(
    {
        "request_id": pd.Series(dtype="str"),
        "label": pd.Series(dtype="float64"),
        "observed_us": pd.Series(dtype="int64"),
        "time_us": pd.Series(dtype="int64"),
        "event_id": pd.Series(dtype="str"),
    }
)
