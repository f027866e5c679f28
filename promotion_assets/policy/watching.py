"""The policy on watching: which registered versions are judged, and when champions are again."""

from __future__ import annotations

import re
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import field_validator

from promotion_assets.policy.strict import Strict

# MLflow's alphabet for aliases; case matters there, so only one case is allowed here.
_ALIAS = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# What MLflow keeps for itself, and what the platform sets and moves.
_TAKEN = re.compile(r"latest|v\d+|(champion|challenger|shadow)(-.*)?")


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


class Nightly(Strict):
    """When every champion is judged again.

    Attributes:
        cron: five fields; the default is two in the morning.
        timezone: in which the fields are meant.
    """

    cron: str = "0 2 * * *"
    timezone: str = "UTC"

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, cron: str) -> str:
        if len(cron.split()) != 5:
            raise ValueError(f"{cron!r} does not have five fields: minute hour day month weekday")
        return cron

    @field_validator("timezone")
    @classmethod
    def _known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{timezone!r} is no time zone; write one as Europe/Berlin") from None
        return timezone
