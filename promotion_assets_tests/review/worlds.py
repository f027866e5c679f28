"""A prepared home of one's own, its desk, and a page that really listens."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import requests
import uvicorn

from promotion_assets.lifecycle.events import AnyEvent, ReviewDecided
from promotion_assets.pipeline.review_requests import Kept, keep_requests
from promotion_assets.pipeline.reviewing import ReviewDesk
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.review.access import JOURNAL
from promotion_assets.review.case import Ballot, Verdict
from promotion_assets.review.ports import Shown
from promotion_assets.review.questionnaire import Question
from promotion_assets.review.web.app import review_app
from promotion_assets.review.web.settings import WebSettings
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.review.prepare import MODEL

CHALLENGER, INCIDENT = "2", "3"
SLACK_SECRET = "a signing secret of the tests"
PAGE = f"/models/{MODEL}/versions/{CHALLENGER}"


@dataclass
class World:
    """A home, its clock and its desk."""

    root: Path
    clock: Clock
    desk: ReviewDesk = field(init=False)

    def __post_init__(self) -> None:
        self.reopen()

    @classmethod
    def copied(cls, prepared: Path, folder: Path) -> World:
        """Copy the prepared home; what lies in its artifact store stays there, read only."""
        shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns("artifacts", "scores"))
        for part in ("artifacts", "scores"):
            (folder / ".promotion" / "store" / part).symlink_to(
                prepared / ".promotion" / "store" / part
            )
        world = cls(folder, Clock())
        world.clock.advance(minutes=1)
        return world

    def reopen(self) -> None:
        """Open the home as a new process would."""
        workspace = Workspace.open(
            home=self.root / ".promotion",
            config=self.root / "promotion.yaml",
            environ={"MLFLOW_TRACKING_URI": f"sqlite:///{self.root / 'mlflow.db'}"},
            clock=self.clock,
        )
        self.desk = ReviewDesk(workspace)

    @property
    def workspace(self) -> Workspace:
        """The workspace as it was opened last."""
        return self.desk.workspace

    def change_policy(self, old: str, new: str) -> None:
        """Replace a part of the policy, and open it anew."""
        path = self.root / "promotion.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self.reopen()

    def keep(self) -> Kept:
        """Do the housekeeping of reviews."""
        return keep_requests(self.workspace, MODEL)

    def read(self, reviewer: str, *, seconds: float = 90, slices: bool = True) -> Shown:
        """Open the request and its slices as ``reviewer``, and let time pass."""
        shown = self.desk.show(MODEL, CHALLENGER, "default", reviewer)
        for part in shown.case.slices if slices else ():
            self.desk.open_slice(MODEL, CHALLENGER, "default", reviewer, part.id)
        self.clock.advance(seconds=seconds)
        return shown

    def ballot(
        self, shown: Shown, by: str, verdict: Verdict = "approved", **answers: str
    ) -> Ballot:
        """A complete ballot, in words of ``by``; ``answers`` replace some."""
        return Ballot(
            model=MODEL,
            version=CHALLENGER,
            request_id=shown.view.request_id,
            verdict=verdict,
            answers={**answers_to(shown.view.questions, by), **answers},
            comment="customers with a high school degree lose" if verdict == "rejected" else "",
        )

    def approve(self, by: str) -> ReviewDecided:
        """Read and approve as ``by``."""
        shown = self.read(by)
        return self.desk.vote(self.ballot(shown, by), by, "page")

    def events(self, kind: type[AnyEvent], model: str = MODEL) -> list[AnyEvent]:
        """Everything of a kind that is recorded."""
        recorded = self.workspace.ledger.events(model)
        return [r.event for r in recorded if isinstance(r.event, kind)]

    def journal(self) -> list[str]:
        """What is recorded of access, in short."""
        return [
            f"{r.event.what} {r.event.source} {r.event.detail}"  # type: ignore[union-attr]
            for r in self.workspace.ledger.events(JOURNAL)
        ]

    def approvals(self) -> list[str]:
        """Who has approved, whatever became of it."""
        votes = self.events(ReviewDecided)
        return [v.actor for v in votes if getattr(v, "verdict", "") == "approved"]


def answers_to(questions: tuple[Question, ...], by: str) -> dict[str, str]:
    """Answers that ``by`` could have given, no two alike."""
    words = {
        "gain_and_risk": "finds six points more AUC for every group that is large enough",
        "edge_cases": "customers without history get a flat score, an adviser calls them anyway",
        "data_issues": "education codes zero and four to six hold few people in this sample",
        "on_call": "the platform duty phone covers this week, with the rollback command at hand",
        "timing": "quarter end is past and no other release is planned before Friday",
    }
    persona = {"ana": "As risk officer I find:", "bo": "From the modelling side it holds that"}
    start = persona.get(by, f"{by}, after two readings, says that")
    ends = {"ana": "checked on the fifth table.", "bo": "which my own notebook run agrees with."}
    return {
        q.id: "yes" if q.kind == "confirm" else f"{start} {words[q.id]}; {ends.get(by, by)}"
        for q in questions
    }


@contextmanager
def serving(world: World, **settings: str | None) -> Iterator[str]:
    """Serve the page of ``world`` on a free port; give its address."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    given = replace(WebSettings(url=url, slack_secret=SLACK_SECRET), **settings)
    app = review_app(lambda: world.desk, given)
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_level="error", proxy_headers=False, lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    began = time.monotonic()
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() - began < 30
        time.sleep(0.01)
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(30)


def signed_in(world: World, url: str, name: str) -> requests.Session:
    """A browser's session in which ``name`` is signed in."""
    session = requests.Session()
    token = world.desk.access.issue(name, "the tests")
    answer = session.post(f"{url}/login", {"token": token}, allow_redirects=False, timeout=30)
    assert answer.status_code == 303, answer.text
    return session


def csrf_of(session: requests.Session, url: str) -> str:
    """The token that the forms of a session carry."""
    page = session.get(url, timeout=30).text
    return page.split('name="csrf" value="', 1)[1].split('"', 1)[0]


def form(ballot: Ballot, csrf: str, **more: str) -> Mapping[str, str]:
    """The form that a ballot is handed in with."""
    answers = {f"answer.{name}": text for name, text in ballot.answers.items()}
    return {
        "csrf": csrf,
        "request_id": ballot.request_id,
        "verdict": ballot.verdict,
        "comment": ballot.comment,
        **answers,
        **more,
    }


def _free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
