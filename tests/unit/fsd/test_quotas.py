"""Quotas: counted bytes and files, refusals, reservations; counters match the stored files."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from fsd.blobs.janitor import Janitor
from fsd.policies import NO_LIMIT, KeepPolicy, QuotaPolicy
from fsd.services.accounts.terms import AccountTerms, NewValue
from fsd.services.files.commits import FileService
from fsd.services.files.quotas import LEASE_MS, STEP, Quotas, check_charged
from fsd.store.engine import DatabaseError
from fsd.store.models import User
from fsd.store.quota_models import Handover
from fsd.store.repos import quotas as rows
from fsd.store.repos.quotas import Held
from fsproto.errors import (
    ConflictError,
    IntegrityError,
    NotAllowedError,
    NotFoundError,
    OutOfSpaceError,
    QuotaError,
    RemoteProtocolError,
)
from fsproto.keys.grants import Role
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.files import Room
from fsproto.sealed import manifest
from fsproto.sealed.integrity import blob_root
from fsproto.types import NodeId, Salt
from tests.support import fixed_keys
from tests.support.services import Clock, Services, ServiceUser
from tests.support.shared_folder import make_folder
from tests.support.statements import statements_of
from tests.support.writers import Writer

pytestmark = pytest.mark.both_databases

KB = 1000
OVER_LINE = b"one connection".ljust(32)
ANOTHER_LINE = b"another connection".ljust(32)
DAY_S = 24 * 3600.0


def allowed(office: Services, name: str, size: int | None = None, files: int | None = None) -> None:
    terms = AccountTerms(quota_bytes=NewValue(size), quota_files=NewValue(files))
    office.people.change(name, terms)


def held(office: Services, name: str = "alice") -> Held:
    """Check that all counters match the stored files; return a user's counters."""
    with office.database.read() as db:
        assert rows.differing(db) == []
    person = office.people.show(name)
    return Held(person.used_bytes, person.files)


def reserved(office: Services, name: str, clock: Clock) -> Held:
    with office.database.read() as db:
        owner = db.query(User).filter(User.name == name).one().id
        return rows.reserved(db, owner, clock(), 0)


def salt(name: str) -> Salt:
    return Salt(fixed_keys.stretch(name, 32))


def room(size: int | None, folder: NodeId | None = None, instead: NodeId | None = None) -> Room:
    return Room(folder, instead, size)


@pytest.fixture
def alice(office: Services, clock: Clock) -> Writer:
    return writer(office, clock)


def writer(office: Services, clock: Clock, keep: KeepPolicy | None = None) -> Writer:
    person = office.add("alice")
    person.enrol(office, clock())
    return Writer(
        office, person, FileService(office.database, office.blobs, now_ms=clock, keep=keep)
    )


def upload(
    office: Services, who: ServiceUser, name: str, blob: bytes, line: bytes = OVER_LINE
) -> None:
    """Upload a blob that no commit names yet."""
    transfers, mark = office.transfers, salt(name)
    incoming = transfers.begin(who.who, mark, room(len(blob)), line=line)
    incoming.add(0, memoryview(blob))
    transfers.finish(who.who, incoming, blob_root(mark, blob), len(blob))


# --- counted files


@pytest.mark.one_database
def test_files_that_are_there_count_with_what_they_are_now(office, alice):
    assert held(office) == (0, 0)
    alice.write("small", b"x" * 100)
    alice.write("large", b"x" * 70 * KB)
    assert held(office) == (70_100, 2)
    alice.write("large", b"x" * 65 * KB)
    assert held(office) == (65_100, 2)
    alice.commit("large", alice.chains["large"][-1].body.content, [])  # for example, a rename
    assert held(office) == (65_100, 2)
    alice.remove("large")
    assert held(office) == (100, 1)


@pytest.mark.one_database
def test_a_restored_file_counts_again(office, alice):
    alice.write("f", b"x" * 70 * KB)
    content = alice.chains["f"][-1].body.content
    alice.remove("f")
    assert held(office) == (0, 0)
    alice.commit("f", content, [])
    assert held(office) == (70 * KB, 1)


@pytest.mark.one_database
def test_an_older_version_counts_when_it_is_the_newest_again(office, alice):
    alice.write("f", b"x" * 70 * KB)
    first = alice.chains["f"][-1].body.content
    alice.write("f", b"x" * 10)
    assert held(office) == (10, 1)
    alice.commit("f", first, [])
    assert held(office) == (70 * KB, 1)


