"""Requests: whose turn it is, when one is opened, when somebody is reminded, when it is over."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from promotion_assets.lifecycle.events import Stage
from promotion_assets.policy.review import Freeze, Window
from promotion_assets.review.freeze import open_freeze
from promotion_assets.review.on_call import covered_by
from promotion_assets.review.requests import assign, closed_because, reminder_for, request_for
from promotion_assets_tests.review.test_rules import EVIDENCE, NOW, case, vote

UTC_NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def test_rotation_is_even() -> None:
    """Over thirty requests of two out of three everybody is asked equally often."""
    history: tuple[str, ...] = ()
    for _ in range(30):
        history += assign(("ana", "bo", "cy"), history, 2)
    assert Counter(history) == {"ana": 20, "bo": 20, "cy": 20}


def test_newcomer_is_asked_first() -> None:
    """Who was never asked comes before all others."""
    assert assign(("ana", "bo", "new"), ("ana", "bo"), 1) == ("new",)


def test_author_is_never_assigned_and_high_risk_has_two() -> None:
    """The two others are asked, and the request closes by the policy's time."""
    opened = request_for(case(request=None), (), NOW)
    assert opened is not None
    assert opened.assigned == ("ana", "bo")
    assert opened.expires_at == NOW + timedelta(days=14)
    assert dict(opened.evidence) == EVIDENCE


@pytest.mark.parametrize(
    "changes",
    [
        {"stage": Stage.NONE},
        {"stage": Stage.ARCHIVED},
        {"problems": ("no shadow report is recorded",)},
        {"reviews": (vote("bo", "rejected"),)},
        {"reviews": (vote("ana"), vote("bo"))},
    ],
    ids=["not staged", "archived", "incomplete", "rejected", "approved"],
)
def test_no_request_where_there_is_nothing_to_review(changes: dict[str, object]) -> None:
    """Not before the evidence is complete, and not after it is decided."""
    assert request_for(case(request=None, **changes), (), NOW) is None


def test_open_request_is_not_opened_again_and_an_expired_one_goes_to_the_next() -> None:
    """The same request stands while it is open; after it the rotation goes on."""
    assert request_for(case(), ("ana", "bo"), NOW) is None
    later = NOW + timedelta(days=15)
    again = request_for(replace(case(), authors=frozenset()), ("ana", "bo"), later)
    assert again is not None
    assert again.assigned == ("tomas", "ana")
    assert again.request_id != "r1"


def test_a_rejected_request_is_closed_and_says_so() -> None:
    """Whoever opens it later is told that it was rejected, and not that it waits."""
    assert closed_because(case(reviews=(vote("bo", "rejected"),)), NOW) == "it was rejected"


def test_changed_evidence_opens_another_request() -> None:
    """Who approved the old evidence is asked again."""
    moved = case(evidence={**EVIDENCE, "model": "c" * 64}, reviews=(vote("ana"),))
    again = request_for(moved, ("ana", "bo"), NOW)
    assert again is not None
    assert set(again.assigned) == {"ana", "bo"}
    assert closed_because(moved, NOW) == "changed since: model"


def test_reminder_once_and_expiry_once() -> None:
    """After two days a reminder, after fourteen the end, each of them once."""
    assert reminder_for(case(), {}, NOW) is None
    soon, late = NOW + timedelta(days=2), NOW + timedelta(days=15)
    reminder = reminder_for(case(), {}, soon)
    assert reminder is not None
    assert (reminder.what, reminder.assigned) == ("reminder", ("ana", "bo"))
    assert reminder_for(case(), {"r1": ("reminder",)}, soon) is None
    expired = reminder_for(case(), {"r1": ("reminder",)}, late)
    assert expired is not None
    assert expired.what == "expired"
    assert reminder_for(case(), {"r1": ("reminder", "expired")}, late) is None


