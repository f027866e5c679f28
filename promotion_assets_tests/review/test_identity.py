"""What is stored of a token, and what becomes of it when it is damaged."""

from __future__ import annotations

import pytest

from promotion_assets.review.identity import hashed, is_secret, new_token, split_token

SALT = b"sixteen bytes ok"


def test_a_token_is_known_by_its_secret_alone() -> None:
    """What is stored verifies the secret it was made of, and no other."""
    token = new_token(lambda size: b"\x07" * size)
    found = split_token(f" {token.text}\n")
    assert found is not None
    token_id, secret = found
    assert token_id == token.token_id
    assert is_secret(secret, token.hash)
    assert not is_secret(f"{secret[:-1]}0", token.hash)


@pytest.mark.parametrize(
    "damage",
    [
        lambda stored: "",
        lambda stored: stored.rsplit("$", 1)[0],
        lambda stored: stored[:-1],
        lambda stored: stored[:-2],
        lambda stored: stored.replace("scrypt", "plain"),
        lambda stored: stored.replace("$16384$", "$16383$"),
        lambda stored: stored.replace("$16384$", "$none$"),
        lambda stored: f"{stored}$",
    ],
    ids=["empty", "cut", "half a byte", "a byte less", "algorithm", "cost", "no number", "longer"],
)
def test_a_damaged_row_lets_nobody_in(damage: object) -> None:
    """Not even whoever has the right secret, and without an error that says why."""
    stored = hashed("secret", SALT)
    assert is_secret("secret", stored)
    assert callable(damage)
    assert not is_secret("secret", damage(stored))
