"""Waivers: a gate's failure accepted by a named person, for one version, until a date."""

from __future__ import annotations

from datetime import date

from promotion_assets.policy.model import ModelPolicy, Waiver


def waiver_for(policy: ModelPolicy, gate: str, version: str, today: date) -> Waiver | None:
    """Return the waiver of ``gate`` for ``version`` that still holds on ``today``, if any.

    A waiver holds through the day that it names. Of several, the one that ends last counts.
    Versions are compared as the strings that they are.
    """
    holding = [
        waiver
        for waiver in policy.waivers
        if waiver.gate == gate and waiver.version == version and today <= waiver.until
    ]
    return max(holding, key=lambda waiver: waiver.until, default=None)


def expired(policy: ModelPolicy, today: date) -> tuple[Waiver, ...]:
    """Return the waivers that no longer hold on ``today``: they want to be removed."""
    return tuple(waiver for waiver in policy.waivers if waiver.until < today)
