"""The cache of prefix trees and its limit."""

from __future__ import annotations

import pytest

from fsd.services.files import tree_cache
from fsd.services.files.commit_checks import check_sizes
from fsd.services.files.tree_cache import TreeCache
from fsproto.errors import NotAllowedError
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.types import Hash, NodeId, Token
from tests.support.fixed_keys import stretch

STATE = Hash(bytes(32))


def tree(name: str, entries: int) -> tuple[NodeId, PrefixTree]:
    made = [
        FolderEntry(Token(stretch(f"{name} {n}", 32)), NodeId(bytes(16)), Hash(bytes(32)))
        for n in range(entries)
    ]
    return NodeId(stretch(name, 16)), PrefixTree.build(made)


def test_the_trees_used_longest_ago_make_room_by_their_nodes(monkeypatch):
    monkeypatch.setattr(tree_cache, "_MOST_NODES", 500)
    cache = TreeCache()
    (a, tree_a), (b, tree_b), (c, tree_c) = (tree(name, 100) for name in "abc")
    for folder, one in ((a, tree_a), (b, tree_b), (b, tree_b)):
        cache.put(folder, STATE, one)
    assert cache.get(a, STATE) is tree_a
    cache.put(c, STATE, tree_c)
    assert [cache.get(folder, STATE) for folder in (a, b, c)] == [tree_a, None, tree_c]


def test_a_folder_does_not_grow_beyond_its_limit_and_may_shrink_from_above():
    (folder, small), (_, large) = tree("a", 10), tree("a", 11)
    check_sizes({}, {folder: small}, most=10)
    check_sizes({folder: large}, {folder: large}, most=10)
    check_sizes({folder: tree("a", 12)[1]}, {folder: large}, most=10)
    for old in ({}, {folder: small}):
        with pytest.raises(NotAllowedError, match="at most 10 entries"):
            check_sizes(old, {folder: large}, most=10)


def test_a_tree_that_is_larger_than_all_should_be_is_kept_alone(monkeypatch):
    monkeypatch.setattr(tree_cache, "_MOST_NODES", 100)
    cache = TreeCache()
    (a, tree_a), (b, tree_b) = tree("a", 10), tree("b", 100)
    cache.put(a, STATE, tree_a)
    cache.put(b, STATE, tree_b)
    assert [cache.get(folder, STATE) for folder in (a, b)] == [None, tree_b]


def test_a_tree_of_another_state_is_none():
    cache = TreeCache()
    folder, one = tree("a", 1)
    cache.put(folder, STATE, one)
    assert cache.get(folder, Hash(stretch("another", 32))) is None
