"""Request links at the server: counts, refusals, and kept files."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from fsd.audit.events import AuditEvent
from fsd.blobs.janitor import Janitor
from fsd.policies import DropPolicy, RequestPolicy
from fsd.services.links.proofs import NoSuchLink
from fsd.services.requests.uploader import UploadRefused
from fsproto.errors import (
    ConflictError,
    NotAllowedError,
    OutOfSpaceError,
    QuotaError,
    RemoteProtocolError,
)
from fsproto.limits import SEGMENT_SIZE
from fsproto.requests.upload import (
    BUSY,
    DAMAGED,
    FULL,
    NO_ROOM,
    ORDER,
    TAKEN,
    TOO_LARGE,
)
from fsproto.types import DropId, Root
from tests.support import light_argon2
from tests.support.fixed_keys import stretch
from tests.support.requests import UPLOADER, Asked
from tests.support.services import GUESSES, Services, ServiceUser, audited, identity

pytestmark = pytest.mark.both_databases

DAY_S = 24 * 3600.0
LARGE = stretch("a large file", 2 * SEGMENT_SIZE + 1000)


@pytest.fixture(autouse=True)
def _passwords_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    light_argon2.use(monkeypatch.setattr)


@pytest.fixture
def alice(office: Services, clock) -> ServiceUser:
    return person(office, clock, "alice")


def person(office: Services, clock, name: str) -> ServiceUser:
    one = office.add(name)
    one.enrol(office, clock())
    return one


@pytest.fixture
def asked(office: Services, alice: ServiceUser) -> Asked:
    return Asked(office, alice).make()


def refused(act, *args: object) -> str:
    with pytest.raises(UploadRefused) as why:
        act(*args)
    return why.value.word


def test_a_file_is_sent_and_its_owner_opens_it(asked):
    file = asked.send(LARGE, "scans/1.pdf")
    (drop,) = asked.waiting()
    assert drop.drop == file.drop
    assert drop.arrived.request == asked.keys.request
    assert asked.plain(drop) == LARGE
    shown = asked.shown()
    assert (shown.files, shown.size, shown.waiting) == (1, len(LARGE), 1)
    events = AuditEvent.REQUEST_MADE, AuditEvent.REQUEST_FILE_SENT
    found = audited(asked.office, *events)
    assert [(kind, whose) for kind, whose, _ in found] == [(kind, "alice") for kind in events]


def test_the_description_needs_the_right_proof(asked):
    uploaders, keys = asked.office.uploaders, asked.keys
    assert uploaders.description(keys.request, keys.shown, UPLOADER) == asked.sealed
    with pytest.raises(NoSuchLink):
        uploaders.description(keys.request, bytes(48), UPLOADER)


def test_an_upload_resumes_after_the_server_has_forgotten_it(asked):
    file = asked.file(LARGE)
    asked.start(file)
    asked.add(file, 0, 2)
    asked.office.uploaders.close()  # as at the end of a server
    assert asked.start(file).segments == 2
    asked.add(file, 2)
    asked.finish(file)
    assert asked.plain(asked.waiting()[0]) == LARGE
    assert asked.shown().files == 1


def test_two_servers_of_one_database_continue_the_same_upload(asked, clock, tmp_path):
    other = Services(asked.office.database, asked.office.blobs.staging.parent, clock)
    file = asked.file(LARGE)
    asked.start(file)
    asked.add(file, 0, 1)
    asked.office.uploaders.close()
    there = Asked.__new__(Asked)
    there.__dict__ |= asked.__dict__ | {"office": other}
    assert there.start(file).segments == 1
    there.add(file, 1)
    there.finish(file)
    assert asked.plain(asked.waiting()[0]) == LARGE


def test_a_repeated_end_has_the_same_answer(asked):
    file = asked.send(b"once")
    assert asked.finish(file).finished
    assert asked.start(file).finished
    assert len(asked.waiting()) == 1
    asked.office.drops.remove(asked.owner.who, [file.drop])
    assert asked.finish(file).finished  # also after the owner has accepted it
    assert (
        refused(
            asked.office.uploaders.finish,
            *(asked.keys.request, file.drop, replace(file.end, root=Root(bytes(32))), UPLOADER),
        )
        == TAKEN
    )


def test_segments_out_of_order_or_of_another_size_are_refused(asked):
    file = asked.file(LARGE)
    asked.start(file)
    add = asked.office.uploaders.add
    request = asked.keys.request
    assert refused(add, request, file.drop, 1, memoryview(file.segments[1])) == ORDER
    assert refused(add, request, file.drop, 0, memoryview(file.segments[0])[:-1]) == ORDER
    asked.add(file)
    assert refused(add, request, file.drop, 3, memoryview(b"more")) == ORDER
    asked.finish(file)


def test_an_end_before_the_last_segment_is_refused_and_the_upload_goes_on(asked):
    file = asked.file(LARGE)
    asked.start(file)
    asked.add(file, 0, 1)
    assert refused(asked.finish, file) == ORDER
    asked.add(file, 1)
    asked.finish(file)


def test_content_with_another_root_is_refused_and_forgotten(asked):
    file = asked.file(LARGE)
    asked.start(file)
    asked.add(file)
    file.end = replace(file.end, root=Root(bytes(32)))
    assert refused(asked.finish, file) == DAMAGED
    assert asked.waiting() == []
    assert asked.shown().files == 0
    assert asked.office.staged() == []


@pytest.mark.parametrize(
    ("limits", "word"), [({"max_files": 2}, FULL), ({"max_bytes": 10}, TOO_LARGE)]
)
def test_a_request_link_takes_no_more_than_its_owner_permits(office, alice, limits, word):
    asked = Asked(office, alice, **limits).make()
    asked.send(b"12345")
    asked.send(b"12345"[: 10 - 5])
    assert refused(asked.start, asked.file(b"1")) == word


def test_of_two_uploaders_of_the_last_file_one_sends_it(office, alice):
    asked = Asked(office, alice, max_files=1).make()
    files = [asked.file(b"1"), asked.file(b"2")]

    def start(file) -> str:
        try:
            asked.start(file)
        except UploadRefused as why:
            return why.word
        return ""

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(start, files)) == ["", FULL]


def test_an_abandoned_upload_gives_back_what_it_counts(office, alice):
    asked = Asked(office, alice, max_files=1).make()
    file = asked.file(LARGE)
    asked.start(file)
    asked.add(file, 0, 2)
    office.uploaders.abandon(asked.keys.request, file.drop)
    assert (asked.shown().files, asked.shown().size) == (0, 0)
    assert office.staged() == []
    asked.send(b"1")
    office.uploaders.abandon(asked.keys.request, asked.waiting()[0].drop)  # complete: it stays
    assert len(asked.waiting()) == 1


def test_an_upload_that_nobody_continues_gives_back_what_it_counts(office, alice, clock):
    asked = Asked(office, alice, max_files=1).make()
    file = asked.file(LARGE)
    asked.start(file)
    asked.add(file, 0, 2)
    office.uploaders.close()
    clock.forward(DAY_S + 1)
    Janitor(office.database, office.blobs, clock).run()
    assert asked.shown().files == 0
    assert office.staged() == []
    asked.send(b"1")


def test_an_idle_upload_is_written_down(asked, clock):
    file = asked.file(LARGE)
    asked.start(file)
    asked.add(file, 0, 2)
    clock.forward(61)
    asked.office.uploaders.renew()
    asked.add(file, 2)
    asked.finish(file)
    assert asked.plain(asked.waiting()[0]) == LARGE


def test_the_drop_boxes_limits_hold_for_what_is_being_sent_too(office, alice):
    office.uploaders.drops = DropPolicy(waiting=2, largest_mib=1)
    one, other = Asked(office, alice).make(), Asked(office, alice).make()
    one.start(one.file(b"1"))
    other.send(b"2")
    assert refused(other.start, other.file(b"3")) == NO_ROOM
    assert refused(one.start, one.file(b"4")) == NO_ROOM
    office.uploaders.drops = DropPolicy(largest_mib=1)
    assert refused(one.start, one.file(LARGE)) == TOO_LARGE


def test_too_many_files_at_once_are_asked_to_come_later(office, alice, clock):
    office.uploaders.policy = RequestPolicy(at_once=1)
    asked = Asked(office, alice).make()
    asked.start(asked.file(b"1"))
    assert refused(asked.start, asked.file(b"2")) == BUSY
    clock.forward(121)
    asked.start(asked.file(b"2"))


def test_a_drop_id_that_is_in_use_is_refused(office, alice, asked, clock):
    bob = person(office, clock, "bob")
    other = Asked(office, bob).make()
    file = asked.file(b"1")
    asked.start(file)
    assert refused(other.start, file) == TAKEN
    assert refused(asked.start, _changed(file, salt=bytes(32))) == TAKEN
    root = alice.root.node
    assert refused(asked.start, _changed(asked.file(b"1"), drop=DropId(root))) == TAKEN


def _changed(file, **changes: object):
    file.start = replace(file.start, **changes)
    return file


@pytest.mark.parametrize("size", [0, 40, 55, SEGMENT_SIZE + 1, (1 << 63) - 1])
def test_a_size_that_no_sealed_file_has_is_refused(asked, size):
    assert refused(asked.start, _changed(asked.file(b"1"), sealed_size=size)) == TOO_LARGE


def test_tickets_are_for_one_drop_of_one_request_link_for_a_day(asked, office, alice, clock):
    check = office.uploaders.check
    one, other = asked.file(b"1"), asked.file(b"2")
    ticket = asked.start(one).ticket
    asked.start(other)
    check(asked.keys.request, one.drop, ticket)
    elsewhere = Asked(office, alice).make()
    for request, drop, shown in (
        (asked.keys.request, other.drop, ticket),
        (elsewhere.keys.request, one.drop, ticket),
        (asked.keys.request, one.drop, ticket[:-1]),
        (asked.keys.request, one.drop, b""),
    ):
        with pytest.raises(NoSuchLink):
            check(request, drop, shown)
    clock.forward(DAY_S)
    with pytest.raises(NoSuchLink):
        check(asked.keys.request, one.drop, ticket)


def _end_by_owner(asked, office, clock) -> None:
    office.requests.end(asked.owner.who, [asked.keys.request])


def _end_by_disabling(asked, office, clock) -> None:
    office.people.set_disabled("alice", disabled=True)


def _end_by_time(asked, office, clock) -> None:
    clock.forward(101)


def _end_by_new_keys(asked, office, clock) -> None:
    alice = asked.owner
    new = identity("alice", "second", 2)
    office.rotate(alice.who, alice.rotation(alice.code(clock(), 1), new))


def _end_by_the_operator(asked, office, clock) -> None:
    office.uploaders.policy = RequestPolicy(most=0)


@pytest.mark.parametrize(
    "end",
    [_end_by_owner, _end_by_disabling, _end_by_time, _end_by_new_keys, _end_by_the_operator],
)
def test_what_has_ended_is_like_what_never_was(office, alice, clock, end):
    asked = Asked(office, alice, expires_ms=clock() + 100_000).make()
    file = asked.file(LARGE)
    ticket = asked.start(file).ticket
    asked.add(file, 0, 1)
    end(asked, office, clock)
    for act in (
        lambda: asked.start(asked.file(b"1"), "192.0.2.8"),
        lambda: asked.start(file, "192.0.2.9"),
        lambda: office.uploaders.check(asked.keys.request, file.drop, ticket),
        lambda: asked.finish(file),
        lambda: office.uploaders.description(asked.keys.request, asked.keys.shown, "192.0.2.10"),
    ):
        with pytest.raises(NoSuchLink):
            act()
    assert asked.waiting() == []


def test_a_file_is_not_complete_after_its_request_link_has_ended(asked, office, clock):
    file = asked.file(b"1")
    asked.start(file)
    asked.add(file)
    _end_by_owner(asked, office, clock)
    with pytest.raises(NoSuchLink):
        asked.finish(file)
    assert asked.waiting() == []


def test_an_ended_request_link_is_listed_while_its_drops_wait(asked, office, clock):
    file = asked.send(b"1")
    _end_by_owner(asked, office, clock)
    janitor = Janitor(office.database, office.blobs, clock)
    clock.forward(2 * DAY_S)
    janitor.run()
    assert (asked.shown().ended, asked.shown().waiting) == (True, 1)
    office.drops.remove(asked.owner.who, [file.drop])
    janitor.run()
    assert asked.listed() is None


def test_wrong_passwords_lock_and_only_with_the_url(office, alice, clock):
    asked = Asked(office, alice, "zebra").make()
    wrong = asked.secret.keys("horse").shown
    for number in range(GUESSES.most_failures):
        with pytest.raises(NoSuchLink):
            office.uploaders.description(
                asked.keys.request, bytes(16) + wrong[16:], f"10.0.0.{number}"
            )
    assert not asked.shown().locked
    for number in range(GUESSES.most_failures):
        with pytest.raises(NoSuchLink):
            office.uploaders.description(asked.keys.request, wrong, f"10.1.{number}.1")
    assert asked.shown().locked
    with pytest.raises(NoSuchLink):
        asked.start(asked.file(b"1"), "10.2.0.1")


def test_a_full_disk_is_named_and_the_upload_resumes(asked, office, monkeypatch):
    file = asked.file(LARGE)
    asked.start(file)
    asked.add(file, 0, 1)

    def full(*_: object) -> None:
        raise OutOfSpaceError("The server has no space left.")

    with monkeypatch.context() as patched:
        patched.setattr("fsd.blobs.local.LocalWriter.write", full)
        add = office.uploaders.add
        request = asked.keys.request
        assert refused(add, request, file.drop, 1, memoryview(file.segments[1])) == NO_ROOM
    have = asked.start(file).segments
    asked.add(file, have)
    asked.finish(file)
    assert asked.plain(asked.waiting()[0]) == LARGE


def test_removing_an_account_and_resetting_its_keys_end_its_request_links(office, alice, clock):
    for end in (office.people.reset_keys, office.people.remove):
        asked = Asked(office, alice).make()
        file = asked.file(LARGE)
        asked.start(file)
        asked.add(file, 0, 2)
        office.uploaders.close()
        end("alice")
        with pytest.raises(NoSuchLink):
            asked.start(asked.file(b"1"), os.urandom(4).hex())
        Janitor(office.database, office.blobs, clock).run()
        assert office.staged() == []
        if end == office.people.reset_keys:
            assert asked.listed() is None
            break


def test_a_request_link_is_refused_that_nobody_could_use(office, alice, clock):
    asked = Asked(office, alice)
    for changes, error in (
        ({"request": bytes(15)}, RemoteProtocolError),
        ({"description": b""}, RemoteProtocolError),
        ({"max_files": 0}, RemoteProtocolError),
        ({"max_files": 1 << 31}, RemoteProtocolError),
        ({"max_bytes": 0}, RemoteProtocolError),
        ({"expires_ms": clock()}, NotAllowedError),
        ({"bundle": bytes(32)}, ConflictError),
    ):
        with pytest.raises(error):
            asked.make(**changes)
    asked.make()
    with pytest.raises(ConflictError):
        asked.make()
    office.requests.policy = RequestPolicy(most=1)
    with pytest.raises(QuotaError):
        Asked(office, alice).make()
    office.requests.url = ""
    with pytest.raises(NotAllowedError):
        Asked(office, alice).make()


def test_the_owners_own_uploads_are_apart(office, alice, asked):
    file = asked.file(LARGE)
    asked.start(file)
    asked.add(file, 0, 2)
    office.uploaders.close()
    kept, blob = office.transfers.resume(alice.who, file.made.salt)
    assert (kept.segments, blob) == (0, None)
