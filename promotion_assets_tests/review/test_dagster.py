"""Reviews in Dagster: a vote from the launchpad, and a quorum that starts the promotion."""

from __future__ import annotations

import dagster as dg
import pytest

from promotion_assets.defs.factory import promotion_definitions
from promotion_assets.lifecycle.events import ReviewDecided, Stage
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import CHALLENGER, World

KEY = dg.AssetKey([MODEL, "review"])


@pytest.fixture
def definitions(world: World, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    """The definitions over a world, which go by the wall clock: times in it are real."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{world.root / 'mlflow.db'}")
    monkeypatch.delenv("PROMOTION_DATABASE_URL", raising=False)
    return promotion_definitions(
        world.workspace.policy,
        config=world.root / "promotion.yaml",
        home=world.root / ".promotion",
    )


def run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, token: str = ""
) -> dg.ExecuteInProcessResult:
    """Run the promotion of the challenger, with a one-time token or without."""
    instance.add_dynamic_partitions(f"{MODEL} versions", [CHALLENGER])
    job = definitions.resolve_job_def("promote_credit_risk")
    config = {"ops": {"credit_risk__review": {"config": {"one_time_token": token}}}}
    return job.execute_in_process(
        instance=instance,
        partition_key=CHALLENGER,
        raise_on_error=False,
        run_config=config if token else {},
    )


def test_vote_from_the_launchpad_completes_the_quorum(
    today: World, definitions: dg.Definitions
) -> None:
    """A one-time token votes; with the quorum the same run promotes; lineage says who and what."""
    today.approve("ana")
    shown = today.read("bo", seconds=40)
    token = today.desk.finish_later(today.ballot(shown, "bo"), "bo")
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(definitions, instance, token)
        assert result.success
        (event,) = result.get_asset_materialization_events()[:1]
    metadata = event.step_materialization_data.materialization.metadata
    rows = [record.data for record in metadata["votes"].records]  # type: ignore[union-attr]
    assert [(row["reviewer"], row["through"]) for row in rows] == [
        ("ana", "page"),
        ("bo", "dagster"),
    ]
    assert "answers of bo" in metadata
    assert today.workspace.ledger.state(MODEL).stage(CHALLENGER) is Stage.PRODUCTION


def test_forged_token_in_the_launchpad_fails_the_run(
    today: World, definitions: dg.Definitions
) -> None:
    """A token that nobody issued votes for nobody, and the run says so."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(definitions, instance, f"once_{'0' * 48}")
    assert not result.success
    assert today.events(ReviewDecided) == []
    assert any("one-time token" in line for line in today.journal())


def test_sensor_asks_for_one_promotion_when_the_quorum_is_reached(
    today: World, definitions: dg.Definitions
) -> None:
    """Nothing before it; after it one run of the promotion's job, under the same key each tick."""
    sensor = definitions.resolve_sensor_def("reviews")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance, definitions=definitions, resources=definitions.resources
        )

        def tick() -> list[dg.RunRequest]:
            return list(sensor(context).run_requests or ())

        today.approve("ana")
        assert tick() == []
        today.approve("bo")
        asked = [tick() for _ in range(2)]
    (first,), (second,) = asked
    assert (first.job_name, first.partition_key) == ("promote_credit_risk", CHALLENGER)
    assert first.run_key == second.run_key
