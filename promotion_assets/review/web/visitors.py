"""Who sends a request: a session's reviewer, or the one whom the trusted proxy names."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request

from promotion_assets.errors import AccessRefused
from promotion_assets.review.access import Access
from promotion_assets.review.identity import csrf_token, is_csrf_token
from promotion_assets.review.web.settings import WebSettings

SESSION_COOKIE = "promotion_session"
FORM_COOKIE = "promotion_form"


class NeedsSignIn(Exception):
    """Nobody is signed in."""


@dataclass(frozen=True)
class Visitor:
    """A reviewer at the page.

    Attributes:
        secret: what the forms' token is made of: the session, or a cookie beside a proxy.
        fresh: whether the browser has yet to be given ``secret``.
    """

    reviewer: str
    secret: str
    fresh: bool = False

    @property
    def csrf(self) -> str:
        """What every form carries."""
        return csrf_token(self.secret)


def source_of(request: Request) -> str:
    """Return the address that a request comes from; a forwarded one is not believed."""
    return request.client.host if request.client else "unknown"


def visitor_of(request: Request, access: Access, settings: WebSettings) -> Visitor:
    """Return who sends ``request``.

    Raises:
        NeedsSignIn: nobody is signed in. A proxy's header from anywhere else than the configured
            address is recorded, and believed as little as none.
    """
    names = request.headers.getlist(settings.proxy_header)
    if names:
        named = ", ".join(names)
        if settings.proxy_address is not None and source_of(request) == settings.proxy_address:
            # A proxy that adds its header to one of the visitor's own gives two: nobody's name.
            return _proxied(request, access, settings, named)
        access.failed(
            source_of(request),
            f"{settings.proxy_header} names {named[:60]!r} and comes from no trusted proxy",
            "request_refused",
        )
    name = request.cookies.get(settings.session_cookie, "")
    session = access.session(name)
    if session is None:
        raise NeedsSignIn
    return Visitor(session.reviewer, name)


def check_origin(request: Request, settings: WebSettings) -> bool:
    """Whether a form was sent from our own page, as far as the browser says."""
    if request.headers.get("sec-fetch-site") == "cross-site":
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    scheme, _, place = origin.partition("://")
    if settings.secure and scheme != "https":
        return False
    return bool(place) and place in {request.headers.get("host"), urlsplit(settings.url).netloc}


def check_form(request: Request, visitor: Visitor, form: dict[str, str], access: Access) -> None:
    """Check that a form is of this visitor's own session.

    Raises:
        AccessRefused: it carries no token, an old one, or somebody else's.
    """
    if not is_csrf_token(form.get("csrf", ""), visitor.secret):
        access.failed(
            source_of(request),
            f"a form of {visitor.reviewer} with a wrong or stale token",
            "request_refused",
        )
        raise AccessRefused(
            "handing in a form",
            "it is not from your present session",
            "open the page again and hand it in from there",
        )


def _proxied(request: Request, access: Access, settings: WebSettings, named: str) -> Visitor:
    if not access.known(named):
        access.failed(source_of(request), f"the proxy names {named[:60]!r}, who is no reviewer")
        raise AccessRefused(
            "signing in",
            f"the proxy says {named[:60]!r}, and no policy names this reviewer",
            "add the name to `review.reviewers` in promotion.yaml",
        )
    known = request.cookies.get(settings.form_cookie, "")
    return Visitor(named, known or secrets.token_hex(32), fresh=not known)
