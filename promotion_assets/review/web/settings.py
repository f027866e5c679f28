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
