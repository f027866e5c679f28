"""Abuse, tried over HTTP against a page that listens: none approves, each leaves a record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import requests

from promotion_assets.errors import TransitionRefused
from promotion_assets.lifecycle.events import ReviewDecided, Stage
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import promote
from promotion_assets.review.ports import Shown
from promotion_assets.review.slack import signed
from promotion_assets_tests.review.attacks import (
    AFTER_A_VOTE,
    ATTACKS,
    CARELESS,
    CHANGING,
    Attack,
    T,
    slack,
)
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import (
    CHALLENGER,
    PAGE,
    SLACK_SECRET,
    World,
    csrf_of,
    form,
    serving,
    signed_in,
)


@pytest.fixture
def attack(world: World) -> Iterator[Attack]:
    """A page of one's own under attack."""
    with serving(world) as url:
        yield Attack(world, url)


@pytest.fixture(scope="module")
def withstanding(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, str, dict[str, Shown]]]:
    """A page that is attacked again and again, as nothing of it leaves a change."""
    world = World.copied(prepared, tmp_path_factory.mktemp("attacked") / "home")
    with serving(world) as url:
        yield world, url, {}


@pytest.fixture
def repeated(withstanding: tuple[World, str, dict[str, Shown]]) -> Attack:
    """The shared page, a quarter of an hour after the attack before."""
    world, url, readings = withstanding
    world.clock.advance(minutes=16)
    return Attack(world, url, readings=readings)


def test_the_same_ways_approve_when_nothing_is_wrong(attack: Attack) -> None:
    """The control: an honest approval goes through; what is refused is refused for cause."""
    assert attack.vote("ana") == 200
    assert attack.world.approvals() == ["ana"]


def stands(attack: Attack, way: Callable[[Attack], int], approvals: list[str]) -> None:
    """No approval by the attack, an answer that says so, and a trace in the ledger."""
    before = attack.refusals()
    status = way(attack)
    assert 400 <= status < 500, status
    assert attack.world.approvals() == approvals
    assert attack.refusals() != before
    assert attack.world.workspace.ledger.state(MODEL).stage(CHALLENGER) is Stage.STAGING


@pytest.mark.parametrize("way", ATTACKS, ids=lambda way: way.__name__)
def test_abuse_approves_nothing_and_is_recorded(
    repeated: Attack, way: Callable[[Attack], int]
) -> None:
    """What an attacker sends approves nothing, is answered with a refusal, and is recorded."""
    stands(repeated, way, [])


@pytest.mark.parametrize("way", AFTER_A_VOTE, ids=lambda way: way.__name__)
def test_one_approval_does_not_give_the_second(
    attack: Attack, way: Callable[[Attack], int]
) -> None:
    """Where one has approved, no trick makes two of it."""
    stands(attack, way, ["cy"])


@pytest.mark.parametrize("way", CARELESS, ids=lambda way: way.__name__)
def test_what_was_not_read_is_not_approved(attack: Attack, way: Callable[[Attack], int]) -> None:
    """The server's own notes of what was opened and when decide, whatever a form says."""
    stands(attack, way, [])


@pytest.mark.parametrize("way", CHANGING, ids=lambda way: way.__name__)
def test_what_changes_in_between_voids_what_was_read(
    attack: Attack, way: Callable[[Attack], int]
) -> None:
    """Policy, data or roster change after the page was read: the vote is refused and recorded."""
    stands(attack, way, [])


def test_two_votes_at_once_by_one_person_count_once(attack: Attack) -> None:
    """Of two forms handed in at the same moment one is recorded."""
    from concurrent.futures import ThreadPoolExecutor

    session = signed_in(attack.world, attack.url, "ana")
    data = form(attack.world.ballot(attack.read("ana"), "ana"), csrf_of(session, attack.url))
    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(pool.map(lambda _: attack.post(session, data), range(2)))
    assert statuses == [200, 422]
    assert attack.world.approvals() == ["ana"]


def test_brute_force_is_locked_out_and_recorded_in_few_entries(attack: Attack) -> None:
    """After five guesses even the right token is refused for a while, and then it works again."""
    token = attack.world.desk.access.issue("ana", "the tests")
    wrong = [f"prv_{'0' * 12}_{n:064x}" for n in range(12)]
    assert {attack.post(requests.Session(), {"token": w}, "/login") for w in wrong} == {401}
    assert attack.post(requests.Session(), {"token": token}, "/login") == 401
    failed = [line for line in attack.world.journal() if "login_failed" in line]
    assert len(failed) == 5
    attack.world.clock.advance(minutes=16)
    assert attack.post(requests.Session(), {"token": token}, "/login") == 303


def test_oversized_body_is_not_read(attack: Attack) -> None:
    """A body of a megabyte is refused and recorded, whoever sends it."""
    session = signed_in(attack.world, attack.url, "ana")
    assert attack.post(session, b"a" * 1024 * 1024) == 400
    assert attack.world.events(ReviewDecided) == []
    assert "larger than 256 KiB" in attack.world.journal()[-1]


def test_thousands_of_fields_are_refused(attack: Attack) -> None:
    """A form of ten thousand fields costs nothing and is recorded."""
    session = signed_in(attack.world, attack.url, "ana")
    began = time.monotonic()
    assert attack.post(session, b"&".join(b"a%d=1" % n for n in range(10_000))) == 400
    assert time.monotonic() - began < 10
    assert "it is no form" in attack.world.journal()[-1]


