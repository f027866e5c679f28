"""One mail to a judged mail server, behind TLS unless the policy names the host."""

from __future__ import annotations

import smtplib
import ssl
import time
from contextlib import closing, suppress
from ipaddress import ip_address
from typing import Any

from promotion_assets.adapters.outgoing_http import Deadline, resolve, tls, told, within
from promotion_assets.notification.addresses import REFUSED, NotSent, Resolve, Target, target_of
from promotion_assets.notification.messages import Mail
from promotion_assets.policy.notifications import Notifications


def send_mail(
    mail: Mail, limits: Notifications, *, verify_tls: bool = True, look_up: Resolve = resolve
) -> None:
    """Hand ``mail`` to its server; every recipient must be taken.

    Raises:
        NotSent: it was not taken, or nobody knows; no secret is in the message.
    """
    began = time.monotonic()
    target = target_of(mail.url, limits, within(limits.timeout_seconds, look_up))
    if target.scheme not in ("smtp", "smtps"):
        raise NotSent("the address is not smtp://host or smtps://host")
    left = max(limits.timeout_seconds - (time.monotonic() - began), 0.1)
    with told(target.host, limits.timeout_seconds), Deadline(left) as deadline:
        server = _Server(target, deadline, tls(verify_tls))
        with closing(server):
            _talk(server, target, mail)


def _talk(server: _Server, target: Target, mail: Mail) -> None:
    try:
        server.connect(target.host, target.port)
        server.ehlo_or_helo_if_needed()
        if target.scheme == "smtp":
            _secure(server, target, mail)
        if mail.username is not None:
            server.login(mail.username, mail.password or "")
        refused = server.send_message(mail.message)
        if refused:
            # The others have it: another attempt would be a second mail to them.
            raise NotSent(
                f"{target.host} refused {len(refused)} of the recipients", most_attempts=1
            )
        with suppress(smtplib.SMTPException, OSError):
            # It has taken the mail already.
            server.quit()
    except smtplib.SMTPRecipientsRefused:
        raise NotSent(f"{target.host} refused every recipient", most_attempts=REFUSED) from None
    except smtplib.SMTPResponseException as error:
        most = REFUSED if 500 <= error.smtp_code < 600 else None
        raise NotSent(f"{target.host} answered {error.smtp_code}", most_attempts=most) from None
    except smtplib.SMTPException as error:
        raise NotSent(f"{target.host} did not take it ({type(error).__name__})") from None


def _secure(server: _Server, target: Target, mail: Mail) -> None:
    """Begin TLS. Who sits between can hide that it is offered, and a password would tell him all.

    Raises:
        NotSent: it is not offered, and the mail is not meant to go without.
    """
    if server.has_extn("starttls"):
        server.starttls(context=server.context)
        server.ehlo()
        return
    if not target.trusted:
        raise NotSent(f"{target.host} offers no TLS; see notifications.allow_hosts")
    if mail.username is not None and not ip_address(target.address).is_loopback:
        raise NotSent(
            f"{target.host} offers no TLS (STARTTLS), and the password is not sent in clear text; "
            "use smtps://, or leave username out"
        )


class _Server(smtplib.SMTP):
    """Connects to the address that was judged, under the host's name."""

    def __init__(self, target: Target, deadline: Deadline, context: ssl.SSLContext) -> None:
        super().__init__()
        self.context = context
        self._deadline = deadline
        self._target = target
        # starttls holds the certificate against this name.
        self._host = target.host

    def _get_socket(self, host: str, port: int, timeout: object) -> Any:
        found = self._deadline.connect(self._target)
        if self._target.scheme == "smtps":
            return self.context.wrap_socket(found, server_hostname=self._target.host)
        return found
