"""Drops at the server: complete and broken uploads, and the data that the server keeps."""

from __future__ import annotations

import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from fsd.audit.events import AuditEvent
from fsd.backup import encrypt
from fsd.backup.make import make
from fsd.backup.restore import restore
from fsd.blobs.janitor import Janitor
from fsd.check.findings import FindingKind
from fsd.check.scan import Scan
from fsd.policies import DropPolicy
from fsd.services.drops.incoming import WINDOW
from fsd.services.drops.service import DropService
from fsd.store import schema
from fsd.store.audit_models import AuditEntry
from fsd.store.drop_models import Drop as Row
from fsd.store.engine import Database
from fsd.store.models import Base, Blob
from fsproto.drop import open_drop
from fsproto.errors import (
    ConflictError,
    ExistsError,
    FsError,
    IntegrityError,
    InvalidNameError,
    NotAllowedError,
    NotFoundError,
    OutOfSpaceError,
    RemoteProtocolError,
)
from fsproto.limits import MAX_INLINE_BLOB, SEGMENT_SIZE
from fsproto.sealed.stream import FIRST_PLAIN, OTHER_PLAIN
from fsproto.types import DropId, NodeId
from tests.support.drops import SCANNER, drop, enter, inbox, waiting, write
from tests.support.fixed_keys import TIME_MS, stretch, turned
from tests.support.services import ADDRESS, CHANNEL, Clock, Services, ServiceUser, identity

pytestmark = pytest.mark.both_databases

SIZES = [
    0,
    1,
    1000,
    MAX_INLINE_BLOB - 56,
    MAX_INLINE_BLOB - 55,
    FIRST_PLAIN - 1,
    FIRST_PLAIN,
    FIRST_PLAIN + 1,
    FIRST_PLAIN + OTHER_PLAIN,
    3 * SEGMENT_SIZE,
]


@pytest.fixture
def alice(office: Services, clock: Clock) -> ServiceUser:
    made = office.add("alice")
    made.enrol(office, clock())
    return made


@pytest.fixture
def bob(office: Services, clock: Clock) -> ServiceUser:
    made = office.add("bob")
    made.enrol(office, clock())
    return made


def with_policy(office: Services, **policy: Any) -> None:
    office.drops = DropService(
        office.database,
        office.blobs,
        policy=DropPolicy(**{"box": True, **policy}),
        audit=office.audit,
        now_ms=office.drops.now_ms,
        random=os.urandom,
    )


def files(office: Services) -> list[Path]:
    """Return all files of the blob store, staged or kept."""
    return [path for path in office.blobs._folder.rglob("*") if path.is_file()]


def rows(office: Services) -> tuple[int, int]:
    with office.database.read() as db:
        blobs = db.scalars(select(Blob.root)).all()
        return len(db.scalars(select(Row.id)).all()), len(blobs)


# --- complete drops


@pytest.mark.cases(5)
@pytest.mark.one_database
@pytest.mark.parametrize("size", SIZES)
def test_what_is_dropped_is_what_the_person_opens(office, alice, size):
    whole = stretch("dropped", size)
    drop(enter(office, alice, SCANNER), "scans/page 1.pdf", whole)
    (sent,) = waiting(office, alice.who)
    opened = open_drop(sent, alice.identity)
    assert inbox(office, alice) == {"scans/page 1.pdf": whole}
    note = opened.note
    assert (note.size, note.arrived_ms, note.mtime_ns) == (size, TIME_MS, TIME_MS * 10**6)
    assert (note.key, note.label, note.address) == (SCANNER.key, "scanner", SCANNER.address)
    assert opened.parts == ("scans", "page 1.pdf")


@pytest.mark.one_database
def test_what_is_written_a_little_out_of_order_comes_through(office, alice):
    whole = stretch("order", 3 << 20)
    one = enter(office, alice).begin("x")
    pieces = [(at, whole[at : at + 32_768]) for at in range(0, len(whole), 32_768)]
    for first in range(0, len(pieces), 16):
        for offset, piece in reversed(pieces[first : first + 16]):
            one.write(offset, piece)
    one.finish()
    assert inbox(office, alice) == {"x": whole}


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("offset", "sentence"),
    [(0, "written over"), (9, "written over"), (10 + WINDOW, "beginning to its end")],
)
def test_what_is_written_anywhere_else_is_refused_and_nothing_becomes_of_it(
    office, alice, offset, sentence
):
    one = enter(office, alice).begin("x")
    one.write(0, b"0123456789")
    with pytest.raises(NotAllowedError, match=sentence):
        one.write(offset, b"x")
    with pytest.raises(ConflictError):
        one.finish()
    assert (rows(office), files(office)) == ((0, 0), [])