def test_script_in_an_answer_is_shown_as_text(attack: Attack) -> None:
    """An answer with markup is kept as it was written and never becomes markup."""
    session = attack.session("ana")
    ballot = attack.world.ballot(attack.read("ana"), "ana")
    script = "<script>alert(1)</script><img src=x onerror=alert(1)> is what I write here"
    data = {**form(ballot, csrf_of(session, attack.url)), "answer.timing": script, "csrf2": "x"}
    data["answer.model_card"] = ""
    answer = session.post(f"{attack.url}{PAGE}/vote", data=data, timeout=T)
    assert answer.status_code == 422
    assert "<script>" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_sign_in_leads_nowhere_else(attack: Attack) -> None:
    """A sign-in page cannot be made to send people to another site."""
    for target in ("https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nX: 1"):
        token = attack.world.desk.access.issue("ana", "the tests")
        answer = requests.post(
            f"{attack.url}/login",
            {"token": token, "next": target},
            allow_redirects=False,
            timeout=T,
        )
        assert answer.headers["Location"] == "/"


def test_session_cookie_is_out_of_reach_of_scripts_and_other_sites(world: World) -> None:
    """HttpOnly and SameSite always, Secure where browsers come by https."""
    with serving(world, url="https://review.example.org") as served:
        port = served.rpartition(":")[2]
        token = world.desk.access.issue("ana", "the tests")
        answer = requests.post(
            f"http://127.0.0.1:{port}/login", {"token": token}, allow_redirects=False, timeout=T
        )
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=lax", "Secure"} <= set(cookie.split("; "))
    assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_trusted_proxy_is_believed_and_only_about_reviewers(world: World) -> None:
    """From the configured address the header signs in, its forms need their token all the same."""
    with serving(world, proxy_address="127.0.0.1") as url:
        session = requests.Session()
        session.headers["X-Forwarded-User"] = "ana"
        page = session.get(f"{url}{PAGE}", timeout=T)
        assert page.status_code == 200
        ballot = world.ballot(world.read("ana"), "ana")
        missing = session.post(f"{url}{PAGE}/vote", data=form(ballot, ""), timeout=T)
        assert missing.status_code == 403
        given = form(ballot, csrf_of(session, url))
        assert session.post(f"{url}{PAGE}/vote", data=given, timeout=T).status_code == 200
        session.headers["X-Forwarded-User"] = "eve"
        assert session.get(f"{url}/", timeout=T).status_code == 403
    assert world.approvals() == ["ana"]


def test_another_address_than_the_proxys_is_not_believed(world: World) -> None:
    """With a proxy configured elsewhere, our own header signs nobody in."""
    with serving(world, proxy_address="10.0.0.7") as url:
        headers = {"X-Forwarded-User": "ana", "X-Forwarded-For": "10.0.0.7"}
        answer = requests.get(f"{url}/", headers=headers, allow_redirects=False, timeout=T)
    assert answer.headers["Location"].startswith("/login")
    assert any("comes from no trusted proxy" in line for line in world.journal())


def test_artifact_changed_after_approval_does_not_go_live(world: World, tmp_path: Path) -> None:
    """Two approvals, then another artifact in the registry: they are void, and it says why."""
    world.approve("ana")
    world.approve("bo")
    copy = tmp_path / "artifact"
    registry = world.workspace.registry
    genuine = registry.download

    def changed(model: str, version: str, destination: Path) -> Path:
        root = genuine(model, version, destination)
        if version == CHALLENGER:
            (root / "extra.txt").write_text("added after the approval")
        return root

    copy.mkdir()
    object.__setattr__(registry, "download", changed)
    with pytest.raises(TransitionRefused, match=r"0 of 2 approvals.*changed since: model"):
        promote(
            Evaluator(world.workspace, MODEL), CHALLENGER, Stage.PRODUCTION, actor="x", reason="y"
        )


def test_redeemed_token_votes_once(attack: Attack) -> None:
    """From Slack, by the right person, it approves with all answers; a second time it is void."""
    ballot = attack.world.ballot(attack.read("ana"), "ana")
    token = attack.world.desk.finish_later(ballot, "ana")
    assert slack(attack, f"{MODEL} {CHALLENGER} {token}") == 200
    (vote,) = attack.world.events(ReviewDecided)
    assert isinstance(vote, ReviewDecided)
    assert (vote.actor, vote.surface) == ("ana", "slack")
    assert vote.answers["timing"] == ballot.answers["timing"]
    attack.world.clock.advance(seconds=1)
    assert slack(attack, f"{MODEL} {CHALLENGER} {token}") == 200
    assert attack.world.approvals() == ["ana"]


def test_slack_rejects_at_once(attack: Attack) -> None:
    """``/reject-model`` with a reason archives the version."""
    fields = {"command": "/reject-model", "team_id": "T01", "user_id": "U01", "trigger_id": "9"}
    text = f"{MODEL} {CHALLENGER} the high school group is worse off"
    body = urlencode({**fields, "text": text}).encode()
    stamp = str(int(attack.world.clock().timestamp()))
    headers = {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": signed(body, stamp, SLACK_SECRET),
    }
    answer = requests.post(f"{attack.url}/slack/commands", body, headers=headers, timeout=T)
    assert "ana has rejected" in answer.json()["text"]
    assert answer.json()["response_type"] == "ephemeral"
    assert attack.world.workspace.ledger.state(MODEL).stage(CHALLENGER) is Stage.ARCHIVED
