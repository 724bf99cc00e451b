"""Sharing at the server: access rights, and the checks of member lists and keys."""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec
import pytest

from fsproto import crypto, labels
from fsproto.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    RemoteProtocolError,
    SignatureError,
)
from fsproto.keys.grants import Role
from fsproto.keys.member_list import Member, MemberList
from fsproto.keys.tree import KeyedNode
from fsproto.limits import MAX_PATH_PARTS, PART_BYTES
from fsproto.messages.base import Done
from fsproto.messages.files import Commit, Content, Removal, Stale
from fsproto.messages.shares import GetShares, NewMembers, SealedKey
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.manifest import Manifest, sign_manifest
from fsproto.signed import sign
from fsproto.types import NO_HASH, Hash, NodeId
from tests.support import fixed_keys
from tests.support.races import winners
from tests.support.reading import fetched_by, listing_of
from tests.support.services import Clock, Services, ServiceUser, identity
from tests.support.shared_folder import BLOB, SharedFolder, file_of, make_folder

pytestmark = pytest.mark.both_databases

replace = msgspec.structs.replace
NOBODYS = NodeId(bytes(16))


@pytest.fixture
def enrolled(office: Services, clock: Clock) -> Callable[[str], ServiceUser]:
    def someone(name: str) -> ServiceUser:
        person = office.add(name)
        person.enrol(office, clock())
        return person

    return someone


@pytest.fixture
def alice(enrolled: Callable[[str], ServiceUser]) -> ServiceUser:
    return enrolled("alice")


@pytest.fixture
def bob(enrolled: Callable[[str], ServiceUser]) -> ServiceUser:
    return enrolled("bob")


@pytest.fixture
def carol(enrolled: Callable[[str], ServiceUser]) -> ServiceUser:
    return enrolled("carol")


@pytest.fixture
def shared(office: Services, alice: ServiceUser) -> SharedFolder:
    """A folder of alice with one file, not shared yet."""
    made = make_folder(office, alice)
    made.send(alice, made.put(alice, "hers"))
    return made


def hers(shared: SharedFolder) -> Content:
    """Return the content of alice's file in the folder."""
    (manifest,) = listing_of(shared.office, shared.owner.who, shared.node)[0]
    return Content(*file_of(Commit([], [manifest], [], [], [])))


# --- read access

Ask = Callable[[SharedFolder, ServiceUser], object]
REFUSED: dict[str, Ask] = {
    "lookup": lambda f, p: f.office.files.lookup(p.who, f.node, [f.keyed.token("hers")]),
    "list": lambda f, p: listing_of(f.office, p.who, f.node),
    "download": lambda f, p: f.office.transfers.open(p.who, *msgspec.structs.astuple(hers(f))),
    "put": lambda f, p: f.office.files.commit(p.who, f.put(p, "theirs")),
    "put on an old state": lambda f, p: f.office.files.commit(
        p.who, f.put(p, "theirs", state={"version": 1, "lineage": NO_HASH})
    ),
    "remove": lambda f, p: f.office.files.commit(
        p.who,
        Commit(
            [f.next_state(p, PrefixTree()).signed],
            [],
            [Removal(f.node, f.keyed.token("hers"))],
            [],
            [],
        ),
    ),
    "share": lambda f, p: f.office.files.commit(
        p.who,
        Commit(
            [], [], [], [], [f.list_of(signer=p, owner=p.name, owner_key=p.identity.signing.public)]
        ),
    ),
    "leave": lambda f, p: f.office.sharing.leave(p.who, f.node),
}
"""Requests that the server must refuse a user without access."""


def sees_nothing(shared: SharedFolder, person: ServiceUser) -> None:
    """Check that the server answers a user as if the folder did not exist."""
    office, who = shared.office, person.who
    for ask in REFUSED.values():
        with pytest.raises(NotFoundError):
            ask(shared, person)
    for nodes in ([shared.node], [hers(shared).node], [person.root.node, shared.node]):
        with pytest.raises(NotFoundError):
            office.sharing.members(who, nodes)
    assert office.changes.states(who, [shared.node, hers(shared).node]).states == [None, None]
    assert fetched_by(office, who, [hers(shared)]) == [None]
    assert next(office.sharing.with_me(who, GetShares("", 0))).shares == []
    assert next(office.sharing.with_me(who, GetShares("alice", 0))).shares == []