@pytest.mark.one_database
def test_a_folder_counts_with_all_that_is_in_it(office, alice):
    shared = make_folder(office, alice.person)
    shared.send(alice.person, shared.put(alice.person, "one", b"x" * 40))
    shared.send(alice.person, shared.put(alice.person, "two", b"x" * 2))
    assert held(office) == (42, 2)


@pytest.mark.cases(2)
@pytest.mark.parametrize("keep", [KeepPolicy(0, 0), KeepPolicy(1, 1), KeepPolicy()])
@pytest.mark.one_database
def test_the_count_is_right_whatever_is_kept_and_after_the_janitor(office, clock, keep):
    alice = writer(office, clock, keep)
    for number in range(4):
        alice.write("f", b"x" * (66 * KB + number))
        alice.write("g", b"x" * (10 + number))
    assert held(office) == (66 * KB + 3 + 13, 2)
    alice.remove("f")
    assert held(office) == (13, 1)
    for _ in range(3):
        clock.forward(DAY_S)
        Janitor(office.database, office.blobs, clock, keep).run()
        assert held(office) == (13, 1)


@pytest.mark.one_database
def test_what_goes_with_the_keys_is_counted_no_more(office, alice):
    alice.write("f", b"x" * 100)
    office.people.reset_keys("alice")
    assert held(office) == (0, 0)


# --- refusals


@pytest.mark.one_database
def test_there_is_no_quota_by_default(office, alice, clock):
    person = office.people.show("alice")
    assert (person.quota_bytes, person.quota_files) == (None, None)
    upload(office, alice.person, "u", b"x" * 70 * KB)
    assert reserved(office, "alice", clock) == (0, 0)  # without quotas nothing is reserved


@pytest.mark.one_database
def test_a_commit_that_comes_to_more_is_refused_and_changes_nothing(office, alice):
    allowed(office, "alice", size=100)
    alice.write("f", b"x" * 60)
    with pytest.raises(QuotaError, match=r"60 B of 100 B are taken, and this needs 41 B more"):
        alice.write("g", b"x" * 41)
    assert held(office) == (60, 1)
    with pytest.raises(QuotaError):
        alice.write("f", b"x" * 101)
    assert alice.fetched("f", alice.chains["f"][-1].body.content.root) == b"x" * 60
    alice.chains.pop("g")
    alice.write("g", b"x" * 40)
    assert held(office) == (100, 2)


@pytest.mark.one_database
def test_the_number_of_files_is_limited(office, alice):
    allowed(office, "alice", files=2)
    alice.write("f", b"x")
    alice.write("g", b"x")
    with pytest.raises(QuotaError, match="of 2 files, 2 are there"):
        alice.write("h", b"x")
    alice.write("g", b"xx")
    alice.remove("f")
    alice.chains.pop("h")
    alice.write("h", b"x")
    assert held(office) == (3, 2)


def test_a_quota_is_an_error_of_status_9_with_a_hint():
    error = QuotaError()
    assert (error.code, error.exit_status) == ("quota", 9)
    assert isinstance(error, OutOfSpaceError)
    assert error.hint


@pytest.mark.one_database
def test_a_restored_file_needs_quota(office, alice):
    allowed(office, "alice", size=100)
    alice.write("f", b"x" * 60)
    content = alice.chains["f"][-1].body.content
    alice.remove("f")
    alice.write("g", b"x" * 60)
    with pytest.raises(QuotaError):
        alice.commit("f", content, [])
    alice.remove("g")
    alice.commit("f", content, [])
    assert held(office) == (60, 1)


@pytest.mark.one_database
def test_a_user_above_the_quota_can_still_remove_and_shrink_files(office, alice):
    alice.write("f", b"x" * 100)
    alice.write("g", b"x" * 100)
    allowed(office, "alice", size=50, files=1)
    with pytest.raises(QuotaError):
        alice.write("f", b"x" * 101)
    alice.write("f", b"x" * 90)
    alice.commit("f", alice.chains["f"][-1].body.content, [])
    alice.remove("g")
    assert held(office) == (90, 1)


@pytest.mark.one_database
def test_everybodys_quota_is_for_those_without_one_of_their_own(office, clock, alice):
    policy = QuotaPolicy(most_bytes=100, most_files=None)
    room_ = Quotas(office.database, now_ms=clock, policy=policy)
    alice.files = FileService(office.database, office.blobs, now_ms=clock, room=room_)
    alice.write("f", b"x" * 100)
    with pytest.raises(QuotaError):
        alice.write("f", b"x" * 101)
    allowed(office, "alice", size=200)
    alice.write("f", b"x" * 200)
    allowed(office, "alice", size=NO_LIMIT)
    alice.write("f", b"x" * 300)
    allowed(office, "alice", size=None)
    with pytest.raises(QuotaError):
        alice.write("f", b"x" * 301)


