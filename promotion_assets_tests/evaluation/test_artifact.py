"""The manifest and the content-addressed store of artifacts."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_assets.errors import IntegrityError, StorageUnreachable
from promotion_assets.evaluation import artifact
from promotion_assets.evaluation.artifact import manifest, take_in, verify
from promotion_assets_tests.evaluation.logged import Logged

FILES = {"MLmodel": b"flavors: {}\n", "model.bin": b"\0\1", "code/a/x.py": b"x = 1\n"}


def write(root: Path, files: dict[str, bytes] | None = None) -> Path:
    """Write an artifact and return its root."""
    for name, content in (FILES if files is None else files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An artifact of three files."""
    return write(tmp_path / "source")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A place for a store."""
    return tmp_path / "store"


def test_the_digest_is_that_of_the_sorted_canonical_list(source: Path) -> None:
    """Anyone can compute the digest: sorted paths, sizes and hashes as JSON without spaces."""
    files = [
        {"path": name, "sha256": hashlib.sha256(FILES[name]).hexdigest(), "size": len(FILES[name])}
        for name in sorted(FILES)
    ]
    by_hand = json.dumps(files, separators=(",", ":"), sort_keys=True).encode()
    found = manifest(source)
    assert found.digest == hashlib.sha256(by_hand).hexdigest()
    assert [entry.path for entry in found.files] == ["MLmodel", "code/a/x.py", "model.bin"]


def test_only_the_root_meta_file_of_mlflow_is_left_out(source: Path) -> None:
    """Loading by name writes one file into the artifact; below the root it counts like any."""
    before = manifest(source).digest
    (source / "registered_model_meta").write_text("model_name: x")
    assert manifest(source).digest == before
    (source / "code" / "registered_model_meta").write_text("model_name: x")
    assert manifest(source).digest != before


def test_a_rewritten_mlmodel_keeps_the_content_digest(source: Path) -> None:
    """A copy in another registry has another MLmodel, and is the same content."""
    before = manifest(source)
    (source / "MLmodel").write_text("flavors: {}\nrun_id: other\n")
    after = manifest(source)
    assert after.digest != before.digest
    assert after.content_digest == before.content_digest
    (source / "model.bin").write_bytes(b"\0\2")
    assert manifest(source).content_digest != before.content_digest


NAMES = st.text("abcXYZ019_-. é", min_size=1, max_size=8).filter(
    lambda n: n.strip(".") != "" and not n.startswith(".git") and n != "registered_model_meta"
)
ARTIFACTS = st.dictionaries(NAMES, st.binary(max_size=64), min_size=1, max_size=5).filter(
    lambda files: len({n.casefold() for n in files}) == len(files)
)


@given(ARTIFACTS, ARTIFACTS)
def test_digests_are_equal_exactly_for_equal_files(
    first: dict[str, bytes], second: dict[str, bytes]
) -> None:
    """Two artifacts have one digest when every name and byte is the same, and only then."""
    with tempfile.TemporaryDirectory() as root:
        one, other = write(Path(root, "1"), first), write(Path(root, "2"), second)
        assert (manifest(one).digest == manifest(other).digest) == (first == second)
        assert manifest(one).files == manifest(write(Path(root, "3"), first)).files


def _fifo(root: Path) -> None:
    os.mkfifo(root / "pipe")


def _socket(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        # The path of a socket must be short.
        here = Path.cwd()
        os.chdir(root)
        try:
            unix.bind("s")
        finally:
            os.chdir(here)


def _case(root: Path) -> None:
    (root / "mlMODEL").write_text("other")


def _unicode_case(root: Path) -> None:
    (root / "caf\u00e9").write_text("one")
    (root / "cafe\u0301").write_text("other")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: (root / "link").symlink_to("/etc/passwd"), "symlink"),
        (lambda root: (root / "folder").symlink_to(root / "code"), "symlink"),
        (_fifo, "special file"),
        (_socket, "special file"),
        (_case, "only in case"),
        (_unicode_case, "only in case"),
        (lambda root: (root / "empty").mkdir(), "empty directory"),
        (lambda root: (root / ".git").mkdir(), "git"),
        (lambda root: (root / "code" / ".GITattributes").touch(), "git"),
        (lambda root: (root / "a\\b").touch(), "read differently"),
        (lambda root: (root / "a\nb").touch(), "read differently"),
        (lambda root: Path(os.fsdecode(bytes(root) + b"/\xff")).touch(), "UTF-8"),
    ],
)
def test_what_no_digest_pins_is_refused(
    source: Path, store: Path, damage: Callable[[Path], None], words: str
) -> None:
    """Links, devices and names that are not portable are refused, and nothing is taken in."""
    damage(source)
    with pytest.raises(IntegrityError, match=words):
        manifest(source)
    with pytest.raises(IntegrityError, match=words):
        take_in(source, store)
    assert not store.exists()


def test_no_artifact_is_an_error_and_no_empty_digest(tmp_path: Path) -> None:
    """A missing directory, a file in its place, or one without files has no digest."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name, words in (("gone", "no such"), ("file", "no such"), ("empty", "holds no file")):
        with pytest.raises(IntegrityError, match=words):
            manifest(tmp_path / name)


