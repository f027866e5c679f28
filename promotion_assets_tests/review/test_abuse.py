"""Abuse, tried over HTTP against a page that listens: none approves, each leaves a record."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import pytest
import requests

from promotion_assets.errors import TransitionRefused
from promotion_assets.lifecycle.events import ReviewDecided, ReviewRefused, Stage
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import promote
from promotion_assets.review.ports import Shown
from promotion_assets.review.slack import signed
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

T = 60


@dataclass
class Attack:
    """What an attacker works with: a world, its page, and a reviewer who has read everything."""

    world: World
    url: str
    open: dict[str, requests.Session] = field(default_factory=dict)
    readings: dict[str, Shown] = field(default_factory=dict)

    def read(self, by: str) -> Shown:
        """What ``by`` has read, opened once while nothing of it changes."""
        if by not in self.readings:
            self.readings[by] = self.world.read(by)
        return self.readings[by]

    def session(self, name: str) -> requests.Session:
        """A session of ``name``, opened once an attack."""
        if name not in self.open:
            self.open[name] = signed_in(self.world, self.url, name)
        return self.open[name]

    def post(self, session: requests.Session, data: object, path: str = f"{PAGE}/vote") -> int:
        """Hand in a form; return the status."""
        answer = session.post(f"{self.url}{path}", data=data, timeout=T, allow_redirects=False)  # type: ignore[arg-type]
        return answer.status_code

    def vote(self, by: str, *, words_of: str = "", **more: str) -> int:
        """Sign in as ``by``, read everything and hand in an approval, with fields replaced."""
        session = self.session(by)
        shown = self.read(by)
        ballot = self.world.ballot(shown, words_of or by)
        return self.post(session, {**form(ballot, csrf_of(session, self.url)), **more})

    def refusals(self) -> str:
        """Everything that is recorded of refused attempts."""
        refused = [e.problems for e in self.world.events(ReviewRefused)]  # type: ignore[union-attr]
        # What the tests themselves do to sign in is no trace of an attack.
        own = ("token_issued", "token_revoked")
        tried = [line for line in self.world.journal() if not line.startswith(own)]
        return json.dumps([refused, tried])


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


def self_approval(attack: Attack) -> int:
    """The version's author, who is a listed reviewer under another name."""
    return attack.vote("tomas")


def same_person_twice(attack: Attack) -> int:
    """One reviewer for both of two approvals."""
    attack.world.approve("cy")
    attack.world.clock.advance(hours=1)
    return attack.vote("cy", words_of="bo")


def copied_answers(attack: Attack) -> int:
    """The answers of the first reviewer, word for word."""
    attack.world.approve("cy")
    return attack.vote("ana", words_of="cy")


def approval_for_another_version(attack: Attack) -> int:
    """A form for version 2, sent to the rejected version 3."""
    session = attack.session("ana")
    ballot = attack.world.ballot(attack.read("ana"), "ana")
    data = form(ballot, csrf_of(session, attack.url))
    return attack.post(session, data, f"/models/{MODEL}/versions/3/vote")


def old_request(attack: Attack) -> int:
    """A form that names a request of before."""
    return attack.vote("ana", request_id="0" * 20)


def unread_request(attack: Attack) -> int:
    """A form by somebody who never opened the page."""
    session = signed_in(attack.world, attack.url, "bo")
    ballot = attack.world.ballot(attack.read("ana"), "bo")
    return attack.post(session, form(ballot, csrf_of(session, attack.url)))


def too_fast(attack: Attack) -> int:
    """Everything filled in by a script, in three seconds."""
    session = attack.session("ana")
    ballot = attack.world.ballot(attack.world.read("ana", seconds=3), "ana")
    return attack.post(session, form(ballot, csrf_of(session, attack.url)))


def slices_unopened(attack: Attack) -> int:
    """The request was opened, the results that must be were not."""
    session = attack.session("ana")
    ballot = attack.world.ballot(attack.world.read("ana", slices=False), "ana")
    return attack.post(session, form(ballot, csrf_of(session, attack.url)))


def unticked_limitation(attack: Attack) -> int:
    """One limitation is not acknowledged."""
    return attack.vote("ana", **{"answer.limitation_2": "on"})


def empty_answer(attack: Attack) -> int:
    """Blank characters for an answer."""
    return attack.vote("ana", **{"answer.edge_cases": " \u00a0\u2003 " * 20})


