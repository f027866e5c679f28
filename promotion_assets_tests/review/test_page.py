"""The page in a real browser: read, try, be refused, approve with two people, reject."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from promotion_assets.lifecycle.events import Stage
from promotion_assets_tests.parts import require
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import PAGE, World, answers_to, serving

# Nothing that a browser fetches for itself: the tests have no network but loopback.
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PICTURES = Path(__file__).parents[2] / "screenshots"
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; it runs no script, as the page must not need any."""
    chromium = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=list(QUIET))
        expect.set_options(timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture
def url(world: World) -> Iterator[str]:
    """The address of the page of a world."""
    with serving(world) as address:
        yield address


@pytest.fixture(scope="module")
def reading(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, str]]:
    """A world that is only read, and the address of its page."""
    world = World.copied(prepared, tmp_path_factory.mktemp("read") / "home")
    with serving(world) as address:
        yield world, address


def sign_in(browser: Browser, world: World, url: str, name: str, **options: object) -> Page:
    """A window in which ``name`` has signed in, without JavaScript unless asked for."""
    wide = {"width": 1280, "height": 800}
    context = browser.new_context(
        **{"java_script_enabled": False, "viewport": wide, **options},  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    enter(page, world, url, name)
    return page


def enter(page: Page, world: World, url: str, name: str) -> None:
    """Sign in with a new token and wait for the queue."""
    page.goto(url)
    page.get_by_label("Your token").fill(world.desk.access.issue(name, "the tests"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Waiting for review")).to_be_visible()


def picture(page: Page, name: str, *, full: bool = False) -> None:
    """Keep a picture for people to look at."""
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"review-{name}.png", full_page=full)


def fill_in(page: Page, world: World, by: str) -> None:
    """Answer every question on the page."""
    questions = world.desk.show(MODEL, "2", "default", "observer").view.questions
    for question in questions:
        field = page.locator(f'[name="answer.{question.id}"]')
        if question.kind == "confirm":
            field.check()
        else:
            field.fill(answers_to(questions, by)[question.id])


def read_everything(page: Page, url: str) -> None:
    """Open every result that must be, by the links that lead from one to the next."""
    page.goto(f"{url}{PAGE}")
    follow(page, page.locator("#slices ~ .scroll").first.get_by_role("link").first)
    while page.get_by_role("link", name="Next:").count():
        follow(page, page.get_by_role("link", name="Next:"))
    follow(page, page.get_by_role("link", name="All are opened; decide"))


def follow(page: Page, link: Locator) -> None:
    """Click and wait for the next page: what is counted must not be counted on the last one."""
    here = page.url
    link.click()
    page.wait_for_url(lambda address: address != here)


def approve(page: Page, world: World, url: str, by: str) -> None:
    """Read all, let a minute and a half pass, answer all and approve."""
    read_everything(page, url)
    world.clock.advance(seconds=90)
    fill_in(page, world, by)
    page.get_by_role("button", name="Approve", exact=True).click()


def test_two_people_approve_and_it_may_go_live(browser: Browser, world: World, url: str) -> None:
    """Too early, then one answer missing: refused, nothing written is lost; then two approve."""
    page = sign_in(browser, world, url, "ana")
    picture(page, "queue")
    page.get_by_role("link", name=f"{MODEL} version 2").click()
    picture(page, "request")
    picture(page, "request-full", full=True)
    page.get_by_role("button", name="Approve", exact=True).click()
    refused = page.get_by_role("alert")
    expect(refused).to_contain_text("nobody reads it in less than 30")
    expect(refused).to_contain_text("was not opened")
    expect(refused).to_contain_text("is not answered")
    picture(page, "refused")
    assert world.approvals() == []
    read_everything(page, url)
    world.clock.advance(seconds=90)
    fill_in(page, world, "ana")
    page.locator('[name="answer.edge_cases"]').fill("")
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(refused).to_contain_text("On which inputs does it answer badly")
    expect(refused.get_by_role("listitem")).to_have_count(1)
    expect(page.locator('[name="answer.timing"]')).to_have_value(world_answer(world, "timing"))
    assert world.approvals() == []
    page.locator('[name="answer.edge_cases"]').fill(world_answer(world, "edge_cases"))
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("You have approved")
    picture(page, "approved")
    second = sign_in(browser, world, url, "bo")
    approve(second, world, url, "bo")
    expect(second.get_by_role("status")).to_contain_text("You have approved")
    assert world.approvals() == ["ana", "bo"]
    assert world.keep().approved == [("2", "default")]


def world_answer(world: World, question: str) -> str:
    """What ana answers to a question."""
    questions = world.desk.show(MODEL, "2", "default", "observer").view.questions
    return answers_to(questions, "ana")[question]


def test_trying_inputs_scores_both_versions(browser: Browser, reading: tuple[World, str]) -> None:
    """The form is filled with a real row; both versions answer it in their sandboxes."""
    world, url = reading
    page = sign_in(browser, world, url, "ana")
    page.goto(f"{url}{PAGE}/try")
    page.get_by_label("PAY_0", exact=True).fill("8")
    page.get_by_role("button", name="Score on both versions").click()
    scored = page.get_by_role("status").locator("dd")
    expect(scored).to_have_count(2)
    answers = scored.all_inner_texts()
    assert all(0.0 <= float(answer) <= 1.0 for answer in answers), answers
    picture(page, "try")


def test_rejection_takes_one_field(browser: Browser, world: World, url: str) -> None:
    """A reason is all it takes, at once, and the version is archived."""
    page = sign_in(browser, world, url, "cy")
    page.goto(f"{url}{PAGE}")
    page.get_by_role("link", name="Reject …").click()
    page.get_by_label("Why", exact=True).fill("the gain does not justify the risk")
    page.get_by_role("button", name="Reject", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("You have rejected")
    assert world.workspace.ledger.state(MODEL).stage("2") is Stage.ARCHIVED


def test_expired_request_takes_no_vote(browser: Browser, world: World, url: str) -> None:
    """What was read before the request expired approves nothing after it."""
    page = sign_in(browser, world, url, "ana")
    read_everything(page, url)
    fill_in(page, world, "ana")
    world.clock.advance(days=15)
    assert world.desk.queue() == ()
    other = page.context.new_page()
    enter(other, world, url, "ana")
    token = other.locator('[name="csrf"]').first.get_attribute("value")
    # As if she had signed in again without losing what she wrote.
    page.locator('[name="csrf"]').evaluate_all("(all, v) => all.forEach(e => e.value = v)", token)
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("the request expired on 16 March 2026")
    assert world.approvals() == []


def test_changed_evidence_refuses_an_open_page(browser: Browser, world: World, url: str) -> None:
    """The rules of the review change between reading and voting: the vote is refused, told why."""
    page = sign_in(browser, world, url, "ana")
    read_everything(page, url)
    world.clock.advance(seconds=90)
    fill_in(page, world, "ana")
    world.change_policy("    review:\n", "    review:\n      min_text: 30\n")
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("changed since the request was opened")
    assert world.approvals() == []


def test_incident_shows_the_harmed_group_on_the_first_screen(
    browser: Browser, reading: tuple[World, str]
) -> None:
    """Without scrolling, the incident's page names high school and by how much it loses."""
    world, url = reading
    page = sign_in(browser, world, url, "ana")
    page.goto(f"{url}/models/{MODEL}/versions/3")
    harmed = page.locator("#harmed").get_by_text("education=3 (high school)").first
    expect(harmed).to_be_visible()
    box = harmed.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 800
    expect(page.get_by_role("row", name="education=3 (high school)").first).to_contain_text("fail")
    expect(page.get_by_role("button", name="Approve", exact=True)).to_have_count(0)
    picture(page, "incident")


def test_phone_shows_the_harmed_group_first_and_nothing_beside_the_screen(
    browser: Browser, reading: tuple[World, str]
) -> None:
    """On a narrow screen the harm is seen without scrolling, and no page scrolls sideways."""
    world, url = reading
    options = {"viewport": {"width": 390, "height": 844}, "java_script_enabled": True}
    page = sign_in(browser, world, url, "ana", **options)
    for place in ("/", "/figures", PAGE, f"{PAGE}/try", f"/models/{MODEL}/versions/3"):
        page.goto(f"{url}{place}")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, (place, width)
    harmed = page.locator("#harmed").get_by_text("education=3 (high school)").first
    box = harmed.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 844
    picture(page, "incident-phone")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_violation(
    browser: Browser, reading: tuple[World, str], scheme: str
) -> None:
    """axe-core finds nothing serious on any page, in light and in dark."""
    world, url = reading
    # axe is itself a script, so this window runs scripts, and may load them past the policy.
    options = {"java_script_enabled": True, "bypass_csp": True, "color_scheme": scheme}
    page = sign_in(browser, world, url, "ana", **options)
    shown = world.desk.show(MODEL, "2", "default", "observer")
    places = ["/", "/figures", PAGE, f"{PAGE}/try", f"/models/{MODEL}/versions/3"]
    places.append(f"{PAGE}/slices/{shown.case.slices[0].id}")
    for place in places:
        page.goto(f"{url}{place}")
        found = Axe().run(page)
        serious = [
            (v["id"], [n["html"][:120] for n in v["nodes"]][:3])
            for v in found.response["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        assert serious == [], place
        if place == PAGE:
            picture(page, f"request-{scheme}", full=True)


def test_keyboard_alone_reaches_the_decision(browser: Browser, reading: tuple[World, str]) -> None:
    """The first stop skips to the content; links and buttons are reached by tabbing."""
    world, url = reading
    options = {"java_script_enabled": True}
    page = sign_in(browser, world, url, "ana", **options)
    page.goto(f"{url}{PAGE}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim()"))
        if "Reject" in reached:
            break
    assert {"Approve …", "Reject …", "Approve", "Reject"} <= reached