# --- reservations


@pytest.mark.one_database
def test_an_upload_is_refused_before_its_first_byte(office, alice):
    allowed(office, "alice", size=100 * KB)
    with pytest.raises(QuotaError):
        office.transfers.begin(alice.person.who, salt("u"), room(100 * KB + 1), line=OVER_LINE)
    assert list((office.blobs._folder / "staging").iterdir()) == []


@pytest.mark.one_database
def test_uploads_that_are_under_way_are_counted_by_those_that_begin(office, alice, clock):
    allowed(office, "alice", size=100 * KB)
    transfers, who = office.transfers, alice.person.who
    first = transfers.begin(who, salt("1"), room(60 * KB), line=OVER_LINE)
    with pytest.raises(QuotaError, match="are reserved by uploads under way"):
        transfers.begin(who, salt("2"), room(41 * KB), line=ANOTHER_LINE)
    with pytest.raises(QuotaError):
        alice.write("f", b"x" * 41 * KB)
    alice.chains.pop("f")
    alice.write("f", b"x" * 40 * KB)
    transfers.discard(first)
    assert reserved(office, "alice", clock) == (0, 0)
    transfers.begin(who, salt("2"), room(60 * KB), line=ANOTHER_LINE)


@pytest.mark.one_database
def test_what_was_reserved_is_what_is_used_once_it_is_committed(office, alice, clock):
    allowed(office, "alice", size=140 * KB, files=2)
    blob = b"x" * 70 * KB
    for name in ("f", "g"):
        who, mark = alice.person.who, Salt(fixed_keys.stretch(f"{name} 0 salt", 32))
        incoming = office.transfers.begin(who, mark, room(len(blob)), line=OVER_LINE)
        incoming.add(0, memoryview(blob))
        office.transfers.finish(who, incoming, blob_root(mark, blob), len(blob))
        assert reserved(office, "alice", clock) == (70 * KB, 1)
        content = manifest.Content(1, mark, blob_root(mark, blob), len(blob), bytes(32))
        alice.commit(name, content, [])
        assert reserved(office, "alice", clock) == (0, 0)
    assert held(office) == (140 * KB, 2)


def test_the_next_version_of_a_file_needs_room_for_what_it_is_larger(office, alice, clock):
    allowed(office, "alice", size=100 * KB, files=1)
    alice.write("f", b"x" * 90 * KB)
    wanted = room(100 * KB, instead=alice.node("f"))
    incoming = office.transfers.begin(alice.person.who, salt("u"), wanted, line=OVER_LINE)
    assert reserved(office, "alice", clock) == (10 * KB, 0)
    office.transfers.discard(incoming)
    wanted = room(100 * KB + 1, instead=alice.node("f"))
    with pytest.raises(QuotaError):
        office.transfers.begin(alice.person.who, salt("u"), wanted, line=OVER_LINE)


@pytest.mark.one_database
def test_a_file_of_another_person_frees_no_quota(office, alice, clock):
    bob = office.add("bob")
    bob.enrol(office, clock())
    alice.write("f", b"x" * 90 * KB)
    allowed(office, "bob", size=10 * KB)
    wanted = room(90 * KB, instead=alice.node("f"))
    with pytest.raises(QuotaError):
        office.transfers.begin(bob.who, salt("u"), wanted, line=OVER_LINE)


@pytest.mark.one_database
def test_more_than_was_announced_is_not_taken(office, alice):
    allowed(office, "alice", size=100 * KB)
    incoming = office.transfers.begin(alice.person.who, salt("u"), room(10), line=OVER_LINE)
    with pytest.raises(ConflictError, match="larger than announced"):
        incoming.add(0, memoryview(b"x" * 11))


@pytest.mark.parametrize("size", [0, -1, 1 << 63])
@pytest.mark.one_database
def test_an_impossible_size_is_refused(office, alice, size):
    with pytest.raises(RemoteProtocolError):
        office.transfers.begin(alice.person.who, salt("u"), room(size), line=OVER_LINE)


