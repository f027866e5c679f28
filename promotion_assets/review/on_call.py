"""Who has cover: an on-call calendar as iCalendar, or as YAML."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import yaml

Shift = tuple[datetime, datetime, str]


def covered_by(calendar: str, now: datetime) -> tuple[str | None, str]:
    """Return who has cover at ``now``, and a sentence that says so or says why nobody does.

    YAML is a list of ``{who, from, until}``; a date without a time begins at midnight UTC.
    """
    try:
        shifts = _ical(calendar, now) if "BEGIN:VCALENDAR" in calendar[:200] else _yaml(calendar)
        for begin, end, who in shifts:
            if begin <= now < end:
                return who, f"{who} is on call until {end.isoformat()}"
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        return None, f"the on-call calendar is not readable ({type(error).__name__})"
    return None, f"nobody is on call at {now.isoformat(timespec='minutes')}"


def _yaml(calendar: str) -> Iterator[Shift]:
    for shift in yaml.safe_load(calendar) or ():
        yield _moment(shift["from"]), _moment(shift["until"]), str(shift["who"])


def _ical(calendar: str, now: datetime) -> Iterator[Shift]:
    import icalendar
    import recurring_ical_events

    parsed = icalendar.Calendar.from_ical(calendar)
    for event in recurring_ical_events.of(parsed).between(now, now + timedelta(seconds=1)):
        yield (
            _moment(event["DTSTART"].dt),
            _moment(event["DTEND"].dt),
            str(event.get("SUMMARY", "somebody")),
        )


def _moment(value: object) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ValueError(f"{value!r} is no time")