def one_letter_answer(attack: Attack) -> int:
    """One letter, many times."""
    return attack.vote("ana", **{"answer.timing": "a" * 60})


def smuggled_question(attack: Attack) -> int:
    """An answer to a question that nobody asked."""
    return attack.vote("ana", **{"answer.__class__": "yes"})


def oversized_answer(attack: Attack) -> int:
    """An answer of fifty thousand characters."""
    return attack.vote("ana", **{"answer.timing": "many words here " * 3000})


def changed_policy(attack: Attack) -> int:
    """The rules are loosened after the page was read."""
    session = attack.session("ana")
    ballot = attack.world.ballot(attack.read("ana"), "ana")
    attack.world.change_policy("    review:\n", "    review:\n      min_seconds: 1\n")
    return attack.post(session, form(ballot, csrf_of(session, attack.url)))


def changed_dataset(attack: Attack) -> int:
    """The evaluation dataset is replaced after the page was read."""
    import pandas as pd

    session = attack.session("ana")
    ballot = attack.world.ballot(attack.read("ana"), "ana")
    path = attack.world.root / "evaluation.parquet"
    pd.read_parquet(path).head(9000).to_parquet(path, index=False)
    return attack.post(session, form(ballot, csrf_of(session, attack.url)))


def unlisted_after_sign_in(attack: Attack) -> int:
    """The policy no longer lists whoever is signed in."""
    session = signed_in(attack.world, attack.url, "cy")
    csrf = csrf_of(session, attack.url)
    ballot = attack.world.ballot(attack.world.read("cy"), "cy")
    attack.world.change_policy("{name: cy, role: operations}", "{name: dee}")
    return attack.post(session, form(ballot, csrf))


def stale_csrf_token(attack: Attack) -> int:
    """The form of an earlier session of the same person."""
    first = signed_in(attack.world, attack.url, "ana")
    stale = csrf_of(first, attack.url)
    second = attack.session("ana")
    ballot = attack.world.ballot(attack.read("ana"), "ana")
    return attack.post(second, form(ballot, stale))


def no_csrf_token(attack: Attack) -> int:
    """A form without a token."""
    return attack.vote("ana", csrf="")


def somebody_elses_csrf_token(attack: Attack) -> int:
    """The token of an attacker's own session."""
    other = csrf_of(signed_in(attack.world, attack.url, "tomas"), attack.url)
    return attack.vote("ana", csrf=other)


def header_without_a_proxy(attack: Attack) -> int:
    """A header that names a reviewer, where no proxy is configured."""
    ballot = attack.world.ballot(attack.read("ana"), "ana")
    session = requests.Session()
    session.headers["X-Forwarded-User"] = "ana"
    session.headers["X-Forwarded-For"] = "10.0.0.7"
    return attack.post(session, form(ballot, "0" * 64))


def revoked_token(attack: Attack) -> int:
    """A token that was taken away."""
    token = attack.world.desk.access.issue("cy", "the tests")
    attack.world.desk.access.revoke("cy", "the tests")
    return attack.post(requests.Session(), {"token": token}, "/login")


def session_of_a_revoked_token(attack: Attack) -> int:
    """A session that was open when its token was taken away."""
    session = signed_in(attack.world, attack.url, "ana")
    csrf = csrf_of(session, attack.url)
    ballot = attack.world.ballot(attack.read("ana"), "ana")
    attack.world.desk.access.revoke("ana", "the tests")
    return attack.post(session, form(ballot, csrf))


def forged_session(attack: Attack) -> int:
    """A session cookie with SQL in it."""
    session = requests.Session()
    session.cookies.set("promotion_session", "' OR '1'='1")
    ballot = attack.world.ballot(attack.read("ana"), "ana")
    status = attack.post(session, form(ballot, ""))
    attack.post(session, {"token": "prv_' OR '1'='1"}, "/login")
    return status


def guessed_token(attack: Attack) -> int:
    """The right id with another secret."""
    token = attack.world.desk.access.issue("ana", "the tests")
    return attack.post(requests.Session(), {"token": token[:-1] + "x"}, "/login")


def stored_hash_as_token(attack: Attack) -> int:
    """What a thief of the database finds in it."""
    attack.world.desk.access.issue("ana", "the tests")
    with closing(sqlite3.connect(attack.world.root / ".promotion" / "ledger.db")) as database:
        row = database.execute("SELECT token_id, hash FROM reviewer_tokens").fetchone()
    stolen = f"prv_{row[0]}_{row[1].split('$')[-1]}"
    return attack.post(requests.Session(), {"token": stolen}, "/login")


