"""Artifacts by their content: a manifest of every file, and a store that is named by it.

The manifest is the one of OpenSSF's model-signing, without its exceptions: sorted
``{path, size, sha256}`` in canonical JSON, and the SHA-256 of that is the model digest. What a
digest cannot pin (links, devices, names that two file systems read differently) is refused.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path, PurePosixPath

from promotion_assets.canonical import digest_of
from promotion_assets.errors import IntegrityError, StorageUnreachable
from promotion_assets.evaluation.candidate import ArtifactManifest, ManifestEntry

# MLflow writes this file into a local artifact when the model is loaded by its registered name.
LEFT_OUT = "registered_model_meta"
MLMODEL = "MLmodel"


def manifest(directory: Path) -> ArtifactManifest:
    """Return the manifest of the artifact in ``directory``.

    Raises:
        IntegrityError: there is no such directory, it holds no file, or something in it cannot
            be pinned by a digest: a symlink, a special file, an unreadable file, an empty
            directory, a ``.git*`` name, a name that is not portable, names that differ in case
            only.
    """
    doing = f"taking the manifest of {directory}"
    if not directory.is_dir():
        raise IntegrityError(
            doing, "there is no such directory", "log the model again, its artifact is missing"
        )
    try:
        entries = tuple(
            ManifestEntry(path=name, size=size, sha256=sha256)
            for name, (size, sha256) in sorted(
                (name, _hash(directory / name)) for name in _files(directory, doing)
            )
        )
    except OSError as error:
        raise IntegrityError(
            doing,
            f"{error.filename or directory} cannot be read ({error.strerror})",
            "make the file readable or log the model again",
        ) from error
    if not entries:
        raise IntegrityError(doing, "it holds no file", "log the model again, it is empty")
    return ArtifactManifest(
        files=entries,
        digest=_digest(entries),
        content_digest=_digest(tuple(e for e in entries if e.path != MLMODEL)),
    )


def verify(directory: Path, digest: str, recorded: ArtifactManifest | None = None) -> None:
    """Check that the artifact in ``directory`` still has this ``digest``.

    Args:
        directory: the artifact.
        digest: the model digest that was recorded.
        recorded: the manifest that was recorded; with it the error names what has changed.

    Raises:
        IntegrityError: the bytes are not those that were recorded.
    """
    found = manifest(directory)
    if found.digest == digest:
        return
    raise IntegrityError(
        f"verifying the artifact in {directory}",
        f"its digest is {found.digest[:16]}…, {digest[:16]}… was recorded"
        + (f"; {_difference(recorded, found)}" if recorded else ""),
        "do not use this artifact; find out who changed it, then register a new version",
    )


def take_in(source: Path, store: Path) -> tuple[Path, ArtifactManifest]:
    """Copy the artifact in ``source`` into ``store``, read-only, under its digest.

    A second call with the same content copies nothing. The copy appears by one rename, after it
    was read back and synced: what stands under a digest is whole, whenever the process dies.

    Returns:
        The directory ``store/<digest>`` and the manifest.

    Raises:
        IntegrityError: as :func:`manifest`; or the source changed while it was copied; or what
            the store already has under this digest was changed.
        StorageUnreachable: the store cannot be written.
    """
    wanted = manifest(source)
    target = store / wanted.digest
    if target.exists():
        verify(target, wanted.digest, wanted)
        return target, wanted
    try:
        store.mkdir(parents=True, exist_ok=True)
        incoming = Path(tempfile.mkdtemp(prefix=".incoming-", dir=store))
    except OSError as error:
        raise _store_unreachable(store, error) from error
    try:
        _copy(source, incoming, wanted)
        verify(incoming, wanted.digest, wanted)
        _put_in_place(incoming, target)
    except OSError as error:
        raise _store_unreachable(store, error) from error
    finally:
        _remove(incoming)
    verify(target, wanted.digest, wanted)
    return target, wanted


def _files(directory: Path, doing: str) -> Iterator[str]:
    """Yield the paths of all files, relative, with forward slashes; refuse what is not one."""
    seen: dict[str, str] = {}
    pending = [PurePosixPath()]
    while pending:
        folder = pending.pop()
        names = sorted(path.name for path in (directory / folder).iterdir())
        if not names and folder != PurePosixPath():
            raise _unfit(doing, str(folder), "is an empty directory, which no digest pins")
        for name in names:
            path = folder / name
            if str(path) == LEFT_OUT:
                continue
            _check_name(doing, path, name)
            mode = (directory / path).lstat().st_mode
            folded = unicodedata.normalize("NFC", str(path)).casefold()
            if folded in seen:
                raise _unfit(doing, str(path), f"differs from {seen[folded]!r} only in case")
            seen[folded] = str(path)
            if stat.S_ISDIR(mode):
                pending.append(path)
            elif stat.S_ISREG(mode):
                yield str(path)
            else:
                kind = "a symlink" if stat.S_ISLNK(mode) else "a special file"
                raise _unfit(doing, str(path), f"is {kind}; only plain files are pinned")


def _check_name(doing: str, path: PurePosixPath, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise _unfit(doing, ascii(str(path)), "is not a name in UTF-8") from None
    if name in {".", ".."} or "\\" in name or not name.isprintable():
        raise _unfit(doing, ascii(str(path)), "is a name that other systems read differently")
    if name.casefold().startswith(".git"):
        raise _unfit(doing, str(path), "belongs to git, whose hooks would travel with the model")


def _unfit(doing: str, path: str, problem: str) -> IntegrityError:
    return IntegrityError(
        doing, f"{path} {problem}", "remove it and log the model again as a new version"
    )


def _hash(path: Path) -> tuple[int, str]:
    with _open(path) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), sha256


def _open(path: Path) -> BufferedReader:
    # A file that is swapped for a link or a pipe after it was listed must not be followed.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def _digest(entries: tuple[ManifestEntry, ...]) -> str:
    return digest_of([entry.model_dump() for entry in entries])


def _difference(recorded: ArtifactManifest, found: ArtifactManifest) -> str:
    before = {entry.path: entry.sha256 for entry in recorded.files}
    after = {entry.path: entry.sha256 for entry in found.files}
    changes = [
        f"{path} was {'added' if path not in before else 'removed'}"
        if path not in before or path not in after
        else f"{path} was changed"
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]
    more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""
    return ", ".join(changes[:5]) + more


def _copy(source: Path, target: Path, wanted: ArtifactManifest) -> None:
    folders = {target}
    for entry in wanted.files:
        file = target / entry.path
        file.parent.mkdir(parents=True, exist_ok=True)
        folders.update(p for p in file.parents if p.is_relative_to(target))
        with _open(source / entry.path) as reader, file.open("xb") as writer:
            shutil.copyfileobj(reader, writer, 1024 * 1024)
            writer.flush()
            os.fsync(writer.fileno())
        file.chmod(0o444)
    for folder in sorted(folders, reverse=True):
        folder.chmod(0o555)
        _sync(folder)


def _put_in_place(incoming: Path, target: Path) -> None:
    try:
        incoming.rename(target)
    except OSError:
        # Another process took the same artifact in first; the caller verifies what is there.
        if not target.is_dir():
            raise
    _sync(target.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(directory: Path) -> None:
    if not directory.exists():
        return
    for folder, _, _ in os.walk(directory):
        Path(folder).chmod(0o755)
    shutil.rmtree(directory, ignore_errors=True)


def _store_unreachable(store: Path, error: OSError) -> StorageUnreachable:
    return StorageUnreachable(
        f"taking an artifact into the store {store}",
        f"the store cannot be written ({error.strerror or error})",
        "check the disk's free space and its permissions, then try again",
    )