@pytest.mark.one_database
def test_writes_that_overlap_do_not_fill_the_memory(office, alice):
    one = enter(office, alice).begin("x")
    room = WINDOW // 200_000
    for offset in range(1, room + 1):
        one.write(offset, bytes(200_000))
    with pytest.raises(NotAllowedError):
        one.write(room + 1, bytes(200_000))
    assert sum(map(len, one._content._early.values())) <= WINDOW


@pytest.mark.one_database
def test_a_gap_makes_no_drop(office, alice):
    one = enter(office, alice).begin("x")
    one.write(0, bytes(2 * SEGMENT_SIZE))
    one.write(2 * SEGMENT_SIZE + 1, b"behind a gap")
    with pytest.raises(ConflictError, match="missing"):
        one.finish()
    assert (rows(office), files(office)) == ((0, 0), [])


# --- interrupted drops


@pytest.mark.one_database
def test_an_upload_that_is_cut_off_is_never_a_drop(office, alice):
    box = enter(office, alice)
    write(box.begin("cut"), bytes(2 * SEGMENT_SIZE))
    assert len(files(office)) == 1
    box.close()
    assert (rows(office), files(office), waiting(office, alice.who)) == ((0, 0), [], [])


@pytest.mark.one_database
def test_leftovers_of_a_killed_server_are_deleted_after_a_day(office, alice, clock):
    one = enter(office, alice).begin("cut")
    write(one, bytes(2 * SEGMENT_SIZE))  # and no process is left to finish it
    janitor = Janitor(office.database, office.blobs, clock)
    janitor.run()
    assert len(files(office)) == 1  # another server might be receiving it
    clock.forward(25 * 3600)
    janitor.run()
    assert files(office) == []


def test_a_drop_that_cannot_be_committed_leaves_nothing(office, alice):
    one = enter(office, alice).begin("x")
    write(one, bytes(2 * SEGMENT_SIZE))
    with office.database.write() as db:
        db.execute(text("UPDATE audit_head SET proof = :none"), {"none": bytes(32)})
    with pytest.raises(FsError):
        one.finish()
    assert (rows(office), files(office)) == ((0, 0), [])


@pytest.mark.one_database
def test_a_drop_is_durable_before_it_is_known(office, alice, monkeypatch):
    """The blob has its final name before its row is written."""
    one = enter(office, alice).begin("x")
    write(one, bytes(2 * SEGMENT_SIZE))
    there: list[bool] = []
    commit = office.drops.commit

    def looked(box, made, instead):
        there.append(office.blobs.path(made.place or "").exists())
        commit(box, made, instead)

    monkeypatch.setattr(office.drops, "commit", looked)
    one.finish()
    assert there == [True]


# --- data that the server keeps


def test_the_server_keeps_neither_name_nor_content_nor_a_key(office, alice):
    secret, large = (
        b"for the person alone to read",
        stretch("large", SEGMENT_SIZE + 10) + b"the end",
    )
    box = enter(office, alice)
    drop(box, "a name that is nobodys business", secret)
    drop(box, "another of the same kind", large)
    keys = [open_drop(one, alice.identity).file_key for one in waiting(office, alice.who)]
    kept = b"".join(path.read_bytes() for path in files(office))
    with office.database.read() as db:
        for table in Base.metadata.sorted_tables:
            for row in db.execute(select(table)):
                kept += b"\n".join(
                    value if isinstance(value, bytes) else str(value).encode() for value in row
                )
    for hidden in (secret, large[:64], large[-64:], b"nobodys", b"same kind", *keys):
        assert hidden not in kept
    assert not {mine.note_key for mine in box.mine().values()} & set(map(bytes, keys))


@pytest.mark.one_database
def test_a_session_lists_its_own_drops_and_no_others(office, alice):
    first, second = enter(office, alice), enter(office, alice)
    drop(first, "mine", b"1")
    drop(second, "theirs", b"2")
    assert (set(first.mine()), set(second.mine())) == ({"mine"}, {"theirs"})
    for act in (second.remove, lambda name: second.rename({name: "x"})):
        with pytest.raises(NotFoundError):
            act("mine")
    assert set(inbox(office, alice)) == {"mine", "theirs"}


