"""Prefix trees, whole and partial (from a proof), against a plain dict."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsproto.errors import IntegrityError, RemoteProtocolError
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree, place_of
from fsproto.proofs.prefix_tree import root_of as root_of_leaves
from fsproto.types import NO_HASH, Hash, NodeId, Token
from tests.support import reference
from tests.support import strategies as our

Model = dict[Token, FolderEntry]


def root_of(model: Model) -> bytes:
    """Return the root of the entries as the plain reference computes it."""
    return reference.tree_root([(e.token, e.node, e.manifest) for e in model.values()])


@st.composite
def changes(draw: st.DrawFn, folder: list[FolderEntry]) -> list[FolderEntry | Token]:
    """Draw entries to put and tokens to remove; most concern existing entries."""
    known = [entry.token for entry in folder]
    token = st.one_of([st.sampled_from(known)] * bool(known) + [our.tokens()])
    put = st.builds(FolderEntry, token, our.node_ids, our.hashes)
    return draw(st.lists(token | put, max_size=12))


def change(tree: PrefixTree, model: Model, what: FolderEntry | Token) -> PrefixTree:
    """Apply one change to both; removing a missing entry must raise `KeyError`."""
    if isinstance(what, FolderEntry):
        model[what.token] = what
        return tree.put(what)
    if what in model:
        del model[what]
        return tree.remove(what)
    with pytest.raises(KeyError):
        tree.remove(what)
    return tree


def token_of(what: FolderEntry | Token) -> Token:
    """Return the token that a change concerns."""
    return what.token if isinstance(what, FolderEntry) else what


# --- whole trees


@given(folder=our.folders())
def test_a_root_is_the_same_without_a_tree(folder: list[FolderEntry]):
    leaves = sorted((place_of(entry.token), entry.root) for entry in folder)
    assert root_of_leaves(leaves) == PrefixTree.build(folder).root
    with pytest.raises(IntegrityError):
        root_of_leaves(sorted([*leaves, *leaves[:1]]) or [(b"p", b"l"), (b"p", b"l")])


@given(folder=our.folders(), data=st.data())
def test_a_tree_is_the_same_however_it_came_about(folder: list[FolderEntry], data: st.DataObject):
    model: Model = {}
    tree = PrefixTree()
    for what in [*data.draw(st.permutations(folder)), *data.draw(changes(folder))]:
        tree = change(tree, model, what)
        assert tree.root == root_of(model)
    assert tree.root == PrefixTree.build(model.values()).root
    assert list(tree) == sorted(model.values(), key=lambda e: reference.place_of(e.token))
    assert tree.size == len(model)
    assert tree.nodes == max(0, 2 * len(model) - 1)


@given(folder=our.folders(), other=our.tokens())
def test_a_tree_finds_what_is_in_it_and_nothing_else(folder: list[FolderEntry], other: Token):
    tree = PrefixTree.build(folder)
    model = {entry.token: entry for entry in folder}
    for token in [*model, other]:
        assert tree.get(token) == model.get(token)


@given(folder=our.folders(), data=st.data())
def test_changing_a_tree_leaves_the_old_one_as_it_was(
    folder: list[FolderEntry], data: st.DataObject
):
    tree = PrefixTree.build(folder)
    for what in data.draw(changes(folder)):
        change(tree, {entry.token: entry for entry in folder}, what)
    assert tree.root == root_of({entry.token: entry for entry in folder})


@given(entry=our.entries, node=our.node_ids, manifest=our.hashes)
def test_two_entries_under_one_name_are_refused(entry: FolderEntry, node: NodeId, manifest: Hash):
    with pytest.raises(IntegrityError):
        PrefixTree.build([entry, FolderEntry(entry.token, node, manifest)])


@given(folder=our.folders().filter(bool), data=st.data())
def test_a_root_stands_for_every_bit_of_every_entry(folder: list[FolderEntry], data: st.DataObject):
    tree, entry = PrefixTree.build(folder), data.draw(st.sampled_from(folder))
    node = NodeId(data.draw(our.flipped(entry.node)))
    manifest = Hash(data.draw(our.flipped(entry.manifest)))
    assert tree.put(FolderEntry(entry.token, node, entry.manifest)).root != tree.root
    assert tree.put(FolderEntry(entry.token, entry.node, manifest)).root != tree.root


# --- trees from proofs


@given(folder=our.folders(), data=st.data())
def test_a_change_made_on_a_proof_gives_the_root_of_the_whole_tree(
    folder: list[FolderEntry], data: st.DataObject
):
    todo = data.draw(changes(folder))
    whole = PrefixTree.build(folder)
    shown = PrefixTree.from_proof(whole.prove(map(token_of, todo)), whole.root)
    model, same = ({entry.token: entry for entry in folder} for _ in range(2))
    for what in todo:
        whole, shown = change(whole, model, what), change(shown, same, what)
        assert shown.root == whole.root == root_of(model)


@given(folder=our.folders(), data=st.data())
def test_a_proof_shows_the_truth_about_what_it_covers(
    folder: list[FolderEntry], data: st.DataObject
):
    model = {entry.token: entry for entry in folder}
    asked = data.draw(st.lists(our.tokens(), max_size=3))
    asked += data.draw(st.lists(st.sampled_from(list(model)), max_size=3)) if model else []
    whole = PrefixTree.build(folder)
    shown = PrefixTree.from_proof(whole.prove(asked), whole.root)
    for token in asked:
        assert shown.get(token) == model.get(token)
    for entry in shown:
        assert model[entry.token] == entry


@given(folder=our.folders(), data=st.data())
def test_whoever_holds_a_proof_can_prove_what_it_shows(
    folder: list[FolderEntry], data: st.DataObject
):
    tokens = data.draw(st.lists(our.tokens(), max_size=5))
    tokens += [entry.token for entry in folder[::2]]
    fewer = tokens[::2]
    whole = PrefixTree.build(folder)
    shown = PrefixTree.from_proof(whole.prove(tokens), whole.root)
    assert shown.prove(tokens) == whole.prove(tokens)
    assert shown.prove(fewer) == whole.prove(fewer)


@given(folder=our.folders().filter(lambda folder: len(folder) > 1), token=our.tokens())
def test_what_a_proof_does_not_cover_is_neither_there_nor_absent(
    folder: list[FolderEntry], token: Token
):
    whole = PrefixTree.build(folder)
    shown = PrefixTree.from_proof(whole.prove([]), whole.root)
    with pytest.raises(IntegrityError):
        shown.get(token)
    with pytest.raises(IntegrityError):
        shown.remove(token)
    with pytest.raises(IntegrityError):
        shown.put(FolderEntry(token, NodeId(bytes(16)), NO_HASH))
    assert list(shown) == []


# --- forged proofs


@st.composite
def proved(draw: st.DrawFn) -> tuple[PrefixTree, Model, bytes, list[Token]]:
    """Draw a folder of at least two entries and a proof that covers some of them."""
    folder = draw(our.folders().filter(lambda folder: len(folder) > 1))
    model = {entry.token: entry for entry in folder}
    tokens = draw(st.lists(st.sampled_from(list(model)) | our.tokens(), min_size=1, max_size=4))
    tree = PrefixTree.build(folder)
    return tree, model, tree.prove(tokens), tokens


def parts(proof: bytes) -> list[bytes]:
    """Return a proof's parts, one for each position in the tree."""
    out = []
    while proof:
        length = {0: 1, 1: 1 + 32 + 16 + 32, 2: 1 + 32, 3: 2}[proof[0]]
        out.append(proof[:length])
        proof = proof[length:]
    return out