def sql_in_the_version(attack: Attack) -> int:
    """SQL where a version is meant, in the address and in a form."""
    session = signed_in(attack.world, attack.url, "ana")
    csrf = csrf_of(session, attack.url)
    ballot = attack.world.ballot(attack.read("ana"), "ana")
    path = f"/models/{MODEL}/versions/2'%20OR%20'1'='1/vote"
    status = attack.post(session, form(ballot, csrf), path)
    attack.post(session, form(ballot, "wrong"))
    return status


def forged_slack(attack: Attack) -> int:
    """A command signed with another secret."""
    return slack(attack, f"{MODEL} {CHALLENGER}", secret="guessed")


def old_slack(attack: Attack) -> int:
    """A command that Slack signed ten minutes ago."""
    return slack(attack, f"{MODEL} {CHALLENGER}", age=600)


def future_slack(attack: Attack) -> int:
    """A command that is dated ten minutes ahead."""
    return slack(attack, f"{MODEL} {CHALLENGER}", age=-600)


def replayed_slack(attack: Attack) -> int:
    """The same signed command twice; a one-time token in it counts once at most."""
    slack(attack, f"{MODEL} {CHALLENGER} once_{'0' * 48}")
    return slack(attack, f"{MODEL} {CHALLENGER} once_{'0' * 48}")


def slack_stranger(attack: Attack) -> int:
    """Somebody of the same Slack team whom no policy lists."""
    status = slack(attack, f"{MODEL} {CHALLENGER}", user="U99")
    return 403 if status == 200 else status


def slack_token_of_another(attack: Attack) -> int:
    """The one-time token that ana's questionnaire gave, sent by bo."""
    token = attack.world.desk.finish_later(attack.world.ballot(attack.read("ana"), "ana"), "ana")
    status = slack(attack, f"{MODEL} {CHALLENGER} {token}", user="U02")
    return 403 if status == 200 else status


def slack_token_for_another_version(attack: Attack) -> int:
    """A one-time token for version 2, used for version 3."""
    token = attack.world.desk.finish_later(attack.world.ballot(attack.read("ana"), "ana"), "ana")
    status = slack(attack, f"{MODEL} 3 {token}")
    return 403 if status == 200 else status


def foreign_origin(attack: Attack) -> int:
    """A form on another site, sent with the reviewer's own cookie."""
    session = signed_in(attack.world, attack.url, "ana")
    ballot = attack.world.ballot(attack.read("ana"), "ana")
    data = form(ballot, csrf_of(session, attack.url))
    session.headers["Origin"] = "https://evil.example"
    return attack.post(session, data)


ATTACKS: tuple[Callable[[Attack], int], ...] = (
    self_approval,
    approval_for_another_version,
    old_request,
    unread_request,
    unticked_limitation,
    empty_answer,
    one_letter_answer,
    smuggled_question,
    oversized_answer,
    stale_csrf_token,
    no_csrf_token,
    somebody_elses_csrf_token,
    header_without_a_proxy,
    revoked_token,
    session_of_a_revoked_token,
    forged_session,
    guessed_token,
    stored_hash_as_token,
    sql_in_the_version,
    forged_slack,
    old_slack,
    future_slack,
    replayed_slack,
    slack_stranger,
    slack_token_of_another,
    slack_token_for_another_version,
    foreign_origin,
)
AFTER_A_VOTE = (same_person_twice, copied_answers)
CHANGING = (changed_policy, changed_dataset, unlisted_after_sign_in)
CARELESS = (too_fast, slices_unopened)


def slack(
    attack: Attack, text: str, *, secret: str = SLACK_SECRET, age: float = 0, user: str = "U01"
) -> int:
    """Send ``/approve-model`` as Slack would, or not quite."""
    fields = {"command": "/approve-model", "team_id": "T01", "user_id": user, "text": text}
    body = urlencode({**fields, "trigger_id": "1.2.3"}).encode()
    stamp = str(int(attack.world.clock().timestamp() - age))
    headers = {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": signed(body, stamp, secret),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    answer = requests.post(f"{attack.url}/slack/commands", body, headers=headers, timeout=T)
    return answer.status_code


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
