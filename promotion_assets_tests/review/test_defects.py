"""Which defect is put into a version's evidence, and which never is."""

from __future__ import annotations

from random import Random

from promotion_assets.decision.decide import Decision
from promotion_assets.gates.contract import GateResult, Outcome
from promotion_assets.review.defects import FAILING, HARMED, LIMITATION, Spoiled, spoil
from promotion_assets_tests.review.test_drills import decision

SEEDS = range(40)


def of_results(*results: GateResult, verdict: str = "approved") -> Decision:
    """A decision with other results."""
    return decision(verdict).model_copy(update={"results": results})


def spoilt(given: Decision) -> list[Spoiled]:
    """The drills that the seeds make of a decision."""
    made = [spoil(given, "9", Random(seed)) for seed in SEEDS]
    return [drill for drill in made if drill is not None]


def defects(given: Decision) -> set[str]:
    """The kinds of defect that the seeds put in."""
    found = spoilt(given)
    assert len(found) == len(SEEDS)
    return {drill.defect for drill in found}


def test_a_defect_that_does_not_fit_gives_way_to_one_that_does() -> None:
    """Whatever a decision lacks, an approved version can be made a drill of."""
    fairness, latency = decision().results
    bare = latency.model_copy(update={"measurements": ()})
    assert defects(of_results(fairness, latency)) == {HARMED, FAILING, LIMITATION}
    assert defects(of_results(latency)) == {FAILING, LIMITATION}
    assert defects(of_results(fairness, bare)) == {HARMED, LIMITATION}
    assert defects(of_results(bare)) == {LIMITATION}


def test_no_harm_is_made_up_for_a_group_that_is_too_small_to_show_it() -> None:
    """A drop among forty rows proves nothing, and a reviewer is not to be blamed for missing it."""
    fairness, latency = decision().results
    small = tuple(m for m in fairness.measurements if m.sample_size == 40)
    assert small
    tiny = fairness.model_copy(update={"measurements": small})
    assert defects(of_results(tiny, latency)) == {FAILING, LIMITATION}


def test_what_was_stopped_by_an_error_is_no_drill() -> None:
    """Only a version that a gate found bad shows reviewers something to find."""
    fairness, latency = decision("rejected").results
    broken = latency.model_copy(update={"outcome": Outcome.ERROR})
    assert spoilt(of_results(fairness, broken, verdict="rejected")) == []
    undecided = fairness.model_copy(update={"outcome": Outcome.INCONCLUSIVE})
    assert spoilt(of_results(undecided, latency, verdict="rejected")) == []


def test_a_group_that_was_told_without_an_interval_gets_none_from_a_drill() -> None:
    """A row of the table shows what a real one would, and no end that was never computed."""
    fairness, _ = decision().results
    groups = fairness.details["groups"]
    assert isinstance(groups, list)
    bare = [
        {name: value for name, value in row.items() if name not in ("drop_low", "drop_high")}
        for row in groups
        if isinstance(row, dict)
    ]
    given = of_results(
        fairness.model_copy(update={"details": {**fairness.details, "groups": bare}})
    )
    harmed = [drill for drill in spoilt(given) if drill.defect == HARMED]
    assert harmed
    for drill in harmed:
        (result,) = drill.decision.results
        rows = result.details["groups"]
        assert isinstance(rows, list)
        assert rows != bare
        for row in rows:
            assert isinstance(row, dict)
            assert not {"drop_low", "drop_high"} & row.keys()
