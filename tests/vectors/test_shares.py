"""The vectors of sharing, against `fsproto` and against the plain reference."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fsproto.errors import FsError
from fsproto.keylog.entries import (
    KeyEvent,
    KeyLogEntry,
    Keys,
    check_follows,
    entry_bytes,
    read_entry,
)
from fsproto.keylog.head import (
    KeyLogHead,
    VerifiedHead,
    pack_log_head,
    unpack_log_head,
    verify_head,
)
from fsproto.keys.member_list import (
    GroupedList,
    MemberList,
    VerifiedMembers,
    sealed_hash,
    verify_members,
)
from fsproto.keys.tree import KeyedNode
from fsproto.packing import pack
from fsproto.proofs import merkle
from fsproto.signed import Signed
from fsproto.types import Hash, NodeId, NodeKey
from tests.support import reference
from tests.support.fixed_keys import person
from tests.support.key_logs import key_log
from tests.vectors import Vector
from tests.vectors.cases import bad, good, named_error, octets
from tests.vectors.fields import from_json, to_json
from tests.vectors.makers.content import file_manifest, replaced


def _signed(vector: Vector) -> Signed:
    return Signed(octets(vector, "payload"), octets(vector, "signature"))


def _raw(vector: Vector, label: bytes) -> None:
    """Verify the signature without code of `fsproto`."""
    key = Ed25519PublicKey.from_public_bytes(octets(vector, "public"))
    key.verify(octets(vector, "signature"), label + octets(vector, "payload"))


# --- former keys


def _with_former(vector: Vector) -> KeyedNode:
    node, generation = NodeId(octets(vector, "node")), vector["generation"]
    manifest = replaced(
        file_manifest(),
        node=node,
        generation=generation,
        former=octets(vector, "former"),
        key_commitment=octets(vector, "key_commitment"),
        former_commitment=octets(vector, "former_commitment"),
    )
    return KeyedNode(node, generation, NodeKey(octets(vector, "key"))).with_former(manifest)


@good("former")
def test_former_keys_are_opened(vector: Vector):
    keys = [bytes.fromhex(key) for key in vector["keys"]]
    assert list(_with_former(vector).former) == keys
    if keys:
        sealed = octets(vector, "former")
        cipher = AESGCM(reference.expand(octets(vector, "key"), b"fs/2 node former key"))
        binding = octets(vector, "node") + reference.u32(vector["generation"])
        opened = cipher.decrypt(sealed[:12], sealed[12:], b"fs/2 former keys" + binding)
        assert opened == b"".join(keys)


@bad("former")
def test_faulty_former_keys_are_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _with_former(vector)
    assert type(refused.value) is named_error(vector)


# --- member lists


def _verify(vector: Vector) -> VerifiedMembers:
    node, public = NodeId(octets(vector, "node")), octets(vector, "public")
    return verify_members(_signed(vector), node, vector["owner"], public)


@good("members", lambda vector: "fields" in vector)
def test_a_member_list_is_packed_and_verified(vector: Vector):
    kind = GroupedList if "came" in vector["fields"] else MemberList
    signed, body = _signed(vector), from_json(kind, vector["fields"])
    verified = _verify(vector)
    assert pack(body) == signed.payload
    assert verified.body == body
    assert to_json(verified.body) == vector["fields"]
    assert verified.hash == octets(vector, "hash")
    assert verified.hash == reference.sha256(b"fs/2 member list hash" + signed.payload)
    _raw(vector, b"fs/2 member list")


@good("members", lambda vector: "may_write" in vector)
def test_a_member_list_names_the_writers(vector: Vector):
    members = _verify(vector)
    for case in vector["may_write"]:
        keys = members.may_write(case["user"], case["generation"])
        assert [key.hex() for key in keys] == case["keys"], case


@good("members", lambda vector: "ways" in vector)
def test_a_member_list_names_the_groups_of_its_members(vector: Vector):
    members = _verify(vector)
    for user, ways in vector["ways"].items():
        assert members.ways(user) == ways
    listed = [one.user for one in members.body.members]
    assert members.all_ways() == {user: members.ways(user) for user in listed}


@good("members", lambda vector: "node_key" in vector)
def test_a_member_opens_the_key_that_the_list_names(vector: Vector):
    members, sealed = _verify(vector), octets(vector, "sealed")
    member = members.member(vector["to"])
    assert member is not None
    assert member.sealed == sealed_hash(sealed)
    assert member.sealed == reference.sha256(b"fs/2 sealed key hash" + sealed)
    opened = members.open(sealed, person(vector["to"]))
    assert opened.key == octets(vector, "node_key")
    assert (opened.node, opened.generation) == (members.body.node, members.body.generation)


@good("members", lambda vector: "open_error" in vector)
def test_a_key_that_is_not_the_one_named_is_not_opened(vector: Vector):
    members = _verify(vector)
    with pytest.raises(FsError) as refused:
        members.open(octets(vector, "sealed"), person(vector["to"]))
    assert type(refused.value) is named_error(vector, "open_error")


@bad("members")
def test_a_faulty_member_list_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _verify(vector)
    assert type(refused.value) is named_error(vector)


# --- the key log


def _before(vector: Vector) -> Keys | None:
    before = vector["before"]
    if before is None:
        return None
    bundle, key = Hash(octets(before, "bundle")), octets(before, "ed25519")
    return Keys(before["user"], before["index"], bundle, key)


@good("entry")
def test_an_entry_is_read_and_may_follow(vector: Vector):
    data = octets(vector, "entry")
    entry = read_entry(data, vector["index"])
    assert entry == from_json(KeyLogEntry, vector["fields"])
    assert entry_bytes(entry) == data
    assert merkle.leaf_hash(data) == octets(vector, "leaf")
    after = check_follows(entry, _before(vector))
    if entry.event is KeyEvent.RESET:
        assert after is None
    else:
        assert after == Keys(entry.user, entry.index, entry.bundle, entry.ed25519)
    if entry.event is KeyEvent.ROTATED:
        before = vector["before"]
        key = Ed25519PublicKey.from_public_bytes(octets(before, "ed25519"))
        word = b"fs/2 key rotation" + octets(before, "bundle") + entry.bundle
        key.verify(entry.signature, word)


@bad("entry")
def test_a_faulty_entry_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        check_follows(read_entry(octets(vector, "entry"), vector["index"]), _before(vector))
    assert type(refused.value) is named_error(vector)


def _verify_head(vector: Vector) -> VerifiedHead:
    return verify_head(_signed(vector), octets(vector, "pinned") if vector["pinned"] else None)


@good("head")
def test_a_head_stands_for_its_entries(vector: Vector):
    head = _verify_head(vector).body
    assert head == from_json(KeyLogHead, vector["fields"])
    assert pack(head) == octets(vector, "payload")
    log = key_log(bytes.fromhex(entry) for entry in vector["entries"])
    assert (len(log), log.root(len(log))) == (head.size, head.root)
    assert pack_log_head(head.size, head.root) == octets(vector, "log_head")
    seen = unpack_log_head(octets(vector, "log_head"))
    assert seen == ((head.size, head.root) if head.size else None)
    _raw(vector | {"public": vector["fields"]["key"]}, b"fs/2 key log head")


@bad("head")
def test_a_faulty_head_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _verify_head(vector)
    assert type(refused.value) is named_error(vector)
