"""The vectors of folders, against `fsproto` and against the plain reference."""

from __future__ import annotations

import pytest

from fsproto.errors import FsError
from fsproto.packing import pack
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.folder import FolderState, state_hash, verify_state
from fsproto.signed import Signed
from fsproto.types import Hash, NodeId, Token
from tests.support import reference
from tests.support.fixed_keys import stretch
from tests.vectors import Vector, named
from tests.vectors.cases import bad, good, named_error, octets
from tests.vectors.fields import from_json, to_json


def _entry(fields: Vector) -> FolderEntry:
    return FolderEntry(
        Token(octets(fields, "token")),
        NodeId(octets(fields, "node")),
        Hash(octets(fields, "manifest")),
    )


def _entries(tree: str) -> list[FolderEntry]:
    return [_entry(fields) for fields in named("tree", tree)["entries"]]


def _root(entries: list[FolderEntry]) -> bytes:
    return reference.tree_root([(e.token, e.node, e.manifest) for e in entries])


@good("tree")
def test_the_root_of_a_folder(vector: Vector):
    entries = _entries(vector["name"])
    assert PrefixTree.build(entries).root == octets(vector, "root") == _root(entries)


@good("changes")
def test_the_root_after_several_changes(vector: Vector):
    there = {entry.token: entry for entry in _entries(vector["of"])}
    put = {entry.token: entry for entry in map(_entry, vector["put"])}
    removed = [Token(bytes.fromhex(token)) for token in vector["removed"]]
    shown = PrefixTree.from_proof(octets(vector, "proof"), Hash(octets(vector, "root_before")))
    changes: dict[Token, FolderEntry | None] = dict.fromkeys(removed)
    after = {token: entry for token, entry in there.items() if token not in removed} | put
    root = shown.update(changes | put).root
    assert root == octets(vector, "root") == _root(list(after.values()))


@good("proof", lambda vector: "of" in vector)
def test_a_proof_shows_what_is_there_and_what_a_change_makes(vector: Vector):
    whole = PrefixTree.build(_entries(vector["of"]))
    tokens = [Token(bytes.fromhex(token)) for token in vector["tokens"]]
    proof = octets(vector, "proof")
    assert whole.prove(tokens) == proof
    shown = PrefixTree.from_proof(proof, Hash(octets(vector, "root")))
    expected = [_entry(fields) if fields else None for fields in vector["entries"]]
    assert [shown.get(token) for token in tokens] == expected
    there = {entry.token: entry for entry in _entries(vector["of"])}
    for token, root in zip(tokens, vector["roots_after_removal"], strict=True):
        assert (root is None) == (token not in there)
        if root is not None:
            left = [entry for entry in there.values() if entry.token != token]
            assert shown.remove(token).root.hex() == root == _root(left).hex()
    if vector["root_after_adding"] is not None:
        added = FolderEntry(
            Token(stretch("absent", 32)),
            NodeId(stretch("entry 99 node", 16)),
            Hash(stretch("entry 99 manifest", 32)),
        )
        root = _root([*there.values(), added]).hex()
        assert shown.put(added).root.hex() == vector["root_after_adding"] == root


@good("proof", lambda vector: "get_error" in vector)
def test_a_proof_says_nothing_about_a_name_outside_it(vector: Vector):
    shown = PrefixTree.from_proof(octets(vector, "proof"), Hash(octets(vector, "root")))
    (token,) = vector["tokens"]
    with pytest.raises(FsError) as refused:
        shown.get(Token(bytes.fromhex(token)))
    assert type(refused.value) is named_error(vector, "get_error")


@bad("proof")
def test_a_faulty_proof_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        PrefixTree.from_proof(octets(vector, "proof"), Hash(octets(vector, "root")))
    assert type(refused.value) is named_error(vector)


def _signed(vector: Vector) -> Signed:
    return Signed(octets(vector, "payload"), octets(vector, "signature"))


def _verify(vector: Vector):
    folder, public = NodeId(octets(vector, "folder")), octets(vector, "public")
    return verify_state(_signed(vector), folder, vector["author"], public)


@good("state")
def test_a_state_is_packed_and_verified(vector: Vector):
    signed = _signed(vector)
    body = from_json(FolderState, vector["fields"])
    verified = _verify(vector)
    assert pack(body) == signed.payload
    assert verified.body == body
    assert to_json(verified.body) == vector["fields"]
    assert verified.hash == state_hash(signed) == octets(vector, "hash")
    assert verified.hash == reference.sha256(b"fs/2 folder state hash" + signed.payload)


@bad("state")
def test_a_faulty_state_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _verify(vector)
    assert type(refused.value) is named_error(vector)