def sees_it(shared: SharedFolder, person: ServiceUser) -> None:
    """Check that a user gets the folder, its content and its key."""
    office, who, content = shared.office, person.who, hers(shared)
    assert shared.members is not None
    found = office.files.lookup(who, shared.node, shared.keyed.tokens("hers"))
    listed, end = listing_of(office, who, shared.node)
    assert found.manifests == listed
    assert found.state == end.state == shared.state.signed
    asked = [content.node, shared.node, NOBODYS, shared.node]
    assert office.changes.states(who, asked).states == [None, end.state, None, end.state]
    reader, size = office.transfers.open(who, content.node, content.root)
    room = bytearray(size + 1)
    assert reader.readinto(memoryview(room)) == size == len(BLOB)
    assert room[:size] == BLOB
    assert fetched_by(office, who, [content]) == [BLOB]
    assert office.sharing.members(who, [shared.node]).lists == [shared.members.signed]
    (share,) = next(office.sharing.with_me(who, GetShares("alice", 0))).shares
    assert (share.owner, share.members) == ("alice", shared.members.signed)
    assert share.manifest == shared.manifest.signed
    assert shared.members.open(share.sealed, person.identity).key == shared.keyed.key


def test_a_stranger_finds_nothing_whatever_is_asked(shared, bob, carol):
    sees_nothing(shared, bob)
    shared.share((carol, Role.READER))
    sees_nothing(shared, bob)


@pytest.mark.one_database
@pytest.mark.parametrize("name", ["lookup", "list", "download", "share", "leave"])
def test_a_missing_and_an_invisible_file_give_the_same_error(shared, bob, name):
    nowhere = SharedFolder(
        shared.office,
        shared.owner,
        KeyedNode(NOBODYS, 1, shared.keyed.key),
        shared.manifest,
        shared.state,
    )
    content = hers(shared)
    asks: list[Callable[[], object]] = [
        lambda: REFUSED[name](shared, bob),
        lambda: REFUSED[name](nowhere, bob),
    ]
    if name == "download":
        asks[1] = lambda: shared.office.transfers.open(bob.who, NOBODYS, content.root)
    told = []
    for ask in asks:
        with pytest.raises(NotFoundError) as refusal:
            ask()
        told.append((refusal.value.sentence, refusal.value.hint))
    assert told[0] == told[1]


@pytest.mark.parametrize("role", [Role.READER, Role.WRITER])
def test_a_member_sees_what_is_in_it(shared, bob, role):
    shared.share((bob, role))
    sees_it(shared, bob)


def test_a_member_sees_folders_and_files_far_below(office, alice, bob, shared):
    shared.share((bob, Role.READER))
    below = folder_in(shared, "below")
    sub = SharedFolder(office, alice, below.keyed, below.manifest, below.state)
    sub.send(alice, sub.put(alice, "deep"))
    manifests, _ = listing_of(office, bob.who, below.node)
    content = Content(*file_of(Commit([], manifests, [], [], [])))
    assert fetched_by(office, bob.who, [content]) == [BLOB]
    assert office.files.lookup(bob.who, below.node, [below.keyed.token("deep")]).manifests


def test_a_member_sees_nothing_beside_and_above_it(office, alice, bob, shared):
    shared.share((bob, Role.WRITER))
    beside = make_folder(office, alice, "beside")
    for node in (alice.root.node, beside.node):
        with pytest.raises(NotFoundError):
            listing_of(office, bob.who, node)


def test_a_file_is_shared_on_its_own(office, alice, bob, shared):
    content = hers(shared)
    manifest = listing_of(office, alice.who, shared.node)[0][0]
    file = KeyedNode(content.node, 1, fixed_keys.keyed_node("file").key)
    one = SharedFolder(office, alice, file, shared.manifest, shared.state)
    one.share((bob, Role.READER))
    assert fetched_by(office, bob.who, [content]) == [BLOB]
    (share,) = next(office.sharing.with_me(bob.who, GetShares("", 0))).shares
    assert share.manifest == manifest
    with pytest.raises(NotFoundError):
        listing_of(office, bob.who, shared.node)


@pytest.mark.one_database
def test_too_many_lists_at_once_are_refused(office, alice):
    office.sharing.members(alice.who, [alice.root.node] * MAX_PATH_PARTS)
    with pytest.raises(RemoteProtocolError):
        office.sharing.members(alice.who, [alice.root.node] * (MAX_PATH_PARTS + 1))


