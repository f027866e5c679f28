"""C2SP signed notes: a text that anybody can read, and signatures below it.

https://c2sp.org/signed-note. The text ends with a newline; an empty line and one line per
signature follow: an em dash, the key's name, and base64 of four bytes that name the key and the
Ed25519 signature (type 0x01).
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Signature, SSlibKey

from promotion_assets.audit.entries import Signer
from promotion_assets.errors import IntegrityError

_ED25519 = b"\x01"
_DASH = "\u2014 "


def key_hash(name: str, key: SSlibKey) -> bytes:
    """Return the four bytes by which a signature line names its key."""
    public = bytes.fromhex(key.keyval["public"])
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def sign_note(text: str, name: str, signer: Signer) -> str:
    """Return ``text`` with one signature below it.

    Args:
        text: ends with a newline and has no empty line at its end.
        name: the key's name, without spaces and plus signs.
    """
    if not text.endswith("\n") or "\n\n" in text or not name or {*" +\n"} & {*name}:
        raise ValueError("a note's text ends with one newline, and its key's name has no space")
    signature = bytes.fromhex(signer.sign(text.encode()).signature)
    line = base64.b64encode(key_hash(name, signer.public_key) + signature).decode()
    return f"{text}\n{_DASH}{name} {line}\n"


def open_note(note: str, keys: list[SSlibKey]) -> str:
    """Return the text of a note that one of ``keys`` has signed.

    Signatures of other keys (witnesses, say) are ignored.

    Raises:
        IntegrityError: if none of the keys has signed exactly this text.
    """
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    if not lines.endswith("\n"):
        raise _refused("it is not a signed note")
    for line in lines.splitlines():
        if not line.startswith(_DASH) or line.count(" ") != 2:
            raise _refused("a signature line of it cannot be read")
        _, name, encoded = line.split(" ")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error) as error:
            raise _refused("a signature line of it cannot be read") from error
        if any(_signed_by(key, name, raw, text) for key in keys):
            return text
    raise _refused("no trusted key has signed it")


def _signed_by(key: SSlibKey, name: str, raw: bytes, text: str) -> bool:
    if raw[:4] != key_hash(name, key):
        return False
    try:
        key.verify_signature(Signature(key.keyid, raw[4:].hex()), text.encode())
    except UnverifiedSignatureError:
        return False
    return True


def _refused(problem: str) -> IntegrityError:
    return IntegrityError(
        "open a checkpoint", problem, "compare with the checkpoint published to another place"
    )
