from __future__ import annotations

from collections.abc import Callable

import pytest

from fsd.blobs.janitor import STAGED_S, Janitor
from fsd.policies import UploadLimits
from fsd.principal import Principal
from fsd.services.files.staged_upload import PART_S, FinishedUpload, StagedUpload
from fsd.services.files.transfers import TransferService
from fsproto.errors import ConflictError, IntegrityError, OutOfSpaceError, RemoteProtocolError
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.files import Kept
from fsproto.sealed import integrity
from fsproto.types import Salt
from tests.support.fixed_keys import stretch
from tests.support.services import Clock, Services

SALT = Salt(stretch("salt", 32))
BLOB = stretch("sealed", 3 * SEGMENT_SIZE + 77)
SEGMENTS = [BLOB[at : at + SEGMENT_SIZE] for at in range(0, len(BLOB), SEGMENT_SIZE)]
ROOT = integrity.blob_root(SALT, BLOB)
NOTHING = (Kept(0, whole=False), None)


@pytest.fixture
def enrol(office: Services, clock: Clock) -> Callable[[str], Principal]:
    def someone(name: str) -> Principal:
        resident = office.add(name)
        resident.enrol(office, clock())
        assert resident.principal is not None
        return resident.principal

    return someone


@pytest.fixture
def alice(enrol: Callable[[str], Principal]) -> Principal:
    return enrol("alice")


def started(
    at: TransferService, who: Principal, segments: int, salt: Salt = SALT, *, resumable: bool = True
) -> StagedUpload:
    """Start an upload and send its first segments."""
    blob = at.begin(who, salt, resumable=resumable)
    add(blob, 0, segments)
    return blob


def add(blob: StagedUpload | FinishedUpload, first: int, end: int = len(SEGMENTS)) -> None:
    for index in range(first, end):
        blob.add(index, memoryview(SEGMENTS[index]))


def resumed(at: TransferService, who: Principal, segments: int) -> StagedUpload:
    kept, blob = at.resume(who, SALT)
    assert kept == Kept(segments, whole=False)
    assert isinstance(blob, StagedUpload)
    return blob


@pytest.mark.parametrize("sent", [1, 2, 3, 4])
def test_a_broken_off_upload_goes_on_behind_its_whole_segments(
    office: Services, alice: Principal, sent: int
) -> None:
    office.transfers.suspend(started(office.transfers, alice, sent))
    blob = resumed(office.transfers, alice, min(sent, 3))
    add(blob, min(sent, 3))
    office.transfers.finish(alice, blob, ROOT, len(BLOB))
    assert office.stored() == [ROOT]
    assert not office.staged()


def test_an_upload_survives_the_end_of_the_server(
    office: Services, alice: Principal, clock: Clock
) -> None:
    killed = started(office.transfers, alice, 2)
    killed._recorded_s -= PART_S
    add(killed, 2, 3)
    killed.stream.write(b"the beginning of a segment that was just being written")
    again = TransferService(office.database, office.blobs, now_ms=clock)
    Janitor(office.database, office.blobs, clock).run()  # as at every start of the server
    blob = resumed(again, alice, 3)
    add(blob, 3)
    again.finish(alice, blob, ROOT, len(BLOB))


def test_what_another_has_uploaded_cannot_be_gone_on_with(
    office: Services, enrol: Callable[[str], Principal]
) -> None:
    alice, bob = enrol("alice"), enrol("bob")
    under_way = started(office.transfers, alice, 2)
    assert office.transfers.resume(bob, SALT) == NOTHING
    office.transfers.suspend(under_way)
    assert office.transfers.resume(bob, SALT) == NOTHING
    office.transfers.discard(started(office.transfers, bob, 1))
    blob = resumed(office.transfers, alice, 2)
    add(blob, 2)
    office.transfers.finish(alice, blob, ROOT, len(BLOB))
    assert office.transfers.resume(bob, SALT) == NOTHING


def test_an_upload_under_way_is_taken_over_and_its_old_connection_writes_no_more(
    office: Services, alice: Principal
) -> None:
    old = started(office.transfers, alice, 2)
    new = resumed(office.transfers, alice, 2)
    with pytest.raises(ConflictError):
        old.add(2, memoryview(SEGMENTS[2]))
    with pytest.raises(ConflictError):
        office.transfers.finish(alice, old, ROOT, len(BLOB))
    office.transfers.suspend(old)
    office.transfers.discard(old)
    add(new, 2)
    office.transfers.finish(alice, new, ROOT, len(BLOB))


