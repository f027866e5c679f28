from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

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

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "golden/merkle_vectors.json").read_text()
)
HASHES = [base64.b64decode(text) for text in VECTORS["hashes"]]


@pytest.mark.parametrize("vector", VECTORS["inclusion"], ids=lambda v: v[0])
def test_inclusion_is_judged_as_by_the_reference(vector: list[Any]) -> None:
    """Every valid proof of the reference is accepted and every broken one refused."""
    _, index, size, leaf, root, proof, invalid = vector
    found = verify_inclusion(HASHES[leaf], index, size, [HASHES[n] for n in proof], HASHES[root])
    assert found is not invalid


@pytest.mark.parametrize("vector", VECTORS["consistency"], ids=lambda v: v[0])
def test_consistency_is_judged_as_by_the_reference(vector: list[Any]) -> None:
    """Every valid proof of the reference is accepted and every broken one refused."""
    _, first, second, root1, root2, proof, invalid = vector
    found = verify_consistency(
        first, second, [HASHES[n] for n in proof], HASHES[root1], HASHES[root2]
    )
    assert found is not invalid


def test_all_vectors_of_the_reference_are_there() -> None:
    """None of the 196 vectors got lost, and both kinds of answer occur."""
    vectors = VECTORS["inclusion"] + VECTORS["consistency"]
    assert len(vectors) == 196
    assert {vector[-1] for vector in vectors} == {True, False}


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
