"""Where notifications may go, and how they get there: request forgery, redirects, TLS, time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from promotion_assets.adapters.outgoing_http import post, resolve, within
from promotion_assets.notification.addresses import NotSent, is_public, target_of
from promotion_assets.notification.messages import Request
from promotion_assets.policy.notifications import Notifications
from promotion_assets_tests.notification.certificates import HOST, behind_tls
from promotion_assets_tests.notification.receivers import Receiver, drip, receiver

PUBLIC = "93.184.216.34"
STRICT = Notifications(timeout_seconds=5)
OPEN = Notifications(allow_hosts=("127.0.0.1", HOST), timeout_seconds=5)


class Names:
    """A name server that remembers what it was asked, and gives one answer after the other."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def request(url: str) -> Request:
    """A request without anything in it."""
    return Request(url, {"Content-Type": "application/json"}, b"{}")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.2.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        "not an address",
    ],
)
def test_addresses_of_ones_own_network_are_refused(address: str) -> None:
    """Private, loopback, link-local, metadata and reserved ones, in every form they can take."""
    assert not is_public(address)
    with pytest.raises(NotSent, match="not a public one"):
        target_of(f"https://{HOST}/in", STRICT, Names([address]))


@pytest.mark.parametrize(
    "address", [PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_let_through(address: str) -> None:
    """What belongs to the internet may be told of things."""
    assert is_public(address)
    found = target_of(f"https://{HOST}/in?x=1", STRICT, Names([address]))
    assert (found.address, found.host, found.port, found.path) == (address, HOST, 443, "/in?x=1")


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    """A name with two answers is not tried until the private one comes up."""
    with pytest.raises(NotSent, match=r"10\.0\.0\.1"):
        target_of(f"https://{HOST}/", STRICT, Names([PUBLIC, "10.0.0.1"]))


def test_a_name_without_an_address_gets_nothing() -> None:
    """A name server that answers with nothing leaves no place to connect to."""
    with pytest.raises(NotSent, match="has no address"):
        target_of(f"https://{HOST}/", STRICT, Names([]))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://017700000001/",
        "https://127.1/",
        "https://[::1]/",
        "https://[::ffff:7f00:1]/",
        "https://localhost/",
    ],
)
def test_this_host_is_refused_however_it_is_written(url: str) -> None:
    """The system's own resolver reads odd numbers as addresses; what it reads is judged."""
    with pytest.raises(NotSent, match=r"not a public one|cannot be resolved"):
        target_of(url, STRICT, resolve)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://hooks.example.org/", "without TLS"),
        ("ftp://hooks.example.org/", "not https"),
        ("file:///etc/passwd", "not https"),
        ("gopher://hooks.example.org/", "not https"),
        ("https:///path", "not https"),
        ("https://user:pass@hooks.example.org/", "user name or password"),
        ("https://hooks.example.org:99999/", "cannot be read"),
        ("https://hooks.example.org/a b", "control character"),
        ("https://hooks.example.org/\r\nX-Evil: 1", "control character"),
        ("https://[::1/", "cannot be read"),
    ],
)
def test_odd_addresses_are_refused(url: str, problem: str) -> None:
    """Other schemes, credentials, and what could smuggle a header."""
    with pytest.raises(NotSent, match=problem):
        target_of(url, STRICT, Names([PUBLIC]))


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.1:{port}"])
def test_a_host_that_the_policy_names_may_be_private(hook: Receiver, entry: str) -> None:
    """With or without its port."""
    limits = Notifications(allow_hosts=(entry.format(port=hook.port),), timeout_seconds=5)
    post(request(f"{hook.url}/in"), limits)
    assert [p.path for p in hook.posts] == ["/in"]
    with pytest.raises(NotSent):
        post(request("https://127.0.0.2/in"), limits)


def test_a_host_that_is_allowed_on_another_port_is_not(hook: Receiver) -> None:
    """A port in the policy means that port."""
    limits = Notifications(allow_hosts=("127.0.0.1:1",), timeout_seconds=5)
    with pytest.raises(NotSent):
        post(request(hook.url), limits)
    assert hook.posts == []


def test_a_name_is_resolved_once_and_connected_to_as_resolved(hook: Receiver) -> None:
    """A name server that answers otherwise the second time (DNS rebinding) is not asked again."""
    names = Names(["127.0.0.1"], ["10.9.9.9"])
    post(request(f"http://{HOST}:{hook.port}/in"), OPEN, look_up=names)
    assert names.asked == [HOST]
    assert hook.posts[0].headers["host"] == f"{HOST}:{hook.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(hook: Receiver, status: int) -> None:
    """Where a receiver points to was judged by nobody."""
    hook.answers = [status]
    hook.headers = {"Location": f"{hook.url}/elsewhere"}
    with pytest.raises(NotSent, match="redirects are not followed"):
        post(request(f"{hook.url}/in"), OPEN)
    assert [p.path for p in hook.posts] == ["/in"]


@pytest.mark.parametrize(
    ("scheme", "begin"),
    [
        ("http", b"H"),
        ("http", b"HTTP/1.1 200 OK\r\nX: "),
        # The beginning of a server's first message of TLS, 16 KiB long.
        ("https", b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb"),
    ],
)
def test_a_receiver_that_drips_is_cut_off_in_time(scheme: str, begin: bytes) -> None:
    """A byte now and then keeps no connection open beyond the limit of the whole."""
    limits = Notifications(allow_hosts=("127.0.0.1",), timeout_seconds=0.5)
    with drip(begin) as port:
        began = time.monotonic()
        with pytest.raises(NotSent, match="did not answer within"):
            post(request(f"{scheme}://127.0.0.1:{port}/"), limits)
        assert time.monotonic() - began < 3


def test_a_name_server_that_hangs_is_not_waited_for() -> None:
    """The system's own look-up knows no limit."""
    import threading

    stopped = threading.Event()

    def hanging(host: str, port: int) -> Sequence[str]:
        stopped.wait(30)
        return [PUBLIC]

    try:
        with pytest.raises(NotSent, match="cannot be resolved"):
            target_of(f"https://{HOST}/", STRICT, within(0.2, hanging))
    finally:
        stopped.set()


def test_tls_is_verified_unless_the_policy_says_no(certificate: Path) -> None:
    """A certificate that nobody vouches for gets nothing; verify_tls: false sends all the same."""
    with receiver(behind_tls(certificate)) as hook:
        url = f"https://{HOST}:{hook.port}/in"
        with pytest.raises(NotSent, match="certificate of hooks"):
            post(request(url), OPEN, look_up=Names(["127.0.0.1"]))
        assert hook.posts == []
        post(request(url), OPEN, verify_tls=False, look_up=Names(["127.0.0.1"]))
        assert len(hook.posts) == 1


def test_certificate_is_held_against_the_name_and_not_the_address(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting by address does not weaken TLS: another host's name is refused."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with receiver(behind_tls(certificate)) as hook:
        names = Names(["127.0.0.1"])
        post(request(f"https://{HOST}:{hook.port}/in"), OPEN, look_up=names)
        other = Notifications(allow_hosts=("other.example.org",), timeout_seconds=5)
        with pytest.raises(NotSent, match="is not valid"):
            post(request(f"https://other.example.org:{hook.port}/in"), other, look_up=names)
        assert len(hook.posts) == 1
