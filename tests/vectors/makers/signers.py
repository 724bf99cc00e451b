"""Whose signature counts: a way of folders, their member lists, the key log, and who asks."""

from __future__ import annotations

from collections.abc import Sequence

from fsproto import crypto
from fsproto.keylog.entries import KeyEvent, KeyLogEntry, entry_bytes, sign_rotation
from fsproto.keylog.head import pack_log_head
from fsproto.keys.grants import Role
from fsproto.keys.member_list import (
    FormerWriter,
    InheritedWriter,
    Member,
    MemberList,
    sign_members,
)
from fsproto.proofs.lineage import NO_LINEAGE
from fsproto.proofs.merkle import Frontier, leaf_hash
from fsproto.types import Hash, NodeId
from fsproto.values import Value
from tests.support.fixed_keys import TIME_MS, stretch
from tests.vectors import Vector
from tests.vectors.fields import to_json
from tests.vectors.makers import Files, Kept

STATE, MANIFEST = "state", "manifest"


def make(kept: Kept) -> Files:
    """Return the one file."""
    return {"signers": _signers()}


def _key(name: str) -> crypto.SigningKey:
    """Return a key by its name: `bob 2` is bob's second one."""
    return crypto.SigningKey(stretch(f"{name} signs", crypto.ED25519_SIZE))


def _bundle(name: str) -> Hash:
    return Hash(stretch(f"{name} signs, bundle", 32))


def _log() -> list[KeyLogEntry]:
    """Return a log: bob has rotated his keys, dave's were reset and there is another dave."""
    entries: list[KeyLogEntry] = []

    def add(user: str, event: KeyEvent, name: str = "", signature: bytes = b"") -> None:
        keyed = (_bundle(name), _key(name).public) if name else (Hash(b""), b"")
        entries.append(
            KeyLogEntry(1, len(entries), user, event, *keyed, signature, TIME_MS + len(entries))
        )

    for user in ("alice", "bob", "carol", "dave"):
        add(user, KeyEvent.ENROLLED, f"{user} 1")
    word = sign_rotation(_key("bob 1"), _bundle("bob 1"), _bundle("bob 2"))
    add("bob", KeyEvent.ROTATED, "bob 2", word)
    add("dave", KeyEvent.RESET)
    add("dave", KeyEvent.ENROLLED, "dave 2")
    return entries


def _log_head() -> bytes:
    frontier = Frontier()
    for entry in _log():
        frontier.append(leaf_hash(entry_bytes(entry)))
    return pack_log_head(frontier.size, frontier.root)


class _Step(Value, frozen=True):
    """One node on the way, from the top down."""

    name: str
    generation: int
    link_generation: int
    writers: Sequence[str] = ()
    """Names of keys, as all lists here."""
    readers: Sequence[str] = ()
    above: Sequence[str] = ()
    former: Sequence[tuple[str, int]] = ()

    @property
    def node(self) -> NodeId:
        return NodeId(stretch(f"signers {self.name}", 16))

    def member_list(self) -> MemberList | None:
        """Return the list of this node; None if nobody is on it."""
        if not (self.writers or self.readers or self.above or self.former):
            return None
        roles = [(name, Role.WRITER) for name in self.writers]
        roles += [(name, Role.READER) for name in self.readers]
        sealed = Hash(stretch("sealed", 32))
        return MemberList(
            format=1,
            node=self.node,
            version=1,
            lineage=NO_LINEAGE,
            generation=self.generation,
            owner="alice",
            owner_key=_key("alice 1").public,
            members=[
                Member(_user(name), role, _key(name).public, _bundle(name), sealed)
                for name, role in roles
            ],
            above=[InheritedWriter(_user(name), _key(name).public) for name in self.above],
            former=[
                FormerWriter(_user(name), _key(name).public, last) for name, last in self.former
            ],
            time_ms=TIME_MS,
            log_head=_log_head(),
        )


def _user(key: str) -> str:
    return key.split(maxsplit=1)[0]


