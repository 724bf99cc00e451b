"""Which signatures are accepted: those of owners, writers and former writers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fsclient.trust.authorship import AuthorRules
from fsclient.trust.key_directory import KeyDirectory
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import age
from fsproto.errors import ConflictError, RemoteProtocolError, RollbackError, SignatureError
from fsproto.keylog.head import pack_log_head
from fsproto.keys.grants import Role
from fsproto.keys.identity import Identity
from fsproto.keys.member_list import (
    FormerWriter,
    InheritedWriter,
    Member,
    MemberList,
    VerifiedMembers,
    sign_members,
)
from fsproto.keys.tree import KeyedNode
from fsproto.sealed.folder import FolderState, sign_state
from fsproto.sealed.manifest import VerifiedManifest, sign_manifest
from fsproto.signed import Signed
from fsproto.types import NO_HASH, Hash, NodeId
from tests.support.fixed_keys import LOG_HEAD, TIME_MS, keyed_node, stretch
from tests.support.services import identity
from tests.unit.fsclient.trust.test_people import Server
from tests.vectors.makers.content import file_manifest

replace = msgspec.structs.replace

ALICE, BOB, CAROL = (identity(name) for name in ("alice", "bob", "carol"))
BOB_2 = identity("bob", "second", 2)
TOP, MIDDLE, FOLDER = (keyed_node(name) for name in ("top", "middle", "folder"))


def key(who: Identity) -> bytes:
    return who.signing.public


def member(who: Identity, role: Role) -> Member:
    hash_ = Hash(stretch("sealed", 32))
    return Member(who.user, role, key(who), who.bundle.hash, hash_)


@dataclass
class Lists(Server):
    """A server with a key log and member lists."""

    lists: dict[NodeId, Signed] = field(default_factory=dict)
    asked_lists: int = 0
    hidden: set[NodeId] = field(default_factory=set)
    """The nodes that the user may not read."""

    def may_read(self, node: NodeId) -> bool:
        return node not in self.hidden

    def member_lists(self, nodes: Sequence[NodeId]) -> list[Signed]:
        self.asked_lists += 1
        return [self.lists[node] for node in nodes if node in self.lists]


@dataclass
class Ground:
    """The state of carol's client: carol is a reader of a folder that alice shares."""

    server: Lists
    people: KeyDirectory
    authors: AuthorRules
    lists: dict[NodeId, VerifiedMembers] = field(default_factory=dict)
    """The newest list of each node, which the next one must follow."""

    def enter(self, top: int, middle: tuple[int, int], folder: tuple[int, int]) -> KeyedNode:
        """Open the path with these generations (node, link); return the folder."""
        self.authors.register_top(self.aged(TOP, top), "alice", None)
        self.authors.places.register(TOP.node, self.aged(MIDDLE, middle[0]), middle[1])
        found = self.aged(FOLDER, folder[0])
        self.authors.places.register(MIDDLE.node, found, folder[1])
        return found

    @staticmethod
    def aged(node: KeyedNode, generation: int) -> KeyedNode:
        return KeyedNode(node.node, generation, node.key)

    def list_of(self, *members: Member, signer: Identity = ALICE, **changes: Any) -> None:
        """Store a member list of the top, or of another node, on the server."""
        body = MemberList(
            format=1,
            node=TOP.node,
            version=1,
            lineage=NO_HASH,
            generation=1,
            owner="alice",
            owner_key=key(signer),
            members=list(members),
            above=[],
            former=[],
            time_ms=TIME_MS,
            log_head=self.server.seen(),
        )
        body = replace(body, **changes)
        before = self.lists.get(body.node)
        if before is not None and body.version == before.body.version + 1:
            body = replace(body, lineage=before.point.next_lineage)
        self.lists[body.node] = made = sign_members(signer.signing, body)
        self.server.lists[body.node] = made.signed

    def look(self, folder: KeyedNode, signer: Identity, **changes: Any) -> None:
        """Verify a folder state that `signer` signed; raise if it is not accepted."""
        changes = {"log_head": self.server.seen()} | changes
        self.authors.state(state_of(folder, signer, **changes), folder)


