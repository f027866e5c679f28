"""What a shadow's events add up to: read batch by batch, merged across readers, in bounded memory.

Counts are exact over every event. What needs the scores themselves (quantiles, distances,
ranks, latencies) is kept as a sample that is everything up to its size.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from promotion_assets.evaluation.grouping import group_names
from promotion_assets.policy.model import Group, Task
from promotion_assets.rollout.pair_sample import SIZE, PairSample

Cells = npt.NDArray[np.int64]
"""Pairs by decision, shape (2, 2): ``cells[production, shadow]``, 1 where it is positive."""

NO_NUMBER = "no number"
MOST_ERRORS = 20


@dataclass(frozen=True)
class ShadowRules:
    """What decides which pairs agree, and which groups are told apart.

    Attributes:
        task: a binary score is a decision from ``threshold`` on; a multiclass answer is its most
            likely class; a regression decides nothing.
        shadow, digest: the version, and its artifact: other events are left out.
        champion: the version that it is held against: pairs with others are left out.
        groups: as the policy has them; found where the event carries their column.
    """

    task: Task
    shadow: str
    digest: str
    champion: str
    threshold: float = 0.5
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True)
class ShadowTally:
    """What was counted so far.

    Attributes:
        outcomes: events by outcome; ``no number`` where an answer holds none.
        unpaired: copies of requests that production itself did not answer.
        pairs: events that both versions answered.
        first_us, last_us: time of the first and last pair.
        cells: pairs by both decisions; all 0 for a regression, ``disagreed`` for multiclass.
        disagreed: pairs in which the two decide differently.
        groups: the same cells by attribute and group.
        grouped: pairs that carried the attribute's column, by attribute.
        errors: what failed, in the shadow's own words; the most frequent of each batch.
    """

    rules: ShadowRules
    sample: PairSample
    outcomes: Mapping[str, int] = field(default_factory=dict)
    unpaired: int = 0
    pairs: int = 0
    first_us: int | None = None
    last_us: int | None = None
    cells: Cells = field(default_factory=lambda: np.zeros((2, 2), dtype=np.int64))
    disagreed: int = 0
    groups: Mapping[tuple[str, str], Cells] = field(default_factory=dict)
    grouped: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def empty(cls, rules: ShadowRules, size: int = SIZE) -> ShadowTally:
        """Return the tally of nothing."""
        return cls(rules, PairSample.empty(size))

    def merge(self, other: ShadowTally) -> ShadowTally:
        """Return the tally of both streams together; no event may be in both."""
        firsts = [t for t in (self.first_us, other.first_us) if t is not None]
        lasts = [t for t in (self.last_us, other.last_us) if t is not None]
        return replace(
            self,
            sample=self.sample.merge(other.sample),
            outcomes=_sum(self.outcomes, other.outcomes),
            unpaired=self.unpaired + other.unpaired,
            pairs=self.pairs + other.pairs,
            first_us=min(firsts, default=None),
            last_us=max(lasts, default=None),
            cells=self.cells + other.cells,
            disagreed=self.disagreed + other.disagreed,
            groups=_sum_cells(self.groups, other.groups),
            grouped=_sum(self.grouped, other.grouped),
            errors=_most_common(Counter(self.errors) + Counter(other.errors)),
        )

    @property
    def asked(self) -> int:
        """Copies that the shadow was to answer."""
        return sum(self.outcomes.values())

    @property
    def failed(self) -> int:
        """Copies that it did not answer, or not with an answer that can be compared."""
        return self.asked - self.outcomes.get("answered", 0)


def tally(
    batches: Iterable[pa.RecordBatch], rules: ShadowRules, *, size: int = SIZE
) -> ShadowTally:
    """Count shadow events.

    Args:
        batches: as :func:`promotion_assets.serving.events.arrow_schema` has them, no event twice.
        size: of the sample.
    """
    found = ShadowTally.empty(rules, size)
    for batch in batches:
        found = found.merge(_of_batch(batch, rules, size))
    return found


def _of_batch(batch: pa.RecordBatch, rules: ShadowRules, size: int) -> ShadowTally:
    frame: pd.DataFrame = pa.Table.from_batches([batch]).to_pandas()
    own = frame[
        (frame["shadow_version"] == rules.shadow)
        & (frame["shadow_digest"] == rules.digest)
        & (frame["production_version"] == rules.champion)
    ]
    failed = own["production_prediction"] == ""
    if rules.task != "multiclass":
        failed |= ~np.isfinite(own["production_score"].to_numpy(dtype=np.float64))
    asked = own[~failed]
    decisions = _decisions(asked, rules)
    answered = asked["outcome"] == "answered"
    paired = answered.to_numpy() & decisions.known
    outcomes = Counter(asked["outcome"])
    unreadable = int((answered.to_numpy() & ~decisions.known).sum())
    if unreadable:
        outcomes["answered"] -= unreadable
        outcomes[NO_NUMBER] += unreadable
    pairs = asked[paired]
    one, two = decisions.production[paired], decisions.shadow[paired]
    times = pairs["time_us"]
    groups, grouped = _by_group(pairs, one, two, rules)
    return ShadowTally(
        rules=rules,
        sample=PairSample.empty(size).add(pa.Table.from_pandas(pairs, preserve_index=False)),
        outcomes=dict(outcomes),
        unpaired=int(failed.sum()),
        pairs=len(pairs),
        first_us=int(times.min()) if len(pairs) else None,
        last_us=int(times.max()) if len(pairs) else None,
        cells=_cells(one, two) if rules.task == "binary" else np.zeros((2, 2), dtype=np.int64),
        disagreed=int((one != two).sum()) if rules.task != "regression" else 0,
        groups=groups,
        grouped=grouped,
        errors=_most_common(Counter(text for text in asked["error"] if text)),
    )


@dataclass(frozen=True)
class _Decisions:
    """Both versions' decisions as codes, and whether both are known; one a row."""

    production: npt.NDArray[np.int64]
    shadow: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]


