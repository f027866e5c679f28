"""Mail over STARTTLS: no password goes out before TLS, and no certificate is taken on trust."""

from __future__ import annotations

import base64
import socket
from pathlib import Path

import pytest

from promotion_assets.notification.addresses import NotSent
from promotion_assets.pipeline.notifying import Notifier
from promotion_assets_tests.notification.certificates import HOST, behind_tls
from promotion_assets_tests.notification.receivers import MailServer, mail_server
from promotion_assets_tests.notification.worlds import World

PASSWORD = "planted-mail-password"


def board(
    world: World,
    server: MailServer,
    *,
    host: str = HOST,
    address: str = "127.0.0.1",
    username: str | None = "promotion",
    verify_tls: bool = True,
) -> Notifier:
    """Subscribe somebody by mail over a server that the policy names."""
    world.environ["MAIL_PASSWORD"] = PASSWORD
    world.policy["allow_hosts"] = [host]
    world.policy["subscriptions"] = []
    world.subscribe(
        "board",
        f"smtp://{host}:{server.port}",
        kind="email",
        sender="promotion@example.org",
        to=["ana@example.org"],
        secret_env=None,
        username=username,
        authorization_env="MAIL_PASSWORD" if username else None,
        verify_tls=verify_tls,
    )
    return Notifier(world.workspace(), look_up=lambda *_: [address], chance=lambda: 0.0)


def test_mail_goes_by_starttls_and_the_password_only_after_it(
    world: World, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose certificate is vouched for gets name, password and mail, all behind TLS."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(behind_tls(certificate)) as server:
        notifier = board(world, server)
        world.judge("2")
        assert notifier.deliver().delivered == 1
    verbs = [line.split(" ")[0] for line in server.in_clear]
    assert verbs == ["ehlo", "STARTTLS"]
    (signed_in,) = (line for line in server.said if line.startswith("AUTH PLAIN"))
    assert PASSWORD.encode() in base64.b64decode(signed_in.split()[-1])
    assert "version 2" in server.mails[0]


def test_a_certificate_that_nobody_vouches_for_gets_nothing(
    world: World, certificate: Path
) -> None:
    """The delivery fails, says why, and is tried again; the mail server saw two words."""
    with mail_server(behind_tls(certificate)) as server:
        notifier = board(world, server)
        world.judge("2")
        (problem,) = notifier.deliver().problems
    assert problem.startswith(f"board: the certificate of {HOST} is not valid")
    assert server.mails == []
    assert [line.split(" ")[0] for line in server.said] == ["ehlo", "STARTTLS"]
    assert notifier.outbox.depth().pending == {"board": 1}
    assert PASSWORD not in problem


def test_a_certificate_for_another_name_gets_nothing(
    world: World, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is held against the name that the policy has, not against the address."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(behind_tls(certificate)) as server:
        notifier = board(world, server, host="mail.example.org")
        with pytest.raises(NotSent, match=r"certificate of mail\.example\.org is not valid"):
            notifier.test("board")
    assert server.mails == []


def test_verify_tls_false_takes_any_certificate_and_stays_behind_tls(
    world: World, certificate: Path
) -> None:
    """What the policy says in so many words is done."""
    with mail_server(behind_tls(certificate)) as server:
        notifier = board(world, server, verify_tls=False)
        notifier.test("board")
    assert len(server.mails) == 1
    assert "AUTH" not in " ".join(server.in_clear)


def test_no_password_goes_out_where_tls_is_not_offered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that may do without TLS gets mail, but a name and a password only behind it."""
    elsewhere = "192.0.2.7"
    connect = socket.create_connection

    def routed(address: tuple[str, int], timeout: float) -> socket.socket:
        assert address[0] == elsewhere
        return connect(("127.0.0.1", address[1]), timeout)

    monkeypatch.setattr(socket, "create_connection", routed)
    with mail_server() as server:
        with pytest.raises(NotSent, match="offers no TLS") as found:
            board(world, server, address=elsewhere).test("board")
        assert "not sent in clear text" in found.value.problem
        assert [line.split(" ")[0] for line in server.said] == ["ehlo"]
        board(world, server, address=elsewhere, username=None).test("board")
    assert len(server.mails) == 1
