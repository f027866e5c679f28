"""Waivers: for one gate, one version, through one day."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_assets.policy.model import Waiver
from promotion_assets.policy.waivers import expired, waiver_for
from promotion_assets_tests import evidence as make

DAY = date(2026, 3, 1)


def waiver(until: date, gate: str = "fairness", version: str = "3", by: str = "Ada") -> Waiver:
    """Return a waiver."""
    return Waiver(gate=gate, version=version, by=by, reason="known and accepted", until=until)


@settings(deadline=None)
@given(days=st.integers(-400, 400))
def test_a_waiver_holds_through_its_last_day(days: int) -> None:
    """On the day itself it holds, on the next it does not."""
    policy = make.policy(waivers=[waiver(DAY + timedelta(days=days))])
    assert (waiver_for(policy, "fairness", "3", DAY) is not None) == (days >= 0)
    assert (len(expired(policy, DAY)) == 1) == (days < 0)


@pytest.mark.parametrize(
    ("gate", "version"), [("accuracy", "3"), ("fairness", "03"), ("fairness", "2")]
)
def test_it_holds_for_nothing_else(gate: str, version: str) -> None:
    """Another gate or version is not waived."""
    policy = make.policy(waivers=[waiver(DAY)])
    assert waiver_for(policy, gate, version, DAY) is None


def test_of_several_the_longest_counts() -> None:
    """Two waivers of the same thing: the one that ends last."""
    longest = waiver(DAY + timedelta(days=9), by="Grace")
    policy = make.policy(waivers=[waiver(DAY), longest, waiver(DAY - timedelta(days=1))])
    assert waiver_for(policy, "fairness", "3", DAY) == longest