def _decisions(asked: pd.DataFrame, rules: ShadowRules) -> _Decisions:
    if rules.task == "multiclass":
        names = [_classes(asked[f"{arm}_prediction"]) for arm in ("production", "shadow")]
        codes, _ = pd.factorize(np.array([*names[0], *names[1]], dtype=object))
        one, two = np.split(codes.astype(np.int64), 2)
        return _Decisions(one, two, (one >= 0) & (two >= 0))
    first = asked["production_score"].to_numpy(dtype=np.float64)
    second = asked["shadow_score"].to_numpy(dtype=np.float64)
    return _Decisions(
        (first >= rules.threshold).astype(np.int64),
        (second >= rules.threshold).astype(np.int64),
        np.isfinite(first) & np.isfinite(second),
    )


def _classes(predictions: Iterable[str]) -> list[str | None]:
    """Return the class that each answer names, or the place of its greatest probability."""
    found: list[str | None] = []
    for text in predictions:
        value = _parsed(text)
        if isinstance(value, list) and value and all(isinstance(v, int | float) for v in value):
            value = int(np.argmax(value))
        found.append(None if value is None or value == [] else json.dumps(value))
    return found


def _by_group(
    pairs: pd.DataFrame,
    one: npt.NDArray[np.int64],
    two: npt.NDArray[np.int64],
    rules: ShadowRules,
) -> tuple[dict[tuple[str, str], Cells], dict[str, int]]:
    if rules.task != "binary" or not rules.groups or not (pairs["features"] != "").any():
        return {}, {}
    parsed = (_parsed(text) for text in pairs["features"])
    rows = [row if isinstance(row, dict) else {} for row in parsed]
    cells: dict[tuple[str, str], Cells] = {}
    grouped: dict[str, int] = {}
    for group in rules.groups:
        held = np.array([group.column in row for row in rows])
        if not held.any():
            continue
        grouped[group.label] = int(held.sum())
        values = [row[group.column] for row, has in zip(rows, held, strict=True) if has]
        names = group_names(pd.DataFrame({group.column: values}), group)
        for name in sorted(set(names)):
            inside = names == name
            cells[(group.label, str(name))] = _cells(one[held][inside], two[held][inside])
    return cells, grouped


def _cells(one: npt.NDArray[np.int64], two: npt.NDArray[np.int64]) -> Cells:
    return np.bincount(2 * one + two, minlength=4).astype(np.int64).reshape(2, 2)


def _parsed(text: str) -> object:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _sum(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(one) + Counter(two))


def _sum_cells(
    one: Mapping[tuple[str, str], Cells], two: Mapping[tuple[str, str], Cells]
) -> dict[tuple[str, str], Cells]:
    summed = dict(one)
    for place, cells in two.items():
        summed[place] = summed[place] + cells if place in summed else cells
    return summed


def _most_common(errors: Counter[str]) -> dict[str, int]:
    return dict(errors.most_common(MOST_ERRORS))