# --- names


@pytest.mark.one_database
def test_a_drop_can_be_renamed_and_a_folder_of_them(office, alice):
    box = enter(office, alice)
    drop(box, "a/x.part", b"1")
    drop(box, "a/y.part", b"2")
    box.rename({"a/x.part": "b/x", "a/y.part": "b/y"})
    assert inbox(office, alice) == {"b/x": b"1", "b/y": b"2"}
    assert set(box.mine()) == {"b/x", "b/y"}
    with pytest.raises(ExistsError):
        box.rename({"b/x": "b/y"})
    box.rename({"b/x": "b/y"}, replacing=True)
    assert inbox(office, alice) == {"b/y": b"1"}
    assert rows(office) == (1, 1)


@pytest.mark.one_database
def test_a_drop_that_was_accepted_can_be_neither_renamed_nor_brought_back(office, alice):
    box = enter(office, alice)
    drop(box, "x", b"1")
    office.drops.remove(alice.who, [one.drop for one in waiting(office, alice.who)])
    with pytest.raises(NotFoundError):
        box.rename({"x": "y"})
    with pytest.raises(NotFoundError):
        box.set_time("x", 5)
    assert rows(office) == (0, 0)


@pytest.mark.one_database
def test_a_drop_of_the_same_name_takes_the_place_of_the_one_before(office, alice):
    box = enter(office, alice)
    drop(box, "x", b"first")
    drop(box, "x", bytes(2 * SEGMENT_SIZE))
    drop(box, "x", b"third")
    assert inbox(office, alice) == {"x": b"third"}
    assert (rows(office), files(office)) == ((1, 1), [])


def test_two_of_one_name_are_not_written_at_once(office, alice):
    box = enter(office, alice)
    box.begin("x")
    with pytest.raises(ConflictError):
        box.begin("x")


def test_time_is_kept_and_a_drop_can_be_taken_back(office, alice):
    box = enter(office, alice)
    one = box.begin("x")
    one.mtime_ns = 7
    one.finish()
    assert open_drop(waiting(office, alice.who)[0], alice.identity).note.mtime_ns == 7
    box.set_time("x", 8)
    assert open_drop(waiting(office, alice.who)[0], alice.identity).note.mtime_ns == 8
    box.remove("x")
    assert (rows(office), box.mine()) == ((0, 0), {})


@pytest.mark.one_database
@pytest.mark.parametrize(
    "name",
    [
        *("", "/x", "x/", "a//b", "..", "../x", "a/../b", ".", "a\nb", "\x1b[2J", "\udcff"),
        "x" * 256,
        "a/" * 32 + "b",
        "/".join(["x" * 200] * 6),
    ],
)
def test_a_name_that_cannot_be_is_refused(office, alice, name):
    with pytest.raises(InvalidNameError):
        enter(office, alice).begin(name)


# --- limits


@pytest.mark.one_database
def test_nothing_is_dropped_unless_the_operator_wants_it(office, alice):
    assert DropPolicy().box is False
    with_policy(office, box=False)
    with pytest.raises(NotAllowedError):
        enter(office, alice)


@pytest.mark.one_database
def test_a_drop_for_a_person_without_keys_is_refused(office, alice):
    office.add("carol")
    office.people.set_disabled("alice", disabled=True)
    for name in ("alice", "carol", "nobody", "", "\0"):
        with pytest.raises(NotAllowedError):
            office.drops.enter(name, SCANNER)


@pytest.mark.one_database
def test_a_person_disabled_during_an_upload_gets_no_drop(office, alice):
    one = enter(office, alice).begin("x")
    office.people.set_disabled("alice", disabled=True)
    with pytest.raises(NotAllowedError):
        one.finish()
    assert rows(office) == (0, 0)


@pytest.mark.one_database
def test_limits_of_size_number_and_name(office, alice):
    with_policy(office, largest_mib=1, waiting=2, at_once=2, longest_name=20)
    box = enter(office, alice)
    with pytest.raises(OutOfSpaceError):
        box.begin("large").write(0, bytes((1 << 20) + 1))
    with pytest.raises(InvalidNameError):
        box.begin("x" * 21)
    box.begin("second")
    with pytest.raises(OutOfSpaceError):
        box.begin("third at once")
    box.close()
    box = enter(office, alice)
    drop(box, "1", b"")
    drop(box, "2", bytes(1 << 20))
    with pytest.raises(OutOfSpaceError):
        box.begin("3")
    office.drops.remove(alice.who, [waiting(office, alice.who)[0].drop])
    drop(box, "3", b"")


