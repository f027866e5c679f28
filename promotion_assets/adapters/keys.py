"""The key that signs the ledger: a file of this user alone, or the environment.

Beside it stand the public keys that count: ``ledger.pub`` of the key that signs, and one
``ledger-KEYID.pub`` of each that has signed before it and was replaced by :func:`rotate_key`. The
latter says in a line above its PEM, which readers of PEM pass over, up to which entry it counts.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, SSlibKey

from promotion_assets.adapters.private_files import FILE_MODE, OTHERS, make_private_folder
from promotion_assets.audit.entries import UNTIL
from promotion_assets.errors import IntegrityError, StorageUnreachable, UsageError

PRIVATE_NAME = "ledger.key"
PUBLIC_NAME = "ledger.pub"
VARIABLE = "PROMOTION_SIGNING_KEY"
TRUSTED = "PROMOTION_TRUSTED_KEYS"
EARLIER = "ledger-*.pub"
PUBLIC_MODE = 0o644
ROTATE = "promotion audit rotate-key"
_LAST = re.compile(rb"^It counts up to entry (\d+)\.$", re.MULTILINE)


def load_signer(folder: Path, environ: Mapping[str, str]) -> CryptoSigner:
    """Return the signer of this installation.

    The key is ``PROMOTION_SIGNING_KEY`` (a PEM, or the path of one) where the environment has
    it, else the file ``ledger.key`` in ``folder``, which is made on first use with mode 0600.
    Either way ``ledger.pub`` is written beside it, for those who verify.

    Raises:
        UsageError: if the key is no Ed25519 private key in PEM.
        IntegrityError: if others than its owner may read the key file, or it is another key than
            the one that ``ledger.pub`` is of.
        StorageUnreachable: if a file cannot be read or written.
    """
    with _told(folder):
        make_private_folder(folder)
        public = folder / PUBLIC_NAME
        if not public.exists():
            private = _load_private(folder, environ)
            _write_public(public, private.public_key())
            return CryptoSigner(private)
        known = load_public(public)
        found = _held(folder, environ)
        if found is None or _keyid(found) != known.keyid:
            what = "there is no key" if found is None else "it is another key"
            raise IntegrityError(
                f"load the signing key below {folder}",
                f"{what}, and {known.keyid[:12]} has signed so far ({PUBLIC_NAME})",
                f"put that key back, in {PRIVATE_NAME} or {VARIABLE}; where it is gone, or to go "
                f"over to a new one, run `{ROTATE}`",
            )
    return CryptoSigner(found)


def rotate_key(folder: Path, environ: Mapping[str, str], entries: int) -> CryptoSigner:
    """Go over to a new signing key; the one before counts for what it has signed, and no longer.

    The new key is ``PROMOTION_SIGNING_KEY`` where the environment has it, else one is made in
    place of ``ledger.key``, whose content is gone then. What stopped half way is finished by the
    next call.

    Args:
        entries: how many the ledger has; whoever still has the old key can sign none after them.

    Returns:
        The new key.

    Raises:
        UsageError: if there is no key to replace, or the environment still has the old one.
        IntegrityError: if others than its owner may read the key file.
        StorageUnreachable: if a file cannot be read or written.
    """
    public = folder / PUBLIC_NAME
    doing = f"go over to a new signing key below {folder}"
    if not public.exists():
        raise UsageError(doing, "nothing was signed yet", "go on: the first command makes a key")
    with _told(folder):
        old = load_public(public)
        new = _held(folder, environ)
        if new is not None and _keyid(new) == old.keyid and environ.get(VARIABLE, "").strip():
            raise UsageError(
                doing,
                f"{VARIABLE} still holds the old key",
                "set it to the new one, made with `openssl genpkey -algorithm ed25519`",
            )
        said = f"It counts up to entry {entries}.\n".encode()
        _replace(folder / _earlier(old), said + public.read_bytes(), PUBLIC_MODE)
        if new is None or _keyid(new) == old.keyid:
            new = Ed25519PrivateKey.generate()
            _replace(folder / PRIVATE_NAME, _private_pem(new), FILE_MODE)
        _write_public(public, new.public_key())
    return CryptoSigner(new)


def public_keys(folder: Path, environ: Mapping[str, str]) -> list[Path]:
    """Return the public keys that count, the installation's own first.

    ``PROMOTION_TRUSTED_KEYS`` names more, separated by colons, as of the installation whose
    ledger is served from here.
    """
    named = [Path(path) for path in environ.get(TRUSTED, "").split(":") if path]
    own = folder / PUBLIC_NAME
    if not own.exists() and named:
        return named
    # One that signs, again or still after a rotation that stopped half way, has no end.
    current = _earlier(load_public(own)) if own.exists() else ""
    earlier = [path for path in sorted(folder.glob(EARLIER)) if path.name != current]
    return [own, *earlier, *named]


def load_public(path: Path) -> SSlibKey:
    """Return the public key in ``path``, a PEM, with the end that a line above it sets.

    Raises:
        UsageError: if it is no Ed25519 public key in PEM, or cannot be read.
    """
    try:
        content = path.read_bytes()
        key = serialization.load_pem_public_key(content)
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("it is a key of another algorithm")
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"load the public key {path}",
            "there is no such file" if isinstance(error, FileNotFoundError) else str(error),
            f"name the file {PUBLIC_NAME} of the installation that signed, an Ed25519 PEM",
        ) from error
    found = SSlibKey.from_crypto(key)
    last = _LAST.search(content)
    if last is not None:
        found.unrecognized_fields[UNTIL] = int(last[1])
    return found


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return a public key as PEM."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnreachable(
            f"load the signing key below {folder}",
            str(error),
            "run it as the user who owns that folder; with the public key alone, "
            f"`promotion audit verify --database URL --key {PUBLIC_NAME}` reads",
        ) from error


def _load_private(folder: Path, environ: Mapping[str, str]) -> Ed25519PrivateKey:
    given = environ.get(VARIABLE, "").strip()
    if given.startswith("-----BEGIN"):
        # A value of one line, as CI systems keep it, has its line ends escaped.
        return _private(given.replace("\\n", "\n").encode(), VARIABLE)
    return _private_file(Path(given) if given else folder / PRIVATE_NAME, given)


def _held(folder: Path, environ: Mapping[str, str]) -> Ed25519PrivateKey | None:
    """Return the private key that is there; none is made."""
    if not environ.get(VARIABLE, "").strip() and not (folder / PRIVATE_NAME).exists():
        return None
    return _load_private(folder, environ)


def _earlier(key: SSlibKey) -> str:
    return f"ledger-{key.keyid[:16]}.pub"


def _keyid(key: Ed25519PrivateKey) -> str:
    return str(SSlibKey.from_crypto(key.public_key()).keyid)


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
    pem = _private_pem(Ed25519PrivateKey.generate())
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


def _private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write_public(path: Path, key: Ed25519PublicKey) -> None:
    _replace(path, public_pem(key), PUBLIC_MODE)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