def refused(proof: bytes, root: Hash) -> None:
    """Check that a proof is refused as forged or as malformed."""
    error = our.outcome(lambda: PrefixTree.from_proof(proof, root))
    assert type(error) in (IntegrityError, RemoteProtocolError)


@given(proved=proved(), data=st.data())
def test_a_proof_with_any_part_in_place_of_another_is_refused(
    proved: tuple[PrefixTree, Model, bytes, list[Token]], data: st.DataObject
):
    tree, _, proof, _ = proved
    pieces = parts(proof)
    at = data.draw(st.integers(0, len(pieces) - 1))
    new_entry = data.draw(our.entries)
    instead = data.draw(
        st.sampled_from(
            [
                b"\x00",  # hide an entry, claim that a name is absent
                b"\x01" + new_entry.token + new_entry.node + new_entry.manifest,  # add one
                b"\x01" + new_entry.token + pieces[at][33:81].ljust(48, b"\0"),  # rename it
                b"\x02" + bytes(32),
                b"\x02" + pieces[at][1:33].ljust(32, b"\0"),  # hide a branch
                b"\x03" + data.draw(st.binary(min_size=1, max_size=1)),  # another depth
                pieces[data.draw(st.integers(0, len(pieces) - 1))],  # move one
            ]
        )
    )
    forged = b"".join([*pieces[:at], instead, *pieces[at + 1 :]])
    if forged != proof:
        refused(forged, tree.root)


