"""Prefix trees of example folders; the property tests cover the general rules."""

from __future__ import annotations

import pytest

from fsproto.errors import IntegrityError
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.types import NO_HASH, Hash, NodeId, Token
from tests.support.fixed_keys import stretch


def entry(name: str) -> FolderEntry:
    """Return an entry derived from `name`."""
    return FolderEntry(
        Token(stretch(f"{name} token", 32)),
        NodeId(stretch(f"{name} node", 16)),
        Hash(stretch(f"{name} manifest", 32)),
    )


FOLDER = [entry(f"file {number}") for number in range(1000)]


def test_an_empty_folder_has_a_root_of_zeros():
    assert PrefixTree().root == PrefixTree.build([]).root == NO_HASH
    assert list(PrefixTree()) == []


def test_a_folder_that_is_emptied_is_as_if_nothing_had_been_there():
    tree = PrefixTree.build(FOLDER[:20])
    for one in FOLDER[:20]:
        tree = tree.remove(one.token)
    assert tree.root == NO_HASH


def test_an_entry_takes_the_place_of_the_one_with_its_name():
    old, new = entry("old"), entry("new")
    tree = PrefixTree.build([*FOLDER[:5], old])
    replaced = tree.put(FolderEntry(old.token, new.node, new.manifest))
    assert replaced.get(old.token) == FolderEntry(old.token, new.node, new.manifest)
    assert len(list(replaced)) == 6


def test_what_is_not_there_cannot_be_removed():
    tree = PrefixTree.build(FOLDER[:5])
    with pytest.raises(KeyError):
        tree.remove(entry("absent").token)


def test_a_proof_grows_with_the_depth_of_a_folder_and_not_with_its_size():
    tree = PrefixTree.build(FOLDER)
    # About log2(1000) branches on the path, 65 bytes each, and two entries at its end.
    assert len(tree.prove([FOLDER[7].token])) < 30 * 65 + 2 * 81
    assert len(tree.prove([entry("absent").token])) < 30 * 65 + 2 * 81


def test_the_old_entry_in_the_newest_proof_is_refused():
    before = PrefixTree.build(FOLDER[:50])
    changed = FolderEntry(FOLDER[3].token, FOLDER[3].node, Hash(stretch("next version", 32)))
    after = before.put(changed)
    forged = after.prove([changed.token]).replace(changed.manifest, FOLDER[3].manifest)
    with pytest.raises(IntegrityError):
        PrefixTree.from_proof(forged, after.root)


def test_a_batch_is_computed_from_one_proof():
    tree = PrefixTree.build(FOLDER)
    new, gone = [entry(f"new {number}") for number in range(50)], FOLDER[100:150]
    shown = PrefixTree.from_proof(tree.prove([e.token for e in (*new, *gone)]), tree.root)
    for one in gone:
        shown = shown.remove(one.token)
    for one in new:
        shown = shown.put(one)
    assert shown.root == PrefixTree.build([*FOLDER[:100], *FOLDER[150:], *new]).root


def test_the_deepest_tree_leaves_room_on_the_stack():
    # Tokens that differ only at their last bit must not crash the reader.
    pair = [FolderEntry(Token(bytes(31) + bytes([n])), NodeId(bytes(16)), NO_HASH) for n in (0, 1)]
    tree = PrefixTree.build(pair)
    shown = PrefixTree.from_proof(tree.prove([pair[0].token]), tree.root)
    assert shown.remove(pair[0].token).root == pair[1].root
