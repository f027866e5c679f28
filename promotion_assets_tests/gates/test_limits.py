"""Each limit's direction, and what is said of a number that lies exactly on it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import ValidationError

from promotion_assets.gates.contract import Measurement, Outcome
from promotion_assets.gates.floors import Floor, below_floor
from promotion_assets.gates.group_judgement import measured
from promotion_assets.gates.group_losses import Loss, Measure
from promotion_assets.gates.limits import interval_of, judged, rows_to_settle
from promotion_assets.gates.verdict import conclude, shown, shown_interval, worst
from promotion_assets.statistics.estimates import Difference, Estimate

ON, UNDER, OVER = 0.5, np.nextafter(0.5, 0.0), np.nextafter(0.5, 1.0)
GOOD, NOT_SHOWN, BAD = Outcome.PASSED, Outcome.INCONCLUSIVE, Outcome.FAILED


def held(
    value: float, low: float, high: float, direction: Literal["min", "max"], decide_on: Any
) -> Measurement:
    """An estimate held against one half."""
    estimate = Estimate(value, low, high, 0.95, 100, "made up", 0.1)
    return judged(
        estimate,
        name="auc",
        limit=ON,
        direction=direction,
        decide_on=decide_on,
        next_step="mend it",
    )


@pytest.mark.parametrize(
    ("direction", "value", "end", "at_point", "at_bound"),
    [
        ("min", ON, ON, GOOD, GOOD),
        ("min", ON, UNDER, GOOD, NOT_SHOWN),
        ("min", OVER, UNDER, GOOD, NOT_SHOWN),
        ("min", OVER, ON, GOOD, GOOD),
        ("min", UNDER, 0.1, BAD, BAD),
        ("max", ON, ON, GOOD, GOOD),
        ("max", ON, OVER, GOOD, NOT_SHOWN),
        ("max", UNDER, OVER, GOOD, NOT_SHOWN),
        ("max", UNDER, ON, GOOD, GOOD),
        ("max", OVER, 0.9, BAD, BAD),
        ("min", OVER, -math.inf, GOOD, NOT_SHOWN),
        ("max", UNDER, math.inf, GOOD, NOT_SHOWN),
    ],
)
def test_on_the_limit_is_within_it(
    direction: Literal["min", "max"],
    value: float,
    end: float,
    at_point: Outcome,
    at_bound: Outcome,
) -> None:
    """The least number beyond it is not; by the bound, the interval must not reach past it."""
    low, high = (end, 1.0) if direction == "min" else (0.0, end)
    assert held(value, low, high, direction, "point").outcome is at_point
    assert held(value, low, high, direction, "bound").outcome is at_bound


@pytest.mark.parametrize("decide_on", ["point", "bound"])
def test_no_number_is_never_within_a_limit(decide_on: str) -> None:
    """It cannot even be recorded as measured, so that the gate ends as an error."""
    for direction in ("min", "max"):
        with pytest.raises(ValidationError, match="finite"):
            held(math.nan, 0.0, 1.0, direction, decide_on)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="finite"):
        group("tpr_gap", replace(LOSS, value=math.nan))


def test_sentence_names_number_interval_limit_and_next_step() -> None:
    """Whoever reads one line of a result knows what was seen, what was asked, and what to do."""
    failed = held(0.4, 0.3, math.inf, "min", "point")
    assert failed.reason == "auc is 0.4 [0.3, inf], the limit is at least 0.5. Next: mend it"
    assert failed.interval is not None
    assert (failed.interval.low, failed.interval.high) == (0.3, None)
    assert held(0.4, 0.3, 0.5, "max", "point").reason == "auc is 0.4 [0.3, 0.5], at most 0.5"
    open_ = held(0.52, 0.42, 0.62, "min", "bound")
    assert "the interval reaches over the limit, at least 0.5; about 9,604 rows" in open_.reason
    assert open_.needed_sample_size == 9604
    assert "no sample size settles it" in held(0.5, 0.4, 0.6, "min", "bound").reason
    d = Difference(0.6, 0.5, 0.1, 0.05, 0.15, 0.95, 10, 0.02, "made up", 0.01)
    gap = judged(
        d, name="gain", limit=0.1, direction="min", decide_on="point", next_step="", called="it"
    )
    assert gap.observed == d.difference
    assert gap.reason.startswith("it is 0.1 [0.05, 0.15]")
    assert interval_of(d).method == "made up"


def test_rows_to_settle_grow_with_the_square_of_the_doubt() -> None:
    """Half the distance asks for four times the rows; never fewer than one more than there are."""
    assert rows_to_settle(100, 0.1, 0.1, 0.95) == 385
    assert rows_to_settle(100, 0.1, 0.05, 0.95) == 1537
    assert rows_to_settle(100, 0.1, -0.05, 0.95) == 1537
    assert rows_to_settle(100, 0.001, 0.1, 0.95) == 101
    for error, distance in ((0.1, 0.0), (math.nan, 0.1), (0.1, math.nan), (1.0, 1e-9)):
        assert rows_to_settle(100, error, distance, 0.95) is None


LOSS = Loss(0.5, 0.4, 0.6, 0.95, 100, "made up", 0.1, own=0.2, other=0.7)


def group(measure: Measure, loss: Loss | None, decide_on: Any = "point") -> Measurement:
    """A group's loss held against one half."""
    return measured(
        measure,
        "EDUCATION=3",
        loss,
        limit=ON,
        decide_on=decide_on,
        metric="roc_auc",
        family=5,
        rows=80,
    )


