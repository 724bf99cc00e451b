"""A cache of the prefix trees of recently used folders, so that a look-up need not build one.

The key of a tree is the hash of its folder state, so a tree is never out of date: after
a change by another worker or node the state has another hash.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from fsproto.proofs.prefix_tree import PrefixTree
from fsproto.types import Hash, NodeId

_MOST_NODES = 200_000
"""In all trees together; a node takes about 250 bytes."""


class TreeCache:
    """The most recently used trees, by folder; safe for use by many threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._trees: OrderedDict[NodeId, tuple[Hash, PrefixTree]] = OrderedDict()
        self._nodes = 0

    def get(self, folder: NodeId, state: Hash) -> PrefixTree | None:
        """Return a folder's tree for exactly this state."""
        with self._lock:
            found = self._trees.get(folder)
            if found is None or found[0] != state:
                return None
            self._trees.move_to_end(folder)
            return found[1]

    def put(self, folder: NodeId, state: Hash, tree: PrefixTree) -> None:
        """Store a folder's tree; evict the least recently used trees if there are too many."""
        with self._lock:
            self._drop(folder)
            self._trees[folder] = state, tree
            self._nodes += _weight(tree)
            while self._nodes > _MOST_NODES and len(self._trees) > 1:
                self._drop(next(iter(self._trees)))

    def _drop(self, folder: NodeId) -> None:
        before = self._trees.pop(folder, None)
        if before is not None:
            self._nodes -= _weight(before[1])


def _weight(tree: PrefixTree) -> int:
    return tree.nodes + 1
