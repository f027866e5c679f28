"""Looking for versions in a real registry: none is lost, none is asked for twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from promotion_assets.adapters.registry_entries import entries_of
from promotion_assets.canonical import digest_of
from promotion_assets.errors import PolicyError
from promotion_assets.lifecycle.events import EvaluationFinished, Stage
from promotion_assets.lifecycle.promotion import promote
from promotion_assets.lifecycle.transitions import Request
from promotion_assets.pipeline.asking import Question
from promotion_assets.pipeline.watching import Watch, look_for_versions
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.crowds import crowd, names, workspace
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import evaluated, facts

ONE, TWO = MODELS = names(2)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two models of three versions each."""
    folder = tmp_path_factory.mktemp("registry")
    crowd(workspace(folder, MODELS, Clock()), MODELS, 3)
    return folder / "mlflow.db"


@pytest.fixture
def clock() -> Clock:
    """A clock that goes when it is told to."""
    return Clock()


@pytest.fixture
def opened(template: Path, tmp_path: Path, clock: Clock) -> Iterator[Workspace]:
    """A platform on a copy of that registry."""
    shutil.copy(template, tmp_path / "mlflow.db")
    found = workspace(tmp_path, MODELS, clock)
    yield found
    found.ledger.close()


def client_of(opened: Workspace) -> MlflowClient:
    """A team's own client."""
    return MlflowClient(opened.tracking_uri, opened.tracking_uri)


def look(
    opened: Workspace, seen: Watch, *running: tuple[str, str], most: int = 25
) -> tuple[list[Question], Watch]:
    """Look, with the cursor as text in between, as in Dagster."""
    found, watch = look_for_versions(
        opened, MODELS, Watch.parse(seen.dump()), lambda: running, most=most
    )
    return found, Watch.parse(watch.dump())


def versions(found: list[Question]) -> list[tuple[str, str]]:
    """Model and version of each question."""
    return [(question.model, question.version) for question in found]


def settle(opened: Workspace, model: str, clock: Clock, *numbers: str, dataset: str = "") -> None:
    """Let decisions on these versions come, as they are registered now."""
    for number in numbers:
        registered = opened.registry.registration(model, number)
        assert registered is not None
        pins = {
            "registered_at": registered.at,
            "dataset_digest": dataset,
            "policy_digest": opened.policy_digests[model],
            "decision_digest": digest_of([model, number, registered.at.isoformat()]),
        }
        opened.ledger.append([evaluated(number, clock, model=model, **pins)])


def move(opened: Workspace, model: str, version: str, clock: Clock) -> None:
    """Have a version's stage change, whatever a promotion would look at."""
    state = opened.ledger.state(model)
    held = state.decisions[version]
    asked = Request(model=model, version=version, to=Stage.STAGING, actor="run 1")
    pins = ("model_digest", "dataset_digest", "policy_digest")
    found = facts(version, **{name: getattr(held, name) for name in pins})
    promote(opened.ledger, FakeRegistry(), asked, found, clock())


def settled(opened: Workspace, clock: Clock) -> Watch:
    """Look once and let all decisions come."""
    found, seen = look(opened, Watch())
    for model, number in versions(found):
        settle(opened, model, clock, number)
    clock.advance(minutes=1)
    return look(opened, seen)[1]


def test_every_version_is_asked_for_once(opened: Workspace, clock: Clock) -> None:
    """A second look, and one after a restart, ask for nothing; a new version alone is new."""
    found, seen = look(opened, Watch())
    assert versions(found) == [(model, n) for model in MODELS for n in ("1", "2", "3")]
    assert look(opened, seen)[0] == []
    client_of(opened).create_model_version(TWO, "file:///nowhere")
    found, seen = look(opened, seen)
    assert versions(found) == [(TWO, "4")]
    assert look(opened, seen)[0] == []


def test_a_look_whose_cursor_was_lost_asks_with_the_same_keys(opened: Workspace) -> None:
    """Dagster starts a key once: a sensor that died before it kept its cursor doubles nothing."""
    first, again = look(opened, Watch())[0], look(opened, Watch())[0]
    assert [q.run_key for q in first] == [q.run_key for q in again]
    assert len({q.run_key for q in first}) == 6