@pytest.mark.cases(3)
@pytest.mark.parametrize("owner", ["nobody", "ali\0ce", "bob", "\x1b[2J"])
def test_a_user_without_shares_has_none_to_show(office, shared, bob, owner):
    shared.share((bob, Role.READER))
    (answer,) = office.sharing.with_me(bob.who, GetShares(owner, 0))
    assert (answer.shares, answer.more) == ([], False)


def test_of_each_owner_at_most_as_many_shares_come_as_asked_for(office, alice, bob, carol):
    for owner in (alice, carol):
        for number in range(3):
            make_folder(office, owner, f"folder {number}").share((bob, Role.READER))
    for most, each in ((1, 1), (2, 2), (3, 3), (4, 3), (0, 3)):
        (answer,) = office.sharing.with_me(bob.who, GetShares("", most))
        assert [one.owner for one in answer.shares] == ["alice"] * each + ["carol"] * each
    with pytest.raises(RemoteProtocolError):
        next(office.sharing.with_me(bob.who, GetShares("", -1)))


@pytest.mark.one_database
def test_many_shares_come_in_parts_that_are_not_too_large(office, alice, bob):
    count = PART_BYTES // 4096 + 5
    made = [make_folder(office, alice, f"folder {n}") for n in range(count)]
    for folder in made:
        folder.share((bob, Role.READER))
    nodes = {folder.node for folder in made}
    for parts, seen in (
        (list(office.sharing.with_me(bob.who, GetShares("", 0))), "shares"),
        (list(office.sharing.mine(alice.who)), "shared"),
    ):
        assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
        assert len(parts) > 1
        lists = [one.members for part in parts for one in getattr(part, seen)]
        assert {unpack(one.payload, MemberList).node for one in lists} == nodes
        assert len(lists) == count


# --- write access


def test_a_reader_may_look_but_not_change(shared, bob):
    shared.share((bob, Role.READER))
    for name in ("put", "put on an old state", "remove"):
        with pytest.raises(NotAllowedError):
            REFUSED[name](shared, bob)
    sees_it(shared, bob)


def test_a_writer_changes_it_and_what_is_put_is_the_owners(office, shared, alice, bob):
    shared.share((bob, Role.WRITER))
    used = {name: office.people.show(name).files for name in ("alice", "bob")}
    assert shared.send(bob, shared.put(bob, "theirs")) == Done()
    assert len(listing_of(office, alice.who, shared.node)[0]) == 2
    assert office.people.show("alice").files == used["alice"] + 1
    assert office.people.show("bob").files == used["bob"]
    shared.send(alice, shared.put(alice, "after that"))
    token = shared.keyed.token("theirs")
    state = shared.next_state(bob, shared.entries.remove(token))
    removal = Commit([state.signed], [], [Removal(shared.node, token)], [], [])
    assert shared.send(bob, removal) == Done()
    assert len(listing_of(office, alice.who, shared.node)[0]) == 2


def test_a_late_writer_gets_the_present_state(shared, alice, bob):
    shared.share((bob, Role.WRITER))
    late = shared.put(bob, "theirs")
    shared.send(alice, shared.put(alice, "sooner"))
    answer = shared.send(bob, late)
    assert isinstance(answer, Stale)
    assert [found.state for found in answer.folders] == [shared.state.signed]
    assert shared.send(bob, shared.put(bob, "theirs")) == Done()


def test_a_large_file_that_a_writer_uploaded_before_is_the_owners_then(office, shared, bob):
    shared.share((bob, Role.WRITER))
    root = bob.stage(office, BLOB * 3000)
    ask = shared.put(bob, "large", BLOB * 3000)
    body = unpack(ask.manifests[0].payload, Manifest)
    assert body.content is not None
    salt = fixed_keys.stretch(f"bob {len(BLOB * 3000)} salt", 32)
    content = msgspec.structs.replace(body.content, salt=salt, root=root)
    ask = shared.put(bob, "large", BLOB * 3000, content=content)
    before = office.people.show("alice").stored_bytes
    shared.send(bob, replace(ask, blobs=[]))
    assert office.people.show("alice").stored_bytes == before + len(BLOB * 3000)
    assert office.people.show("bob").stored_bytes == 0


