"""A cache of the prefix trees of recently used folders, whole or the pages that were used.

The key of a tree is the hash of its folder state, so a tree is never out of date: after
a change by another worker or node the state has another hash.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from fsd.services.files.tree_pages import cut
from fsproto.proofs.prefix_tree import Changes, FolderEntry, PrefixTree
from fsproto.types import Hash, NodeId, Token

NODE_BYTES = 300
"""Memory of a node of a tree (an entry, a branch, or a root in place of others)."""
_MOST_BYTES = 32 << 20
"""In all trees together."""


@dataclass(frozen=True)
class FolderTree:
    """The prefix tree of a folder's state; of a tree in pages, those parts that were read."""

    tree: PrefixTree
    size: int
    """Number of entries, also of those that are not read."""
    in_pages: bool
    """Whether the database has the tree in pages."""

    @property
    def root(self) -> Hash:
        """The root that the folder's state names."""
        return self.tree.root

    def get(self, token: Token) -> FolderEntry | None:
        """Return an entry, or None if there is none; only for tokens whose pages are read."""
        return self.tree.get(token)

    def prove(self, tokens: Iterable[Token]) -> bytes:
        """Return the proof for these tokens; only for tokens whose pages are read."""
        return self.tree.prove(tokens)

    def changed(self, changes: Changes) -> FolderTree:
        """Return the tree after changes of tokens whose pages are read."""
        size = self.size
        for token, entry in changes.items():
            size += (entry is not None) - (self.tree.get(token) is not None)
        return FolderTree(self.tree.update(changes), size, self.in_pages)


EMPTY = FolderTree(PrefixTree(), 0, in_pages=False)


class TreeCache:
    """The most recently used trees, by folder; safe for use by many threads."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        """Start empty; keep at most so much memory in use."""
        self._lock = threading.Lock()
        self._trees: OrderedDict[NodeId, tuple[Hash, FolderTree]] = OrderedDict()
        self._most_nodes = most_bytes // NODE_BYTES
        self._nodes = 0

    @property
    def nodes(self) -> int:
        """Number of nodes in all trees."""
        return self._nodes

    def get(self, folder: NodeId, state: Hash) -> FolderTree | None:
        """Return a folder's tree for exactly this state."""
        with self._lock:
            found = self._trees.get(folder)
            if found is None or found[0] != state:
                return None
            self._trees.move_to_end(folder)
            return found[1]

    def put(
        self, folder: NodeId, state: Hash, tree: FolderTree, tokens: Iterable[Token] = ()
    ) -> None:
        """Store a folder's tree; evict the least recently used trees if there are too many.

        One tree takes at most three quarters of the memory: of a larger one, only the pages on the
        paths of `tokens` stay, or nothing. So no folder evicts the trees of all others.
        """
        most = self._most_nodes * 3 // 4
        if _weight(tree) > most and tree.in_pages:
            tree = FolderTree(cut(tree.tree, tokens), tree.size, in_pages=True)
        with self._lock:
            self._drop(folder)
            if _weight(tree) > most:
                return
            self._trees[folder] = state, tree
            self._nodes += _weight(tree)
            while self._nodes > self._most_nodes:
                self._drop(next(iter(self._trees)))

    def _drop(self, folder: NodeId) -> None:
        before = self._trees.pop(folder, None)
        if before is not None:
            self._nodes -= _weight(before[1])


def _weight(tree: FolderTree) -> int:
    return tree.tree.nodes + 1