def test_more_than_a_look_takes_is_taken_by_the_next_ones(opened: Workspace) -> None:
    """A hundred versions at once do not fit into one tick, and none of them is dropped."""
    client = client_of(opened)
    for _ in range(5):
        client.create_model_version(ONE, "file:///nowhere")
    seen, taken = Watch(), []
    for _ in range(6):
        found, seen = look(opened, seen, most=3)
        assert len(found) <= 3
        taken += versions(found)
    assert len(taken) == len(set(taken)) == 11


def test_a_look_at_a_slow_registry_ends_early_and_the_next_goes_on(
    opened: Workspace, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sensor has a minute: each look takes at least one model further, and none is left out."""
    answer = opened.registry.registered_after

    def _slowly(*arguments: Any, **named: Any) -> Any:
        clock.advance(seconds=11)
        return answer(*arguments, **named)

    monkeypatch.setattr(opened.registry, "registered_after", _slowly)
    first, seen = look(opened, Watch())
    second, seen = look(opened, seen)
    assert versions(first) == [(ONE, n) for n in ("1", "2", "3")]
    assert versions(second) == [(TWO, n) for n in ("1", "2", "3")]
    assert look(opened, seen)[0] == []


def test_versions_that_changed_in_the_same_millisecond_are_found_in_turn(
    opened: Workspace, clock: Clock
) -> None:
    """An entry that says nothing new hides a version until its model's turn comes."""
    many = [ONE, *names(12)[2:], TWO]
    opened = workspace(opened.config.parent, many, clock)
    seen = settled(opened, clock)
    client_of(opened).create_model_version(TWO, "file:///nowhere")
    (entry,) = [e for e in opened.registry.entries({}, ()) if e.model == TWO]
    hidden = seen.models[TWO].model_copy(update={"updated": entry.updated})
    seen = seen.model_copy(update={"models": {**seen.models, TWO: hidden}, "turn": 0})
    for expected in (*[[]] * 11, [(TWO, "4")], []):
        found, seen = look_for_versions(opened, many, seen, tuple, most=25)
        assert versions(found) == expected


def test_what_was_asked_for_and_is_neither_decided_nor_running_is_asked_again(
    opened: Workspace, clock: Clock
) -> None:
    """Killed runs are asked for again, later each time, under keys of their own; never given up."""
    found, seen = look(opened, Watch())
    settle(opened, ONE, clock, "1", "2", "3")
    settle(opened, TWO, clock, "1", "2")
    (lost,) = [q for q in found if (q.model, q.version) == (TWO, "3")]
    keys = {lost.run_key}
    for waits in (30, 60, 120, 240):
        clock.advance(seconds=waits - 1)
        assert look(opened, seen)[0] == []
        clock.advance(seconds=1)
        assert look(opened, seen, (TWO, "3"))[0] == []
        found, seen = look(opened, seen)
        assert versions(found) == [(TWO, "3")]
        keys |= {q.run_key for q in found}
    assert len(keys) == 5
    clock.advance(days=300)
    assert versions(look(opened, seen)[0]) == [(TWO, "3")]
    settle(opened, TWO, clock, "3")
    found, seen = look(opened, seen)
    assert found == []
    assert seen.asked == {}


def test_an_approved_version_whose_run_ended_before_its_move_is_asked_to_be_moved(
    opened: Workspace, clock: Clock
) -> None:
    """MLflow may go away between decision and move: the move alone is asked for, until it is."""
    moving = workspace(opened.config.parent, MODELS, clock, staging="true")
    found, seen = look(moving, Watch())
    settle(moving, ONE, clock, "1", "2", "3", dataset="d" * 64)
    settle(moving, TWO, clock, "1", "2", dataset="d" * 64)
    registered = moving.registry.registration(TWO, "3")
    assert registered is not None
    rejected = evaluated("3", clock, model=TWO, verdict="rejected", registered_at=registered.at)
    moving.ledger.append([rejected])
    for version in ("1", "2"):
        move(moving, ONE, version, clock)
    clock.advance(seconds=30)
    running = (TWO, "2")
    found, seen = look(moving, seen, running)
    assert [(q.model, q.version, q.move) for q in found] == [(ONE, "3", True), (TWO, "1", True)]
    keys = {q.run_key for q in found}
    move(moving, ONE, "3", clock)
    move(moving, TWO, "1", clock)
    clock.advance(seconds=60)
    found, seen = look(moving, seen)
    assert [(q.model, q.version, q.move) for q in found] == [(TWO, "2", True)]
    assert not keys & {q.run_key for q in found}
    # One that is refused each time is not asked for without end.
    asked = 0
    while seen.asked:
        clock.advance(hours=7)
        found, seen = look(moving, seen)
        asked += len(found)
        assert asked < 20
    assert asked == 10


@pytest.mark.parametrize("jump", [-3600.0, 86400.0], ids=["an hour back", "a day forward"])
def test_a_clock_that_jumps_neither_loses_nor_doubles(
    opened: Workspace, clock: Clock, jump: float
) -> None:
    """What runs is not asked for again, whatever the time is; what is lost comes back."""
    _, seen = look(opened, Watch())
    everything = [(model, n) for model in MODELS for n in ("1", "2", "3")]
    clock.advance(seconds=jump)
    found, seen = look(opened, seen, *everything)
    assert found == []
    found, seen = look(opened, seen, *everything[1:])
    assert versions(found) == everything[:1]


def test_a_version_that_is_deleted_meanwhile_is_no_longer_awaited(
    opened: Workspace, clock: Clock
) -> None:
    """Nobody can judge what is gone; the look says nothing of it and goes on."""
    _, seen = look(opened, Watch())
    client_of(opened).delete_model_version(ONE, "2")
    clock.advance(minutes=1)
    found, seen = look(opened, seen)
    assert (ONE, "2") not in versions(found)
    assert "2" not in {one.version for one in seen.asked[ONE]}
    assert len(found) == 5


def test_a_deleted_version_does_not_hide_the_next_one(opened: Workspace, clock: Clock) -> None:
    """A number that was given and taken away leaves a gap, behind which one looks."""
    seen = settled(opened, clock)
    client = client_of(opened)
    for _ in range(2):
        client.create_model_version(ONE, "file:///nowhere")
    client.delete_model_version(ONE, "4")
    assert versions(look(opened, seen)[0]) == [(ONE, "5")]


def test_a_model_that_was_deleted_and_made_again_is_judged_anew(
    opened: Workspace, clock: Clock
) -> None:
    """Version 1 of the new model is another version 1; the old decision says nothing of it."""
    seen = settled(opened, clock)
    client = client_of(opened)
    client.delete_registered_model(ONE)
    found, seen = look(opened, seen)
    assert found == []
    client.create_registered_model(ONE)
    client.create_model_version(ONE, "file:///elsewhere")
    found, seen = look(opened, seen)
    assert versions(found) == [(ONE, "1")]
    settle(opened, ONE, clock, "1")
    clock.advance(hours=1)
    assert look(opened, seen)[0] == []


def test_a_lost_cursor_asks_for_nothing_that_was_decided(opened: Workspace, clock: Clock) -> None:
    """A new instance of Dagster begins without a cursor: the ledger knows what was judged."""
    settled(opened, clock)
    client_of(opened).create_model_version(ONE, "file:///nowhere")
    assert versions(look(opened, Watch())[0]) == [(ONE, "4")]


def with_watch(opened: Workspace, clock: Clock, stanza: str) -> Workspace:
    """The platform with another policy on watching."""
    return workspace(opened.config.parent, MODELS, clock, f"    watch: {stanza}\n")


def test_an_alias_asks_for_a_version_whenever_it_was_registered(
    opened: Workspace, clock: Clock
) -> None:
    """Moved to a version that was not judged by the current policy, it has it judged once."""
    seen = settled(opened, clock)
    opened = with_watch(opened, clock, "{alias: candidate}")
    client = client_of(opened)
    client.set_registered_model_alias(ONE, "candidate", "2")
    # Judged by this very dataset and policy already.
    found, seen = look(opened, seen)
    assert found == []
    opened.ledger.append([evaluated("3", clock, model=ONE, policy_digest="9" * 64)])
    client.set_registered_model_alias(ONE, "candidate", "3")
    found, seen = look(opened, seen)
    assert [(q.version, q.reason) for q in found] == [("3", "alias candidate was moved to it")]
    assert look(opened, seen)[0] == []


def test_a_policy_may_leave_registration_alone_and_wait_for_the_alias(
    opened: Workspace, clock: Clock
) -> None:
    """A team that registers every night is judged where it asks for it."""
    opened = with_watch(opened, clock, "{judge: aliased, alias: candidate}")
    found, seen = look(opened, Watch())
    assert found == []
    client_of(opened).set_registered_model_alias(TWO, "candidate", "1")
    found, seen = look(opened, seen)
    assert versions(found) == [(TWO, "1")]


@pytest.mark.parametrize(
    "alias", ["champion", "champion-eu", "shadow", "latest", "v7", "Cand", "x y"]
)
def test_an_alias_of_mlflow_or_of_the_platform_is_refused(
    opened: Workspace, clock: Clock, alias: str
) -> None:
    """The platform moves these itself, and would ask itself for evaluations."""
    with pytest.raises(PolicyError, match="alias"):
        _ = with_watch(opened, clock, f"{{alias: '{alias}'}}").policy


def test_watching_is_no_part_of_what_a_version_is_judged_by(
    opened: Workspace, clock: Clock
) -> None:
    """Another alias makes no decision stale."""
    before = dict(opened.policy_digests)
    assert dict(with_watch(opened, clock, "{alias: candidate}").policy_digests) == before


def test_a_server_is_asked_for_what_a_database_is_read_for(opened: Workspace) -> None:
    """Both ways to the registry's entries say the same; the search stops where nothing is new."""
    client = client_of(opened)
    client.set_registered_model_alias(ONE, "candidate", "2")
    by_reading = {e.model: e for e in entries_of(client, opened.tracking_uri, {}, ())}
    by_search = {e.model: e for e in entries_of(client, "http://server", {}, ())}
    assert by_search == by_reading
    assert by_reading[ONE].aliases == {"candidate": "2"}
    known = {model: entry.stamp for model, entry in by_reading.items()}
    assert entries_of(client, "http://server", known, ()) == []
    assert [e.model for e in entries_of(client, "http://server", known, [TWO])] == [TWO]


def test_an_unknown_form_of_the_registrys_database_is_searched(
    opened: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three columns of another project's tables are a hint: without them the client is asked."""
    import sqlalchemy as sa

    from promotion_assets.adapters import registry_entries

    expected = sorted(e.model for e in opened.registry.entries({}, ()))
    monkeypatch.setattr(registry_entries, "_MODELS", sa.text("SELECT no_such_column FROM x"))
    assert sorted(e.model for e in opened.registry.entries({}, ())) == expected == MODELS


def test_a_policy_is_parsed_once_for_each_content(opened: Workspace, clock: Clock) -> None:
    """A tick opens the platform afresh, and pays for the file's bytes, not for its meaning."""
    assert workspace(opened.config.parent, MODELS, clock).policy is opened.policy
    changed = with_watch(opened, clock, "{alias: candidate}")
    assert changed.policy.models[ONE].watch.alias == "candidate"


def test_old_entries_without_a_time_of_registration_stay_decisions(
    opened: Workspace, clock: Clock
) -> None:
    """A ledger of the release before does not have everything judged again."""
    for model in MODELS:
        for number in ("1", "2", "3"):
            event = evaluated(number, clock, model=model)
            assert isinstance(event, EvaluationFinished)
            assert event.registered_at is None
            opened.ledger.append([event])
    assert look(opened, Watch())[0] == []
