"""Signatures, and the times at which something is tried again."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_assets.notification.retry import is_within, wait_after
from promotion_assets.notification.signing import key_of, sign, verify
from promotion_assets.policy.notifications import Notifications

# The example of Standard Webhooks' and Svix' documentation.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE, STAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
THEN = datetime.fromtimestamp(STAMP, UTC)


def good(**changes: object) -> bool:
    """Whether the example verifies with something changed."""
    values: dict[str, object] = {
        "key": key_of(SECRET),
        "message_id": MESSAGE,
        "timestamp": str(STAMP),
        "body": BODY,
        "signatures": SIGNATURE,
        "now": THEN,
    }
    return verify(**{**values, **changes})  # type: ignore[arg-type]


def test_signature_is_the_one_of_the_standards_documentation() -> None:
    """The published example comes out to the byte, and verifies."""
    assert sign(key_of(SECRET), MESSAGE, STAMP, BODY) == SIGNATURE
    assert good()
    assert good(signatures=f"v1,AAAA {SIGNATURE}")


@pytest.mark.parametrize(
    "change",
    [
        {"body": BODY + b" "},
        {"message_id": "msg_other"},
        {"timestamp": str(STAMP + 1)},
        {"timestamp": "-1"},
        {"timestamp": "9" * 400},
        {"timestamp": "\u0661614265330"},
        {"signatures": SIGNATURE.replace("v1,", "v1a,")},
        {"signatures": SIGNATURE[:-4]},
        {"signatures": "\ud800"},
        {"signatures": ""},
        {"signatures": "v1,x " * 10 + SIGNATURE},
        {"key": b"another key, long enough to be one"},
        {"now": THEN + timedelta(seconds=301)},
        {"now": THEN - timedelta(seconds=301)},
    ],
)
def test_anything_changed_is_refused(change: dict[str, object]) -> None:
    """Body, id, time, form, key and age each count."""
    assert not good(**change)


@pytest.mark.parametrize("late", [-300, 0, 300])
def test_replay_window_is_five_minutes_both_ways(late: int) -> None:
    """Clocks may differ that much."""
    assert good(now=THEN + timedelta(seconds=late))


def test_short_and_unreadable_keys_are_no_keys() -> None:
    """A key that could be guessed signs nothing."""
    with pytest.raises(ValueError, match="at least 24 bytes"):
        key_of("whsec_" + base64.b64encode(b"short").decode())
    with pytest.raises(ValueError, match="no Base64"):
        key_of("whsec_not base64!")
    assert key_of("x" * 24) == b"x" * 24


@given(
    attempts=st.integers(1, 99),
    chance=st.floats(0, 1),
    first=st.floats(0.1, 3600),
    longest=st.floats(0.1, 86400),
)
def test_waits_double_up_to_the_longest_and_end(
    attempts: int, chance: float, first: float, longest: float
) -> None:
    """Between half and the whole of the doubled wait, never longer than allowed, then no more."""
    limits = Notifications(
        max_attempts=50, first_delay_seconds=first, longest_delay_seconds=longest
    )
    wait = wait_after(attempts, chance, limits)
    if attempts >= 50:
        assert wait is None
        return
    assert wait is not None
    whole = min(first * 2.0 ** (attempts - 1), longest)
    assert whole / 2 - 1e-5 <= wait.total_seconds() <= whole + 1e-5


def test_default_gives_up_after_about_a_day() -> None:
    """Twenty attempts are 19 waits: 5 s at first, two hours at last."""
    waits = [wait_after(n, 0, Notifications()) for n in range(1, 21)]
    assert waits[0] == timedelta(seconds=5)
    assert waits[-1] is None
    total = sum((w for w in waits if w is not None), timedelta())
    assert timedelta(hours=15) < total < timedelta(hours=30)


def test_a_span_from_the_future_does_not_hold() -> None:
    """A clock that was set back must not keep things waiting until it is there again."""
    hour = timedelta(hours=1)
    assert is_within(THEN, THEN + hour, THEN + hour / 2)
    assert not is_within(THEN, THEN + hour, THEN + hour)
    assert not is_within(THEN, THEN + hour, THEN - hour)
    assert is_within(THEN, THEN + hour, THEN - timedelta(seconds=10))