def test_a_signature_in_another_persons_name_is_refused(office, shared, alice, bob):
    shared.share((bob, Role.WRITER))
    ask = shared.put(alice, "as alice")
    with pytest.raises(SignatureError):
        office.files.commit(bob.who, ask)
    signed_by_bob = shared.put(
        bob, "as alice", author="alice", author_key=alice.identity.signing.public
    )
    with pytest.raises(SignatureError):
        office.files.commit(bob.who, signed_by_bob)


def test_a_writer_cannot_share_it(office, shared, bob, carol):
    shared.share((bob, Role.WRITER))
    by_bob = shared.list_of(
        (carol, Role.READER),
        signer=bob,
        owner="bob",
        owner_key=bob.identity.signing.public,
    )
    with pytest.raises(NotFoundError):
        office.files.commit(bob.who, Commit([], [], [], [], [by_bob]))
    for_alice = shared.list_of((carol, Role.READER), signer=bob)
    with pytest.raises(SignatureError):
        office.files.commit(bob.who, Commit([], [], [], [], [for_alice]))
    sees_nothing(shared, carol)


def test_nothing_moves_from_one_persons_tree_to_anothers(office, shared, alice, bob):
    shared.share((bob, Role.WRITER))
    his = make_folder(office, bob, "his")
    both = [shared.put(bob, "a"), his.put(bob, "b")]
    ask = Commit(
        [*both[0].states, *both[1].states],
        [*both[0].manifests, *both[1].manifests],
        [],
        [*both[0].blobs, *both[1].blobs],
        [],
    )
    with pytest.raises(NotAllowedError):
        office.files.commit(bob.who, ask)


# --- concurrency


def test_a_person_removed_from_the_list_loses_access_at_once(shared, bob, carol):
    shared.share((bob, Role.WRITER), (carol, Role.READER))
    shared.renew((carol, Role.READER))
    sees_nothing(shared, bob)
    sees_it(shared, carol)


def test_a_writer_who_is_made_a_reader_changes_nothing_any_more(shared, bob):
    shared.share((bob, Role.WRITER))
    shared.share((bob, Role.READER))
    with pytest.raises(NotAllowedError):
        shared.send(bob, shared.put(bob, "theirs"))
    shared.share((bob, Role.WRITER))
    assert shared.send(bob, shared.put(bob, "theirs")) == Done()


def test_a_member_who_leaves_loses_access_and_the_owner_sees_it(office, shared, alice, bob, carol):
    shared.share((bob, Role.WRITER), (carol, Role.READER))
    assert office.sharing.leave(bob.who, shared.node) == Done()
    sees_nothing(shared, bob)
    sees_it(shared, carol)
    (answer,) = office.sharing.mine(alice.who)
    (own,) = answer.shared
    assert own.left == ["bob"]
    assert own.tokens == [alice.root.token("shared")]


def test_a_former_member_can_be_added_again(office, shared, bob):
    shared.share((bob, Role.READER))
    office.sharing.leave(bob.who, shared.node)
    shared.share((bob, Role.READER), again=["bob"])
    sees_it(shared, bob)


def test_a_former_member_is_not_added_again_by_an_owner_who_does_not_know(
    office, shared, bob, carol
):
    shared.share((bob, Role.READER))
    office.sharing.leave(bob.who, shared.node)
    with pytest.raises(ConflictError):
        shared.share((bob, Role.READER), (carol, Role.READER))
    sees_nothing(shared, bob)
    sees_nothing(shared, carol)
    shared.share((carol, Role.READER))
    shared.share((bob, Role.READER), (carol, Role.READER))  # the list before does not name bob
    sees_it(shared, bob)


def test_a_member_cannot_leave_twice_or_below_the_shared_node(office, shared, bob):
    shared.share((bob, Role.READER))
    below = folder_in(shared, "below")
    with pytest.raises(NotFoundError):
        office.sharing.leave(bob.who, below.node)
    office.sharing.leave(bob.who, shared.node)
    with pytest.raises(NotFoundError):
        office.sharing.leave(bob.who, shared.node)


def test_removed_nodes_are_shared_with_no_one(office, shared, alice, bob):
    shared.share((bob, Role.READER))
    token = alice.root.token("shared")
    alice.entries = alice.entries.remove(token)
    alice.version += 1
    top = alice.root_state(alice.version)
    ask = Commit([top.signed], [], [Removal(alice.root.node, token)], [], [])
    assert office.files.commit(alice.who, ask) == Done()
    with pytest.raises(NotFoundError):
        listing_of(office, bob.who, shared.node)
    assert next(office.sharing.with_me(bob.who, GetShares("", 0))).shares == []
    assert next(office.sharing.mine(alice.who)).shared == []


