"""A new signing key: what was signed before stays valid, and no key comes in unseen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from promotion_assets.adapters import keys as module
from promotion_assets.adapters.keys import load_public, load_signer, public_keys, rotate_key
from promotion_assets.audit.checkpoint import Checkpointer, FilePlace
from promotion_assets.audit.entries import last_of
from promotion_assets.errors import IntegrityError, UsageError
from promotion_assets_tests.audit.test_keys import pem
from promotion_assets_tests.cli.homes import Home, home
from promotion_assets_tests.ledgers import MODEL, SIGNER

__all__ = ["home"]

BECAUSE = ("--reason", "release of the app at noon", "--actor", "ana")
VARIABLE = "PROMOTION_SIGNING_KEY"


def keyids(folder: Path) -> list[str]:
    """Ids of the keys that count, the own one first."""
    return [load_public(path).keyid for path in public_keys(folder, {})]


def test_the_key_before_counts_and_its_private_half_is_gone(tmp_path: Path) -> None:
    """Twice in a row, each key before stays among those that count, once."""
    ids = [load_signer(tmp_path, {}).public_key.keyid]
    for _ in range(2):
        private = (tmp_path / "ledger.key").read_bytes()
        ids.append(rotate_key(tmp_path, {}, 7).public_key.keyid)
        assert load_signer(tmp_path, {}).public_key.keyid == ids[-1]
        assert all(private not in path.read_bytes() for path in tmp_path.iterdir())
    assert keyids(tmp_path)[0] == ids[-1]
    assert sorted(keyids(tmp_path)) == sorted(ids)
    assert len(set(ids)) == 3


@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_rotation_that_stops_half_way_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Whichever file was not written, the old key is never lost to those who verify."""
    old = load_signer(tmp_path, {}).public_key.keyid
    real, done = module._replace, 0

    def stopping(path: Path, content: bytes, mode: int) -> None:
        nonlocal done
        done += 1
        if done == write:
            raise KeyboardInterrupt
        real(path, content, mode)

    monkeypatch.setattr(module, "_replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        rotate_key(tmp_path, {}, 7)
    monkeypatch.undo()
    assert old in keyids(tmp_path)
    new = rotate_key(tmp_path, {}, 7).public_key.keyid
    assert load_signer(tmp_path, {}).public_key.keyid == new
    assert new != old
    assert old in keyids(tmp_path)


def test_a_key_that_is_put_in_place_of_another_is_refused(tmp_path: Path) -> None:
    """By hand, or where a process lacks the environment's: the way back is named, none is made."""
    old = load_signer(tmp_path, {}).public_key.keyid
    with pytest.raises(IntegrityError, match="it is another key, and") as no:
        load_signer(tmp_path, {VARIABLE: pem(Ed25519PrivateKey.generate())})
    assert "promotion audit rotate-key" in no.value.next_step
    (tmp_path / "ledger.key").unlink()
    with pytest.raises(IntegrityError, match="there is no key, and") as no:
        load_signer(tmp_path, {})
    assert VARIABLE in no.value.next_step
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.pub"]
    assert load_public(tmp_path / "ledger.pub").keyid == old
    new = rotate_key(tmp_path, {}, 7).public_key.keyid
    assert load_signer(tmp_path, {}).public_key.keyid == new != old


def test_a_key_from_the_environment_is_rotated_by_setting_another(tmp_path: Path) -> None:
    """While the old one is still set, nothing is changed; no private key is written down."""
    old, new = ({VARIABLE: pem(Ed25519PrivateKey.generate())} for _ in range(2))
    before = load_signer(tmp_path, old).public_key.keyid
    with pytest.raises(UsageError, match="still holds the old key"):
        rotate_key(tmp_path, old, 7)
    assert load_signer(tmp_path, old).public_key.keyid == before
    after = rotate_key(tmp_path, new, 7).public_key.keyid
    assert load_signer(tmp_path, new).public_key.keyid == after
    assert keyids(tmp_path)[0] == after
    assert before in keyids(tmp_path)
    assert all(path.suffix == ".pub" for path in tmp_path.iterdir())


def test_there_must_be_a_key_to_replace(tmp_path: Path) -> None:
    """Before the first entry there is nothing to go over from."""
    with pytest.raises(UsageError, match="nothing was signed yet"):
        rotate_key(tmp_path, {}, 7)


def test_the_ledger_goes_on_and_verifies_across_the_change(home: Home) -> None:
    """Entries and checkpoints of both keys are as recorded; with one of them alone they are not."""
    folder = home.folder / ".promotion" / "keys"
    assert home.run("rollout", "tick", MODEL).exit_code == 0
    said = json.loads(home.run("audit", "rotate-key", "--json").stdout)
    assert Path(said["public_keys"][0]).name == "ledger.pub"
    assert len(said["public_keys"]) == 2
    assert home.run("rollout", "pause", MODEL, *BECAUSE).exit_code == 0
    found = json.loads(home.run("audit", "verify", "--json").stdout)
    assert found["valid"] is True
    assert found["checkpoints"] >= 2
    own, before = said["public_keys"]
    assert home.run("audit", "verify", "--key", own, "--key", before).exit_code == 0
    for one in (own, before):
        alone = home.run("audit", "verify", "--key", one)
        assert alone.exit_code == 1
        assert "signed by a key that is not trusted" in alone.output
    assert keyids(folder) == [load_public(Path(path)).keyid for path in said["public_keys"]]
    assert "and 1 before it" in home.run("doctor").output


def test_whoever_kept_the_key_before_signs_nothing_that_counts(home: Home) -> None:
    """Neither an entry after its end, nor a checkpoint; what it signed until then stays."""
    assert home.run("rollout", "tick", MODEL).exit_code == 0
    begins = json.loads(home.run("audit", "rotate-key", "--json").stdout)["from_entry"]
    # This test's own ledger still has the key before, as a thief would.
    (step,) = home.world.steps()
    home.world.ledger.append([step.model_copy(update={"action": "pause", "reason": "a thief"})])
    thief = Checkpointer(home.world.ledger, SIGNER, [FilePlace(home.folder / "thief")])
    thief.publish()
    found = json.loads(
        home.run("audit", "verify", "--json", "--checkpoints", str(home.folder / "thief")).stdout
    )
    told = {
        (problem["kind"], problem.get("entry")): problem["what"] for problem in found["problems"]
    }
    assert set(told) == {("forged", begins), ("checkpoint", None)}
    assert f"replaced after entry {begins - 1}" in told["forged", begins]
    refused = home.run("rollout", "status").exception
    assert isinstance(refused, IntegrityError)
    assert f"replaced after entry {begins - 1}" in refused.problem


def test_a_key_that_is_taken_back_has_no_end(tmp_path: Path) -> None:
    """Whatever its file of earlier days says."""
    one, two = ({VARIABLE: pem(Ed25519PrivateKey.generate())} for _ in range(2))
    first = load_signer(tmp_path, one).public_key.keyid
    rotate_key(tmp_path, two, 7)
    ends = {key.keyid: last_of(key) for key in map(load_public, public_keys(tmp_path, {}))}
    assert ends[first] == 7
    rotate_key(tmp_path, one, 9)
    ends = {key.keyid: last_of(key) for key in map(load_public, public_keys(tmp_path, {}))}
    assert sorted(ends.values(), key=str) == [9, None]
    assert ends[first] is None


def test_a_bundle_names_the_keys_that_signed_before(home: Home, tmp_path: Path) -> None:
    """It is whole by itself; who trusts keys of the own choice needs to name all of them."""
    assert home.run("rollout", "tick", MODEL).exit_code == 0
    assert home.run("audit", "rotate-key").exit_code == 0
    assert home.run("rollout", "pause", MODEL, *BECAUSE).exit_code == 0
    bundle = str(tmp_path / "4.zip")
    assert home.run("audit", "export", MODEL, "4", "--out", bundle).exit_code == 0

    def unsigned(*keys: str) -> list[str]:
        told = [word for key in keys for word in ("--key", key)]
        said = json.loads(home.run("audit", "verify", bundle, *told, "--json").stdout)
        return [problem for problem in said["problems"] if "sign" in problem]

    own, before = map(str, public_keys(home.folder / ".promotion" / "keys", {}))
    assert unsigned() == []
    assert unsigned(own, before) == []
    assert unsigned(own)
    assert unsigned(before)
