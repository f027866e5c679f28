"""Rollouts in traces."""

from __future__ import annotations

from promotion_assets_tests.collectors import Here, collecting, here
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.rollout.worlds import World

__all__ = ["collecting", "here"]


def test_a_tick_is_a_span_over_what_it_records(world: World, here: Here) -> None:
    """It has what was decided; a tick that waits records nothing and says that it waits."""
    assert world.tick().done
    assert not world.tick().done
    every = here.spans()
    began, waited = [each for each in every if each.name == "rollout tick"]
    assert (began["model"], began["segment"], began["version"]) == (MODEL, "default", "2")
    assert (began["action"], began["recorded"], began["share"]) == ("start", True, 500)
    assert (waited["action"], waited["recorded"]) == ("wait", False)
    within = [each for each in every if each.parent == began.id]
    assert [each.name for each in within] == ["ledger append"]
    assert "ROLLOUT_STEP" in within[0]["kinds"]
    assert not any(each.parent == waited.id for each in every)