@pytest.mark.parametrize(
    ("measure", "value", "low", "high", "at_point", "at_bound"),
    [
        ("drop_vs_champion", ON, 0.4, ON, GOOD, GOOD),
        ("drop_vs_champion", ON, 0.4, OVER, GOOD, NOT_SHOWN),
        ("drop_vs_champion", OVER, 0.4, 0.6, BAD, BAD),
        ("drop_vs_champion", OVER, 0.0, 0.9, NOT_SHOWN, NOT_SHOWN),
        ("drop_vs_champion", OVER, 1e-9, 0.9, BAD, BAD),
        ("selection_rate_ratio", ON, ON, 0.9, GOOD, GOOD),
        ("selection_rate_ratio", ON, UNDER, 0.9, GOOD, NOT_SHOWN),
        ("selection_rate_ratio", UNDER, 0.1, 0.9, BAD, BAD),
        ("selection_rate_ratio", UNDER, 0.1, 1.0, NOT_SHOWN, NOT_SHOWN),
        ("selection_rate_ratio", UNDER, 0.1, 1 - 1e-9, BAD, BAD),
        ("tpr_gap", OVER, math.nan, math.nan, NOT_SHOWN, NOT_SHOWN),
        ("fpr_gap", UNDER, math.nan, math.nan, GOOD, NOT_SHOWN),
    ],
)
def test_a_groups_loss_counts_beyond_the_limit_and_where_it_is_no_chance(
    measure: Measure, value: float, low: float, high: float, at_point: Outcome, at_bound: Outcome
) -> None:
    """On the limit is within it; a loss whose interval holds none may be chance."""
    loss = replace(LOSS, value=value, low=low, high=high)
    assert group(measure, loss).outcome is at_point
    assert group(measure, loss, "upper_bound").outcome is at_bound


