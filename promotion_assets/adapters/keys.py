"""The key that signs the ledger: a file of this user alone, or the environment."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, SSlibKey

from promotion_assets.adapters.private_files import FILE_MODE, OTHERS, make_private_folder
from promotion_assets.errors import IntegrityError, StorageUnreachable, UsageError

PRIVATE_NAME = "ledger.key"
PUBLIC_NAME = "ledger.pub"
VARIABLE = "PROMOTION_SIGNING_KEY"


def load_signer(folder: Path, environ: Mapping[str, str]) -> CryptoSigner:
    """Return the signer of this installation.

    The key is ``PROMOTION_SIGNING_KEY`` (a PEM, or the path of one) where the environment has
    it, else the file ``ledger.key`` in ``folder``, which is made on first use with mode 0600.
    Either way ``ledger.pub`` is written beside it, for those who verify.

    Raises:
        UsageError: if the key is no Ed25519 private key in PEM.
        IntegrityError: if others than its owner may read the key file.
        StorageUnreachable: if a file cannot be read or written.
    """
    given = environ.get(VARIABLE, "").strip()
    try:
        make_private_folder(folder)
        if given.startswith("-----BEGIN"):
            # A value of one line, as CI systems keep it, has its line ends escaped.
            private = _private(given.replace("\\n", "\n").encode(), VARIABLE)
        else:
            private = _private_file(Path(given) if given else folder / PRIVATE_NAME, given)
        _write_public(folder / PUBLIC_NAME, private.public_key())
    except OSError as error:
        raise StorageUnreachable(
            f"load the signing key below {folder}",
            str(error),
            "check that the folder exists and is writable for this user",
        ) from error
    return CryptoSigner(private)


def load_public(path: Path) -> SSlibKey:
    """Return the public key in ``path``, a PEM.

    Raises:
        UsageError: if it is no Ed25519 public key in PEM, or cannot be read.
    """
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("it is a key of another algorithm")
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"load the public key {path}",
            "there is no such file" if isinstance(error, FileNotFoundError) else str(error),
            f"name the file {PUBLIC_NAME} of the installation that signed, an Ed25519 PEM",
        ) from error
    return SSlibKey.from_crypto(key)


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return a public key as PEM."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _private_file(path: Path, given: str) -> Ed25519PrivateKey:
    if not given and not path.exists():
        _create(path)
    others = stat.S_IMODE(path.stat().st_mode) & OTHERS
    if others:
        raise IntegrityError(
            f"load the signing key {path}",
            f"its mode {stat.S_IMODE(path.stat().st_mode):04o} lets others than its owner at it",
            f"run `chmod 600 {path}`; if others may have read it, use a new key",
        )
    return _private(path.read_bytes(), str(path))


def _create(path: Path) -> None:
    """Make a new key; of two processes that do so at once, both use the first one's."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _private(pem: bytes, where: str) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("it is a key of another algorithm")
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"load the signing key from {where}",
            f"it is no Ed25519 private key in PEM without a password ({type(error).__name__})",
            "make one with `openssl genpkey -algorithm ed25519`",
        ) from error
    return key


def _write_public(path: Path, key: Ed25519PublicKey) -> None:
    pem = public_pem(key)
    if not path.exists() or path.read_bytes() != pem:
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_bytes(pem)
        draft.replace(path)
