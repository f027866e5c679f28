"""A comparison with a planned end, looked at a few times on the way.

Where the horizon is planned (an experiment of four weeks), spending the chance of a false alarm
over a handful of looks finds smaller effects than evidence that holds at every look, and tells how
likely the rest of the plan still is to show something. It must not be looked at more often than it
counts, nor run past its plan: the false-alarm rate would be .14 to .33 instead of .05.

- Spending: K. Lan, D. DeMets (Biometrika 70, 1983), in the shapes of P. O'Brien and T. Fleming and
  of S. Pocock. It depends on the information seen, so looks may come at other times than planned.
- Boundaries: by :mod:`promotion_assets.statistics.crossing`.
- Interval: repeated confidence intervals (C. Jennison, B. Turnbull, JRSS B 51, 1989), the boundary
  times the standard error: they hold at all looks at once.
- Power left: the probability that one of the looks to come crosses, given what was seen, under the
  effect that was planned for, and under the effect seen so far (K. Lan, J. Wittes, Biometrics 44,
  1988).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from promotion_assets.statistics.checks import as_alpha
from promotion_assets.statistics.crossing import at, exits
from promotion_assets.statistics.numerics import brentq, ndtr, ndtri

#: Where the search for a boundary starts; spending less than this leaves no boundary at all.
LARGEST_Z = 12.0


class Spending(StrEnum):
    """Shape in which the chance of a false alarm is spent."""

    OBRIEN_FLEMING = "obrien-fleming"
    POCOCK = "pocock"


class Sides(StrEnum):
    """What is looked for: a higher candidate, or any difference."""

    HIGHER = "higher"
    EITHER = "either"


@dataclass(frozen=True)
class SequentialPlan:
    """What was agreed on before the first look.

    Attributes:
        looks: shares of the planned information at which to look, ascending, the last is 1.
        effect: difference that the plan should show, on the scale of the estimate.
        alpha: chance of any false alarm over all looks.
        spending, sides: see there.
    """

    looks: tuple[float, ...]
    effect: float
    alpha: float = 0.05
    spending: Spending = Spending.OBRIEN_FLEMING
    sides: Sides = Sides.EITHER

    def __post_init__(self) -> None:
        as_alpha(self.alpha)
        _ascending(self.looks, "planned looks")
        if self.looks[-1] != 1.0:
            raise ValueError(f"the last planned look must be at 1, got {self.looks[-1]!r}")
        if not math.isfinite(self.effect) or self.effect == 0.0:
            raise ValueError(f"the planned effect must be finite and not 0, got {self.effect!r}")


@dataclass(frozen=True)
class SequentialLook:
    """What one look says.

    Attributes:
        look: number of this look, from 1.
        fraction: share of the planned information seen.
        effect, std_error: as given.
        z: standardised effect.
        critical: what ``z`` had to exceed at this look; infinite when nothing is spent yet.
        shown: whether it did (two-sided: in absolute value).
        low, high: repeated confidence interval of the effect, at ``1 - alpha``; one-sided plans
            leave ``high`` open.
        spent: part of alpha spent up to this look.
        power_planned, power_trend: probability that a look to come crosses, if the true effect is
            the planned one, or the one seen so far; 0 at the last look.
    """

    look: int
    fraction: float
    effect: float
    std_error: float
    z: float
    critical: float
    shown: bool
    low: float
    high: float
    spent: float
    power_planned: float
    power_trend: float


def spent_at(fraction: float, plan: SequentialPlan) -> float:
    """Return the part of alpha that may be spent once ``fraction`` of the information is seen."""
    side = plan.alpha if plan.sides is Sides.HIGHER else plan.alpha / 2
    time = min(fraction, 1.0)
    if time <= 0.0:
        return 0.0
    if plan.spending is Spending.POCOCK:
        one_side = side * math.log1p((math.e - 1.0) * time)
    else:
        one_side = 2.0 * float(ndtr(ndtri(side / 2) / math.sqrt(time)))
    return one_side * (plan.alpha / side)


def boundaries(fractions: Sequence[float], plan: SequentialPlan) -> tuple[float, ...]:
    """Return the critical standardised effect at each look, taken at these shares.

    Raises:
        ValueError: for shares that do not ascend, or looks beyond the plan's end.
    """
    _ascending(fractions, "looks")
    if len(fractions) > 1 and fractions[-2] >= 1.0:
        raise ValueError(f"the plan ended at {fractions[-2]:g}; a look beyond it would not count")
    sides = 1.0 if plan.sides is Sides.HIGHER else 2.0
    inside, before, found = at(0.0, 0.0), 0.0, []
    for time in fractions:
        spent = spent_at(time, plan)
        budget = (spent - before) / sides
        root = math.sqrt(time)
        critical = _critical(lambda z: inside.above(time, z * root, 0.0), budget)  # noqa: B023
        low = -math.inf if plan.sides is Sides.HIGHER else -critical * root
        inside = inside.carried(time, low, critical * root, 0.0)
        found.append(critical)
        before = spent
    return tuple(found)


def analyse(
    plan: SequentialPlan, fractions: Sequence[float], effect: float, std_error: float
) -> SequentialLook:
    """Return what this look says.

    Args:
        fractions: shares of the planned information at the looks so far; the last is this one.
            One beyond 1 is the last look and spends what is left.
        effect, std_error: estimate at this look, candidate minus champion.

    Raises:
        ValueError: as :func:`boundaries`, or for an estimate that is not finite or has no
            standard error.
    """
    if not (math.isfinite(effect) and math.isfinite(std_error) and std_error > 0.0):
        raise ValueError(f"an effect with a standard error is needed: {effect!r}, {std_error!r}")
    critical = boundaries(fractions, plan)[-1]
    now, z = fractions[-1], effect / std_error
    two_sided = plan.sides is Sides.EITHER
    reach = critical * std_error
    return SequentialLook(
        look=len(fractions),
        fraction=now,
        effect=effect,
        std_error=std_error,
        z=z,
        critical=critical,
        shown=(abs(z) if two_sided else z) >= critical,
        low=effect - reach,
        high=effect + reach if two_sided else math.inf,
        spent=spent_at(now, plan),
        power_planned=_power_left(plan, fractions, z, plan.effect / (std_error * math.sqrt(now))),
        power_trend=_power_left(plan, fractions, z, z / math.sqrt(now)),
    )


def _power_left(plan: SequentialPlan, fractions: Sequence[float], z: float, drift: float) -> float:
    now = fractions[-1]
    coming = [time for time in plan.looks if time > now]
    if not coming:
        return 0.0
    upper = boundaries([*fractions, *coming], plan)[len(fractions) :]
    two_sided = plan.sides is Sides.EITHER
    lower = [-c if two_sided else -math.inf for c in upper]
    start = at(now, z * math.sqrt(now))
    left = exits(coming, lower, upper, drift=drift, start=start)
    return min(1.0, math.fsum(below + above for below, above in left))


def _critical(above: Callable[[float], float], budget: float) -> float:
    if budget <= above(LARGEST_Z):
        return math.inf
    return float(brentq(lambda z: above(z) - budget, -LARGEST_Z, LARGEST_Z, xtol=1e-10))


def _ascending(values: Sequence[float], name: str) -> None:
    pairs = zip((0.0, *values), values, strict=False)
    if not values or not all(math.isfinite(b) and b > a for a, b in pairs):
        raise ValueError(f"{name} must ascend from above 0, got {tuple(values)!r}")
