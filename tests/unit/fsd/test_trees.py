"""The cache of prefix trees and its limit."""

from __future__ import annotations

import tracemalloc

import pytest

from fsd.services.files import tree_cache
from fsd.services.files.commit_checks import check_sizes
from fsd.services.files.tree_cache import FolderTree, TreeCache
from fsproto.errors import NotAllowedError
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.types import Hash, NodeId, Token
from tests.support.fixed_keys import stretch

STATE = Hash(bytes(32))


def tree(name: str, entries: int, *, in_pages: bool = False) -> tuple[NodeId, FolderTree]:
    made = PrefixTree.build(
        FolderEntry(Token(stretch(f"{name} {n}", 32)), NodeId(bytes(16)), Hash(bytes(32)))
        for n in range(entries)
    )
    return NodeId(stretch(name, 16)), FolderTree(made, entries, in_pages)


def cache(nodes: int) -> TreeCache:
    """Return a cache with room for so many nodes."""
    return TreeCache(nodes * tree_cache.NODE_BYTES)


def test_the_trees_used_longest_ago_make_room_by_their_nodes():
    trees = cache(500)
    (a, tree_a), (b, tree_b), (c, tree_c) = (tree(name, 100) for name in "abc")
    for folder, one in ((a, tree_a), (b, tree_b), (b, tree_b)):
        trees.put(folder, STATE, one)
    assert trees.get(a, STATE) is tree_a
    trees.put(c, STATE, tree_c)
    assert [trees.get(folder, STATE) for folder in (a, b, c)] == [tree_a, None, tree_c]


def test_a_folder_does_not_grow_beyond_its_limit_and_may_shrink_from_above():
    (folder, small), (_, large) = tree("a", 10), tree("a", 11)
    check_sizes({}, {folder: small}, most=10)
    check_sizes({folder: large}, {folder: large}, most=10)
    check_sizes({folder: tree("a", 12)[1]}, {folder: large}, most=10)
    for old in ({}, {folder: small}):
        with pytest.raises(NotAllowedError, match="at most 10 entries"):
            check_sizes(old, {folder: large}, most=10)


def test_a_large_tree_evicts_no_other_and_stays_as_far_as_it_is_in_use():
    trees = cache(400)
    (a, tree_a), (b, tree_b) = tree("a", 10), tree("b", 1000, in_pages=True)
    used = Token(stretch("b 7", 32))
    trees.put(a, STATE, tree_a)
    trees.put(b, STATE, tree_b, [used])
    kept = trees.get(b, STATE)
    assert trees.get(a, STATE) is tree_a
    assert kept is not None
    assert (kept.size, kept.root) == (1000, tree_b.root)
    assert kept.get(used) == tree_b.get(used)
    assert trees.nodes < 300


def test_a_large_tree_without_pages_is_not_kept():
    trees = cache(100)
    (a, tree_a), (b, tree_b) = tree("a", 10), tree("b", 100)
    trees.put(a, STATE, tree_a)
    trees.put(b, STATE, tree_b)
    assert [trees.get(folder, STATE) for folder in (a, b)] == [tree_a, None]


def test_a_tree_of_another_state_is_none():
    trees = TreeCache()
    folder, one = tree("a", 1)
    trees.put(folder, STATE, one)
    assert trees.get(folder, Hash(stretch("another", 32))) is None


def test_a_node_takes_no_more_memory_than_is_counted():
    _, one = tree("a", 2000, in_pages=True)
    tracemalloc.start()
    try:
        _, again = tree("b", 2000, in_pages=True)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / again.tree.nodes < tree_cache.NODE_BYTES
    assert one.tree.nodes == again.tree.nodes == 3999
