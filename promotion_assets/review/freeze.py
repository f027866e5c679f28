"""Freeze windows: is anything closed now, and is anybody on call?"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from promotion_assets.policy.review import Freeze
from promotion_assets.review.on_call import covered_by

SATURDAY = 5


def open_freeze(freeze: Freeze, calendar: str | None, now: datetime) -> str | None:
    """Return the freeze window that is open at ``now``, in a few words, or ``None``.

    Args:
        calendar: the text of the on-call calendar; ``None`` where it cannot be read, which closes.
    """
    here = now.astimezone(ZoneInfo(freeze.timezone))
    today = here.date()
    if freeze.weekends and here.weekday() >= SATURDAY:
        return f"it is {here:%A}"
    if freeze.holidays is not None:
        holiday = _holiday(freeze.holidays, here)
        if holiday is not None:
            return holiday
    for window in freeze.windows:
        if window.since <= today < window.until:
            return f"{window.reason}, until {window.until.isoformat()}"
    if freeze.on_call is not None:
        if calendar is None:
            return f"the on-call calendar {freeze.on_call} cannot be read"
        covered, why = covered_by(calendar, now)
        if covered is None:
            return why
    return None


def _holiday(country: str, here: datetime) -> str | None:
    import holidays

    nation, _, part = country.partition("-")
    try:
        known = holidays.country_holidays(nation, subdiv=part or None, years=here.year)
    except NotImplementedError:
        return f"the holidays of {country} are not known"
    name = known.get(here.date())
    return f"it is {name} in {country}" if name else None
