"""The router: deterministic, nested, independent, exact, and without anything but Python."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_assets.errors import UsageError
from promotion_assets.serving.plan import parse_plan
from promotion_assets.serving.router import BUCKETS, bucket, route, segment_of
from promotion_assets_tests.serving.plans import arm, plan, segment

GOLDEN = Path(__file__).parents[1] / "golden" / "router_buckets.json"
units = st.text(min_size=1, max_size=40)
shares = st.integers(0, BUCKETS)


@pytest.mark.parametrize("vector", json.loads(GOLDEN.read_text()), ids=lambda v: v["unit"][:12])
def test_buckets_are_what_they_were_in_every_release(vector: dict[str, Any]) -> None:
    """A unit's bucket never changes, and is SHA-256's top 64 bits scaled, computed by others."""
    assert bucket(vector["salt"], vector["unit"]) == vector["bucket"]
    text = f"{vector['salt']}:{vector['unit']}".encode()
    digest = subprocess.run(["sha256sum"], input=text, capture_output=True, check=True).stdout
    scaled = Fraction(int(digest[:16], 16), 2**64) * 10_000
    assert scaled.numerator // scaled.denominator == vector["bucket"]


@given(units, shares, st.text(max_size=10))
def test_the_same_unit_gets_the_same_arm(unit: str, share: int, request: str) -> None:
    """Nothing but plan and unit decides, whatever request it comes with."""
    by = plan(segment(share=share))
    assert route(by, unit=unit, request_id=request).arm == route(by, unit=unit).arm


@given(units, shares, shares, units)
def test_a_smaller_share_lies_inside_a_larger_one(
    unit: str, one: int, other: int, salt: str
) -> None:
    """Whoever the candidate answers at 5 % it answers at 25 %: steps never send anybody back."""
    small, large = sorted((one, other))
    at_small = route(plan(segment(share=small, salt=salt)), unit=unit)
    at_large = route(plan(segment(share=large, salt=salt)), unit=unit)
    assert at_large.role == "candidate" or at_small.role == "stable"


@given(st.one_of(st.none(), st.just("")), shares)
def test_without_a_unit_the_champion_answers(unit: str | None, share: int) -> None:
    """Who cannot be recognised again is in no sample, at any share."""
    assert route(plan(segment(share=share)), unit=unit).role == "stable"


@given(units, shares)
def test_nobody_is_left_out_and_nobody_is_answered_twice(unit: str, share: int) -> None:
    """Each unit has one arm, which is the one that its bucket says."""
    routed = route(plan(segment(share=share)), unit=unit)
    in_sample = bucket("rollout", unit) < share
    assert (routed.role, routed.arm.version) == (
        ("candidate", "2") if in_sample else ("stable", "1")
    )


def test_shares_are_exact() -> None:
    """Of 40,000 units a share gets its part, within four standard errors, at every step."""
    buckets = [bucket("rollout", f"user-{n}") for n in range(40_000)]
    for share in (50, 500, 2_500, 5_000, 9_900):
        p = share / BUCKETS
        found = sum(b < share for b in buckets) / len(buckets)
        assert abs(found - p) < 4 * (p * (1 - p) / len(buckets)) ** 0.5
    assert min(buckets) == 0
    assert max(buckets) == BUCKETS - 1


def test_one_rollout_says_nothing_about_the_next() -> None:
    """Two rollouts' 5 % share 5 % of their units, not all of them; so do rollout and shadow."""
    names = [f"user-{n}" for n in range(40_000)]
    first = {n for n in names if bucket("rollout:m:default:2@7", n) < 500}
    second = {n for n in names if bucket("rollout:m:default:3@19", n) < 500}
    overlap = len(first & second) / len(first)
    assert abs(overlap - 0.05) < 4 * (0.05 * 0.95 / len(first)) ** 0.5


@given(units, shares, shares)
def test_the_shadows_sample_has_a_salt_of_its_own(unit: str, share: int, copied: int) -> None:
    """Whether a request is copied does not depend on the arm that answers it."""
    routed = route(plan(segment(share=share, shadow_share=copied)), unit=unit, request_id=unit)
    assert (routed.shadow is not None) == (bucket("shadow", unit) < copied)
    alone = route(plan(segment(shadow_share=copied)), unit=unit, request_id=unit)
    assert (alone.shadow is None) == (routed.shadow is None)


def test_all_requests_are_copied_at_a_whole_share_even_without_a_name() -> None:
    """At 100 % nothing needs a name to be copied; below it, what has none is not."""
    assert route(plan(segment(shadow_share=BUCKETS))).shadow == arm("3")
    assert route(plan(segment(shadow_share=BUCKETS - 1))).shadow is None


def test_segments_match_in_order_and_one_is_the_default() -> None:
    """A name decides, then the first match by attributes, then the default."""
    by = plan(
        segment("world"),
        segment("eu", match={"region": ("DE", "FR")}),
        segment("eu-gold", match={"region": ("DE",), "tier": ("gold",)}),
    )
    assert segment_of(by, "eu-gold").name == "eu-gold"
    assert segment_of(by, None, {"region": "DE", "tier": "gold"}).name == "eu"
    assert segment_of(by, None, {"region": "US"}).name == "world"
    assert segment_of(by, "nowhere", {"region": "DE"}).name == "world"
    assert segment_of(by).name == "world"


def test_the_router_needs_nothing_but_python() -> None:
    """Its file runs where none of our dependencies can be imported."""
    path = sys.modules[route.__module__].__file__
    script = f"import runpy; print(runpy.run_path({path!r})['bucket']('rollout', 'user-1'))"
    # Without site-packages, in a process of its own.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(bucket("rollout", "user-1"))


@pytest.mark.parametrize("moving", ["champion", "Production", "latest", "v3", "0", "01"])
def test_a_plan_with_an_alias_or_a_stage_is_not_read(moving: str) -> None:
    """What can move after it was judged has no place in a plan."""
    data = plan(segment(share=500)).model_dump(mode="json")
    data["segments"][0]["candidate"]["version"] = moving
    with pytest.raises(UsageError, match="an alias or a stage can move"):
        parse_plan(data, "a test")