@pytest.mark.one_database
def test_sealed_bytes_that_wait_are_limited(office, alice):
    with_policy(office, waiting_mib=1)
    box = enter(office, alice)
    drop(box, "small", bytes(1000))
    one = box.begin("too large")
    write(one, bytes(1 << 20))
    with pytest.raises(OutOfSpaceError):
        one.finish()
    assert set(inbox(office, alice)) == {"small"}
    assert files(office) == []


def test_of_many_concurrent_drops_only_as_many_as_allowed_succeed(office, alice):
    with_policy(office, waiting=3, at_once=12)
    started = [enter(office, alice).begin(f"{number}") for number in range(12)]
    ready = threading.Barrier(12)

    def finish(one):
        ready.wait()
        try:
            one.finish()
        except OutOfSpaceError:
            return 0
        return 1

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(finish, started)) == 3
    assert rows(office) == (3, 3)


# --- other people, other keys


@pytest.mark.one_database
def test_a_drop_is_for_one_person_alone(office, alice, bob):
    drop(enter(office, alice), "x", b"for alice")
    (sent,) = waiting(office, alice.who)
    assert waiting(office, bob.who) == []
    with pytest.raises(NotFoundError):
        office.transfers.open(bob.who, NodeId(sent.drop), sent.content.root)
    office.drops.remove(bob.who, [sent.drop])
    with pytest.raises(IntegrityError):
        open_drop(sent, bob.identity)
    assert inbox(office, alice) == {"x": b"for alice"}


def test_no_more_drops_are_named_at_once_than_a_message_may(office, alice):
    with pytest.raises(RemoteProtocolError):
        office.drops.remove(alice.who, [DropId(bytes(16))] * 1001)


def rotated(office: Services, alice: ServiceUser) -> ServiceUser:
    new = identity("alice", "second", 2)
    kept = (alice.identity,)
    office.rotate(alice.who, alice.rotation(alice.code(TIME_MS, 1), new))
    again = ServiceUser(
        type(new)(new.user, new.signing, new.rsa, new.kem, new.bundle, kept), alice.otp
    )
    again.principal = alice.who
    return again


@pytest.mark.one_database
def test_after_a_rotation_the_former_keys_open_waiting_drops(office, alice):
    box = enter(office, alice)
    drop(box, "before", b"1")
    under_way = box.begin("meanwhile")
    again = rotated(office, alice)
    under_way.finish()
    drop(enter(office, alice), "after", b"2")
    assert inbox(office, again) == {"before": b"1", "meanwhile": b"", "after": b"2"}


@pytest.mark.one_database
def test_a_reset_of_keys_deletes_waiting_drops(office, alice, clock):
    box = enter(office, alice)
    drop(box, "x", bytes(2 * SEGMENT_SIZE))
    under_way = box.begin("meanwhile")
    write(under_way, bytes(2 * SEGMENT_SIZE))
    office.people.reset_keys("alice")
    assert rows(office) == (0, 0)
    with pytest.raises(ConflictError):
        under_way.finish()
    assert (rows(office), files(office)) == ((0, 0), [])


@pytest.mark.one_database
def test_waiting_drops_are_deleted_with_their_user(office, alice):
    drop(enter(office, alice), "x", bytes(2 * SEGMENT_SIZE))
    office.people.remove("alice")
    assert (rows(office), files(office)) == ((0, 0), [])


# --- maintenance


@pytest.mark.one_database
def test_a_drop_that_is_not_accepted_is_deleted_in_the_end(office, alice, clock):
    box = enter(office, alice)
    drop(box, "old", bytes(2 * SEGMENT_SIZE))
    clock.forward(29 * 86400)
    drop(box, "young", b"1")
    janitor = Janitor(office.database, office.blobs, clock, drops=DropPolicy(keep_days=30))
    janitor.run()
    assert set(inbox(office, alice)) == {"old", "young"}
    clock.forward(2 * 86400)
    janitor.run()
    assert (set(inbox(office, alice)), files(office)) == ({"young"}, [])