def test_an_enrolment_after_a_reset_gets_no_earlier_grant(office, shared, bob, clock):
    shared.share((bob, Role.WRITER))
    office.people.reset_keys("bob")
    clock.forward(60)
    new = ServiceUser(identity("bob", "other"), bob.otp)
    new.enrol(office, clock())
    sees_nothing(shared, new)


def test_a_user_removed_and_added_again_is_another_person(office, shared, bob, enrolled):
    shared.share((bob, Role.WRITER))
    office.people.remove("bob")
    sees_nothing(shared, enrolled("bob"))


# --- lists


@pytest.mark.cases(4)
@pytest.mark.one_database
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"version": 1}, ConflictError),
        ({"version": 3}, ConflictError),
        ({"lineage": NO_HASH}, ConflictError),
        ({"lineage": Hash(bytes(31) + b"\1")}, ConflictError),
        ({"generation": 2}, ConflictError),
        ({"node": NOBODYS}, NotFoundError),
        ({"owner": "bob"}, SignatureError),
        ({"owner_key": bytes(32)}, SignatureError),
        ({"version": 0}, RemoteProtocolError),
        ({"format": 2}, RemoteProtocolError),
    ],
    ids=lambda given: "".join(given) if isinstance(given, dict) else given.code,
)
def test_a_list_that_does_not_follow_is_refused(shared, bob, carol, changes, error):
    shared.share((bob, Role.READER))
    ask = Commit([], [], [], [], [shared.list_of((carol, Role.READER), **changes)])
    with pytest.raises(error):
        shared.send(shared.owner, ask)
    sees_it(shared, bob)
    sees_nothing(shared, carol)


def test_the_first_list_is_version_1(shared, bob):
    for changes in ({"version": 2}, {"lineage": Hash(bytes(31) + b"\1")}):
        ask = Commit([], [], [], [], [shared.list_of((bob, Role.READER), **changes)])
        with pytest.raises(ConflictError):
            shared.send(shared.owner, ask)


def test_the_top_of_a_tree_is_not_shared(office, alice, bob, shared):
    top = SharedFolder(office, alice, alice.root, shared.manifest, shared.state)
    with pytest.raises(NotAllowedError):
        top.share((bob, Role.READER))


@pytest.mark.one_database
def test_a_list_signed_as_something_else_is_refused(shared, bob):
    new = shared.list_of((bob, Role.READER))
    body = unpack(new.members.payload, MemberList)
    signed = sign(shared.owner.identity.signing, labels.SIGN_STATE, body)
    with pytest.raises(SignatureError):
        shared.send(shared.owner, Commit([], [], [], [], [NewMembers(signed, new.sealed, [])]))


@pytest.mark.one_database
def test_two_lists_of_one_node_in_one_commit_are_refused(shared, bob, carol):
    two = [shared.list_of((bob, Role.READER)), shared.list_of((carol, Role.READER))]
    with pytest.raises(RemoteProtocolError):
        shared.send(shared.owner, Commit([], [], [], [], two))


def test_of_ten_first_lists_at_once_one_is_taken(office, shared, bob):
    asks = [
        Commit([], [], [], [], [shared.list_of((bob, Role.READER), time_ms=n)]) for n in range(10)
    ]
    commit, owner = office.files.commit, shared.owner.who
    assert winners(lambda n: commit(owner, asks[n]), range(10), refusal=ConflictError) == 1


@pytest.mark.cases(4)
@pytest.mark.parametrize("_again", range(5))
def test_of_a_first_list_and_a_new_key_without_one_at_once_one_is_taken(
    office, shared, alice, bob, _again
):
    new = shared.keyed.renewed(fixed_keys.Seeded("second"))
    asks = [
        Commit([], [], [], [], [shared.list_of((bob, Role.READER))]),
        replace(shared.renewal(new), members=[]),
    ]
    commit, refusal = office.files.commit, (ConflictError, NotAllowedError)
    assert winners(lambda n: commit(alice.who, asks[n]), range(2), refusal=refusal) == 1


# --- sealed keys


