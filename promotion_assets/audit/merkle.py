"""The Merkle tree over the ledger's entries: RFC 9162 ("Certificate Transparency 2.0"), §2.1.

Leaves are the stored envelopes, in order. A tree head names the first *n* entries in 32 bytes;
an inclusion proof shows that one entry is among them, a consistency proof that an earlier head
is of a prefix of a later one. Everything here reads the leaves once, in order, and keeps
O(log n) hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()
HASH_SIZE = 32


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf, §2.1.1: SHA-256 of 0x00 and the data."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node, §2.1.1: SHA-256 of 0x01 and both children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A growing tree, kept as the roots of its complete subtrees: what a head needs.

    Attributes:
        size: number of leaves taken in.
    """

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        if len(roots) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} complete subtrees")
        self.size = size
        self._roots = list(roots)

    def append(self, leaf: bytes) -> None:
        """Take in the next leaf, by its hash."""
        size, node = self.size, leaf
        while size & 1:
            node = node_hash(self._roots.pop(), node)
            size >>= 1
        self._roots.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the tree head of the leaves taken in so far."""
        if not self._roots:
            return EMPTY_ROOT
        node = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            node = node_hash(left, node)
        return node

    def copy(self) -> Frontier:
        """Return a copy that grows on its own."""
        return Frontier(self.size, self._roots)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the tree head over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_proof(leaves: Iterable[bytes], index: int, size: int) -> list[bytes]:
    """Return PATH(index, D[size]), §2.1.3.1, of leaf hashes read once.

    Raises:
        ValueError: if there is no such leaf in a tree of that size, or too few leaves.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    ranges = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    return _roots(leaves, ranges[::-1])


def consistency_proof(leaves: Iterable[bytes], first: int, second: int) -> list[bytes]:
    """Return PROOF(first, D[second]), §2.1.4.1, of leaf hashes read once.

    Raises:
        ValueError: if not 0 < first <= second, or too few leaves.
    """
    if not 0 < first <= second:
        raise ValueError(f"there is no proof from a tree of {first} leaves to one of {second}")
    ranges = []
    low, high = 0, second
    while first != high:
        middle = low + _split(high - low)
        if first <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    if low > 0:
        ranges.append((low, high))
    return _roots(leaves, ranges[::-1])


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether ``proof`` shows the leaf hash at ``index`` in the tree of ``root``, §2.1.3.2."""
    if not 0 <= index < size or not _are_hashes(leaf, root, *proof):
        return False
    fn, sn, node = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            node = node_hash(sibling, node)
            while fn and not fn & 1:
                fn >>= 1
                sn >>= 1
        else:
            node = node_hash(node, sibling)
        fn >>= 1
        sn >>= 1
    return sn == 0 and node == root


def verify_consistency(
    first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes
) -> bool:
    """Whether ``proof`` shows the first tree to be a prefix of the second, §2.1.4.2."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    if not proof or not _are_hashes(first_root, second_root, *proof):
        return False
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    old = new = path[0]
    for node in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = node_hash(node, old), node_hash(node, new)
            while fn and not fn & 1:
                fn >>= 1
                sn >>= 1
        else:
            new = node_hash(new, node)
        fn >>= 1
        sn >>= 1
    return sn == 0 and old == first_root and new == second_root


def _split(size: int) -> int:
    """Return the largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _roots(leaves: Iterable[bytes], ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return the root of each range of leaves; the ranges do not overlap."""
    trees = {bounds: Frontier() for bounds in ranges}
    ahead = sorted(ranges, reverse=True)
    for at, leaf in enumerate(leaves):
        while ahead and at >= ahead[-1][1]:
            ahead.pop()
        if not ahead:
            break
        if at >= ahead[-1][0]:
            trees[ahead[-1]].append(leaf)
    for low, high in ranges:
        if trees[low, high].size != high - low:
            raise ValueError(f"there are fewer than {high} leaves")
    return [trees[bounds].root() for bounds in ranges]


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_SIZE for value in values)