@pytest.mark.one_database
def test_of_unknown_size_as_much_comes_as_there_is_room_for(office, alice, clock):
    allowed(office, "alice", size=STEP + 3 * SEGMENT_SIZE)
    incoming = office.transfers.begin(alice.person.who, salt("u"), line=OVER_LINE)
    segment = memoryview(bytes(SEGMENT_SIZE))
    for index in range(STEP // SEGMENT_SIZE + 3):
        incoming.add(index, segment)
    with pytest.raises(QuotaError):
        incoming.add(STEP // SEGMENT_SIZE + 3, memoryview(b"x"))
    office.transfers.discard(incoming)
    assert reserved(office, "alice", clock) == (0, 0)


@pytest.mark.one_database
def test_an_upload_that_fails_gives_its_room_back(office, alice, clock):
    allowed(office, "alice", size=100 * KB)
    who, transfers = alice.person.who, office.transfers
    incoming = transfers.begin(who, salt("u"), room(5), line=OVER_LINE)
    incoming.add(0, memoryview(b"hello"))
    with pytest.raises(IntegrityError):
        transfers.finish(who, incoming, blob_root(salt("u"), b"other"), 5)
    assert reserved(office, "alice", clock) == (0, 0)


@pytest.mark.one_database
def test_what_was_uploaded_and_not_committed_ends_with_its_connection(office, alice, clock):
    allowed(office, "alice", size=100 * KB)
    upload(office, alice.person, "u", b"x" * 70 * KB)
    assert reserved(office, "alice", clock) == (70 * KB, 1)
    office.transfers.let_go(ANOTHER_LINE)
    assert reserved(office, "alice", clock) == (70 * KB, 1)
    office.transfers.let_go(OVER_LINE)
    assert reserved(office, "alice", clock) == (0, 0)
    assert held(office) == (0, 0)


@pytest.mark.one_database
def test_what_was_broken_off_reserves_nothing_until_it_goes_on(office, alice, clock):
    allowed(office, "alice", size=3 * SEGMENT_SIZE)
    who, transfers = alice.person.who, office.transfers
    wanted = room(2 * SEGMENT_SIZE)
    incoming = transfers.begin(who, salt("u"), wanted, resumable=True, line=OVER_LINE)
    incoming.add(0, memoryview(bytes(SEGMENT_SIZE)))
    transfers.suspend(incoming)
    assert reserved(office, "alice", clock) == (0, 0)
    other = transfers.begin(who, salt("o"), wanted, line=OVER_LINE)
    with pytest.raises(QuotaError):
        transfers.resume(who, salt("u"), wanted, line=ANOTHER_LINE)
    transfers.discard(other)
    kept, _ = transfers.resume(who, salt("u"), wanted, line=ANOTHER_LINE)
    assert kept.segments == 1  # the refusal did not discard it
    assert reserved(office, "alice", clock) == (2 * SEGMENT_SIZE, 1)


@pytest.mark.one_database
def test_who_goes_on_over_another_connection_reserves_it_once(office, alice, clock):
    allowed(office, "alice", size=2 * SEGMENT_SIZE)
    who, transfers = alice.person.who, office.transfers
    wanted = room(2 * SEGMENT_SIZE)
    incoming = transfers.begin(who, salt("u"), wanted, resumable=True, line=OVER_LINE)
    incoming.add(0, memoryview(bytes(SEGMENT_SIZE)))
    transfers.resume(who, salt("u"), wanted, line=ANOTHER_LINE)
    transfers.suspend(incoming)
    transfers.let_go(OVER_LINE)
    assert reserved(office, "alice", clock) == (2 * SEGMENT_SIZE, 1)


def test_one_that_never_starts_again_reserves_nothing_after_a_while(office, alice, clock):
    allowed(office, "alice", size=100 * KB)
    gone = Quotas(office.database, now_ms=clock, server="gone")
    gone.reserve(alice.person.who, salt("1"), OVER_LINE, room(60 * KB))
    clock.forward(LEASE_MS / 1000 - 1)
    gone.renew()
    clock.forward(LEASE_MS / 1000 - 1)
    assert reserved(office, "alice", clock) == (60 * KB, 1)
    clock.forward(1)
    assert reserved(office, "alice", clock) == (0, 0)
    Janitor(office.database, office.blobs, clock).run()
    with office.database.read() as db:
        assert db.scalar(text("SELECT count(*) FROM reservations")) == 0


def test_room_that_cannot_be_given_back_ends_by_itself(office, alice, clock):
    """A reservation expires even if the database fails at the end of the connection."""
    allowed(office, "alice", size=100 * KB)
    keeper = Quotas(office.database, now_ms=clock)
    keeper.reserve(alice.person.who, salt("1"), OVER_LINE, room(60 * KB))
    rename(office, "reservations", "away")
    with pytest.raises(DatabaseError):
        keeper.let_go(OVER_LINE)
    rename(office, "away", "reservations")
    keeper.renew()
    clock.forward(LEASE_MS / 1000)
    assert reserved(office, "alice", clock) == (0, 0)


def rename(office: Services, table: str, name: str) -> None:
    with office.database.write() as db:
        db.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))