@pytest.mark.one_database
def test_a_check_knows_drops_and_finds_damage_in_them(office, alice):
    box = enter(office, alice)
    drop(box, "small", b"1")
    drop(box, "large", bytes(2 * SEGMENT_SIZE))
    assert list(Scan(office.database, office.blobs).findings()) == []
    (path,) = files(office)
    path.write_bytes(turned(path.read_bytes()))
    (found,) = Scan(office.database, office.blobs).findings()
    assert (found.kind, found.loses, found.owner) == (FindingKind.DAMAGED, True, "alice")
    assert "dropped for alice" in found.sentence
    path.unlink()
    (found,) = Scan(office.database, office.blobs).findings()
    assert found.kind is FindingKind.MISSING


@pytest.mark.one_database
def test_what_waits_counts_as_stored(office, alice):
    drop(enter(office, alice), "x", bytes(1000))
    assert office.people.show("alice").stored_bytes == 1056


def test_a_backup_contains_waiting_drops(database, home, clock, monkeypatch, tmp_path):
    for name, value in (("_PASSES", 1), ("_LANES", 1), ("_MEMORY_KIB", 8)):
        monkeypatch.setattr(encrypt, name, value)
    office = Services(database, home.blobs, clock)
    alice = office.add("alice")
    alice.enrol(office, clock())
    box = enter(office, alice)
    whole = stretch("large", 2 * SEGMENT_SIZE)
    drop(box, "small", b"1")
    drop(box, "large", whole)
    out = io.BytesIO()
    make(home, database, out, "phrase", now_ms=clock, random=os.urandom)
    out.seek(0)
    target = type(home)(tmp_path / "other")
    restore(out, "phrase", target, "sqlite://", clock())
    with closing(Database(target.database_url)) as other:
        again = Services(other, target.blobs, clock)
        assert inbox(again, alice) == {"small": b"1", "large": whole}
        assert list(Scan(other, again.blobs).findings()) == []


def test_an_accepted_drop_is_recorded_and_causes_a_notice(office, alice, clock):
    box = enter(office, alice, SCANNER)
    drop(box, "1", b"1")
    drop(box, "2", b"2")
    _, welcome = office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)
    (notice,) = welcome.notices
    assert (notice.kind, notice.count, notice.address) == ("dropped", 2, SCANNER.address)
    office.drops.remove(alice.who, [one.drop for one in waiting(office, alice.who)])
    with office.database.read() as db:
        entries = {(e.event, e.actor, e.subject) for e in db.scalars(select(AuditEntry))}
    assert (AuditEvent.DROPPED, f"drop-key:{SCANNER.key}", "alice") in entries
    assert (AuditEvent.DROPS_REMOVED, "alice", "alice") in entries
    assert office.audit.look(office.database).findings == []


@pytest.mark.one_database
def test_the_person_is_told_how_many_wait_not_how_many_came(office, alice):
    def told() -> list[int]:
        _, welcome = office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)
        return [notice.count for notice in welcome.notices if notice.kind == "dropped"]

    box = enter(office, alice, SCANNER)
    for name, content in (("1", b"first"), ("2", b"2"), ("1", b"in its place")):
        drop(box, name, content)
    assert told() == [2]
    drop(box, "3", b"3")
    assert told() == [3]
    for name in ("4", "3"):
        drop(box, name, b"again")
    for name in ("1", "2", "3", "4"):
        box.remove(name)
    assert told() == []


# --- the revision


@pytest.mark.one_database
def test_the_drop_box_comes_and_goes_with_something_in_it(database_url, tmp_path, clock):
    with closing(Database(database_url)) as database:
        schema.upgrade(database)
        office = Services(database, tmp_path / "blobs", clock)
        alice = office.add("alice")
        alice.enrol(office, clock())
        alice.put(office, "large", b"sealed" * 50_000, inline=False)
        drop(enter(office, alice), "small", b"1")
        drop(enter(office, alice), "large", bytes(2 * SEGMENT_SIZE))
        schema.downgrade(database, "0006")
        with database.read() as db:
            assert len(db.execute(text("SELECT root FROM blobs")).all()) == 1
        Janitor(
            database, office.blobs, clock
        )  # of the newer version; it runs only after the upgrade
        schema.upgrade(database)
        assert waiting(office, alice.who) == []
        Janitor(database, office.blobs, clock).run()
        drop(enter(office, alice), "again", b"2")
        assert inbox(office, alice) == {"again": b"2"}
