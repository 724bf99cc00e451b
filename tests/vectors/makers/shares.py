"""Vectors of sharing: former keys, member lists and the key log."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fsproto import crypto, labels
from fsproto.errors import (
    FsError,
    IntegrityError,
    RemoteProtocolError,
    SecurityError,
    SignatureError,
)
from fsproto.keylog.entries import KeyEvent, KeyLogEntry, Keys, entry_bytes, sign_rotation
from fsproto.keylog.head import KeyLogHead, pack_log_head
from fsproto.keys.grants import Role, unwrap, wrap
from fsproto.keys.member_list import (
    ALONE,
    FormerWriter,
    GroupedList,
    InheritedWriter,
    Member,
    MemberList,
    MemberOrigin,
    sealed_hash,
    sign_members,
)
from fsproto.keys.tree import KeyedNode
from fsproto.packing import pack
from fsproto.signed import Signed, sign
from fsproto.types import NO_HASH, Hash
from tests.support import reference
from tests.support.fixed_keys import (
    LOG_HEAD,
    TIME_MS,
    Seeded,
    aged_node,
    keyed_node,
    person,
    stretch,
)
from tests.vectors import Vector
from tests.vectors.fields import to_json
from tests.vectors.makers import Files, Kept

SHARED = aged_node("shared", 3, names_since=2)
LOG = crypto.SigningKey(stretch("key log", 32))
replaced = msgspec.structs.replace


def make(kept: Kept) -> Files:
    """Return the files of sharing."""
    return {
        "former": _formers(),
        "members": _members(kept),
        "entry": _entries(),
        "head": _heads(),
    }


# --- former keys


def _formers() -> list[Vector]:
    node, sealed = SHARED, SHARED.seal_former(Seeded("former"))
    first = keyed_node("folder")

    def vector(
        name: str,
        former: bytes,
        error: type[FsError] | None = None,
        of: KeyedNode = node,
        committed: KeyedNode | None = None,
    ) -> Vector:
        said = committed or (first if of.generation == 1 else node)
        return {
            "name": name,
            "node": of.node.hex(),
            "generation": of.generation,
            "key": of.key.hex(),
            "former": former.hex(),
            "key_commitment": said.key_commitment.hex(),
            "former_commitment": said.former_commitment.hex(),
            "keys": None if error else [key.hex() for key in of.former],
            "error": error.code if error else None,
        }

    def refused(name: str, former: bytes, of: KeyedNode = node) -> Vector:
        return vector(name, former, IntegrityError, of)

    def holding(*keys: bytes) -> bytes:
        cipher = AESGCM(reference.expand(node.key, b"fs/2 node former key"))
        binding = labels.FORMER + node.node + reference.u32(node.generation)
        return bytes(12) + cipher.encrypt(bytes(12), b"".join(keys), binding)

    other = keyed_node("folder")
    return [
        vector("former_two", sealed),
        vector("former_none_in_the_first_generation", b"", None, first),
        refused("former_of_another_node", sealed, KeyedNode(other.node, 3, node.key)),
        refused("former_of_another_generation", sealed, KeyedNode(node.node, 2, node.key)),
        refused("former_under_another_key", sealed, KeyedNode(node.node, 3, other.key)),
        refused("former_one_too_few", holding(node.former[0])),
        refused("former_one_too_many", holding(*node.former, node.key)),
        refused("former_half_a_key_more", holding(*node.former, bytes(16))),
        refused("former_byte_changed", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        refused("former_cut", sealed[:-1]),
        refused("former_missing", b""),
        refused("former_in_another_order", holding(*reversed(node.former))),
        refused("former_other_keys", holding(node.former[0], other.key)),
        vector("former_of_a_first_generation", sealed, IntegrityError, first),
        vector("former_none_but_committed_to", b"", IntegrityError, first, node),
    ]


# --- member lists


def member_list(sealed: bytes = b"the key of the sample folder, sealed to bob") -> MemberList:
    """Return the sample list: a writer and a reader, an inherited writer and two former writers."""
    bob = person("bob")
    return MemberList(
        format=1,
        node=SHARED.node,
        version=2,
        lineage=Hash(stretch("member list 1", 32)),
        generation=SHARED.generation,
        owner="alice",
        owner_key=person("alice").signing.public,
        members=[
            Member("bob", Role.WRITER, bob.signing.public, bob.bundle.hash, sealed_hash(sealed)),
            Member(
                "carol",
                Role.READER,
                _public("carol"),
                Hash(stretch("carol bundle", 32)),
                sealed_hash(b"the same, sealed to carol"),
            ),
        ],
        above=[InheritedWriter("dave", _public("dave"))],
        former=[
            FormerWriter("carol", _public("carol"), 1),
            FormerWriter("erin", _public("erin"), 2),
        ],
        time_ms=TIME_MS,
        log_head=LOG_HEAD,
    )


def grouped_list() -> GroupedList:
    """Return the sample list: bob is a member by a group and on his own, carol by two groups."""
    fields = msgspec.structs.asdict(member_list()) | {"format": 2}
    came = [
        MemberOrigin("bob", ALONE, Role.READER),
        MemberOrigin("bob", "team", Role.WRITER),
        MemberOrigin("carol", "team", Role.READER),
        MemberOrigin("carol", "night.shift", Role.READER),
    ]
    return GroupedList(**fields, came=came)


def _public(user: str) -> bytes:
    return crypto.SigningKey(stretch(f"{user} ed25519", crypto.ED25519_SIZE)).public


def _members(kept: Kept) -> list[Vector]:
    alice, bob = person("alice"), person("bob")

    def opens(sealed: bytes) -> bool:
        return unwrap(sealed, SHARED.node, 3, Role.WRITER, bob).key == SHARED.key

    sealed = kept.get("members", "members", "sealed", good=opens) or wrap(
        SHARED, bob.bundle, Role.WRITER, Seeded("sealed to bob")
    )
    body = member_list(sealed)

    def vector(
        name: str, signed: Signed, error: type[FsError] | None = None, **fields: object
    ) -> Vector:
        return {
            "name": name,
            "node": SHARED.node.hex(),
            "owner": "alice",
            "public": alice.signing.public.hex(),
            "payload": signed.payload.hex(),
            "signature": signed.signature.hex(),
            **fields,
            "error": error.code if error else None,
        }

    def refused(name: str, error: type[FsError] = RemoteProtocolError, **changes: object) -> Vector:
        return vector(name, sign_members(alice.signing, replaced(body, **changes)).signed, error)

    def member(name: str, **changes: object) -> Vector:
        first, *others = body.members
        return refused(name, members=[replaced(first, **changes), *others])

    by_group = grouped_list()

    def grouped(name: str, *came: MemberOrigin, **changes: object) -> Vector:
        body = replaced(by_group, **({"came": list(came) or by_group.came} | changes))
        return vector(name, sign_members(alice.signing, body).signed, RemoteProtocolError)

    def opening(name: str, to: str, sealed: bytes, body: MemberList = body) -> Vector:
        signed = sign_members(alice.signing, body).signed
        error = IntegrityError.code
        return vector(name, signed, to=to, sealed=sealed.hex(), open_error=error)

    made, packed = sign_members(alice.signing, body), pack(body)
    erin = body.former[1]
    first = replaced(body, version=1, lineage=NO_HASH, members=[], above=[], former=[])
    nobody = sign_members(alice.signing, first)
    as_reader = replaced(body.members[0], role=Role.READER)
    other_bundle = replaced(body.members[0], bundle=Hash(stretch("other bundle", 32)))
    return [
        vector(
            "members",
            made.signed,
            fields=to_json(body),
            hash=made.hash.hex(),
            may_write=_who_may_write(),
            to="bob",
            sealed=sealed.hex(),
            node_key=SHARED.key.hex(),
        ),
        vector(
            "members_nobody",
            nobody.signed,
            fields=to_json(first),
            hash=nobody.hash.hex(),
            may_write=[{"user": "bob", "generation": 3, "keys": []}],
        ),
        vector(
            "members_by_groups",
            sign_members(alice.signing, by_group).signed,
            fields=to_json(by_group),
            hash=sign_members(alice.signing, by_group).hash.hex(),
            ways={
                "bob": {"": 2, "team": 3},
                "carol": {"team": 2, "night.shift": 2},
                "erin": {},
            },
        ),
        opening("members_opened_by_another", "alice", sealed),
        opening("members_other_sealed_key", "bob", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        opening("members_other_role", "bob", sealed, replaced(body, members=[as_reader])),
        opening("members_other_generation", "bob", sealed, replaced(body, generation=4)),
        opening("members_other_bundle", "bob", sealed, replaced(body, members=[other_bundle])),
        vector(
            "members_signed_by_another",
            sign(bob.signing, labels.SIGN_MEMBERS, body),
            SignatureError,
        ),
        vector(
            "members_signed_as_manifest",
            sign(alice.signing, labels.SIGN_MANIFEST, body),
            SignatureError,
        ),
        refused("members_of_another_node", SignatureError, node=keyed_node("folder").node),
        refused("members_of_another_owner", SignatureError, owner="bob"),
        refused("members_name_another_key", SignatureError, owner_key=bob.signing.public),
        vector(
            "members_bytes_behind_end",
            Signed(packed + b"\0", alice.signing.sign(labels.SIGN_MEMBERS, packed + b"\0")),
            RemoteProtocolError,
        ),
        refused("members_format_2", format=2),
        refused("members_version_0", version=0),
        refused("members_version_2_to_63", version=1 << 63),
        refused("members_lineage_short", lineage=bytes(31)),
        refused("members_generation_0", generation=0),
        refused("members_generation_too_large", generation=1025),
        refused("members_log_head_short", log_head=bytes(39)),
        refused("members_log_head_absent", log_head=b""),
        refused("members_one_twice", members=[*body.members, body.members[0]]),
        member("members_role_of_owner", role=1),
        member("members_role_unknown", role=4),
        member("members_key_short", ed25519=bytes(31)),
        member("members_bundle_short", bundle=bytes(31)),
        member("members_sealed_short", sealed=bytes(31)),
        refused("members_writer_key_short", above=[InheritedWriter("dave", bytes(31))]),
        refused("members_former_key_short", former=[replaced(erin, ed25519=bytes(31))]),
        refused("members_writer_above_twice", above=[*body.above, *body.above]),
        refused("members_former_twice", former=[erin, replaced(erin, generation=1), erin]),
        refused("members_time_below_zero", time_ms=-1),
        refused("members_former_of_now", former=[replaced(erin, generation=3)]),
        refused("members_former_of_never", former=[replaced(erin, generation=0)]),
        grouped("members_by_groups_format_1", format=1),
        grouped("members_by_groups_format_3", format=3),
        grouped("members_by_groups_nobody", came=[]),
        grouped("members_by_groups_none_by_a_group", MemberOrigin("bob", ALONE, Role.WRITER)),
        grouped(
            "members_by_groups_no_member", *by_group.came, MemberOrigin("dave", "team", Role.READER)
        ),
        grouped("members_by_groups_one_way_twice", *by_group.came, by_group.came[-1]),
        grouped("members_by_groups_less_than_the_role", MemberOrigin("bob", "team", Role.READER)),
        grouped("members_by_groups_more_than_the_role", MemberOrigin("carol", "team", Role.WRITER)),
        grouped("members_by_groups_as_owner", MemberOrigin("carol", "team", Role.OWNER)),
        grouped("members_by_groups_no_name", MemberOrigin("carol", "Te am", Role.READER)),
    ]


def _who_may_write() -> list[Vector]:
    bob = person("bob").signing.public
    cases: list[tuple[str, int, list[bytes]]] = [
        ("bob", 3, [bob]),
        ("bob", 1, [bob]),
        ("carol", 3, []),
        ("carol", 2, []),
        ("carol", 1, [_public("carol")]),
        ("dave", 3, [_public("dave")]),
        ("erin", 3, []),
        ("erin", 2, [_public("erin")]),
        ("alice", 3, []),
    ]
    return [
        {"user": user, "generation": generation, "keys": [key.hex() for key in keys]}
        for user, generation, keys in cases
    ]


# --- the key log


def _keys(user: str, keys: str, index: int) -> Keys:
    public = crypto.SigningKey(stretch(f"{user} {keys}", 32)).public
    return Keys(user, index, Hash(stretch(f"{user} {keys} bundle", 32)), public)


FIRST, SECOND = _keys("alice", "first keys", 0), _keys("alice", "second keys", 1)


def log_entries() -> list[KeyLogEntry]:
    """Return the sample log: two enrolments, a rotation and a reset."""
    old = crypto.SigningKey(stretch("alice first keys", 32))
    word = sign_rotation(old, FIRST.bundle, SECOND.bundle)
    bob = _keys("bob", "keys", 2)
    return [
        KeyLogEntry(1, 0, "alice", KeyEvent.ENROLLED, FIRST.bundle, FIRST.ed25519, b"", TIME_MS),
        KeyLogEntry(
            1, 1, "alice", KeyEvent.ROTATED, SECOND.bundle, SECOND.ed25519, word, TIME_MS + 1
        ),
        KeyLogEntry(1, 2, "bob", KeyEvent.ENROLLED, bob.bundle, bob.ed25519, b"", TIME_MS + 2),
        KeyLogEntry(1, 3, "alice", KeyEvent.RESET, Hash(b""), b"", b"", TIME_MS + 3),
    ]


def _entries() -> list[Vector]:
    enrolled, rotated, bob, reset = log_entries()

    def vector(
        name: str,
        entry: KeyLogEntry,
        before: Keys | None,
        error: type[FsError] | None = None,
        *,
        index: int | None = None,
        data: bytes | None = None,
    ) -> Vector:
        packed = entry_bytes(entry) if data is None else data
        good = {} if error else {"fields": to_json(entry), "leaf": _leaf(packed).hex()}
        return {
            "name": name,
            "index": entry.index if index is None else index,
            "before": _as_json(before),
            "entry": packed.hex(),
            **good,
            "error": error.code if error else None,
        }

    def malformed(name: str, entry: KeyLogEntry, before: Keys | None, **changes: object) -> Vector:
        index = entry.index
        changed = replaced(entry, **changes)
        return vector(name, changed, before, RemoteProtocolError, index=index)

    def unsigned(name: str, signature: bytes) -> Vector:
        return vector(name, replaced(rotated, signature=signature), FIRST, SignatureError)

    new = crypto.SigningKey(stretch("alice second keys", 32))
    old = crypto.SigningKey(stretch("alice first keys", 32))
    packed = entry_bytes(enrolled)
    again = replaced(enrolled, index=1)
    return [
        vector("entry_enrolled", enrolled, None),
        vector("entry_rotated", rotated, FIRST),
        vector("entry_another_enrolled", bob, None),
        vector("entry_reset", reset, SECOND),
        vector("entry_enrolled_over_keys", again, FIRST, SecurityError),
        vector("entry_rotated_of_nobody", rotated, None, SecurityError),
        vector("entry_reset_of_nobody", reset, None, SecurityError),
        unsigned("entry_rotated_by_the_new_key", sign_rotation(new, FIRST.bundle, SECOND.bundle)),
        unsigned("entry_rotated_for_other_keys", sign_rotation(old, FIRST.bundle, FIRST.bundle)),
        unsigned("entry_rotated_backwards", sign_rotation(old, SECOND.bundle, FIRST.bundle)),
        malformed("entry_format_2", enrolled, None, format=2),
        malformed("entry_of_another_index", enrolled, None, index=1),
        malformed("entry_event_unknown", enrolled, None, event=4),
        malformed("entry_enrolled_without_keys", enrolled, None, ed25519=b""),
        malformed("entry_enrolled_with_signature", enrolled, None, signature=bytes(64)),
        malformed("entry_rotated_without_signature", rotated, FIRST, signature=b""),
        malformed("entry_reset_with_keys", reset, SECOND, ed25519=SECOND.ed25519),
        malformed("entry_bundle_short", enrolled, None, bundle=bytes(31)),
        vector("entry_bytes_behind_end", enrolled, None, RemoteProtocolError, data=packed + b"\0"),
    ]


def _leaf(packed: bytes) -> bytes:
    return reference.sha256(b"\0" + packed)


def _as_json(keys: Keys | None) -> Vector | None:
    if keys is None:
        return None
    return {
        "user": keys.user,
        "index": keys.index,
        "bundle": keys.bundle.hex(),
        "ed25519": keys.ed25519.hex(),
    }


def _heads() -> list[Vector]:
    data = [entry_bytes(entry) for entry in log_entries()]
    other = crypto.SigningKey(stretch("another key log", 32))
    whole = _head(data)

    def vector(
        name: str,
        signed: Signed,
        error: type[FsError] | None = None,
        *,
        pinned: bytes | None = LOG.public,
        **fields: object,
    ) -> Vector:
        return {
            "name": name,
            "pinned": pinned.hex() if pinned else None,
            "payload": signed.payload.hex(),
            "signature": signed.signature.hex(),
            **fields,
            "error": error.code if error else None,
        }

    def good(name: str, data: Sequence[bytes], pinned: bytes | None = LOG.public) -> Vector:
        body = _head(data)
        return vector(
            name,
            sign(LOG, labels.SIGN_LOG_HEAD, body),
            pinned=pinned,
            fields=to_json(body),
            entries=[entry.hex() for entry in data],
            log_head=pack_log_head(body.size, body.root).hex(),
        )

    def refused(name: str, error: type[FsError] = RemoteProtocolError, **changes: object) -> Vector:
        return vector(name, sign(LOG, labels.SIGN_LOG_HEAD, replaced(whole, **changes)), error)

    return [
        good("head_of_nothing", []),
        *(good(f"head_of_{size}", data[:size]) for size in range(1, len(data) + 1)),
        good("head_with_nothing_pinned", data, None),
        vector(
            "head_of_another_log",
            sign(other, labels.SIGN_LOG_HEAD, replaced(whole, key=other.public)),
            SignatureError,
        ),
        refused("head_names_another_key", SignatureError, key=other.public),
        vector("head_signed_as_state", sign(LOG, labels.SIGN_STATE, whole), SignatureError),
        refused("head_format_2", format=2),
        refused("head_root_short", root=bytes(31)),
        refused("head_size_negative", size=-1),
        refused("head_size_2_to_63", size=1 << 63),
    ]


def _head(data: Sequence[bytes]) -> KeyLogHead:
    root = Hash(reference.tree_hash(data) if data else reference.sha256(b""))
    return KeyLogHead(1, LOG.public, len(data), root, TIME_MS)