# --- in a shared folder


@pytest.fixture
def shared(office: Services, clock: Clock, alice: Writer):
    bob = office.add("bob")
    bob.enrol(office, clock())
    carol = office.add("carol")
    carol.enrol(office, clock())
    made = make_folder(office, alice.person)
    made.share((bob, Role.WRITER), (carol, Role.READER))
    return made, bob, carol


@pytest.mark.one_database
def test_a_writer_uses_the_quota_of_the_owner(office, shared, clock):
    made, bob, _ = shared
    allowed(office, "alice", size=100)
    allowed(office, "bob", size=10)
    made.send(bob, made.put(bob, "theirs", b"x" * 60))
    assert held(office) == (60, 1)
    assert held(office, "bob") == (0, 0)
    with pytest.raises(QuotaError, match="quota of alice, in which this folder counts") as refusal:
        office.files.commit(bob.who, made.put(bob, "more", b"x" * 41))
    assert "60" not in refusal.value.sentence  # a writer must not learn the owner's usage
    wanted = room(40, folder=made.node)
    office.transfers.begin(bob.who, salt("u"), wanted, line=OVER_LINE)
    assert reserved(office, "alice", clock) == (40, 1)
    assert reserved(office, "bob", clock) == (0, 0)


@pytest.mark.one_database
def test_only_a_writer_reserves_the_owners_quota(office, shared, clock):
    made, _, carol = shared
    dave = office.add("dave")
    dave.enrol(office, clock())
    allowed(office, "alice", size=100)
    wanted = room(40, folder=made.node)
    with pytest.raises(NotAllowedError):
        office.transfers.begin(carol.who, salt("u"), wanted, line=OVER_LINE)
    with pytest.raises(NotFoundError):
        office.transfers.begin(dave.who, salt("u"), wanted, line=OVER_LINE)
    with pytest.raises(NotFoundError):
        office.transfers.begin(dave.who, salt("u"), room(40, folder=NodeId(bytes(16))))
    assert reserved(office, "alice", clock) == (0, 0)


def test_a_reservation_in_the_own_quota_is_none_in_the_owners(office, shared, clock):
    made, bob, _ = shared
    allowed(office, "alice", size=100)
    allowed(office, "bob", size=1000)
    ask = made.put(bob, "theirs", b"x" * 101)
    office.transfers.begin(bob.who, Salt(ask.blobs[0].salt), room(101), line=OVER_LINE)
    with pytest.raises(QuotaError):
        office.files.commit(bob.who, ask)
    assert held(office) == (0, 0)


@pytest.mark.one_database
def test_a_count_that_was_tampered_with_is_found(office, alice):
    alice.write("f", b"x" * 100)
    with office.database.write() as db:
        row = rows.hold(db, alice.person.who.user_id)
        assert row is not None
        row.used_bytes = 5
        rows.store(db, row)
    with office.database.read() as db:
        assert rows.differing(db) == [("alice", Held(5, 1), Held(100, 1))]
    with office.database.write() as db:
        rows.hold(db, alice.person.who.user_id)
        rows.start_over(db, alice.person.who.user_id)
    assert held(office) == (100, 1)


# --- the row that a commit counts in


def test_a_commit_counts_in_the_row_that_it_has_locked_and_in_no_other(office, alice):
    office.add("bob")
    with office.database.write() as db:
        one, other = (
            db.query(User).filter(User.name == name).one().id for name in ("alice", "bob")
        )
        row = rows.hold(db, one)
        check_charged(db, one, row)
        with pytest.raises(ConflictError):  # bob's folder was made after the owner was looked up
            check_charged(db, other, row)
        db.add(Handover(user_id=other, payer_id=one, closed_ms=0))
        db.flush()
        check_charged(db, other, row)
        assert rows.hold(db, other) == row


@pytest.mark.one_database
def test_each_commit_of_a_file_writes_the_quota_once(office, alice):
    alice.write("first", b"x")
    with statements_of(office.database) as written:
        alice.write("second", b"x" * 4096)
    assert sum(one.startswith("UPDATE quotas") for one in written) == 1
    with office.database.read() as db:
        user = db.query(User).filter(User.name == "alice").one().id
        before = rows.last_change(db, user).number
    alice.write("third", b"x")
    with office.database.read() as db:
        assert rows.last_change(db, user).number == before + 1