def test_a_key_that_is_there_need_not_come_again(shared, bob, carol):
    shared.share((bob, Role.READER))
    assert shared.members is not None
    (his,) = shared.members.body.members
    new = shared.list_of((carol, Role.READER))
    (hers_,) = unpack(new.members.payload, MemberList).members
    both = shared.list_of((carol, Role.READER), members=[his, hers_])
    # `list_of` seals the key again on each call: send the sealed keys of the first call.
    shared.send(shared.owner, Commit([], [], [], [], [NewMembers(both.members, new.sealed, [])]))
    sees_it(shared, bob)
    sees_it(shared, carol)


def _without(new: NewMembers) -> list[SealedKey]:
    return []


def _changed(new: NewMembers) -> list[SealedKey]:
    return [SealedKey(one.user, one.sealed[:-1]) for one in new.sealed]


def _twice(new: NewMembers) -> list[SealedKey]:
    return new.sealed * 2


def _for_nobody(new: NewMembers) -> list[SealedKey]:
    return [*new.sealed, SealedKey("carol", b"")]


@pytest.mark.one_database
@pytest.mark.parametrize("how", [_without, _changed, _twice, _for_nobody])
def test_keys_are_those_that_the_list_names(shared, bob, carol, how):
    new = shared.list_of((bob, Role.READER))
    ask = Commit([], [], [], [], [NewMembers(new.members, how(new), [])])
    with pytest.raises(RemoteProtocolError):
        shared.send(shared.owner, ask)
    sees_nothing(shared, bob)


def test_a_key_sealed_under_the_old_key_of_a_folder_does_not_do_for_the_new_one(shared, bob):
    shared.share((bob, Role.READER))
    assert shared.members is not None
    new = shared.keyed.renewed(fixed_keys.Seeded("second"))
    ask = shared.renewal(new, (bob, Role.READER))
    without = replace(ask, members=[NewMembers(ask.members[0].members, [], [])])
    with pytest.raises(RemoteProtocolError):
        shared.send(shared.owner, without)


def test_a_key_sealed_to_what_are_not_the_persons_keys_is_refused(shared, bob):
    other = ServiceUser(identity("bob", "other"), bob.otp)
    with pytest.raises(ConflictError):
        shared.share((other, Role.READER))


def test_an_unknown_user_or_the_owner_cannot_be_a_member(office, shared, alice, bob):
    dave = ServiceUser(identity("dave"), bob.otp)
    with pytest.raises(NotFoundError):
        shared.share((dave, Role.READER))
    office.add("dave")
    with pytest.raises(NotFoundError, match="not enrolled"):
        shared.share((dave, Role.READER))
    with pytest.raises(RemoteProtocolError):
        shared.share((alice, Role.READER))


def test_a_disabled_user_gets_no_new_share_and_keeps_existing_ones(office, shared, bob, carol):
    shared.share((bob, Role.READER))
    for name in ("bob", "carol"):
        office.people.set_disabled(name, disabled=True)
    shared.share((bob, Role.WRITER))
    with pytest.raises(NotAllowedError):
        shared.share((bob, Role.WRITER), (carol, Role.READER))


def test_a_list_that_is_refused_changes_nothing_of_its_commit(office, shared, alice, bob):
    ask = shared.put(alice, "more")
    bad = NewMembers(shared.list_of((bob, Role.READER)).members, [], [])
    with pytest.raises(RemoteProtocolError):
        shared.send(alice, replace(ask, members=[bad]))
    assert len(listing_of(office, alice.who, shared.node)[0]) == 1
    assert next(office.sharing.mine(alice.who)).shared == []


# --- generations


def folder_in(shared: SharedFolder, name: str) -> SharedFolder:
    """Create a folder inside a shared folder."""
    owner, office = shared.owner, shared.office
    keyed = fixed_keys.keyed_node(f"{name} below")
    body = owner.manifest(keyed.node, shared.node, shared.keyed.token(name), None)
    body = replace(body, link_generation=shared.keyed.generation)
    made = sign_manifest(owner.identity.signing, body)
    entries = shared.entries.put(FolderEntry(body.token, keyed.node, made.hash))
    top = shared.next_state(owner, entries)
    blank = SharedFolder(office, owner, keyed, made, shared.state)
    first = blank.next_state(owner, PrefixTree(), folder=keyed.node, generation=1)
    body_state = replace(first.body, version=1, lineage=NO_HASH)
    signed = sign(owner.identity.signing, labels.SIGN_STATE, body_state)
    shared.send(owner, Commit([top.signed, signed], [made.signed], [], [], []))
    blank.follow(owner, Commit([signed], [], [], [], []))
    return blank


