"""When a delivery is tried again: exponential waits, shortened by chance, up to a limit."""

from __future__ import annotations

from datetime import datetime, timedelta

from promotion_assets.policy.notifications import Notifications

# Two hosts' clocks may differ by this much before one of them is taken for set back.
SKEW = timedelta(seconds=30)


def wait_after(attempts: int, chance: float, limits: Notifications) -> timedelta | None:
    """Return how long to wait after ``attempts`` in vain; ``None`` for no further attempt.

    Args:
        attempts: how many there were, at least 1.
        chance: from 0 to 1; spreads receivers' load after an outage by up to a half.
    """
    if attempts >= limits.max_attempts:
        return None
    # The exponent is cut off: 2.0 ** 1024 overflows.
    doubled = limits.first_delay_seconds * 2.0 ** min(attempts - 1, 60)
    longest = min(doubled, limits.longest_delay_seconds)
    return timedelta(seconds=longest * (1 - 0.5 * chance))


def is_within(since: datetime, until: datetime, now: datetime) -> bool:
    """Whether ``now`` lies in a span that began at ``since``.

    A span that begins in the future was noted by a clock that has since been set back; it does
    not hold, or everything would wait until the clock comes there again.
    """
    return since - SKEW <= now < until