def test_a_file_that_cannot_be_read_is_named(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreadable file is an integrity error with its name, not a traceback."""

    def refuse(path: Path) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(artifact, "_open", refuse)
    with pytest.raises(IntegrityError, match=r"MLmodel cannot be read \(Permission denied\)"):
        manifest(source)


def test_the_copy_is_read_only_and_under_its_digest(source: Path, store: Path) -> None:
    """Taken in, an artifact stands under its digest, without MLflow's own file."""
    (source / "registered_model_meta").write_text("model_name: x")
    directory, taken = take_in(source, store)
    assert directory == store / taken.digest
    assert manifest(directory) == taken
    assert not (directory / "registered_model_meta").exists()
    modes = {path: path.stat().st_mode & 0o777 for path in (directory, *directory.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o444}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o555}
    assert [p.name for p in store.iterdir()] == [taken.digest]


def test_taking_in_twice_copies_once(source: Path, store: Path) -> None:
    """The second time finds what is there, unchanged."""
    directory, _ = take_in(source, store)
    before = (directory / "model.bin").stat()
    again, _ = take_in(source, store)
    assert again == directory
    assert (directory / "model.bin").stat() == before


def test_a_changed_store_is_found_by_the_next_take_in(source: Path, store: Path) -> None:
    """What was changed under a digest is refused with the file's name, not used."""
    directory, taken = take_in(source, store)
    target = directory / "model.bin"
    target.chmod(0o644)
    target.write_bytes(b"\0\2")
    with pytest.raises(IntegrityError, match=r"model\.bin was changed"):
        take_in(source, store)
    with pytest.raises(IntegrityError, match=taken.digest[:16]):
        verify(directory, taken.digest)


def test_verify_names_what_was_added_and_removed(source: Path) -> None:
    """With the recorded manifest the error says which files differ."""
    recorded = manifest(source)
    verify(source, recorded.digest)
    (source / "model.bin").unlink()
    (source / "extra.py").touch()
    with pytest.raises(IntegrityError, match=r"extra\.py was added, model\.bin was removed"):
        verify(source, recorded.digest, recorded)


def test_a_source_that_changes_while_it_is_copied(
    source: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is compared with what was hashed before; a difference leaves the store empty."""
    copyfileobj = shutil.copyfileobj

    def meddle(reader: object, writer: object, length: int) -> None:
        (source / "model.bin").write_bytes(b"\0\2")
        copyfileobj(reader, writer, length)  # type: ignore[misc]

    monkeypatch.setattr(shutil, "copyfileobj", meddle)
    with pytest.raises(IntegrityError, match=r"model\.bin was changed"):
        take_in(source, store)
    assert list(store.iterdir()) == []


def test_a_race_for_one_artifact_ends_with_one_copy(
    source: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes second verifies the first one's copy and throws the own away."""
    put_in_place = artifact._put_in_place

    def overtaken(incoming: Path, target: Path) -> None:
        shutil.copytree(incoming, target)
        put_in_place(incoming, target)

    monkeypatch.setattr(artifact, "_put_in_place", overtaken)
    directory, taken = take_in(source, store)
    assert [path.name for path in store.iterdir()] == [taken.digest]
    verify(directory, taken.digest)


@pytest.mark.parametrize("failpoint", ["copyfileobj", "fsync", "rename"])
def test_killed_while_taking_in_nothing_half_stands_under_a_digest(
    source: Path, store: Path, failpoint: str
) -> None:
    """Wherever the process dies, the store has no digest yet, and the next start completes."""
    script = f"""
import os, shutil, signal, sys
from pathlib import Path
from promotion_assets.evaluation.artifact import take_in
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
owner = {{"copyfileobj": shutil, "fsync": os, "rename": Path}}[{failpoint!r}]
setattr(owner, {failpoint!r}, die)
take_in(Path(sys.argv[1]), Path(sys.argv[2]))
"""
    killed = subprocess.run([sys.executable, "-c", script, source, store], check=False)
    assert killed.returncode == -9
    left = [path.name for path in store.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".incoming-")
    directory, taken = take_in(source, store)
    verify(directory, taken.digest)


def test_a_store_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    """A store in the place of a file, or on a full disk, is unreachable storage."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnreachable, match="cannot be written"):
        take_in(source, tmp_path / "file" / "store")


def test_a_full_disk_leaves_nothing_behind(
    source: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of space in mid-copy is said so, and the unfinished copy is removed."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageUnreachable, match="No space left"):
        take_in(source, store)
    assert list(store.iterdir()) == []


def test_a_logged_model_is_taken_in_whole(logged: Logged, store: Path) -> None:
    """What real MLflow logged has a digest, and its copy is loadable from the store."""
    directory, taken = take_in(logged.artifact("sound"), store)
    assert {"MLmodel", "model.skops"} <= {entry.path for entry in taken.files}
    verify(directory, logged.manifest("sound").digest)


def test_a_copy_that_cannot_be_put_in_place_is_an_error(
    source: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody else has put it there, a failing rename is not taken for a lost race."""

    def refused(self: Path, target: Path) -> Path:
        raise OSError(errno.EIO, "the disk does not answer")

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(StorageUnreachable, match="the disk does not answer"):
        take_in(source, store)
    monkeypatch.undo()
    assert list(store.iterdir()) == []