def state_of(folder: KeyedNode, signer: Identity, **changes: Any) -> Signed:
    body = FolderState(
        format=1,
        folder=folder.node,
        version=2,
        lineage=Hash(stretch("before", 32)),
        root=NO_HASH,
        generation=folder.generation,
        author=signer.user,
        author_key=key(signer),
        time_ms=TIME_MS,
        log_head=LOG_HEAD,
    )
    return sign_state(signer.signing, replace(body, **changes)).signed


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    server = Lists()
    server.enrol(ALICE, BOB, CAROL)
    with (
        closing(KeyDirectory(tmp_path / "people.db", CAROL, print)) as people,
        closing(SeenVersions(tmp_path / "memory.db")) as memory,
    ):
        people.check_log_head(server, server.head(), None)
        yield Ground(server, people, AuthorRules(server, people, memory))


def test_the_owner_counts_everywhere_and_no_list_is_asked_for(ground):
    folder = ground.enter(3, (2, 1), (1, 1))
    ground.look(folder, ALICE)
    assert ground.server.asked_lists == 0


def test_without_a_share_only_the_owners_signature_counts(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    for who in (BOB, CAROL):
        with pytest.raises(SignatureError, match="may not write"):
            ground.look(folder, who)


def test_a_signature_in_the_owners_name_by_another_key_does_not_count(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    for changes in ({"author": "alice"}, {"author": "alice", "author_key": key(ALICE)}):
        with pytest.raises(SignatureError):
            ground.look(folder, BOB, **changes)


def test_a_signature_that_does_not_show_that_its_author_has_read_the_log_does_not_count(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    seen = ground.server.seen
    ground.look(folder, ALICE, log_head=seen(1))  # alice enrolled first, bob second
    ground.list_of(member(BOB, Role.WRITER))
    ground.look(folder, BOB, log_head=seen(2))
    for who, head in ((ALICE, {"version": 1, "log_head": b""}), (BOB, {"log_head": seen(1)})):
        with pytest.raises(SignatureError, match="does not name a key log"):
            ground.look(folder, who, **head)
    ground.list_of(member(BOB, Role.WRITER), version=2, log_head=pack_log_head(0, NO_HASH))
    ground.authors.forget_lists()
    with pytest.raises(RemoteProtocolError, match="malformed"):
        ground.look(folder, BOB)


@pytest.mark.parametrize("where", [TOP, MIDDLE, FOLDER], ids=["top", "middle", "folder"])
def test_a_writer_counts_below_the_list_that_names_them_and_a_reader_does_not(ground, where):
    folder = ground.enter(1, (1, 1), (1, 1))
    ground.list_of(member(BOB, Role.WRITER), member(CAROL, Role.READER), node=where.node)
    ground.look(folder, BOB)
    assert not ground.authors.frozen
    with pytest.raises(SignatureError, match="may not write"):
        ground.look(folder, CAROL)


def test_a_writer_does_not_count_above_the_list_that_names_them(ground):
    ground.enter(1, (1, 1), (1, 1))
    ground.list_of(member(BOB, Role.WRITER), node=FOLDER.node)
    for above in (TOP, MIDDLE):
        with pytest.raises(SignatureError, match="may not write"):
            ground.look(above, BOB)


def test_a_writer_from_a_list_higher_up_counts(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    ground.list_of(member(CAROL, Role.READER), above=[InheritedWriter("bob", key(BOB))])
    ground.look(folder, BOB)


def removed(ground: Ground, generation: int, last: int) -> None:
    """Store a list of the top in which bob is a former writer, up to generation `last`."""
    former = [FormerWriter("bob", key(BOB), last)]
    ground.list_of(member(CAROL, Role.READER), generation=generation, former=former)


@pytest.mark.parametrize(
    ("way", "counts"),
    [
        pytest.param((2, (1, 2), (1, 1)), False, id="all of it has new keys"),
        pytest.param((2, (2, 2), (2, 2)), False, id="all of it has taken new keys"),
        pytest.param((2, (1, 1), (1, 1)), True, id="the middle is due"),
        pytest.param((2, (2, 2), (1, 1)), True, id="the folder is due"),
        pytest.param((3, (1, 2), (1, 1)), False, id="due since a later key than theirs"),
        pytest.param((3, (1, 1), (1, 1)), True, id="due since their last key"),
    ],
)
def test_a_removed_writer_counts_for_values_under_earlier_generations(ground, way, counts):
    folder = ground.enter(*way)
    removed(ground, way[0], 1)
    if counts:
        ground.look(folder, BOB)
        lost = age(TOP.node, 2)
        assert ground.authors.frozen == {FOLDER.node: (lost.node, lost.what)}
    else:
        with pytest.raises(SignatureError, match="may not write"):
            ground.look(folder, BOB)


def test_a_folder_is_no_longer_frozen_after_a_signature_of_its_owner(ground):
    folder = ground.enter(2, (1, 1), (1, 1))
    removed(ground, 2, 1)
    ground.look(folder, BOB)
    ground.look(folder, ALICE)
    assert not ground.authors.frozen


def test_the_shared_folder_itself_is_closed_to_a_removed_member(ground):
    ground.enter(2, (1, 1), (1, 1))
    removed(ground, 2, 1)
    with pytest.raises(SignatureError, match="may not write"):
        ground.look(Ground.aged(TOP, 2), BOB)


def test_a_list_that_is_newer_than_the_one_known_is_asked_for(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    ground.list_of(member(CAROL, Role.READER))
    with pytest.raises(SignatureError):
        ground.look(folder, BOB)
    ground.list_of(member(BOB, Role.WRITER), version=2)
    ground.look(folder, BOB)


# --- the keys of a writer


def test_a_writer_who_has_replaced_their_keys_counts_by_either(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    ground.list_of(member(BOB, Role.WRITER))
    ground.server.rotate(BOB, BOB_2)
    ground.people.check_log_head(ground.server, ground.server.head(), ground.people.known())
    for who in (BOB, BOB_2):
        ground.look(folder, who)


def test_the_name_of_a_writer_after_a_reset_does_not_count(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    ground.list_of(member(BOB, Role.WRITER))
    other = identity("bob", "after a reset")
    ground.server.reset("bob").enrol(other)
    ground.people.check_log_head(ground.server, ground.server.head(), ground.people.known())
    with pytest.raises(SignatureError, match="may not write"):
        ground.look(folder, other)


# --- lists


def test_a_list_is_signed_by_the_owner(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    for changes in ({}, {"owner": "bob"}, {"owner_key": key(ALICE)}):
        ground.list_of(member(BOB, Role.WRITER), signer=BOB, **changes)
        with pytest.raises(SignatureError):
            ground.look(folder, BOB)


# What is newer than the key may come from an honest change since the key was looked up.
AGES = pytest.mark.parametrize(
    ("generation", "error", "words"),
    [(1, RollbackError, "older than the key"), (3, ConflictError, "newer than the key")],
)


@AGES
def test_a_list_is_as_old_as_the_key_of_its_node(ground, generation, error, words):
    folder = ground.enter(2, (1, 2), (1, 1))
    ground.list_of(member(BOB, Role.WRITER), generation=generation)
    with pytest.raises(error, match=words):
        ground.look(folder, BOB)


def test_a_list_that_is_older_than_one_seen_is_a_rollback(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    ground.list_of(member(CAROL, Role.READER), version=2)
    with pytest.raises(SignatureError):
        ground.look(folder, BOB)
    ground.list_of(member(BOB, Role.WRITER), version=1)
    with pytest.raises(RollbackError, match="OLDER"):
        ground.look(folder, BOB)


def test_two_lists_of_one_version_are_two_histories(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    ground.list_of(member(CAROL, Role.READER))
    with pytest.raises(SignatureError):
        ground.look(folder, BOB)
    ground.list_of(member(BOB, Role.WRITER))
    with pytest.raises(RollbackError, match="TWO DIFFERENT HISTORIES"):
        ground.look(folder, BOB)


def test_a_list_that_was_not_asked_for_is_refused(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    ground.list_of(member(BOB, Role.WRITER), node=keyed_node("elsewhere").node)
    (stray,) = ground.server.lists.values()
    ground.server.lists = {TOP.node: stray}
    with pytest.raises(RemoteProtocolError, match="outside the request"):
        ground.look(folder, BOB)


def test_a_list_that_has_seen_another_key_log_is_a_fork(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    other = ground.server.forked(2).enrol(identity("carol", "slipped in"))
    ground.list_of(member(BOB, Role.WRITER), log_head=other.seen())
    with pytest.raises(RollbackError, match="ANOTHER KEY LOG"):
        ground.look(folder, BOB)


# --- states and manifests


@AGES
def test_a_state_is_as_old_as_the_key_of_its_folder(ground, generation, error, words):
    folder = ground.enter(2, (2, 2), (2, 2))
    with pytest.raises(error, match=words):
        ground.look(folder, ALICE, generation=generation)


def manifest_by(signer: Identity, **changes: Any) -> VerifiedManifest:
    body = replace(
        file_manifest(),
        parent=FOLDER.node,
        author=signer.user,
        author_key=key(signer),
        **changes,
    )
    return sign_manifest(signer.signing, body)


def test_the_author_of_a_file_was_a_writer_at_some_time(ground):
    ground.enter(3, (3, 3), (3, 3))
    removed(ground, 3, 1)
    ground.authors.check_manifest(manifest_by(ALICE))
    ground.authors.check_manifest(manifest_by(BOB))
    assert not ground.authors.frozen
    with pytest.raises(SignatureError, match="may not write"):
        ground.authors.check_manifest(manifest_by(CAROL))


def test_the_author_of_a_file_has_signed_it(ground):
    ground.enter(1, (1, 1), (1, 1))
    ground.list_of(member(BOB, Role.WRITER))
    forged = sign_manifest(BOB.signing, manifest_by(ALICE).body)
    with pytest.raises(SignatureError):
        ground.authors.check_manifest(forged)


def test_lists_are_asked_for_at_once_where_others_than_the_owner_have_written(ground):
    ground.enter(1, (1, 1), (1, 1))
    ground.list_of(member(BOB, Role.WRITER), node=MIDDLE.node)
    ground.authors.prepare(FOLDER.node, [manifest_by(ALICE)])
    assert ground.server.asked_lists == 0
    ground.authors.prepare(FOLDER.node, [manifest_by(ALICE), manifest_by(BOB)])
    ground.authors.check_manifest(manifest_by(BOB))
    assert ground.server.asked_lists == 1


def test_a_list_that_is_missing_is_withheld_unless_the_server_denies_the_access(ground):
    folder = ground.enter(1, (1, 1), (1, 1))
    for node in (TOP.node, MIDDLE.node):
        ground.list_of(member(BOB, Role.WRITER), member(CAROL, Role.READER), node=node)
    ground.authors.audience(folder.node)
    ground.server.lists.clear()
    with pytest.raises(RollbackError, match="WITHHOLDS"):
        ground.authors.audience(folder.node)
    ground.server.hidden = {MIDDLE.node}
    with pytest.raises(RollbackError, match="WITHHOLDS"):
        ground.authors.audience(folder.node)
    ground.server.hidden = {TOP.node, MIDDLE.node}
    with pytest.raises(ConflictError, match="no longer shared with you"):
        ground.authors.audience(folder.node)
