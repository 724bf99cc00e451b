"""Garbage collection: what it deletes, what it leaves alone, and a disk that does not delete."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from fsd.blobs.janitor import Janitor
from fsd.blobs.local import LocalBlobs
from fsd.blobs.places import STOCK, UNCLAIMED_MS, Places
from fsd.blobs.stream import BlobStream
from fsd.store.models import User
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import uploads
from tests.support.disks import Disk, disk
from tests.support.services import Clock, Services

DAY_S = UNCLAIMED_MS / 1000 + 1


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "disk", 16) as mounted:
        yield mounted


class Store:
    """A store with one blob that a row names, and with others that were left behind."""

    def __init__(self, office: Services, folder: Path, clock: Clock) -> None:
        self.office, self.clock = office, clock
        self.blobs = LocalBlobs(folder)
        self.places = Places(office.database, clock)
        office.add("alice")
        self.left = [self.write() for _ in range(12)]
        self.known = self.write()
        with office.database.write() as db:
            assert uploads.claim(db, self.known)
            owner = db.scalars(select(User.id)).one()
            row = {"root": bytes(32), "owner_id": owner, "node_id": None, "salt": bytes(32)}
            row |= {"size": 7, "created_ms": clock() + 10**10, "data": None, "place": self.known}
            blob_rows.add_all(db, [row])

    def write(self) -> str:
        stream = BlobStream(self.blobs, self.places.take())
        stream.write(b"content")
        stream.finish()
        return stream.place

    @property
    def there(self) -> set[str]:
        return {blob.place for blob in self.blobs.walk()}

    def collect(self) -> None:
        Janitor(self.office.database, self.blobs, self.clock).run()


@pytest.fixture
def store(office: Services, tmp_path: Path, clock: Clock) -> Store:
    return Store(office, tmp_path / "store", clock)


def test_what_no_row_claims_is_deleted_after_a_day_and_not_earlier(
    store: Store, clock: Clock
) -> None:
    store.collect()
    assert store.there == {store.known, *store.left}
    clock.forward(DAY_S)
    store.collect()
    assert store.there == {store.known}
    with store.office.database.read() as db:
        assert uploads.known(db, store.left) == set()


def test_a_place_in_use_is_renewed(store: Store, clock: Clock) -> None:
    for _ in range(4):
        clock.forward(DAY_S / 3)
        store.places.renew()
        store.collect()
    assert store.there == {store.known, *store.left}
    store.places.done(store.left[0])
    clock.forward(DAY_S)
    store.places.renew()
    store.collect()
    assert store.left[0] not in store.there


def test_a_place_that_was_given_up_is_emptied_soon_or_used_again(
    store: Store, clock: Clock
) -> None:
    written, unused = store.left[0], store.places.take()
    store.places.give_up(written, was_written=True)
    store.places.give_up(unused, was_written=False)
    store.places.renew()
    store.collect()
    assert written not in store.there
    assert store.places.take() == unused


def test_a_place_that_is_being_emptied_cannot_be_claimed(store: Store, clock: Clock) -> None:
    clock.forward(DAY_S)
    with store.office.database.write() as db:
        assert set(store.left) <= set(uploads.collect(db, clock(), 0, 1000))
    with store.office.database.write() as db:
        assert not uploads.claim(db, store.left[0])
    store.collect()  # of a server that went on after another one was killed
    assert store.there == {store.known}


def test_a_place_that_was_claimed_is_not_emptied(store: Store, clock: Clock) -> None:
    clock.forward(DAY_S)
    with store.office.database.write() as db:
        assert uploads.claim(db, store.left[0])
    store.collect()
    assert store.there == {store.known, store.left[0]}


def test_a_stock_of_places_that_is_old_is_not_used(store: Store, clock: Clock) -> None:
    before = {store.places.take() for _ in range(STOCK // 2)}
    clock.forward(DAY_S)
    store.collect()
    place = store.places.take()
    assert place not in before
    with store.office.database.write() as db:
        assert uploads.claim(db, place)


def test_a_blob_that_cannot_be_deleted_does_not_keep_the_others(
    office: Services, real: Disk, clock: Clock
) -> None:
    store = Store(office, real.folder / "blobs", clock)
    clock.forward(DAY_S)
    kept = store.blobs.path(store.left[3])
    subprocess.run(["chattr", "+i", kept], check=True)
    try:
        store.collect()
        assert store.there == {store.left[3], store.known}
    finally:
        subprocess.run(["chattr", "-i", kept], check=True)
    store.collect()
    assert store.there == {store.known}


def test_a_run_on_a_read_only_disk_deletes_no_row(
    office: Services, real: Disk, clock: Clock
) -> None:
    store = Store(office, real.folder / "blobs", clock)
    clock.forward(DAY_S)
    real.fail()
    store.collect()
    assert store.there == {store.known, *store.left}
    with office.database.read() as db:
        assert uploads.known(db, store.left) == set(store.left)


def test_a_foreign_file_in_the_store_is_left_alone(tmp_path: Path) -> None:
    store = LocalBlobs(tmp_path)
    (tmp_path / "ab").mkdir()
    foreign = tmp_path / "ab" / ("ab" + 62 * "z")
    foreign.touch()
    os.utime(foreign, (0, 0))
    assert list(store.walk()) == []
