"""What a server asks of tracing; ``adapters`` give it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from promotion_assets.serving.engine import Reply


class RequestSpan(Protocol):
    """One request that is traced."""

    def end(self, status: int, reply: Reply | None) -> None:
        """End it with the status of the response, and who answered if anybody did."""


class RequestTracer(Protocol):
    """Decides which requests are traced."""

    def begin(self, route: str, headers: Mapping[bytes, bytes]) -> RequestSpan | None:
        """Begin the span of a request; ``None`` where it is not sampled.

        Args:
            route: the address without names in it.
            headers: names in small letters; ``traceparent`` says whose trace it belongs to.
        """