def test_a_groups_sentence_says_whom_it_compares() -> None:
    """Own figure, the other's, the rows, and what to do or how many rows would do."""
    assert group("tpr_gap", None).reason == "EDUCATION=3: tpr_gap is undefined on its 80 rows"
    drop = group("drop_vs_champion", replace(LOSS, value=0.6)).reason
    assert "roc_auc 0.2 against the champion's 0.7, a drop of 0.6 [0.4, 0.6]; limit at most" in drop
    assert "80 rows. Next: look at the group's features in this version" in drop
    gap = group("gap_to_overall", replace(LOSS, value=0.6)).reason
    assert "roc_auc 0.2 against 0.7 overall, a gap of 0.6" in gap
    unsure = group("selection_rate_ratio", replace(LOSS, value=0.4, high=1.0))
    assert "selection_rate_ratio 0.4 [0.4, 1] (rate 0.2, best group 0.7); limit at" in unsure.reason
    assert unsure.needed_sample_size == 101
    assert "about 101 such rows would settle it" in unsure.reason
    chance = group("tpr_gap", replace(LOSS, value=0.6, low=-0.1, std_error=math.nan))
    assert chance.reason.endswith("the data cannot tell, it may be chance")
    assert group("tpr_gap", LOSS).reason == ""
    assert group("tpr_gap", LOSS).interval is not None
    open_ended = group("tpr_gap", replace(LOSS, low=-math.inf, high=math.inf)).interval
    assert open_ended is not None
    assert (open_ended.low, open_ended.high) == (None, None)
    assert open_ended.method == "made up, simultaneous over 5 groups (Šidák)"


@pytest.mark.parametrize(
    ("rows", "few", "binary", "needed"),
    [
        (100, 20, True, "enough"),
        (99, 20, True, 100),
        (100, 19, True, 106),
        (400, 10, True, 800),
        (400, 0, True, None),
        (100, 0, False, "enough"),
        (99, 0, False, 100),
    ],
)
def test_exactly_the_floor_is_large_enough(
    rows: int, few: int, binary: bool, needed: int | str | None
) -> None:
    """Of rows and of the rarer class; under it the rows that would do are named."""
    floor = Floor(min_rows=100, min_per_class=20, binary=binary)
    sizes, rarer = np.array([rows]), np.array([few])
    assert floor.large(sizes, rarer) == ([0] if needed == "enough" else [])
    found = list(below_floor(["g"], sizes, rarer, floor))
    if needed == "enough":
        assert found == []
        return
    (small,) = found
    assert small.outcome is Outcome.INCONCLUSIVE
    assert small.needed_sample_size == needed
    assert ("one class only" in small.reason) == (needed is None)
    assert ("of the rarer class" in small.reason) == binary


def numbered(name: str, outcome: Outcome | None, observed: float = 0.0) -> Measurement:
    """A measurement with an outcome."""
    return Measurement(name=name, outcome=outcome, observed=observed, reason=f"{name} is off")


def test_what_decides_first_is_the_broken_limit() -> None:
    """Failed before error before inconclusive before passed; reported numbers decide nothing."""
    order = [Outcome.FAILED, Outcome.ERROR, Outcome.INCONCLUSIVE, Outcome.PASSED]
    for at, outcome in enumerate(order):
        assert worst([None, *reversed(order[at:])]) is outcome
    assert worst([None]) is None
    result = conclude(
        "drift",
        [
            numbered("a", None),
            numbered("b", Outcome.INCONCLUSIVE),
            numbered("c", Outcome.FAILED, 2.0),
            numbered("d", Outcome.FAILED),
        ],
        passed_reason="all is well",
        also="by the way",
    )
    assert (result.outcome, result.observed) == (Outcome.FAILED, 2.0)
    assert result.reason == "c is off (and 1 more: d); by the way"
    many = [numbered(f"m{n}", Outcome.FAILED) for n in range(6)]
    assert conclude("drift", many, passed_reason="").reason == (
        "m0 is off (and 5 more: m1, m2, m3, m4 …)"
    )
    assert conclude("drift", many[:5], passed_reason="").reason.endswith("m1, m2, m3, m4)")
    passed = conclude(
        "drift", [numbered(n, Outcome.PASSED) for n in "ab"], passed_reason="all is well"
    )
    assert (passed.outcome, passed.reason) == (Outcome.PASSED, "all is well")
    nothing = conclude("drift", [numbered("a", None)], passed_reason="all is well")
    assert nothing.outcome is Outcome.INCONCLUSIVE
    assert "nothing was judged" in nothing.reason
    assert shown(None) == "nothing"
    assert shown(12.34567, "ms") == "12.35 ms"
    assert shown_interval(None) == ""
