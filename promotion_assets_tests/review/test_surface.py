"""The page's surface over HTTP: headers, cookies, origins, addresses, floods, defects."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from promotion_assets.review.access import EVERYWHERE, MOST_FAILURES, MOST_FAILURES_OVERALL, WINDOW
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import PAGE, World, csrf_of, serving, signed_in

T = 60
GUARDS = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@pytest.fixture(scope="module")
def surface(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, str]]:
    """A page that is attacked again and again, as nothing of it leaves a change."""
    world = World.copied(prepared, tmp_path_factory.mktemp("surface") / "home")
    with serving(world) as url:
        yield world, url


@pytest.fixture
def page(surface: tuple[World, str]) -> tuple[World, str]:
    """The shared page, a quarter of an hour after the attack before."""
    world, url = surface
    world.clock.advance(minutes=16)
    return world, url


def guarded(answer: requests.Response) -> bool:
    """Whether an answer can neither be framed, nor kept, nor taken for another type."""
    return all(part in answer.headers.get(name, "") for name, part in GUARDS.items())


def test_every_answer_is_guarded_whatever_becomes_of_the_request(
    page: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages, refusals, redirects, what is not found, and a defect of our own, unshown."""
    world, url = page
    session = signed_in(world, url, "ana")
    for path in ("/", "/figures", PAGE, "/style.css", "/nothing", f"{PAGE}/slices/none"):
        assert guarded(session.get(f"{url}{path}", timeout=T)), path
    assert guarded(requests.get(f"{url}/", timeout=T, allow_redirects=False))
    assert guarded(session.put(f"{url}/login", timeout=T))
    assert guarded(session.post(f"{url}/login", {"token": "x"}, timeout=T))
    assert guarded(session.post(f"{url}{PAGE}/vote", {}, timeout=T))

    def broken(_: object) -> object:
        raise RuntimeError("postgresql://user:password@host is in this text")

    monkeypatch.setattr(type(world.desk), "queue", broken)
    answer = session.get(f"{url}/", timeout=T)
    assert answer.status_code == 500
    assert guarded(answer)
    assert "password" not in answer.text
    assert "defect of the platform" in answer.text