CLOSED = {
    "weekend": (Freeze(weekends=True), None, datetime(2026, 3, 7, 12, tzinfo=UTC), "Saturday"),
    "local midnight": (
        Freeze(weekends=True, timezone="Asia/Tokyo"),
        None,
        datetime(2026, 3, 6, 15, 30, tzinfo=UTC),
        "Saturday",
    ),
    "holiday": (
        Freeze(holidays="DE", timezone="Europe/Berlin"),
        None,
        datetime(2026, 12, 25, 9, tzinfo=UTC),
        "in DE",
    ),
    "state holiday": (
        Freeze(holidays="DE-BY"),
        None,
        datetime(2026, 1, 6, 9, tzinfo=UTC),
        "in DE-BY",
    ),
    "unknown country": (Freeze(holidays="ZZ"), None, UTC_NOON, "not known"),
    "window": (
        Freeze.model_validate(
            {"windows": [{"from": "2026-03-01", "until": "2026-03-05", "reason": "audit"}]}
        ),
        None,
        UTC_NOON,
        "audit, until 2026-03-05",
    ),
    "no calendar": (Freeze(on_call="a.ics"), None, UTC_NOON, "cannot be read"),
    "nobody": (Freeze(on_call="a.yaml"), "[]", UTC_NOON, "nobody is on call"),
    "garbage": (Freeze(on_call="a.yaml"), "{not: [a, list", UTC_NOON, "not readable"),
}


@pytest.mark.parametrize("name", CLOSED)
def test_freeze_windows_close(name: str) -> None:
    """Each kind closes, and says why; what cannot be read closes too."""
    freeze, calendar, now, expected = CLOSED[name]
    said = open_freeze(freeze, calendar, now)
    assert said is not None
    assert expected in said


def test_nothing_closes_on_a_working_day_with_cover() -> None:
    """All kinds at once are open on a Wednesday in March with somebody on call."""
    window = Window.model_validate({"from": "2026-04-01", "until": "2026-04-02", "reason": "x" * 3})
    freeze = Freeze(weekends=True, holidays="DE", on_call="a.yaml", windows=(window,))
    cover = "- {who: Ana, from: 2026-03-02, until: 2026-03-09}"
    assert open_freeze(freeze, cover, UTC_NOON) is None


def test_on_call_calendar_repeats() -> None:
    """A weekly shift of an iCalendar covers the weeks after its first."""
    ical = "\r\n".join(
        [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            "PRODID:-//test//",
            "BEGIN:VEVENT",
            "UID:1",
            "DTSTART:20260105T080000Z",
            "DTEND:20260105T180000Z",
            "RRULE:FREQ=WEEKLY",
            "SUMMARY:Bo",
            "END:VEVENT",
            "END:VCALENDAR",
        ]
    )
    assert covered_by(ical, datetime(2026, 3, 2, 9, tzinfo=UTC))[0] == "Bo"
    assert covered_by(ical, datetime(2026, 3, 3, 9, tzinfo=UTC))[0] is None


@pytest.mark.parametrize(
    ("calendar", "who"),
    [
        ("[{who: Ana, from: 2026-03-02, until: 2026-03-04}]", None),
        ("[{who: Ana, from: 2026-03-02, until: 2026-03-04T12:00:01}]", "Ana"),
        (
            "[{who: Ana, from: 2026-03-02, until: 2026-03-04}, "
            "{who: Bo, from: '2026-03-04T13:00+01:00', until: 2026-03-05}]",
            "Bo",
        ),
        ("[{who: Ana, from: 2026-03-04T12:00:01, until: 2026-03-05}]", None),
    ],
    ids=["over", "by the second", "in another zone", "not yet"],
)
def test_cover_is_whose_shift_it_is_now(calendar: str, who: str | None) -> None:
    """A shift begins and ends at its moment, in its own time zone or else in UTC."""
    assert covered_by(calendar, UTC_NOON)[0] == who


@pytest.mark.parametrize("moment", ["noon", "7", "[2026, 3, 2]"])
def test_a_shift_without_a_time_is_no_cover(moment: str) -> None:
    """A calendar that cannot be understood covers nobody, and says so."""
    who, said = covered_by(f"[{{who: Ana, from: {moment}, until: 2026-03-09}}]", UTC_NOON)
    assert who is None
    assert "not readable" in said
