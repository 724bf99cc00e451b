"""Blobs move from one store to another while both are in use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import delete

from fsd.blobs.base import BlobMissingError, BlobStore
from fsd.blobs.check import StoredBytes
from fsd.blobs.janitor import Janitor
from fsd.blobs.local import LocalBlobs
from fsd.blobs.migrate import copy_all
from fsd.blobs.opening import open_store
from fsd.blobs.stream import BlobStream
from fsd.blobs.two_stores import TwoStores
from fsd.check.scan import Scan
from fsd.policies import BlobPolicy
from fsd.store.repos import blobs as blob_rows
from fsd.store.upload_models import DoomedPlace
from fsproto.errors import BadSettingError
from fsproto.limits import SEGMENT_SIZE
from tests.support import object_store
from tests.support.fixed_keys import stretch
from tests.support.object_store import ObjectStore
from tests.support.services import Services

LARGE, SMALL = stretch("moved", 9 * SEGMENT_SIZE + 5), stretch("moved as well", 70_000)


@pytest.fixture(params=["folder", "bucket"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """The new store."""
    if request.param == "folder":
        return LocalBlobs(tmp_path / "new")
    request.getfixturevalue("store_key")
    bucket: ObjectStore = request.getfixturevalue("bucket")
    return object_store.opened(bucket.policy(os.urandom(8).hex()), tmp_path / "new")


@pytest.fixture
def places(office: Services, clock) -> list[str]:
    """The places of two blobs in the old store."""
    alice = office.add("alice")
    alice.enrol(office, clock())
    alice.put(office, "large", LARGE, inline=False)
    alice.put(office, "small", SMALL, inline=False)
    with office.database.read() as db:
        return [row.place for row in blob_rows.placed_after(db, b"", 10)]


@pytest.fixture
def both(office: Services, new: BlobStore) -> TwoStores:
    return TwoStores(new, office.blobs)


def read(store: BlobStore, place: str, first: int = 0) -> bytes:
    reader = store.open(place)
    reader.seek(first)
    source = StoredBytes(reader)
    try:
        return source.read(20 * SEGMENT_SIZE)
    finally:
        source.close()


def everything(store: BlobStore) -> dict[str, bytes]:
    return {one.place: read(store, one.place) for one in store.walk()}


def test_all_blobs_are_copied_and_readable_before_and_after(office, both, new, places) -> None:
    before = everything(office.blobs)
    assert sorted(before) == sorted(places)
    assert {place: read(both, place, 1000) for place in places} == {
        place: data[1000:] for place, data in before.items()
    }
    counted: list[int] = []
    done = copy_all(office.database, both, counted.append)
    assert (done.blobs, done.copied, done.missing, done.damaged) == (2, 2, [], [])
    assert done.copied_bytes == sum(counted) == sum(map(len, before.values()))
    assert everything(new) == everything(office.blobs) == before
    assert {place: read(both, place) for place in places} == before
    assert list(Scan(office.database, both).findings()) == []


def test_a_second_run_copies_only_what_is_missing(office, both, new, places) -> None:
    copy_all(office.database, both)
    new.delete(places[:1])
    done = copy_all(office.database, both)
    assert (done.blobs, done.copied) == (2, 1)
    assert sorted(everything(new)) == sorted(places)


def test_a_run_continues_after_one_that_was_killed(office, both, new, places) -> None:
    class Killed(BaseException):
        pass

    def kill(_: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        copy_all(office.database, both, kill)
    assert list(new.walk()) == []
    stale = BlobStream(new, places[0])  # of a process that could not tidy up
    stale.write(LARGE[:1000])
    stale.close()
    assert copy_all(office.database, both).copied == 2
    assert everything(new) == everything(office.blobs)


def test_a_damaged_blob_is_not_copied_and_a_missing_one_is_named(office, both, new, places) -> None:
    damaged, missing = places
    path = office.blobs.path(damaged)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    office.blobs.delete([missing])
    done = copy_all(office.database, both)
    assert (done.blobs, done.copied) == (0, 0)
    with office.database.read() as db:
        roots = {row.place: row.root.hex() for row in blob_rows.placed_after(db, b"", 10)}
    assert (done.damaged, done.missing) == ([roots[damaged]], [roots[missing]])
    assert list(new.walk()) == []


def test_a_blob_that_is_deleted_during_its_copy_leaves_none(office, both, new, places) -> None:
    def remove(_: int) -> None:
        with office.database.write() as db:
            roots = [row.root for row in blob_rows.placed_after(db, b"", 10)]
            both.delete(blob_rows.drop(db, roots))
            db.execute(delete(DoomedPlace))

    done = copy_all(office.database, both, remove)
    assert (done.blobs, done.copied, done.missing, done.damaged) == (0, 0, [], [])
    assert list(new.walk()) == []


def test_what_is_deleted_is_gone_from_both_stores(office, both, new, places, clock) -> None:
    copy_all(office.database, both)
    with office.database.write() as db:
        blob_rows.drop(db, [row.root for row in blob_rows.placed_after(db, b"", 10)])
    janitor = Janitor(office.database, both, clock)
    janitor.run()
    clock.forward(both.delete_after_s + 1)
    janitor.run()
    assert list(both.walk()) == []
    with pytest.raises(BlobMissingError):
        read(both, places[0])


def test_new_blobs_are_only_in_the_new_store(office, both, new, places) -> None:
    place = "ab/" + "ab" * 16
    stream = BlobStream(both, place)
    stream.write(SMALL)
    stream.finish()
    assert (new.size(place), office.blobs.size(place)) == (len(SMALL), None)
    assert both.size(place) == len(SMALL)


def test_a_reader_finds_a_blob_that_was_moved_meanwhile(office, both, new, places) -> None:
    reader = both.open(places[0])
    copy_all(office.database, both)
    office.blobs.delete(places)
    room = memoryview(bytearray(1000))
    assert reader.readinto(room)
    reader.close()


@pytest.mark.parametrize(
    "policy",
    [BlobPolicy(fallback="local"), BlobPolicy("s3://b00/x", fallback="s3://b00/x/")],
)
def test_two_settings_for_one_store_are_refused(tmp_path, policy) -> None:
    with pytest.raises(BadSettingError, match="names the same store"):
        open_store(tmp_path / "blobs", policy)