def test_a_new_key_needs_a_list_under_it(shared, alice, bob):
    shared.share((bob, Role.READER))
    new = shared.keyed.renewed(fixed_keys.Seeded("second"))
    entries, lineage, version = alice.entries, alice.next_lineage, alice.version
    ask = shared.renewal(new, (bob, Role.READER))
    with pytest.raises(NotAllowedError, match="shared on its own"):
        shared.send(alice, replace(ask, members=[]))
    alice.entries, alice.next_lineage, alice.version = entries, lineage, version
    old_list = shared.list_of((bob, Role.READER))
    with pytest.raises(ConflictError):
        shared.send(alice, replace(ask, members=[old_list]))
    assert shared.send(alice, ask) == Done()


@pytest.mark.one_database
@pytest.mark.parametrize("generation", [0, 1, 3, 9])
def test_a_node_takes_one_new_key_at_a_time(shared, generation, bob):
    shared.renew((bob, Role.READER))
    wrong = KeyedNode(shared.node, generation, shared.keyed.key, ())
    if generation == shared.keyed.generation + 1:
        wrong = shared.keyed.renewed(fixed_keys.Seeded("third"))
    ask = shared.renewal(wrong, (bob, Role.READER))
    if generation == 3:
        assert shared.send(shared.owner, ask) == Done()
    else:
        with pytest.raises(RemoteProtocolError):
            shared.send(shared.owner, ask)


def test_a_new_node_starts_with_its_first_key(shared, alice):
    ask = shared.put(alice, "new", generation=2, former=os.urandom(60))
    with pytest.raises(RemoteProtocolError):
        shared.send(alice, ask)


def test_a_folder_that_takes_a_new_key_comes_with_a_state_under_it(shared, alice, bob):
    new = shared.keyed.renewed(fixed_keys.Seeded("second"))
    ask = shared.renewal(new, (bob, Role.READER))
    top, own = ask.states
    with pytest.raises(RemoteProtocolError):
        shared.send(alice, replace(ask, states=[top]))
    old = shared.next_state(alice, shared.entries, generation=1)
    with pytest.raises(ConflictError):
        shared.send(alice, replace(ask, states=[top, old.signed]))
    assert shared.send(alice, replace(ask, states=[top, own])) == Done()


def test_nothing_is_written_under_an_old_key(shared, alice, bob):
    shared.renew((bob, Role.WRITER))
    for who in (alice, bob):
        for ask in (
            shared.put(who, "new", link_generation=1),
            shared.put(who, "new", state={"generation": 1}),
            shared.put(who, "new", link_generation=3),
            shared.put(who, "new", state={"generation": 3}),
        ):
            with pytest.raises(ConflictError):
                shared.send(who, ask)
        assert shared.send(who, shared.put(who, f"of {who.name}")) == Done()


def test_a_writer_cannot_give_what_is_shared_on_its_own_a_new_key(office, shared, alice, bob):
    shared.share((bob, Role.WRITER))
    below = folder_in(shared, "below")
    below.share((bob, Role.READER))
    second = below.keyed.renewed(fixed_keys.Seeded("second"))
    body = replace(
        below.manifest.body,
        version=2,
        lineage=below.manifest.point.next_lineage,
        generation=2,
        former=second.seal_former(fixed_keys.Seeded("former")),
        author="bob",
        author_key=bob.identity.signing.public,
        log_head=bob.log_head,
    )
    made = sign_manifest(bob.identity.signing, body)
    entries = shared.entries.put(FolderEntry(body.token, below.node, made.hash))
    states = [
        shared.next_state(bob, entries).signed,
        below.next_state(bob, below.entries, generation=2).signed,
    ]
    with pytest.raises(NotAllowedError, match="Only the owner"):
        office.files.commit(bob.who, Commit(states, [made.signed], [], [], []))


def test_a_member_key_of_another_person_does_not_matter_to_the_server_but_its_bundle_does(
    shared, bob
):
    # The server cannot open sealed keys; only a client can check their content.
    new = shared.list_of((bob, Role.READER))
    (member,) = unpack(new.members.payload, MemberList).members
    odd = Member("bob", Role.READER, crypto.SigningKey(bytes(32)).public, NO_HASH, member.sealed)
    signed = shared.list_of((bob, Role.READER), members=[odd])
    with pytest.raises(ConflictError):
        shared.send(
            shared.owner, Commit([], [], [], [], [NewMembers(signed.members, new.sealed, [])])
        )
