"""Prefix trees in pages: whatever is changed, the stored pages are those of the whole tree."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsd.services.files import tree_pages
from fsproto.errors import IntegrityError
from fsproto.proofs import prefix_tree
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.types import Hash, NodeId, Token

PREFIXES = [b"", b"\x00", b"\xff\xff", bytes(31), b"\xf0" + bytes(20)]
"""First bytes of places, for trees in which many entries share many bits."""
NODE, HASH = NodeId(bytes(16)), Hash(bytes(32))

tokens = st.builds(
    lambda prefix, end: Token(prefix + end[len(prefix) :]),
    st.sampled_from(PREFIXES),
    st.binary(min_size=32, max_size=32),
)


@pytest.fixture(autouse=True)
def _a_place_is_its_token(monkeypatch):
    """Let a test choose places; SHA-256 would make all of them alike."""
    monkeypatch.setattr(prefix_tree, "place_of", bytes)


class Stored:
    """Pages as a database holds them, and how many were read."""

    def __init__(self) -> None:
        self.pages = dict[bytes, bytes]()
        self.reads = 0

    def __call__(self, positions: Sequence[bytes]) -> dict[bytes, bytes]:
        self.reads += len(positions)
        return {at: self.pages[at] for at in positions if at in self.pages}

    def store(self, old: PrefixTree | None, new: PrefixTree) -> int:
        written, gone = tree_pages.changed(old, new)
        for at in gone:
            del self.pages[at]
        self.pages |= written
        return len(written) + len(gone)


def entry(token: Token) -> FolderEntry:
    return FolderEntry(token, NODE, HASH)


@given(
    first=st.sets(tokens, min_size=2, max_size=40),
    rounds=st.lists(
        st.tuples(st.sets(tokens, max_size=8), st.integers(0, 1 << 30), st.booleans()), max_size=5
    ),
)
def test_pages_after_changes_are_those_of_the_whole_tree(first, rounds):
    model = {token: entry(token) for token in first}
    stored = Stored()
    stored.store(None, PrefixTree.build(model.values()))
    tree = tree_pages.unread(PrefixTree.build(model.values()).root)
    for put, chosen, starts_cold in rounds:
        removed = {token for at, token in enumerate(sorted(model)) if chosen >> at % 30 & 1} - put
        if len(removed) > len(model) - 2:
            removed = set()
        touched = sorted(put | removed)
        if starts_cold:
            tree = tree_pages.unread(tree.root)
        tree = tree_pages.filled(tree, touched, stored)
        changes = dict[Token, FolderEntry | None]({token: entry(token) for token in put})
        changes |= dict.fromkeys(removed)
        new = tree.update(changes)
        after = tree_pages.filled(new, touched, stored)
        assert all((after.get(token) is None) is (token in removed) for token in touched)
        shown = PrefixTree.from_proof(after.prove(touched), after.root)
        assert shown.shows(touched)
        stored.store(tree, new)
        for token, value in changes.items():
            model.pop(token, None)
            if value is not None:
                model[token] = value
        whole = PrefixTree.build(model.values())
        assert new.root == whole.root
        assert stored.pages == tree_pages.changed(None, whole)[0]
        tree = new
        cut = tree_pages.cut(tree, touched)
        assert tree_pages.filled(cut, sorted(model), stored).prove(model) == whole.prove(model)


@given(st.sets(tokens, min_size=2, max_size=40), st.data())
def test_a_page_of_another_tree_is_noticed(some, data):
    stored = Stored()
    tree = PrefixTree.build(map(entry, some))
    stored.store(None, tree)
    at = data.draw(st.sampled_from(sorted(stored.pages)))
    stored.pages[at] = data.draw(
        st.just(stored.pages[at][:-1]) | st.binary(max_size=99) | st.just(stored.pages[at] + b"x")
    )
    with pytest.raises(tree_pages.WrongPagesError):
        tree_pages.filled(tree_pages.unread(tree.root), some, stored)


def test_one_change_of_a_large_folder_reads_and_writes_few_pages(monkeypatch):
    monkeypatch.undo()
    some = [Token(n.to_bytes(32, "big")) for n in range(20_000)]
    stored = Stored()
    tree = PrefixTree.build(map(entry, some))
    stored.store(None, tree)
    new = Token(b"new".ljust(32))
    cold = tree_pages.filled(tree_pages.unread(tree.root), [new], stored)
    assert stored.reads <= 6
    with pytest.raises(IntegrityError):
        [cold.get(token) for token in some]
    assert stored.store(cold, cold.put(entry(new))) <= 6
    assert cold.nodes < 150
    assert max(map(len, stored.pages.values())) < 1400