def test_an_upload_started_again_replaces_the_first(office: Services, alice: Principal) -> None:
    old = started(office.transfers, alice, 2)
    new = started(office.transfers, alice, 1)
    with pytest.raises(ConflictError):
        old.add(2, memoryview(SEGMENTS[2]))
    office.transfers.discard(old)
    add(new, 1)
    office.transfers.finish(alice, new, ROOT, len(BLOB))


def test_a_finished_upload_is_whole_until_it_is_committed(
    office: Services, alice: Principal
) -> None:
    office.transfers.finish(alice, started(office.transfers, alice, 4), ROOT, len(BLOB))
    kept, blob = office.transfers.resume(alice, SALT)
    assert kept == Kept(len(SEGMENTS), whole=True)
    assert isinstance(blob, FinishedUpload)
    office.transfers.finish(alice, blob, ROOT, len(BLOB))
    with pytest.raises(IntegrityError):
        office.transfers.finish(alice, blob, ROOT, len(BLOB) - 1)
    with pytest.raises(RemoteProtocolError):
        add(blob, 3)


@pytest.mark.parametrize("how", ["aborted", "out of order", "not resumable", "no whole segment"])
def test_no_part_is_kept_of_a_transfer_that_cannot_be_resumed(
    office: Services, alice: Principal, how: str
) -> None:
    count = 0 if how == "no whole segment" else 2
    blob = started(office.transfers, alice, count, resumable=how != "not resumable")
    if how == "aborted":
        office.transfers.discard(blob)
    elif how == "out of order":
        with pytest.raises(RemoteProtocolError):
            blob.add(3, memoryview(SEGMENTS[3]))
        office.transfers.discard(blob)
    elif how == "no whole segment":
        blob.add(0, memoryview(b"short, so the server cannot know whether it is the last"))
    office.transfers.suspend(blob)
    assert not office.staged()
    assert office.transfers.resume(alice, SALT) == NOTHING


def test_what_was_damaged_while_it_was_kept_is_not_taken(
    office: Services, alice: Principal
) -> None:
    office.transfers.suspend(started(office.transfers, alice, 2))
    (path,) = office.staged()
    path.write_bytes(bytes(2 * SEGMENT_SIZE))
    assert office.transfers.resume(alice, SALT) == NOTHING
    assert not office.staged()


def test_of_too_many_broken_off_uploads_the_oldest_make_room(
    office: Services, alice: Principal, clock: Clock
) -> None:
    at = TransferService(
        office.database, office.blobs, now_ms=clock, limits=UploadLimits(suspended=3)
    )
    salts = [Salt(bytes([number]) * 32) for number in range(5)]
    for number, salt in enumerate(salts):
        clock.forward(number)
        at.suspend(started(at, alice, 1, salt))
    assert [at.resume(alice, salt)[0].segments for salt in salts] == [0, 0, 1, 1, 1]


def test_too_many_uploads_at_once_are_refused(
    office: Services, enrol: Callable[[str], Principal], clock: Clock
) -> None:
    alice, bob = enrol("alice"), enrol("bob")
    at = TransferService(office.database, office.blobs, now_ms=clock, limits=UploadLimits(active=2))
    at.suspend(started(at, alice, 1))
    first, _ = (started(at, alice, 0, Salt(bytes([n]) * 32), resumable=n > 0) for n in range(2))
    with pytest.raises(OutOfSpaceError):
        started(at, alice, 0, Salt(bytes([9]) * 32))
    with pytest.raises(OutOfSpaceError):
        at.resume(alice, SALT)
    at.discard(started(at, bob, 0))  # the limit counts each user separately
    at.discard(first)
    assert at.resume(alice, SALT)[0].segments == 1  # no segment was lost


def test_an_upload_that_is_not_resumed_is_deleted_after_a_day(
    office: Services, alice: Principal, clock: Clock
) -> None:
    office.transfers.suspend(started(office.transfers, alice, 2))
    janitor = Janitor(office.database, office.blobs, clock)
    (path,) = office.staged()
    for pass_s, there in ((STAGED_S - 60, True), (120, False)):
        clock.forward(pass_s)
        janitor.run()
        assert path.exists() == there


def test_kept_uploads_are_deleted_with_their_user(office: Services, alice: Principal) -> None:
    office.transfers.suspend(started(office.transfers, alice, 2))
    office.people.remove("alice")
    assert not office.staged()
