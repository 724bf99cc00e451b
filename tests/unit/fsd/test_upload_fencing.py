"""Two servers on one database and one blob store: only one of them has an upload."""

from __future__ import annotations

import pytest

from fsd.blobs.janitor import STAGED_S, Janitor
from fsd.principal import Principal
from fsd.services.files import staged_upload, uploads
from fsd.services.files.staged_upload import PART_S, StagedUpload
from fsd.services.files.transfers import TransferService
from fsd.store.repos import uploads as rows
from fsproto.errors import ConflictError
from fsproto.limits import SEGMENT_SIZE
from tests.support.services import Clock, Services
from tests.unit.fsd.test_resumed_uploads import BLOB, NOTHING, ROOT, SALT, add, resumed, started

pytestmark = pytest.mark.both_databases


@pytest.fixture
def alice(office: Services, clock: Clock) -> Principal:
    resident = office.add("alice")
    resident.enrol(office, clock())
    return resident.who


@pytest.fixture
def other(office: Services, clock: Clock) -> TransferService:
    """The uploads of another server."""
    return TransferService(office.database, office.blobs, now_ms=clock)


def recorded(at: TransferService, who: Principal, segments: int) -> StagedUpload:
    """Return an upload in progress whose segments are all recorded."""
    blob = started(at, who, segments - 1)
    blob._recorded_s -= PART_S
    add(blob, segments - 1, segments)
    assert blob.key is not None
    return blob


def is_whole(office: Services) -> None:
    assert office.stored() == [ROOT]
    assert office.path(ROOT).read_bytes() == BLOB


def test_a_server_that_lost_an_upload_records_nothing_more(
    office: Services, alice: Principal, other: TransferService
) -> None:
    old = recorded(office.transfers, alice, 2)
    new = resumed(other, alice, 2)
    old._recorded_s -= PART_S
    with pytest.raises(ConflictError, match="another connection"):
        add(old, 2, 3)
    office.transfers.discard(old)
    add(new, 2)
    other.finish(alice, new, ROOT, len(BLOB))
    is_whole(office)


def test_a_server_that_wakes_after_the_end_of_an_upload_changes_nothing(
    office: Services, alice: Principal, other: TransferService
) -> None:
    old = recorded(office.transfers, alice, 2)
    add(old, 2, 3)
    new = resumed(other, alice, 2)
    add(new, 2)
    other.finish(alice, new, ROOT, len(BLOB))
    office.transfers.suspend(old)
    is_whole(office)
    assert not office.staged()
    kept, _ = office.transfers.resume(alice, SALT)
    assert kept.whole


def test_of_two_servers_that_finish_one_upload_the_one_that_has_it_wins(
    office: Services, alice: Principal, other: TransferService
) -> None:
    old = recorded(office.transfers, alice, 3)
    add(old, 3)
    new = resumed(other, alice, 3)
    with pytest.raises(ConflictError, match="another connection"):
        office.transfers.finish(alice, old, ROOT, len(BLOB))
    add(new, 3)
    other.finish(alice, new, ROOT, len(BLOB))
    is_whole(office)


def test_an_upload_that_was_moved_to_its_place_without_a_row_is_sent_again(
    office: Services, alice: Principal, other: TransferService, clock: Clock
) -> None:
    old = recorded(office.transfers, alice, 3)
    add(old, 3)
    old.stream.finish()  # and the server is frozen before its transaction
    assert other.resume(alice, SALT) == NOTHING
    with pytest.raises(ConflictError):
        office.transfers.finish(alice, old, ROOT, len(BLOB))
    new = started(other, alice, 4)
    other.finish(alice, new, ROOT, len(BLOB))
    Janitor(office.database, office.blobs, clock).run()
    is_whole(office)


def test_what_a_frozen_server_had_not_recorded_is_deleted_a_day_after_it_wakes(
    office: Services, alice: Principal, other: TransferService, clock: Clock
) -> None:
    old = started(office.transfers, alice, 2)
    new = started(other, alice, 4)
    other.finish(alice, new, ROOT, len(BLOB))
    office.transfers.suspend(old)
    assert len(office.staged()) == 1
    with office.database.write() as db:  # as if a commit had taken the blob
        rows.drop_stale(db, 0)
    clock.forward(STAGED_S - 60)
    janitor = Janitor(office.database, office.blobs, clock)
    janitor.run()
    assert len(office.staged()) == 1
    clock.forward(120)
    janitor.run()
    assert not office.staged()


def test_a_killed_server_loses_no_segment_that_is_in_a_part(
    office: Services, alice: Principal, other: TransferService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_upload, "PART_BYTES", SEGMENT_SIZE)
    monkeypatch.setattr(staged_upload, "PART_S", 10_000)
    started(office.transfers, alice, 3)
    new = resumed(other, alice, 3)
    add(new, 3)
    other.finish(alice, new, ROOT, len(BLOB))
    is_whole(office)


def test_damaged_parts_are_sent_again_and_the_parts_before_them_are_not(
    office: Services, alice: Principal, other: TransferService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_upload, "PART_BYTES", SEGMENT_SIZE)
    office.transfers.suspend(started(office.transfers, alice, 3))
    (path,) = office.staged()
    with path.open("r+b") as file:
        file.seek(SEGMENT_SIZE + 5)
        file.write(b"damage!")
    new = resumed(other, alice, 1)
    add(new, 1)
    other.finish(alice, new, ROOT, len(BLOB))
    is_whole(office)


def test_an_upload_that_another_server_receives_is_not_taken_for_an_interrupted_one(
    office: Services, alice: Principal, other: TransferService, clock: Clock
) -> None:
    active = recorded(office.transfers, alice, 2)
    with office.database.read() as db:
        assert rows.interrupted_bytes(db, alice.user_id, clock(), bytes(32)) == 0
    clock.forward(uploads.LEASE_MS / 1000 - 1)
    office.transfers.renew()
    clock.forward(10)
    with office.database.read() as db:
        assert rows.interrupted_bytes(db, alice.user_id, clock(), bytes(32)) == 0
    clock.forward(uploads.LEASE_MS / 1000)  # its server was killed
    with office.database.read() as db:
        assert rows.interrupted_bytes(db, alice.user_id, clock(), bytes(32)) == 2 * SEGMENT_SIZE
        assert rows.interrupted_bytes(db, alice.user_id, clock(), SALT) == 0
    other.discard(resumed(other, alice, 2))
    office.transfers.suspend(active)
    assert not office.staged()
