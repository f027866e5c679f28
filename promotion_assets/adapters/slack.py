"""Messages to Slack, by its Web API; another base address stands in for it in tests."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.error import URLError

from promotion_assets.errors import Unreachable

API = "https://slack.com/api"
SECONDS = 10


@dataclass(frozen=True)
class Slack:
    """A channel of a workspace, with the token of the app that may write there."""

    token: str
    channel: str
    api: str = API

    @classmethod
    def configured(cls, environ: Mapping[str, str]) -> Slack | None:
        """Return what ``PROMOTION_SLACK_TOKEN`` and ``PROMOTION_SLACK_CHANNEL`` name, if both."""
        token, channel = (
            environ.get("PROMOTION_SLACK_TOKEN"),
            environ.get("PROMOTION_SLACK_CHANNEL"),
        )
        if not token or not channel:
            return None
        return cls(token, channel, environ.get("PROMOTION_SLACK_API") or API)

    def post(self, text: str) -> None:
        """Write ``text`` to the channel.

        Raises:
            Unreachable: Slack does not answer, or does not take it.
        """
        body = json.dumps({"channel": self.channel, "text": text[:3900]}).encode()
        request = urllib.request.Request(  # noqa: S310 - the operator's own setting
            f"{self.api}/chat.postMessage",
            data=body,
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json; charset=utf-8",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
                said = json.load(answer)
        except (URLError, OSError, ValueError) as error:
            raise _failed(f"Slack does not answer ({type(error).__name__})") from error
        if not isinstance(said, dict) or said.get("ok") is not True:
            why = said.get("error") if isinstance(said, dict) else "an answer that is none"
            raise _failed(f"Slack refused it ({why})")


def _failed(problem: str) -> Unreachable:
    return Unreachable(
        "telling reviewers in Slack",
        problem,
        "check PROMOTION_SLACK_TOKEN and PROMOTION_SLACK_CHANNEL; the review is open all the same",
    )
