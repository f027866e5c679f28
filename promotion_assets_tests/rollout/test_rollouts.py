"""A rollout on a real ledger and a real event log, from its first share to its end."""

from __future__ import annotations

from promotion_assets.lifecycle.events import Stage
from promotion_assets_tests.ledgers import digest
from promotion_assets_tests.rollout.worlds import World


def reach(world: World, share: int) -> None:
    """Let sound traffic flow until the candidate has this share."""
    for _ in range(12):
        world.tick()
        if world.share == share:
            return
        world.traffic(12, 3000)
    raise AssertionError(f"it never reached {share}: {world.tick().sentence()}")


def test_good_candidate_goes_the_whole_way_by_itself(world: World) -> None:
    """5 %, 25 %, 100 % but for the holdback, then the champion's role; nobody does anything."""
    shares = []
    for _ in range(12):
        world.tick()
        if not world.state.rolling:
            break
        shares.append(world.share)
        world.traffic(12, 3000)
    assert list(dict.fromkeys(shares)) == [500, 2500, 9800]
    assert world.state.champions == {"default": "2"}
    assert world.state.stage("1") is Stage.ARCHIVED
    assert world.state.traffic is not None
    planned = world.state.traffic.segments[0]
    assert (planned.stable.version, planned.candidate, planned.previous.version) == ("2", None, "1")  # type: ignore[union-attr]
    assert [s.action for s in world.steps()] == ["start", "advance", "bake", "complete"]


def test_candidate_that_turns_bad_at_a_quarter_is_taken_back_and_latched(world: World) -> None:
    """The champion answers everything from the next plan on, and the artifact stays out."""
    reach(world, 2500)
    world.traffic(1, 600, fails=lambda role: 0.2 if role == "candidate" else 0.0)
    done = world.tick()
    assert done.look.action is not None
    assert done.look.action.kind == "roll_back"
    assert "errors" in done.look.action.reason
    assert world.state.stage("2") is Stage.ARCHIVED
    assert digest("2") in world.state.latches
    assert world.share == 0
    last = world.steps()[-1]
    assert (last.action, last.share_from, last.share_to) == ("roll_back", 2500, 0)
    assert last.generation == world.state.traffic.generation  # type: ignore[union-attr]
    assert not world.tick().done
