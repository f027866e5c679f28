from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import NoEncryption

from promotion_assets.adapters.keys import load_public, load_signer
from promotion_assets.errors import IntegrityError, UsageError


def pem(key: object) -> str:
    """Return a private key as PEM."""
    return key.private_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, NoEncryption()
    ).decode()


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """First use makes a key of mode 0600 with its public half; later uses find the same one."""
    first = load_signer(tmp_path / "keys", {})
    again = load_signer(tmp_path / "keys", {})
    assert first.public_key == again.public_key
    assert stat.S_IMODE((tmp_path / "keys/ledger.key").stat().st_mode) == 0o600
    assert load_public(tmp_path / "keys/ledger.pub") == first.public_key
    assert {p.name for p in (tmp_path / "keys").iterdir()} == {"ledger.key", "ledger.pub"}


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A private key with open permissions may have been copied, so it signs nothing."""
    load_signer(tmp_path, {})
    (tmp_path / "ledger.key").chmod(0o640)
    with pytest.raises(IntegrityError, match=r"0640.*chmod 600"):
        load_signer(tmp_path, {})


@pytest.mark.parametrize("form", ["lines", "escaped", "path"])
def test_a_key_from_the_environment_is_used_and_never_stored(tmp_path: Path, form: str) -> None:
    """The variable holds the key or its path; only the public half is written down."""
    key = Ed25519PrivateKey.generate()
    value = pem(key)
    if form == "escaped":
        value = value.replace("\n", "\\n")
    if form == "path":
        (tmp_path / "given.pem").write_text(value)
        (tmp_path / "given.pem").chmod(0o600)
        value = str(tmp_path / "given.pem")
    signer = load_signer(tmp_path / "keys", {"PROMOTION_SIGNING_KEY": value})
    assert {p.name for p in (tmp_path / "keys").iterdir()} == {"ledger.pub"}
    assert load_public(tmp_path / "keys/ledger.pub") == signer.public_key


@pytest.mark.parametrize("value", [pem(generate_private_key(SECP256R1())), "-----BEGIN rubbish"])
def test_another_kind_of_key_is_wrong_use(tmp_path: Path, value: str) -> None:
    """A key of another algorithm, or rubbish, is named and the remedy said."""
    with pytest.raises(UsageError, match="openssl genpkey"):
        load_signer(tmp_path, {"PROMOTION_SIGNING_KEY": value})


def test_a_public_key_that_is_none_is_wrong_use(tmp_path: Path) -> None:
    """Verification with the wrong file says which file it wants."""
    (tmp_path / "x.pub").write_text("hello")
    for name in ("x.pub", "absent.pub"):
        with pytest.raises(UsageError, match=r"ledger\.pub"):
            load_public(tmp_path / name)
