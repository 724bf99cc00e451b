"""The cache of folders: it keeps the trees of small folders, and of large ones the state alone."""

from __future__ import annotations

from fsclient.tree.folder_cache import FolderCache
from fsclient.tree.nodes import FolderView
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.folder import FolderState, VerifiedState
from fsproto.signed import Signed
from fsproto.types import NO_HASH, Hash, NodeId, Token
from tests.support.fixed_keys import stretch


def token(name: str, at: int) -> Token:
    return Token(stretch(f"{name} {at}", 32))


def view(name: str, entries: int) -> FolderView:
    """Return a folder with that many entries, which all are visible."""
    node = NodeId(stretch(name, 16))
    tree = PrefixTree.build(
        FolderEntry(token(name, at), NodeId(bytes(16)), NO_HASH) for at in range(entries)
    )
    body = FolderState(1, node, 1, NO_HASH, tree.root, 1, "alice", bytes(32), 1, b"")
    state = VerifiedState(body, Hash(stretch(f"{name} state", 32)), Signed(b"", b""))
    return FolderView(state, tree, {})


def test_a_folder_with_more_entries_than_the_cache_keeps_is_known_by_its_state_alone() -> None:
    cache, small, large = FolderCache(most=100), view("small", 10), view("large", 1000)
    for one in (small, large):
        cache.note(one.state.body.folder, one)
    known = cache.view(large.state.body.folder, [])
    assert known is not None
    assert (known.state, known.tree.root, known.tree.nodes) == (large.state, large.tree.root, 1)
    assert cache.view(large.state.body.folder, [token("large", 1)]) is None
    assert cache.view(small.state.body.folder, [token("small", 1)]) is not None


def test_the_folders_noted_longest_ago_make_room() -> None:
    cache, views = FolderCache(most=100), [view(name, 20) for name in "abc"]
    for one in views:
        cache.note(one.state.body.folder, one)
    known = [cache.view(one.state.body.folder, []) is not None for one in views]
    assert known == [False, True, True]
