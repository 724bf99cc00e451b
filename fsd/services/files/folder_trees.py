"""The prefix trees of folders: from the cache, from pages in the database, or from the entries.

The tree of a small folder is built from its entries. The tree of a large one is in pages, of which
only those on the paths of the requested names are read and written.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import partial

from sqlalchemy.orm import Session as Db

from fsd.services.files import tree_pages
from fsd.services.files.tree_cache import EMPTY, FolderTree, TreeCache
from fsd.store.repos import nodes
from fsd.store.repos import tree_pages as rows
from fsd.store.repos.nodes import StoredState
from fsproto.errors import InternalError, RemoteProtocolError
from fsproto.limits import MAX_TOKENS
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import PrefixTree
from fsproto.sealed.folder import FolderState
from fsproto.types import Hash, NodeId, Token

log = logging.getLogger(__name__)

MOST_BUILT = 256
"""Entries of a folder whose tree is not in pages."""
_LEAST_IN_PAGES = MOST_BUILT // 2
"""Entries of a folder whose tree stays in pages, so that not each change moves it."""


class FolderTrees:
    """Where trees are loaded from and stored; all calls block."""

    def __init__(self, cache: TreeCache | None = None) -> None:
        """Start with an empty cache."""
        self._cache = cache or TreeCache()

    def load(self, db: Db, state: StoredState, tokens: Iterable[Token]) -> FolderTree:
        """Return the tree of a folder's state, which proves these tokens present or absent.

        `RemoteProtocolError` for too many tokens of a large folder.
        """
        key, wanted = (NodeId(state.folder_id), Hash(state.hash)), list(tokens)
        known = self._cache.get(*key)
        if known is not None and known.in_pages != (state.entries is not None):
            known = None
        # Of a folder in pages, the paths of each name take about 6 KiB of memory.
        if state.entries is not None and len(wanted) > MAX_TOKENS:
            raise RemoteProtocolError("The request names too much of one folder at once.")
        try:
            tree = _filled(db, key[0], known or _start(db, state), wanted)
        except tree_pages.WrongPagesError:
            log.warning("folder %s: the stored tree is wrong; its entries are used", key[0].hex())
            tree = _built(db, state)
        if tree is not known:
            self._cache.put(*key, tree, wanted)
        return tree

    def filled(
        self, db: Db, folder: NodeId, tree: FolderTree, tokens: Iterable[Token]
    ) -> FolderTree:
        """Return a changed tree with the pages for some tokens, before it is stored."""
        try:
            return _filled(db, folder, tree, tokens)
        except tree_pages.WrongPagesError:
            log.error("folder %s: run fsadmin check --repair", folder.hex())  # noqa: TRY400 - no fault of the program
            raise InternalError from None

    def store(
        self,
        db: Db,
        current: Mapping[bytes, StoredState],
        old: Mapping[NodeId, FolderTree],
        new: Mapping[NodeId, FolderTree],
    ) -> dict[NodeId, FolderTree]:
        """Store the pages of changed trees; return the trees that may be kept in memory.

        `current` has the former states of the folders, which are locked.
        """
        stored = dict[NodeId, FolderTree]()
        for folder, tree in new.items():
            was = old.get(folder, EMPTY)
            has_pages = folder in current and current[folder].entries is not None
            stays = tree.size > (_LEAST_IN_PAGES if was.in_pages else MOST_BUILT)
            if has_pages and not (was.in_pages and stays):
                rows.drop(db, folder)
            if stays:
                pages, gone = tree_pages.changed(was.tree if was.in_pages else None, tree.tree)
                rows.put(db, folder, pages, gone, tree.size)
                stored[folder] = FolderTree(tree.tree, tree.size, in_pages=True)
            elif not was.in_pages:  # else only a part of the tree is known
                stored[folder] = tree
        return stored

    def keep(self, folder: NodeId, state: Hash, tree: FolderTree, tokens: Iterable[Token]) -> None:
        """Keep a committed tree in memory, at least for these tokens."""
        self._cache.put(folder, state, tree, tokens)

    def move_to_pages(self, db: Db, folder: NodeId, state: Hash, tree: FolderTree) -> None:
        """Store a large tree that was built from entries, unless the folder has changed since."""
        current = nodes.states_for_update(db, [folder])
        if folder in current and current[folder].hash == state:
            self.store(db, current, {}, {folder: tree})


def is_due(tree: FolderTree) -> bool:
    """Return whether a large tree is not in pages: an older version has stored the folder."""
    return not tree.in_pages and tree.size > MOST_BUILT


def _start(db: Db, state: StoredState) -> FolderTree:
    if state.entries is None:
        return _built(db, state)
    root = unpack(state.payload, FolderState).root
    return FolderTree(tree_pages.unread(root), state.entries, in_pages=True)


def _built(db: Db, state: StoredState) -> FolderTree:
    tree = PrefixTree.build(nodes.entries(db, state.folder_id))
    return FolderTree(tree, tree.size, in_pages=False)


def _filled(db: Db, folder: NodeId, tree: FolderTree, tokens: Iterable[Token]) -> FolderTree:
    if not tree.in_pages:
        return tree
    found = tree_pages.filled(tree.tree, tokens, partial(rows.get, db, folder))
    return tree if found is tree.tree else FolderTree(found, tree.size, in_pages=True)