def _signers() -> list[Vector]:
    entries = [entry_bytes(entry).hex() for entry in _log()]
    owner = _key("alice 1")

    def vector(name: str, way: Sequence[_Step], **counts: str) -> Vector:
        """`counts`: for a key (`bob_1`) what a signature by it counts for, joined by `and`."""
        lists = [step.member_list() for step in way]
        signed = [None if one is None else sign_members(owner, one).signed for one in lists]
        return {
            "name": f"signers_{name}",
            "log": entries,
            "owner": "alice",
            "owner_key": owner.public.hex(),
            "way": [
                {
                    "node": step.node.hex(),
                    "generation": step.generation,
                    "link_generation": step.link_generation,
                    "members": None
                    if one is None
                    else {"payload": one.payload.hex(), "signature": one.signature.hex()},
                    "fields": to_json(body),
                }
                for step, one, body in zip(way, signed, lists, strict=True)
            ],
            "cases": [
                {
                    "author": _user(key.replace("_", " ")),
                    "key": _key(key.replace("_", " ")).public.hex(),
                    "counts_for_state": STATE in what,
                    "counts_for_manifest": MANIFEST in what,
                }
                for key, what in counts.items()
            ],
            "error": None,
        }

    both = f"{STATE} and {MANIFEST}"
    once, never = MANIFEST, "nothing"

    def three(
        top: int, middle: tuple[int, int], folder: tuple[int, int], **of_top: object
    ) -> list[_Step]:
        return [
            _Step("top", top, 0, **of_top),  # type: ignore[arg-type]
            _Step("middle", *middle),
            _Step("folder", *folder),
        ]

    gone = {"former": [("bob 1", 2), ("carol 1", 1)]}
    middle = _Step("middle", 3, 1, former=[("bob 1", 2)])
    return [
        vector(
            "nothing_shared",
            three(1, (1, 1), (1, 1)),
            alice_1=both,
            bob_1=never,
            dave_1=never,
        ),
        vector(
            "writer_and_reader_at_the_top",
            three(1, (1, 1), (1, 1), writers=["bob 1"], readers=["carol 1"]),
            alice_1=both,
            bob_1=both,
            bob_2=both,
            carol_1=never,
            dave_1=never,
        ),
        vector(
            "list_names_the_newer_key",
            three(1, (1, 1), (1, 1), writers=["bob 2"]),
            bob_2=both,
        ),
        vector(
            "keys_before_and_after_a_reset",
            three(1, (1, 1), (1, 1), writers=["dave 1"]),
            dave_1=both,
            dave_2=never,
        ),
        vector(
            "writer_of_the_folder_alone",
            [_Step("top", 1, 0), _Step("middle", 1, 1), _Step("folder", 1, 1, writers=["bob 1"])],
            bob_1=both,
            carol_1=never,
        ),
        vector(
            "writer_of_a_folder_beside",
            [_Step("folder", 1, 0, readers=["carol 1"])],
            bob_1=never,
            carol_1=never,
        ),
        vector(
            "writer_from_above_named_in_the_top",
            [_Step("top", 1, 0, readers=["carol 1"], above=["bob 1"]), _Step("folder", 1, 1)],
            bob_1=both,
            carol_1=never,
        ),
        vector(
            "removed_and_nothing_due",
            three(3, (1, 3), (1, 1), **gone),
            bob_1=once,
            bob_2=once,
            carol_1=once,
            dave_1=never,
        ),
        vector(
            "removed_and_the_folder_itself_has_a_newer_key",
            three(3, (2, 3), (5, 2), **gone),
            bob_1=once,
            carol_1=once,
        ),
        vector(
            "removed_and_due_since_the_second_key",
            three(3, (1, 2), (1, 1), **gone),
            bob_1=both,
            bob_2=both,
            carol_1=once,
        ),
        vector(
            "removed_and_due_since_the_first_key",
            three(3, (1, 1), (1, 1), **gone),
            bob_1=both,
            carol_1=both,
        ),
        vector(
            "removed_and_a_lower_link_is_due",
            three(3, (2, 3), (1, 1), **gone),
            bob_1=both,
            carol_1=both,
        ),
        vector(
            "two_links_due",
            three(3, (2, 2), (1, 1), **gone),
            bob_1=both,
            carol_1=both,
        ),
        vector(
            "removed_from_the_middle_and_only_the_top_is_due",
            [_Step("top", 2, 0), middle, _Step("folder", 1, 3)],
            bob_1=once,
            bob_2=once,
        ),
        vector(
            "removed_from_the_middle_and_the_folder_is_due",
            [_Step("top", 1, 0), middle, _Step("folder", 1, 2)],
            bob_1=both,
            bob_2=both,
        ),
        vector(
            "removed_from_the_middle_and_writer_of_the_top",
            [_Step("top", 1, 0, writers=["bob 2"]), middle, _Step("folder", 1, 3)],
            bob_2=both,
        ),
    ]
