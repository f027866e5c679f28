"""Plans rendered for other stacks: valid by their schemas, and the same arms for the same units."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_assets.errors import UsageError
from promotion_assets.serving.plan import TrafficPlan
from promotion_assets.serving.render_envoy import render_envoy
from promotion_assets.serving.render_istio import buckets_below, render_istio
from promotion_assets.serving.render_kserve import render_kserve
from promotion_assets.serving.rendering import SEGMENT_HEADER, Rendered, Target
from promotion_assets.serving.router import bucket, route
from promotion_assets_tests.serving.plans import arm, plan, segment
from promotion_assets_tests.serving.schemas import BY_KIND, ROUTE_CONFIGURATION

BUCKET = "X-Promotion-Bucket"
PLANS = {
    "a champion alone": plan(segment()),
    "a candidate at 5 %": plan(segment(share=500, previous=arm("9"))),
    "a candidate that waits": plan(segment(share=0)),
    "the bake": plan(segment(share=9800)),
    "everything": plan(segment(share=10_000)),
    "a shadow": plan(segment(shadow_share=100)),
    "two segments": plan(
        segment("eu", share=2500, match={"country": ("DE", "FR")}), segment("us", shadow_share=1)
    ),
}


def every_plan() -> Any:
    """Parametrise a test with every plan."""
    return pytest.mark.parametrize("traffic", PLANS.values(), ids=PLANS)


@every_plan()
@pytest.mark.parametrize("header", [None, BUCKET])
def test_what_is_rendered_is_valid_by_the_published_schemas(
    traffic: TrafficPlan, header: str | None
) -> None:
    """No field is one that the target does not know, and none that it needs is missing."""
    target = Target(bucket_header=header, namespace="models")
    rendered = [render_kserve(traffic, target), render_istio(traffic, target)]
    for document in (d for each in rendered for d in each.documents):
        jsonschema.validate(document, BY_KIND[document["kind"]])
    (envoy,) = render_envoy(traffic, target).documents
    jsonschema.validate(envoy, ROUTE_CONFIGURATION)
    for each in envoy["virtual_hosts"][0]["routes"]:
        weighted = each["route"].get("weighted_clusters")
        if weighted is not None:
            assert sum(c["weight"] for c in weighted["clusters"]) == weighted["total_weight"]


@given(share=st.integers(1, 10_000), number=st.integers(0, 9_999))
def test_expression_for_buckets_matches_the_numbers_below_the_share(
    share: int, number: int
) -> None:
    """What Istio can only say as an expression is exactly what the router computes."""
    assert bool(re.fullmatch(buckets_below(share), str(number))) == (number < share)


def test_expression_matches_nothing_that_is_no_bucket() -> None:
    """An absent, a negative or a made-up bucket goes to the champion."""
    for text in ("", "-1", "007", "500", "1e2", "4 "):
        assert not re.fullmatch(buckets_below(500), text), text


@every_plan()
def test_with_the_bucket_header_a_gateway_gives_each_unit_the_arm_of_the_router(
    traffic: TrafficPlan,
) -> None:
    """Istio's and Envoy's routes, walked in order, agree with the router for every unit."""
    target = Target(bucket_header=BUCKET)
    (istio,) = render_istio(traffic, target).documents
    (envoy,) = render_envoy(traffic, target).documents
    for number in range(300):
        unit = f"unit-{number}"
        for name in (s.name for s in traffic.segments):
            expected = route(traffic, unit=unit, segment=name)
            headers = {
                SEGMENT_HEADER: name,
                BUCKET.lower(): str(bucket(expected.salt, unit)),
            }
            service = f"credit-risk-v{expected.arm.version}"
            assert istio_host(istio, headers) == service
            assert envoy_cluster(envoy, headers) == service
    # Who names no unit has no bucket.
    nobody = route(traffic).arm.version
    assert istio_host(istio, {}) == envoy_cluster(envoy, {}) == f"credit-risk-v{nobody}"


@pytest.mark.parametrize("render", [render_kserve, render_istio, render_envoy])
def test_the_loss_of_stickiness_is_said(render: Any) -> None:
    """Where each request is drawn anew, whoever renders the plan is told so."""
    assert says_lost(render(PLANS["a candidate at 5 %"], Target()))
    assert not says_lost(render(PLANS["a champion alone"], Target()))
    sticky = render(PLANS["a candidate at 5 %"], Target(bucket_header=BUCKET))
    assert says_lost(sticky) == (render is render_kserve)


def test_what_a_target_cannot_express_is_said() -> None:
    """Shadows in KServe, attributes in all; shares that are no whole percent are refused."""
    assert any("shadow" in note for note in render_kserve(PLANS["a shadow"], Target()).notes)
    for render in (render_kserve, render_istio, render_envoy):
        notes = render(PLANS["two segments"], Target()).notes
        assert any("country" in note for note in notes)
    with pytest.raises(UsageError, match="whole"):
        render_kserve(plan(segment(share=250)), Target())


def test_every_arm_is_pinned_by_its_digest() -> None:
    """KServe's services say which artifact they are, and where it lies."""
    target = Target(storage="s3://models/{model}/{digest}")
    documents = render_kserve(PLANS["a candidate at 5 %"], target).documents
    services = [d for d in documents if d["kind"] == "InferenceService"]
    assert [d["metadata"]["name"] for d in services] == [
        f"credit-risk-v{version}" for version in ("1", "2", "9")
    ]
    for document, version in zip(services, ("1", "2", "9"), strict=True):
        digest = arm(version).digest
        assert document["metadata"]["annotations"]["promotion/digest"] == digest
        uri = document["spec"]["predictor"]["model"]["storageUri"]
        assert uri == f"s3://models/credit-risk/{digest}"


def says_lost(rendered: Rendered) -> bool:
    """Whether a note says that stickiness is lost."""
    return any("stickiness is lost" in note for note in rendered.notes)


def istio_host(document: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """Walk a VirtualService's routes as a gateway does."""
    for each in document["spec"]["http"]:
        wanted = [match["headers"] for match in each.get("match", [])] or [{}]
        if any(all(_matches(how, headers.get(n)) for n, how in one.items()) for one in wanted):
            (only,) = each["route"]
            return str(only["destination"]["host"])
    raise AssertionError("no route matched")


def envoy_cluster(document: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """Walk a RouteConfiguration's routes as Envoy does."""
    for each in document["virtual_hosts"][0]["routes"]:
        if all(_in(one, headers.get(one["name"])) for one in each["match"].get("headers", [])):
            return str(each["route"]["cluster"])
    raise AssertionError("no route matched")


def _matches(how: Mapping[str, str], value: str | None) -> bool:
    if value is None:
        return False
    if "exact" in how:
        return value == how["exact"]
    return re.fullmatch(how["regex"], value) is not None


def _in(how: Mapping[str, Any], value: str | None) -> bool:
    if value is None:
        return False
    if "string_match" in how:
        return bool(value == how["string_match"]["exact"])
    return int(how["range_match"]["start"]) <= int(value) < int(how["range_match"]["end"])
