"""What the asset of Staging says comes next: who is asked, or what is awaited and from where."""

from __future__ import annotations

import dagster as dg
import pytest

from promotion_assets.defs.factory import promotion_definitions
from promotion_assets.pipeline.review_outlook import review_outlook
from promotion_assets_tests.ledgers import shadow
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import CHALLENGER, World

WAIVED = "{waive: There is no live traffic to be shadowed in a test.}"
AWAITED = (
    "version 2 awaits its shadow report: answers beside champion 1 over at least 72 hours and in "
    "500 pairs; a report is made every 2 hours from copies of 5 % of the requests, and when one "
    "passes, reviewers are asked without further ado; see `promotion shadow status credit-risk`"
)


def shadowed(world: World) -> None:
    """Ask for a shadow report."""
    asked = "{minimum_hours: 72, minimum_pairs: 500, report_hours: 2, sampling: 0.05}"
    world.change_policy(WAIVED, asked)


def test_a_report_every_hour_is_said_in_good_english(today: World) -> None:
    """Not "every 1 hours"."""
    today.change_policy(WAIVED, "{report_hours: 1}")
    assert "a report is made every hour from copies" in said(today)


def said(world: World, version: str = CHALLENGER) -> str:
    """Do the housekeeping, and say what comes next for a version."""
    return review_outlook(world.workspace, MODEL, version, world.keep())


def staging_asset(world: World) -> str:
    """Materialise Staging of the challenger, and return what is shown of its review."""
    definitions = promotion_definitions(
        world.workspace.policy,
        config=world.root / "promotion.yaml",
        home=world.root / ".promotion",
    )
    key = dg.AssetKey([MODEL, "staging"])
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(f"{MODEL} versions", [CHALLENGER])
        ran = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, partition_key=CHALLENGER, asset_selection=[key]
        )
        (event,) = ran.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    return str(metadata["review"].value)


def test_staging_names_the_shadow_report_that_is_awaited(
    today: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For which version, what it takes, what makes it, and what happens when it has passed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{today.root / 'mlflow.db'}")
    monkeypatch.delenv("PROMOTION_DATABASE_URL", raising=False)
    shadowed(today)
    assert staging_asset(today) == AWAITED


def test_a_report_that_did_not_pass_is_named_with_what_can_be_done(world: World) -> None:
    """Nothing is awaited any more: whoever reads it learns why, and the two ways on."""
    shadowed(world)
    report = shadow(CHALLENGER, passed=False, summary="9 % of decisions differ")
    world.workspace.ledger.append([report])
    assert said(world).startswith("version 2 is not reviewed: ")
    assert "its shadow report did not pass: 9 % of decisions differ" in said(world)
    assert said(world).endswith("see `promotion explain credit-risk 2`")


def test_reviewers_who_were_asked_are_named_until_they_have_decided(world: World) -> None:
    """While the request is open: who, and how many of how many approvals there are."""
    asked = "version 2 waits for its reviewers: ana, bo were asked, 0 of 2 approvals are given"
    assert said(world) == asked
    world.approve("ana")
    assert said(world) == asked.replace("0 of 2", "1 of 2")
    world.approve("bo")
    assert said(world) == "version 2 has no open review: it is approved"


def test_a_version_outside_staging_says_why_nobody_is_asked(world: World) -> None:
    """A version that never came to Staging, or was withdrawn from it, is reviewed by nobody."""
    assert said(world, "3") == "version 3 is in stage None, and only Staging is reviewed"
