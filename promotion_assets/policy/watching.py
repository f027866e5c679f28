"""The policy on watching: which versions are judged, and how often one looks."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from promotion_assets.policy.strict import Strict

# MLflow's alphabet for aliases; case matters there, so only one case is allowed here.
_ALIAS = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# What MLflow keeps for itself, and what the platform sets and moves.
_TAKEN = re.compile(r"latest|v\d+|(champion|challenger|shadow)(-.*)?")

# The fields of cron, the numbers that each may be, and the words for some of them.
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_CRON: tuple[tuple[str, int, int, list[str]], ...] = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 7, _DAYS),
)
_CRON_PART = re.compile(r"(\*|(?P<first>\w+)(-(?P<last>\w+))?)(/(?P<step>\d{1,2}))?", re.ASCII)


class WatchPolicy(Strict):
    """Which versions of a model are judged without anybody's asking.

    Attributes:
        judge: ``registered`` is every version from its registration on; ``aliased`` is only
            those that ``alias`` points to.
        alias: a version that this alias is moved to is judged, whenever it was registered.
    """

    judge: Literal["registered", "aliased"] = "registered"
    alias: str | None = None

    @field_validator("alias")
    @classmethod
    def _usable(cls, alias: str | None) -> str | None:
        if alias is not None and not _ALIAS.fullmatch(alias):
            raise ValueError(f"{alias!r} is no alias; use small letters, digits, '-' and '_'")
        if alias is not None and _TAKEN.fullmatch(alias):
            raise ValueError(f"{alias!r} is taken by MLflow or by the platform; choose another")
        return alias


class Schedule(Strict):
    """How often everything is looked at.

    Attributes:
        poll_seconds: between two looks at the registry where no webhook hints at anything.
        inputs_seconds: between two looks for a changed policy or evaluation dataset.
        retry_seconds: after which an evaluation that neither runs nor was decided is asked for
            again; the wait doubles every time, up to six hours.
        champions: five fields of cron: when every champion is judged again. The default is two
            in the morning.
        timezone: in which those fields are meant.
    """

    poll_seconds: Annotated[int, Field(ge=1, le=3600)] = 15
    inputs_seconds: Annotated[int, Field(ge=1, le=86400)] = 60
    retry_seconds: Annotated[int, Field(ge=1, le=21600)] = 30
    champions: str = "0 2 * * *"
    timezone: str = "UTC"

    @field_validator("champions")
    @classmethod
    def _five_fields(cls, cron: str) -> str:
        fields = cron.lower().split()
        if len(fields) != len(_CRON):
            raise ValueError(f"{cron!r} does not have five fields: minute hour day month weekday")
        for written, (name, low, high, words) in zip(fields, _CRON, strict=True):
            if not all(_is_cron(part, low, high, words) for part in written.split(",")):
                raise ValueError(f"{written!r} in {cron!r} is no {name} from {low} to {high}")
        return cron

    @field_validator("timezone")
    @classmethod
    def _known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            # The name of a folder of zones, as Europe, is an OSError.
            raise ValueError(f"{timezone!r} is no time zone; write one as Europe/Berlin") from None
        return timezone


def _is_cron(part: str, low: int, high: int, words: list[str]) -> bool:
    """Whether ``part`` is ``*``, a number, a word or a range, with a step or without."""
    read = _CRON_PART.fullmatch(part)
    if read is None or (read["step"] is not None and int(read["step"]) == 0):
        return False
    numbers = []
    for text in (read["first"], read["last"]):
        if text is not None:
            known = text in words
            if not known and not text.isdecimal():
                return False
            numbers.append(low + words.index(text) if known else int(text))
    return numbers == sorted(numbers) and all(low <= number <= high for number in numbers)
