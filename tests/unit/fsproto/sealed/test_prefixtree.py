"""Prefix trees of example folders; the property tests cover the general rules."""

from __future__ import annotations

from collections.abc import Iterable

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


def test_a_missing_entry_cannot_be_removed():
    tree = PrefixTree.build(FOLDER[:5])
    with pytest.raises(KeyError):
        tree.remove(entry("absent").token)


def test_a_proof_grows_with_the_depth_of_a_folder_and_not_with_its_size():
    tree = PrefixTree.build(FOLDER)
    # About log2(1000) branches on the path, 2 + 33 bytes each, and an entry at its end.
    assert len(tree.prove([FOLDER[7].token])) < 30 * 35 + 81
    assert len(tree.prove([entry("absent").token])) < 30 * 35 + 81


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


def _pairs(bit: int) -> list[bytes]:
    """Return 1,000 tokens in pairs that differ only at one bit."""
    bases = (stretch(f"pair {number}", 32) for number in range(500))
    return [(int.from_bytes(base) ^ flip).to_bytes(32) for base in bases for flip in (0, 1 << bit)]


def _combs() -> list[bytes]:
    """Return 1,000 tokens, each of which leaves the path to one of four at another bit."""
    bases = (stretch(f"comb {number}", 32) for number in range(4))
    return [(int.from_bytes(base) ^ 1 << bit).to_bytes(32) for base in bases for bit in range(250)]


def _longest_path(tree: PrefixTree, tokens: Iterable[bytes]) -> int:
    """Return the most branches on the path to one of some tokens."""
    proofs = (tree.prove([Token(token)]) for token in tokens)
    return max((len(proof) - 81) // 35 for proof in proofs)


@pytest.mark.parametrize(
    "tokens",
    [_pairs(0), _pairs(1), _pairs(128), _combs(), [n.to_bytes(32) for n in range(1000)]],
    ids=["last bit", "last bit but one", "middle bit", "combs", "numbers"],
)
def test_no_choice_of_tokens_makes_a_tree_large_or_deep(tokens: list[bytes]):
    made = [FolderEntry(Token(token), NodeId(bytes(16)), NO_HASH) for token in tokens]
    tree = PrefixTree.build(made)
    assert tree.nodes == 2 * 1000 - 1 == PrefixTree.build(FOLDER).nodes
    assert _longest_path(tree, tokens) < 40
    assert len(tree.prove(map(Token, tokens[:100]))) < 2 * len(
        PrefixTree.build(FOLDER).prove([one.token for one in FOLDER[:100]])
    )
    grown = PrefixTree()
    for one in made[:100]:
        grown = grown.put(one)
    assert grown.nodes == 2 * 100 - 1
