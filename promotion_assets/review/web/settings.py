"""How the page is reached, and whom it believes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WebSettings:
    """Settings of the page.

    Attributes:
        url: how browsers reach it; cookies are for https alone where it says https.
        proxy_address: the one address whose ``proxy_header`` says who signs in; ``None`` for
            none, and then the header is refused.
        slack_secret: Slack's signing secret; ``None`` switches Slack off.
    """

    url: str
    proxy_address: str | None = None
    proxy_header: str = "X-Forwarded-User"
    slack_secret: str | None = None

    @property
    def secure(self) -> bool:
        """Whether browsers come by https."""
        return self.url.startswith("https://")

    @property
    def session_cookie(self) -> str:
        """The name of the cookie that holds a session."""
        return self._cookie("promotion_session")

    @property
    def form_cookie(self) -> str:
        """The name of the cookie that forms are bound to beside a proxy."""
        return self._cookie("promotion_form")

    def _cookie(self, name: str) -> str:
        # No neighbour of the domain can set a cookie of such a name, so none can lay one there.
        return f"__Host-{name}" if self.secure else name
