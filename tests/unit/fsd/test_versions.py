"""How long the server keeps old versions and removed files, on both kinds of database."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from fsd.audit.events import AuditEvent
from fsd.blobs.janitor import Janitor
from fsd.policies import KeepPolicy
from fsd.services.files.commits import FileService
from fsd.store import schema
from fsd.store.repos import nodes
from fsd.store.repos import versions as queries
from fsproto.errors import BadSettingError, NotAllowedError, NotFoundError, RemoteProtocolError
from fsproto.keys.grants import Role
from fsproto.messages.files import Commit, Removal
from fsproto.messages.history import Forgotten
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.manifest import Manifest, sign_manifest
from fsproto.types import NO_HASH
from tests.support.reading import listing_of
from tests.support.services import Services, audited
from tests.support.shared_folder import file_of, make_folder
from tests.support.writers import Writer

pytestmark = pytest.mark.both_databases

LARGE = b"x" * 200_000
DAY_S = 24 * 3600.0


def writer(office: Services, clock, keep: KeepPolicy, name: str = "alice") -> Writer:
    person = office.add(name)
    person.enrol(office, clock())
    files = FileService(office.database, office.blobs, now_ms=clock, keep=keep)
    return Writer(office, person, files)


def in_the_store(office: Services) -> int:
    return len(list(office.blobs.walk()))


def test_settings_cannot_be_below_zero():
    for wrong in ({"keep_versions": -1}, {"keep_removed_days": -0.5}):
        with pytest.raises(BadSettingError):
            KeepPolicy(**wrong)
    assert KeepPolicy(0, 0).keep_versions == 0


# --- versions


@pytest.mark.one_database
def test_as_many_older_contents_are_kept_as_the_operator_wants(office, clock):
    alice = writer(office, clock, KeepPolicy(keep_versions=2))
    roots = [alice.write("f", b"%d" % number * (number + 1)) for number in range(5)]
    assert alice.history("f") == [4, 3]
    assert [alice.can_be_had("f", root) for root in roots] == [False, False, True, True, True]
    assert [alice.fetched("f", root) is not None for root in roots] == [False] * 2 + [True] * 3


def test_none_is_kept_where_none_is_wanted(office, clock):
    alice = writer(office, clock, KeepPolicy(keep_versions=0))
    first = alice.write("f", LARGE)
    alice.write("f", b"small")
    assert alice.history("f") == []
    assert not alice.can_be_had("f", first)
    assert in_the_store(office) == 0


@pytest.mark.one_database
def test_large_ones_leave_the_store_with_their_rows(office, clock):
    alice = writer(office, clock, KeepPolicy(keep_versions=1))
    for number in range(4):
        alice.write("f", LARGE + b"%d" % number)
    assert in_the_store(office) == 2


def test_manifests_around_one_content_count_as_one(office, clock):
    alice = writer(office, clock, KeepPolicy(keep_versions=1))
    alice.write("f", b"one")
    two = alice.write("f", b"two")
    for _ in range(5):  # for example, a rename
        alice.commit("f", alice.chains["f"][-1].body.content, [])
    alice.write("f", b"three")
    assert alice.history("f") == [7, 6, 5, 4, 3, 2]
    assert alice.can_be_had("f", two)


@pytest.mark.one_database
def test_a_file_that_is_only_renamed_again_and_again_has_an_end_too(office, clock, monkeypatch):
    monkeypatch.setattr(queries, "MAX_CHAIN", 4)
    monkeypatch.setattr("fsd.services.files.writing.MAX_CHAIN", 4)
    alice = writer(office, clock, KeepPolicy())
    first = alice.write("f", b"one")
    alice.write("f", b"two")
    for _ in range(6):
        alice.commit("f", alice.chains["f"][-1].body.content, [])
    assert alice.history("f") == [7, 6, 5]
    assert not alice.can_be_had("f", first)


def test_an_older_content_becomes_the_newest_again_and_the_other_is_kept(office, clock):
    alice = writer(office, clock, KeepPolicy(keep_versions=1))
    first, second = alice.write("f", b"one"), alice.write("f", b"two")
    alice.commit("f", alice.chains["f"][0].body.content, [])
    assert alice.can_be_had("f", first)
    assert alice.can_be_had("f", second)
    alice.write("f", b"three")
    assert alice.can_be_had("f", first)  # it became the newest version again after the second
    assert not alice.can_be_had("f", second)
    assert alice.history("f") == [3]


@pytest.mark.one_database
def test_only_content_of_the_very_file_becomes_its_newest_again(office, clock):
    alice = writer(office, clock, KeepPolicy())
    alice.write("f", b"one")
    alice.write("f", b"two")
    alice.write("g", b"another")
    old = alice.chains["f"][0].body.content
    with pytest.raises((RemoteProtocolError, NotFoundError)):
        alice.commit("g", old, [])
    alice.chains["h"] = []
    with pytest.raises((RemoteProtocolError, NotFoundError)):
        alice.commit("h", old, [])


@pytest.mark.one_database
def test_content_that_is_no_longer_kept_cannot_be_made_the_newest(office, clock):
    alice = writer(office, clock, KeepPolicy(keep_versions=1))
    for blob in (b"one", b"two", b"three"):
        alice.write("f", blob)
    with pytest.raises(NotFoundError):
        alice.commit("f", alice.chains["f"][0].body.content, [])


def test_the_janitor_follows_when_fewer_are_to_be_kept(office, clock):
    alice = writer(office, clock, KeepPolicy(keep_versions=9))
    for number in range(5):
        alice.write("f", LARGE + b"%d" % number)
    Janitor(office.database, office.blobs, clock, KeepPolicy(keep_versions=2)).run()
    assert alice.history("f") == [4, 3]
    assert in_the_store(office) == 3
    Janitor(office.database, office.blobs, clock, KeepPolicy(keep_versions=0)).run()
    assert alice.history("f") == []
    assert in_the_store(office) == 1


# --- removed


@pytest.mark.one_database
def test_a_removed_node_is_kept_for_its_days_and_then_deleted(office, clock):
    alice = writer(office, clock, KeepPolicy(keep_removed_days=2))
    root = alice.write("f", LARGE)
    alice.write("g", LARGE + b"g")
    alice.remove("f")
    janitor = Janitor(office.database, office.blobs, clock, KeepPolicy(keep_removed_days=2))
    clock.forward(1.9 * DAY_S)
    alice.remove("g")
    janitor.run()
    assert alice.removed() == ["g", "f"]
    assert alice.can_be_had("f", root)
    clock.forward(0.2 * DAY_S)
    janitor.run()
    assert alice.removed() == ["g"]
    assert not alice.can_be_had("f", root)
    assert in_the_store(office) == 1


def test_it_is_deleted_at_once_where_it_is_not_to_be_kept(office, clock):
    alice = writer(office, clock, KeepPolicy(keep_removed_days=0))
    alice.write("f", LARGE)
    alice.write("f", LARGE + b"2")
    alice.remove("f")
    assert alice.removed() == []
    assert in_the_store(office) == 0


@pytest.mark.one_database
def test_what_was_removed_is_out_of_sight(office, clock):
    alice = writer(office, clock, KeepPolicy())
    alice.write("f", b"one")
    token, who = alice.chains["f"][-1].body.token, alice.person.principal
    alice.remove("f")
    assert who is not None
    assert listing_of(office, who, alice.person.root.node)[0] == []
    found = office.files.lookup(who, alice.person.root.node, [token])
    assert found.manifests == []
    assert PrefixTree.from_proof(found.proof, NO_HASH).get(token) is None


@pytest.mark.one_database
def test_of_much_that_was_removed_not_all_is_told_at_once(office, clock):
    alice = writer(office, clock, KeepPolicy())
    names = [f"f{number}" for number in range(130)]
    for name in names:
        alice.write(name, b"one")
    for name in names:
        clock.forward(1)
        alice.remove(name)
    assert alice.removed() == names[::-1]


@pytest.mark.one_database
def test_it_can_be_brought_back_with_what_it_was(office, clock):
    alice = writer(office, clock, KeepPolicy())
    first = alice.write("f", b"one")
    alice.write("f", b"two")
    alice.remove("f")
    alice.commit("f", alice.chains["f"][-1].body.content, [])
    assert alice.removed() == []
    assert alice.history("f") == [2, 1]
    assert alice.can_be_had("f", first)
    clock.forward(100 * DAY_S)
    Janitor(office.database, office.blobs, clock).run()
    assert alice.can_be_had("f", first)


# --- deleted for good by the owner


def test_the_owner_deletes_removed_nodes_with_all_their_contents(office, clock):
    alice = writer(office, clock, KeepPolicy())
    first = alice.write("f", LARGE)
    alice.write("f", LARGE + b"2")
    alice.write("g", LARGE + b"g")
    alice.remove("f")
    alice.remove("g")
    alice.forget("f")
    assert alice.removed() == ["g"]
    assert not alice.can_be_had("f", first)
    assert in_the_store(office) == 1
    with pytest.raises(NotFoundError):
        alice.history("f")
    alice.forget("f", "g")  # the answer of the first request may have been lost
    assert alice.removed() == []
    assert in_the_store(office) == 0
    assert audited(office, AuditEvent.TRASH_EMPTIED) == [
        ("trash-emptied", "alice", "1 removed file or folder"),
        ("trash-emptied", "alice", "1 removed file or folder"),
    ]


def test_present_and_restored_nodes_stay(office, clock):
    alice = writer(office, clock, KeepPolicy())
    alice.write("present", b"one")
    alice.forget("present")
    alice.write("back", b"two")
    alice.remove("back")
    alice.commit("back", alice.chains["back"][-1].body.content, [])
    alice.forget("back")
    alice.remove("back")
    seen_before = Forgotten(alice.node("back"), 1)
    office.histories.forget(alice.person.who, [seen_before])
    assert alice.removed() == ["back"]
    assert [one.body.node for one in alice.chains["present"]] == [alice.node("present")]
    entries = listing_of(office, alice.person.who, alice.person.root.node)[0]
    assert len(entries) == 1


def test_what_was_removed_from_a_deleted_folder_goes_with_it(office, clock):
    alice = writer(office, clock, KeepPolicy())
    made = make_folder(office, alice.person)
    made.send(alice.person, ask := made.put(alice.person, "f"))
    without = made.next_state(alice.person, PrefixTree())
    token = unpack(ask.manifests[0].payload, Manifest).token
    made.send(alice.person, Commit([without.signed], [], [Removal(made.node, token)], [], []))
    assert len(office.histories.removed(alice.person.who, made.node, 0).gone) == 1
    alice.chains["folder"] = [made.manifest]
    alice.remove("folder")
    named = Forgotten(made.node, made.manifest.body.version)
    office.histories.forget(alice.person.who, [named])
    with office.database.read() as db:
        assert nodes.get(db, made.node) is None
        assert nodes.get(db, file_of(ask)[0]) is None


@pytest.mark.one_database
def test_a_writer_may_restore_but_not_delete_for_good(office, clock):
    alice = writer(office, clock, KeepPolicy())
    bob = office.add("bob")
    bob.enrol(office, clock())
    made = make_folder(office, alice.person)
    made.share((bob, Role.WRITER))
    made.send(bob, ask := made.put(bob, "f"))
    token = unpack(ask.manifests[0].payload, Manifest).token
    without = made.next_state(bob, PrefixTree())
    made.send(bob, Commit([without.signed], [], [Removal(made.node, token)], [], []))
    named = [Forgotten(file_of(ask)[0], 1)]
    with pytest.raises(NotAllowedError, match="Only the owner"):
        office.histories.forget(bob.who, named)
    assert len(office.histories.removed(bob.who, made.node, 0).gone) == 1
    office.histories.forget(alice.person.who, named)
    assert office.histories.removed(bob.who, made.node, 0).gone == []


def test_at_most_a_hundred_are_named_at_once(office, clock):
    alice = writer(office, clock, KeepPolicy())
    alice.write("f", b"one")
    alice.remove("f")
    with pytest.raises(RemoteProtocolError):
        office.histories.forget(alice.person.who, [Forgotten(alice.node("f"), 1)] * 101)
    assert alice.removed() == ["f"]


@pytest.mark.one_database
def test_another_user_can_neither_restore_nor_see_it(office, clock):
    alice = writer(office, clock, KeepPolicy())
    bob = writer(office, clock, KeepPolicy(), "bob")
    root = alice.write("f", b"one")
    alice.remove("f")
    assert bob.person.principal is not None
    histories = office.histories
    with pytest.raises(NotFoundError):
        histories.removed(bob.person.principal, alice.person.root.node, 0)
    with pytest.raises(NotFoundError):
        next(histories.of_node(bob.person.principal, alice.node("f"), 9))
    with pytest.raises(NotFoundError):
        office.transfers.open(bob.person.principal, alice.node("f"), root)
    with pytest.raises(NotFoundError):
        histories.forget(bob.person.principal, [Forgotten(alice.node("f"), 1)])
    bob.chains["f"] = alice.chains["f"]
    body = replace(bob.body("f", alice.chains["f"][-1].body.content), node=alice.node("f"))
    signed = sign_manifest(bob.person.identity.signing, body)
    with pytest.raises(NotFoundError):
        bob._send([signed], [], [], put=FolderEntry(body.token, body.node, signed.hash))
    assert alice.removed() == ["f"]


@pytest.mark.one_database
def test_nodes_that_were_removed_do_not_count_but_their_bytes_do(office, clock):
    alice = writer(office, clock, KeepPolicy())
    for size in (10, 20):
        alice.write("f", b"x" * size)
    alice.write("g", b"y" * 5)
    alice.remove("g")
    person = office.people.show("alice")
    assert (person.files, person.stored_bytes) == (1, 35)
    Janitor(office.database, office.blobs, clock, KeepPolicy(0, 0)).run()
    person = office.people.show("alice")
    assert (person.files, person.stored_bytes) == (1, 20)


@pytest.mark.parametrize("act", ["remove", "reset_keys"])
@pytest.mark.one_database
def test_kept_data_is_deleted_with_its_user(office, clock, act):
    alice = writer(office, clock, KeepPolicy())
    for number in range(3):
        alice.write("f", LARGE + b"%d" % number)
    alice.write("g", LARGE)
    alice.remove("g")
    getattr(office.people, act)("alice")
    assert in_the_store(office) == 0
    with office.database.read() as db:
        assert queries.removed_before(db, clock() + 1) == []


def test_the_revision_goes_down_and_up_with_what_is_kept(office, clock, tmp_path: Path):
    alice = writer(office, clock, KeepPolicy())
    first, second = alice.write("f", b"one"), alice.write("f", b"two")
    alice.write("g", LARGE)
    alice.remove("g")
    schema.downgrade(office.database, "0003")
    schema.upgrade(office.database)
    assert alice.removed() == []
    assert alice.history("f") == []
    assert not alice.can_be_had("f", first)
    assert alice.can_be_had("f", second)
    alice.write("f", b"three")
    assert alice.history("f") == [2]
    Janitor(office.database, office.blobs, clock).run()
    assert alice.fetched("f", second) == b"two"
