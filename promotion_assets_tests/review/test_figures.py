"""A team's figures, and how they are told at a terminal."""

from __future__ import annotations

import pytest

from promotion_assets.lifecycle.events import AnyEvent, ReviewRefused, ReviewReminded
from promotion_assets.review.as_text import figures_text
from promotion_assets.review.drills import drills_of
from promotion_assets.review.figures import figures_of
from promotion_assets_tests.review.test_drills import answered, ended, opened
from promotion_assets_tests.review.test_rules import case, vote


def history() -> list[AnyEvent]:
    """Two requests: on one both agree, on the other they do not, and one attempt was refused."""
    request = case().request
    assert request is not None
    refused = ReviewRefused(
        model="credit", version="7", actor="ana", verdict="approved", problems=("too fast",)
    )
    expired = ReviewReminded(model="credit", version="5", request_id="r0", what="expired")
    flagged = ("decided 40 seconds after opening",)
    return [
        request,
        refused,
        vote("ana", request_id="r1", seconds=40.0, flags=flagged),
        vote("bo", request_id="r1", seconds=100.0),
        request.model_copy(update={"version": "8", "request_id": "r2"}),
        vote("ana", version="8", request_id="r2", seconds=300.0),
        vote("bo", "rejected", version="8", request_id="r2"),
        # A rejection by command answers no request, and agrees with nobody.
        vote("cy", "rejected", version="9"),
        expired,
    ]


def test_figures_say_how_a_team_reviews() -> None:
    """Attempts, votes, flags, agreement and what expired are counted each by itself."""
    figures = figures_of(history())
    assert (figures.requests, figures.votes, figures.refused, figures.expired) == (2, 5, 1, 1)
    assert figures.median_seconds == 100
    assert figures.agreement == pytest.approx(1 / 2)
    assert figures.by_reviewer == {"ana": (2, 1, 0), "bo": (2, 0, 1), "cy": (1, 0, 1)}


def test_figures_are_told_at_a_terminal_too() -> None:
    """Everybody's votes, each flag, how drills ended and what was missed in them."""
    drills = drills_of(
        "credit",
        [
            opened(1),
            answered("ana", "approved", 1),
            ended("missed", 1),
            opened(2),
            answered("ana", "rejected", 2),
            ended("caught", 2),
        ],
    )
    assert figures_text(figures_of(history(), drills)).splitlines() == [
        "requests 2, votes 5, refused attempts 1, expired 1",
        "median time to decide: 100 s",
        "flagged 20%, rejections 40%, agreement 50%",
        "  ana: 2 votes, 1 flagged, 0 rejections",
        "  bo: 2 votes, 0 flagged, 1 rejections",
        "  cy: 1 votes, 0 flagged, 1 rejections",
        "drills 2: caught 1, missed 1, expired 0; catch rate 50%",
        "  ana: 1 of 2 caught",
        "  missed 1 times: harmed group",
        "  flag: ana, credit 7: decided 40 seconds after opening",
    ]


def test_a_team_that_has_reviewed_nothing_has_no_shares() -> None:
    """No vote is no share of nought per cent, and no drill is no line about drills."""
    assert figures_text(figures_of([])).splitlines() == [
        "requests 0, votes 0, refused attempts 0, expired 0",
        "median time to decide: -",
        "flagged -, rejections -, agreement -",
    ]
