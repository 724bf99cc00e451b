"""Merkle trees over lists, with the hashes of RFC 9162 section 2.1.

    leaf   = SHA-256(0x00 ‖ data)
    node   = SHA-256(0x01 ‖ left ‖ right)

A list is split at the largest power of two below its length. This gives the same tree
as to pair neighbours level by level and move an unpaired last one up unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsproto import crypto
from fsproto.types import Hash

if TYPE_CHECKING:
    from collections.abc import Sequence


def leaf_hash(data: bytes) -> Hash:
    """Return the hash of one entry of a list."""
    return Hash(crypto.sha256(b"\x00" + data))


def _node(left: bytes, right: bytes) -> Hash:
    return Hash(crypto.sha256(b"\x01" + left + right))


class Frontier:
    """The right edge of the tree over a growing list: enough for its root and for the next leaf.

    A list of n leaves consists of one complete tree for each bit of n that is 1, the largest first.
    The frontier has their roots.
    """

    def __init__(self, size: int = 0, packed: bytes = b"") -> None:
        """Start with a list of `size` leaves, whose frontier is `packed` (32 bytes for a tree).

        Raises `ValueError` if a list of that size has another number of complete trees.
        """
        if len(packed) != size.bit_count() * crypto.HASH_SIZE:
            raise ValueError("not the frontier of a list of that size")
        self.size = size
        self._trees = [
            packed[at : at + crypto.HASH_SIZE] for at in range(0, len(packed), crypto.HASH_SIZE)
        ]

    def append(self, leaf: Hash) -> None:
        """Add the hash of the next entry."""
        tree, ones = bytes(leaf), self.size
        while ones & 1:
            tree, ones = _node(self._trees.pop(), tree), ones >> 1
        self._trees.append(tree)
        self.size += 1

    @property
    def root(self) -> Hash:
        """The root over all leaves; over none it is SHA-256 of nothing."""
        if not self._trees:
            return Hash(crypto.sha256(b""))
        root = self._trees[-1]
        for tree in reversed(self._trees[:-1]):
            root = _node(tree, root)
        return Hash(root)

    def pack(self) -> bytes:
        """Return the roots of the complete trees, 32 bytes each, at most 63 of them."""
        return b"".join(self._trees)


def root_and_paths(leaves: Sequence[Hash]) -> tuple[Hash, list[bytes]]:
    """Return the root over `leaves`, one or more, and each leaf's inclusion path.

    A path is the concatenated hashes (32 bytes each) of the siblings from the leaf to the root.
    """
    paths: list[list[bytes]] = [[] for _ in leaves]
    level, under = list(leaves), [[i] for i in range(len(leaves))]
    while len(level) > 1:
        above, over = [], []
        for at in range(0, len(level) - 1, 2):
            for leaf in under[at]:
                paths[leaf].append(level[at + 1])
            for leaf in under[at + 1]:
                paths[leaf].append(level[at])
            above.append(_node(level[at], level[at + 1]))
            over.append(under[at] + under[at + 1])
        if len(level) % 2:
            above.append(level[-1])
            over.append(under[-1])
        level, under = above, over
    return level[0], [b"".join(path) for path in paths]


def root_of_path(leaf: Hash, index: int, count: int, path: bytes) -> Hash | None:
    """Return the root that a leaf has with its inclusion path (RFC 9162 section 2.1.3.2).

    None if leaf number `index` of `count` leaves cannot have a path of that length.
    """
    if not 0 <= index < count or len(path) % crypto.HASH_SIZE:
        return None
    root, last = leaf, count - 1
    for at in range(0, len(path), crypto.HASH_SIZE):
        if not last:
            return None
        beside = path[at : at + crypto.HASH_SIZE]
        if index & 1 or index == last:
            root = _node(beside, root)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            root = _node(root, beside)
        index, last = index >> 1, last >> 1
    return root if not last else None