@pytest.mark.parametrize(
    "path", ["/login/", f"{PAGE}/", "//evil.example/login", "/%2Fevil.example"]
)
def test_no_redirect_goes_where_the_host_header_says(page: tuple[World, str], path: str) -> None:
    """A request that names another host is not sent there, by a slash or otherwise."""
    _, url = page
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=T)
    connection.request("GET", path, headers={"Host": "evil.example"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert "evil.example" not in answer.headers.get("Location", "").partition("?")[0]
    assert not answer.headers.get("Location", "/").startswith(("//", "http"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://["},
        {"Origin": "garbage"},
        {"Origin": "{url}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("path", ["/login", "/logout", f"{PAGE}/vote", f"{PAGE}/try"])
def test_no_form_is_taken_from_another_site(
    page: tuple[World, str], headers: dict[str, str], path: str
) -> None:
    """Each form, with the reviewer's own cookie and token: the browser's word is enough."""
    world, url = page
    session = signed_in(world, url, "ana")
    csrf = csrf_of(session, f"{url}/figures")
    given = {name: value.format(url=url) for name, value in headers.items()}
    fields = {"csrf": csrf, "token": world.desk.access.issue("ana", "the tests")}
    answer = session.post(f"{url}{path}", fields, headers=given, timeout=T, allow_redirects=False)
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers
    assert session.get(f"{url}/figures", timeout=T, allow_redirects=False).status_code == 200


@pytest.mark.parametrize("path", ["/logout", f"{PAGE}/vote", f"{PAGE}/try"])
def test_no_form_is_taken_without_the_sessions_token(page: tuple[World, str], path: str) -> None:
    """Each form of a session, from a browser that says nothing of where it comes from."""
    world, url = page
    session = signed_in(world, url, "ana")
    for fields in ({}, {"csrf": "0" * 64}, {"csrf": "ä"}):
        answer = session.post(f"{url}{path}", fields, timeout=T, allow_redirects=False)
        assert answer.status_code == 403
    assert session.get(f"{url}/figures", timeout=T, allow_redirects=False).status_code == 200


def test_a_session_that_an_attacker_chose_is_never_signed_in(page: tuple[World, str]) -> None:
    """Fixation: signing in makes a new name; the one laid in the browser is nobody's."""
    world, url = page
    session = requests.Session()
    session.cookies.set("promotion_session", "chosen-by-the-attacker")
    token = world.desk.access.issue("ana", "the tests")
    answer = session.post(f"{url}/login", {"token": token}, timeout=T, allow_redirects=False)
    name = answer.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
    assert len(name) == 64
    for chosen in ("chosen-by-the-attacker", ""):
        found = requests.get(
            f"{url}/", cookies={"promotion_session": chosen}, timeout=T, allow_redirects=False
        )
        assert found.status_code == 303


def test_signing_out_ends_the_session_on_the_server(page: tuple[World, str]) -> None:
    """A copy of the cookie is worth nothing afterwards, nor after eight hours."""
    world, url = page
    session = signed_in(world, url, "ana")
    stolen = dict(session.cookies)
    session.post(f"{url}/logout", {"csrf": csrf_of(session, f"{url}/figures")}, timeout=T)
    old = dict(signed_in(world, url, "ana").cookies)
    world.clock.advance(hours=8, seconds=1)
    for cookies in (stolen, old):
        answer = requests.get(f"{url}/", cookies=cookies, timeout=T, allow_redirects=False)
        assert answer.status_code == 303


def test_behind_https_no_neighbour_of_the_domain_can_lay_a_cookie(world: World) -> None:
    """``__Host-``: bound to this very host, secure, for every path; its end is taken as well."""
    with serving(world, url="https://review.example.org", proxy_address="127.0.0.1") as served:
        port = served.rpartition(":")[2]
        url = f"http://127.0.0.1:{port}"
        token = world.desk.access.issue("ana", "the tests")
        signed = requests.post(f"{url}/login", {"token": token}, timeout=T, allow_redirects=False)
        named = requests.get(f"{url}/figures", headers={"X-Forwarded-User": "ana"}, timeout=T)
        plain = {"Origin": "http://review.example.org"}
        insecure = requests.post(f"{url}/login", {"token": token}, headers=plain, timeout=T)
    for answer, name in ((signed, "__Host-promotion_session="), (named, "__Host-promotion_form=")):
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith(name)
        parts = {part.lower() for part in cookie.split("; ")}
        assert {"secure", "httponly", "path=/"} <= parts
        assert not any(part.startswith("domain") for part in parts)
    assert insecure.status_code == 403


def test_a_proxy_that_adds_its_header_to_the_visitors_own_is_not_believed(world: World) -> None:
    """Two names are nobody's: the first would be the one that the visitor wrote."""
    with serving(world, proxy_address="127.0.0.1") as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=T)
        connection.putrequest("GET", "/figures")
        connection.putheader("X-Forwarded-User", "ana")
        connection.putheader("X-Forwarded-User", "bo")
        connection.endheaders()
        assert connection.getresponse().status == 403
        connection.close()


@pytest.mark.parametrize(
    "evil",
    [
        "../../../../etc/passwd",
        "..",
        "%2e%2e%2f",
        "\x00",
        "a" * 3000,
        "2' OR '1'='1",
        "{{7*7}}",
        "<script>alert(1)</script>",
        "\u202e2",
        "-1",
        "2\r\nX-Evil: 1",
    ],
)
def test_no_address_or_field_leads_to_files_errors_or_markup(
    page: tuple[World, str], evil: str
) -> None:
    """Every part of every address: never a defect, never another file, never markup or a header."""
    world, url = page
    session = signed_in(world, url, "ana")
    csrf = csrf_of(session, f"{url}/figures")
    said = quote(evil, safe="")
    paths = [
        f"/{said}",
        f"/models/{said}/versions/2",
        f"/models/{MODEL}/versions/{said}",
        f"{PAGE}/slices/{said}",
        f"{PAGE}?segment={said}",
        f"{PAGE}/slices/x?segment={said}",
        f"{PAGE}/try?segment={said}",
        f"/login?next={said}",
    ]
    answers = [session.get(f"{url}{path}", timeout=T) for path in paths]
    fields = {
        "csrf": csrf,
        "segment": evil,
        "verdict": evil,
        "request_id": evil,
        "comment": evil,
        f"input.{evil}": evil,
        f"answer.{evil}": evil,
    }
    answers += [session.post(f"{url}{PAGE}/{form}", fields, timeout=T) for form in ("try", "vote")]
    for answer in answers:
        assert answer.status_code < 500, answer.url
        assert "root:" not in answer.text
        assert "<script>" not in answer.text
        assert "X-Evil" not in answer.headers
        assert guarded(answer), answer.url
    assert world.approvals() == []


def test_a_flood_fills_no_disk_and_locks_out_its_own_source_alone(world: World) -> None:
    """A thousand refused requests from one place: few rows, few entries, others sign in."""
    access = world.desk.access
    token = access.issue("ana", "the tests")
    for _ in range(300):
        access.failed("203.0.113.9", "a flood", "request_refused")
    since = world.clock() - WINDOW
    assert access.store.attempts("203.0.113.9", since) <= MOST_FAILURES + 1
    assert sum("a flood" in line for line in world.journal()) <= MOST_FAILURES + 1
    assert access.verify(token, "198.51.100.1").reviewer == "ana"
    for number in range(300):
        access.failed(f"2001:db8::{number:x}", "from everywhere", "request_refused")
    assert access.store.attempts(EVERYWHERE, since) <= MOST_FAILURES_OVERALL + 1
    assert len(world.journal()) < MOST_FAILURES_OVERALL + 10
    world.clock.advance(days=2)
    access.failed("203.0.113.9", "again", "request_refused")
    assert access.store.attempts(EVERYWHERE, since) == 1


def test_an_address_that_is_none_is_said_on_a_page(page: tuple[World, str]) -> None:
    """Whoever follows a broken link reads what is wrong and where the queue is, and no JSON."""
    _, url = page
    answer = requests.get(f"{url}/models/nothing-here", timeout=T)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "nothing is found at /models/nothing-here" in answer.text
    assert "To the queue" in answer.text


def test_what_slack_signed_and_cannot_be_read_is_refused(page: tuple[World, str]) -> None:
    """Unsigned bodies are not parsed at all; nothing answers a request that is not a POST."""
    _, url = page
    answer = requests.post(f"{url}/slack/commands", b"\xff" * 100, timeout=T)
    assert answer.status_code == 401
    assert requests.get(f"{url}/slack/commands", timeout=T).status_code == 405
