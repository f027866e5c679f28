"""Dagster's UI in a browser: from the lineage to the reason why the incident was stopped."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from promotion_assets.demo.services import free_port, services_of, started
from promotion_assets.demo.versions import MODEL
from promotion_assets_tests.demo.conftest import Judged, environment
from promotion_assets_tests.parts import require

# Nothing that a browser fetches for itself: the tests have no network but loopback.
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PICTURES = Path(__file__).parents[2] / "screenshots"
PATIENCE_MS = 120_000
INCIDENT = "3"


@pytest.fixture(scope="module")
def address(judged: Judged) -> Iterator[str]:
    """The address of a real webserver over the demo's instance."""
    services = [s for s in services_of(judged.home, free_port) if s.name == "Dagster"]
    with started(services, environment(judged.home), judged.home.logs) as (webserver,):
        assert webserver.service.url is not None
        yield webserver.service.url


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Page]:
    """A page of a headless Chromium that has opened the lineage once."""
    chromium = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=list(QUIET))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield page
        browser.close()


def picture(page: Page, name: str) -> None:
    """Keep a picture for people to look at, when everything has come in."""
    # Dagster keeps asking while something runs; a picture is worth a few seconds of waiting only.
    with contextlib.suppress(PlaywrightTimeout):
        page.wait_for_load_state("networkidle", timeout=5000)
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")


def test_lineage_shows_every_step_of_a_version(page: Page, address: str) -> None:
    """The graph goes from the candidate through six gates to the decision and to Staging."""
    page.goto(f"{address}/asset-groups")
    gates = ("accuracy", "latency", "fairness", "drift", "schema", "artifact")
    steps = ("candidate", "evaluation_dataset", "candidate_scores", "champion_scores")
    for asset in (*steps, *(f"{gate}_gate" for gate in gates), "decision", "audit_record"):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()
    expect(page.get_by_text("staging", exact=True).first).to_be_visible()
    picture(page, "lineage")


def test_way_from_the_lineage_to_the_failed_fairness_check(page: Page, address: str) -> None:
    """By clicks alone: lineage, fairness gate, its checks, version 3, and the reason."""
    page.goto(f"{address}/asset-groups")
    page.get_by_text("fairness_gate", exact=True).first.click()
    page.get_by_role("link", name="View in Asset Catalog").click()
    page.get_by_role("tab", name="Checks").or_(page.get_by_role("link", name="Checks")).click()
    # The asset has a tab of that name too; the check's are there when its history is.
    expect(page.get_by_text("Execution history")).to_be_visible()
    page.get_by_role("tab", name="Partitions").last.click()
    page.get_by_text(INCIDENT, exact=True).first.click()
    expect(page.get_by_text("Failed", exact=True).last).to_be_visible()
    reason = re.compile(r"education=3 \(high school\).*drop of 0\.08")
    expect(page.get_by_text(reason).first).to_be_visible()
    picture(page, "incident-check")


def test_upstream_of_the_incident(page: Page, address: str) -> None:
    """The fairness gate's upstream shows both scores and the dataset that they were given on."""
    page.goto(f"{address}/assets/{MODEL}/fairness_gate?view=lineage&lineageScope=upstream")
    for asset in ("candidate_scores", "champion_scores", "evaluation_dataset"):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()
    picture(page, "incident-upstream")


def test_decision_names_the_gate_that_decided(page: Page, address: str) -> None:
    """The decision on version 3 has the verdict as a sentence and a row for each gate."""
    page.goto(f"{address}/assets/{MODEL}/decision?view=partitions&partition={INCIDENT}")
    expect(page.get_by_text(re.compile(r"rejected.*fairness failed", re.I)).first).to_be_visible()
    for gate in ("accuracy", "fairness", "latency", "drift", "schema", "artifact"):
        expect(page.get_by_role("cell", name=gate, exact=True).first).to_be_visible()
    picture(page, "incident-decision")


def test_incident_did_not_reach_staging(page: Page, address: str) -> None:
    """Version 2 has materialised the staging asset, version 3 has not."""
    page.goto(f"{address}/assets/{MODEL}/staging?view=partitions&partition={INCIDENT}")
    expect(page.get_by_text("did not materialize this asset")).to_be_visible()
    page.goto(f"{address}/assets/{MODEL}/staging?view=partitions&partition=2")
    expect(page.get_by_text("Materialized", exact=True).first).to_be_visible()
    picture(page, "staging")
