"""What somebody tries who wants a version live and may not have it: each over HTTP."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlencode

import requests

from promotion_assets.lifecycle.events import ReviewRefused
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
