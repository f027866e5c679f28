from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_assets.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)


def recursive_root(leaves: list[bytes]) -> bytes:
    """The definition of MTH in §2.1.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


TREES = st.integers(1, 130).map(lambda n: [leaf_hash(str(i).encode()) for i in range(n)])


@given(TREES)
def test_the_streaming_root_is_the_recursive_one(leaves: list[bytes]) -> None:
    """A frontier of O(log n) hashes gives the same head as the definition."""
    assert root_of(leaves) == recursive_root(leaves)


@given(TREES, st.data())
def test_own_inclusion_proofs_hold_and_hold_for_nothing_else(
    leaves: list[bytes], data: st.DataObject
) -> None:
    """A proof shows its leaf at its place, and neither another leaf nor another place."""
    size = len(leaves)
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1))
    root = recursive_root(leaves)
    proof = inclusion_proof(iter(leaves), index, size)
    assert verify_inclusion(leaves[index], index, size, proof, root)
    if other != index:
        assert not verify_inclusion(leaves[other], index, size, proof, root)
        assert not verify_inclusion(leaves[index], other, size, proof, root)
    if proof:
        assert not verify_inclusion(leaves[index], index, size, proof[:-1], root)


@given(TREES, st.data())
def test_own_consistency_proofs_hold_and_hold_for_nothing_else(
    leaves: list[bytes], data: st.DataObject
) -> None:
    """A proof shows the prefix, and no tree whose prefix differs in one leaf."""
    second = len(leaves)
    first = data.draw(st.integers(1, second))
    changed = data.draw(st.integers(0, first - 1))
    old, new = recursive_root(leaves[:first]), recursive_root(leaves)
    proof = consistency_proof(iter(leaves), first, second)
    assert verify_consistency(first, second, proof, old, new)
    forged = [*leaves[:changed], leaf_hash(b"forged"), *leaves[changed + 1 :]]
    proof = consistency_proof(iter(forged), first, second)
    assert not verify_consistency(first, second, proof, old, recursive_root(forged))


def test_what_is_not_in_the_tree_has_no_proof() -> None:
    """Proofs that cannot be are refused when asked for."""
    leaves = [leaf_hash(b"a")] * 3
    for index, size in ((3, 3), (-1, 3), (0, 4)):
        with pytest.raises(ValueError, match="leaves"):
            inclusion_proof(leaves, index, size)
    for first, second in ((0, 3), (4, 3), (2, 5)):
        with pytest.raises(ValueError, match="leaves"):
            consistency_proof(leaves, first, second)
    with pytest.raises(ValueError, match="2 complete subtrees"):
        Frontier(3, [])
    assert root_of([]) == EMPTY_ROOT


SMALL = [[leaf_hash(str(i).encode()) for i in range(size)] for size in range(1, 18)]


def broken_proofs(proof: list[bytes], known: list[bytes]) -> Iterator[list[bytes]]:
    """Yield every proof that is ``proof`` with one thing wrong."""
    for at in range(len(proof)):
        yield proof[:at] + proof[at + 1 :]
        for wrong in (b"", b"\0" * 32, proof[at][:-1], *known):
            if wrong != proof[at]:
                yield [*proof[:at], wrong, *proof[at + 1 :]]
    for at in range(len(proof) + 1):
        for extra in (b"", b"\0" * 32, *known):
            yield [*proof[:at], extra, *proof[at:]]
    for at in range(len(proof) - 1):
        if proof[at] != proof[at + 1]:
            yield [*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]]


@pytest.mark.parametrize("leaves", SMALL, ids=len)
def test_an_inclusion_proof_with_anything_wrong_is_refused(leaves: list[bytes]) -> None:
    """Of all places, sizes, roots and steps around a proof, only the true ones are accepted."""
    size, root = len(leaves), recursive_root(leaves)
    for index, leaf in enumerate(leaves):
        proof = inclusion_proof(leaves, index, size)
        assert verify_inclusion(leaf, index, size, proof, root)
        for broken in broken_proofs(proof, [leaf, root]):
            assert not verify_inclusion(leaf, index, size, broken, root), (index, broken)
        for place in {-1, index - 1, index + 1, index ^ 2, size, size + 1, 2**40} - {index}:
            assert not verify_inclusion(leaf, place, size, proof, root), (index, place)
        for wrong in (b"", EMPTY_ROOT, root[:-1], leaf if size > 1 else leaves[0][::-1]):
            assert not verify_inclusion(leaf, index, size, proof, wrong), (index, wrong)
        assert not verify_inclusion(leaf[::-1], index, size, proof, root)
        assert not verify_inclusion(leaf, index, 0, proof, root)
        assert not verify_inclusion(leaf, index, -size, proof, root)


@pytest.mark.parametrize("leaves", SMALL, ids=len)
def test_a_consistency_proof_with_anything_wrong_is_refused(leaves: list[bytes]) -> None:
    """Of all sizes, roots and steps around a proof, only the true ones are accepted."""
    second, new = len(leaves), recursive_root(leaves)
    for first in range(1, second + 1):
        old = recursive_root(leaves[:first])
        proof = consistency_proof(leaves, first, second)
        assert verify_consistency(first, second, proof, old, new)
        for broken in broken_proofs(proof, [old, new]):
            assert not verify_consistency(first, second, broken, old, new), (first, broken)
        for wrong in (b"", EMPTY_ROOT, old[:-1], old[::-1]):
            assert not verify_consistency(first, second, proof, wrong, new), (first, wrong)
            assert not verify_consistency(first, second, proof, old, wrong), (first, wrong)
        for early in {-1, 0, second + 1} - {first}:
            assert not verify_consistency(early, second, proof, old, new), (first, early)
        assert not verify_consistency(first, -second, proof, old, new)
    assert not verify_consistency(0, second, [], new, new)


def test_an_empty_ledger_has_the_head_that_the_standard_gives_it() -> None:
    """RFC 6962: the hash of nothing."""
    assert root_of([]) == hashlib.sha256(b"").digest()