@given(proved=proved(), data=st.data())
def test_a_proof_with_any_two_parts_swapped_is_refused(
    proved: tuple[PrefixTree, Model, bytes, list[Token]], data: st.DataObject
):
    tree, _, proof, _ = proved
    pieces = parts(proof)
    a, b = (data.draw(st.integers(0, len(pieces) - 1)) for _ in range(2))
    pieces[a], pieces[b] = pieces[b], pieces[a]
    if b"".join(pieces) != proof:
        refused(b"".join(pieces), tree.root)


@given(proved=proved(), data=st.data())
def test_a_proof_with_any_bit_changed_cut_or_longer_is_refused(
    proved: tuple[PrefixTree, Model, bytes, list[Token]], data: st.DataObject
):
    tree, _, proof, _ = proved
    refused(data.draw(our.flipped(proof)), tree.root)
    refused(proof[: data.draw(st.integers(0, len(proof) - 1))], tree.root)
    refused(proof + data.draw(st.binary(min_size=1, max_size=82)), tree.root)


@given(proved=proved(), data=st.data())
def test_a_proof_of_an_older_or_other_tree_is_refused(
    proved: tuple[PrefixTree, Model, bytes, list[Token]], data: st.DataObject
):
    tree, model, _, _ = proved
    gone = data.draw(st.sampled_from(list(model)))
    newer = tree.remove(gone)
    refused(tree.prove([gone]), newer.root)
    refused(newer.prove([gone]), tree.root)


@given(proved=proved(), data=st.data())
def test_an_entry_that_is_cut_to_its_root_is_not_shown_to_be_absent(
    proved: tuple[PrefixTree, Model, bytes, list[Token]], data: st.DataObject
):
    # The root of the proof stays right: only its shape, or the look-up, can notice it.
    tree, model, proof, tokens = proved
    pieces = parts(proof)
    at = data.draw(st.sampled_from([at for at, piece in enumerate(pieces) if piece[0] == 1]))
    cut = b"\x02" + reference.sha256(b"\x00" + pieces[at][1:])
    forged = b"".join([*pieces[:at], cut, *pieces[at + 1 :]])
    try:
        shown = PrefixTree.from_proof(forged, tree.root)
    except RemoteProtocolError:
        return
    for token in tokens:
        with suppress(IntegrityError):
            assert shown.get(token) == model.get(token)
    hidden = Token(pieces[at][1:33])
    with pytest.raises(IntegrityError):
        shown.get(hidden)


@given(proof=st.binary(max_size=300), root=our.hashes.filter(lambda root: root != NO_HASH))
def test_arbitrary_bytes_prove_nothing(proof: bytes, root: Hash):
    # NO_HASH, the root of an empty folder, is excluded: its proof is one byte.
    refused(proof, root)


@given(proved=proved(), data=st.data())
def test_changes_of_what_a_proof_does_not_show_are_refused_or_right(
    proved: tuple[PrefixTree, Model, bytes, list[Token]], data: st.DataObject
):
    tree, model, proof, _ = proved
    shown = PrefixTree.from_proof(proof, tree.root)
    model = dict(model)
    for what in data.draw(changes(list(model.values()))):
        after = dict(model)
        if isinstance(what, FolderEntry):
            after[what.token] = what
        else:
            after.pop(what, None)
        try:
            shown = shown.update({token_of(what): what if isinstance(what, FolderEntry) else None})
        except IntegrityError:
            return
        model = after
        assert shown.root == root_of(model)
