"""Where shadow and champion decide differently: how often, in which direction, in which group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from promotion_assets.gates.contract import Measurement
from promotion_assets.policy.shadow import ShadowPolicy
from promotion_assets.rollout.shadow_limits import at_most
from promotion_assets.statistics.estimates import Difference
from promotion_assets.statistics.intervals import newcombe_paired, simultaneous_level, wilson

if TYPE_CHECKING:
    from promotion_assets.rollout.shadow_tally import Cells, ShadowTally


def decision_measurements(found: ShadowTally, policy: ShadowPolicy) -> Iterator[Measurement]:
    """Yield the disagreement, and its direction where a decision has one."""
    if found.rules.task == "regression":
        return
    yield at_most(
        wilson(found.disagreed, found.pairs, confidence=policy.confidence),
        name="disagreement",
        limit=policy.limits.disagreement,
        called="the share of pairs that are decided differently is",
    )
    if found.rules.task == "binary":
        change = shift_of(found.cells, policy.confidence)
        yield at_most(
            change,
            name="shift",
            limit=policy.limits.shift,
            called="the share that is decided positively changes by",
            baseline=change.second,
            either_way=True,
        )


def group_measurements(found: ShadowTally, policy: ShadowPolicy) -> Iterator[Measurement]:
    """Yield the change in every group that is large enough, the largest first.

    The intervals hold for all groups of one attribute at once.
    """
    large = {
        place: cells
        for place, cells in found.groups.items()
        if cells.sum() >= policy.minimum_group_pairs
    }
    by_attribute: dict[str, int] = {}
    for attribute, _ in large:
        by_attribute[attribute] = by_attribute.get(attribute, 0) + 1
    measured = [
        at_most(
            shift := shift_of(cells, simultaneous_level(policy.confidence, by_attribute[of])),
            name="group_shift",
            subject=f"{of}={name}",
            limit=policy.limits.group_shift,
            called=f"the share that is decided positively of {of}={name} changes by",
            baseline=shift.second,
            either_way=True,
        )
        for (of, name), cells in large.items()
    ]
    yield from sorted(measured, key=lambda m: (-abs(m.observed or 0.0), m.subject))


def shift_of(cells: Cells, confidence: float) -> Difference:
    """Return the shadow's share of positive decisions less production's, on the same rows."""
    return newcombe_paired(
        int(cells[1, 1]),
        int(cells[0, 1]),
        int(cells[1, 0]),
        int(cells[0, 0]),
        confidence=confidence,
    )
