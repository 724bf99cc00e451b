"""What every blob store must do, on a local folder and on a real object store."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fsd.blobs.base import BlobMissingError, BlobStore, UploadGoneError
from fsd.blobs.check import StoredBytes
from fsd.blobs.local import LocalBlobs
from fsd.blobs.opening import MARKER, check_store, open_store
from fsd.blobs.places import Places
from fsd.blobs.s3 import PART_BYTES, S3Blobs
from fsd.blobs.stream import BlobStream
from fsd.policies import BlobPolicy
from fsproto.errors import BadSettingError, FsError, IntegrityError
from fsproto.limits import SEGMENT_SIZE
from tests.support import object_store
from tests.support.fixed_keys import stretch
from tests.support.object_store import KEY, ObjectStore
from tests.support.services import Clock, Services

SMALL = stretch("small", 100_000)
LARGE = stretch("large", 2 * PART_BYTES + SEGMENT_SIZE + 77)


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, store_key: None) -> BlobStore:
    if request.param == "local":
        return LocalBlobs(tmp_path / "blobs")
    bucket: ObjectStore = request.getfixturevalue("bucket")
    return object_store.opened(bucket.policy(os.urandom(8).hex()), tmp_path / "blobs")


@pytest.fixture
def place(office: Services, clock: Clock) -> Callable[[], str]:
    return Places(office.database, clock).take


def write(stream: BlobStream, data: bytes, first: int = 0) -> list[str]:
    """Write segments, and end the parts that the store needs; return their tags."""
    tags = []
    for at in range(first * SEGMENT_SIZE, len(data), SEGMENT_SIZE):
        stream.write(data[at : at + SEGMENT_SIZE])
        if stream.needs_part:
            tags.append(stream.end_part())
    return tags


def stored(store: BlobStore, place: str, data: bytes) -> str:
    stream = BlobStream(store, place)
    write(stream, data)
    stream.finish()
    return place


def read(store: BlobStore, place: str, first: int = 0) -> bytes:
    reader = store.open(place)
    reader.seek(first)
    source = StoredBytes(reader)
    try:
        return source.read(len(LARGE) + 1)
    finally:
        source.close()


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_a_blob_is_read_as_it_was_written(store, place, data) -> None:
    where = stored(store, place(), data)
    assert read(store, where) == data
    assert read(store, where, 70_000) == data[70_000:]
    assert read(store, where, len(data)) == b""
    assert store.size(where) == len(data)
    assert [(one.place, one.size) for one in store.walk()] == [(where, len(data))]


def test_a_blob_is_not_there_before_it_is_complete(store, place) -> None:
    stream = BlobStream(store, place())
    write(stream, LARGE)
    assert store.size(stream.place) is None
    assert list(store.walk()) == []
    with pytest.raises(BlobMissingError):
        read(store, stream.place)
    stream.finish()
    assert store.size(stream.place) == len(LARGE)


def test_an_upload_is_continued_after_its_parts(store, place) -> None:
    first = BlobStream(store, place())
    first_part = LARGE[:PART_BYTES]
    tags = write(first, first_part) or [first.end_part()]
    first.close()
    second = BlobStream(store, first.place)
    second.resume(first.remote_id, tags, PART_BYTES)
    write(second, LARGE, PART_BYTES // SEGMENT_SIZE)
    second.finish()
    assert read(store, first.place) == LARGE


def test_a_writer_that_wakes_after_the_end_changes_nothing(store, place) -> None:
    late = BlobStream(store, place())
    tags = write(late, LARGE[:PART_BYTES]) or [late.end_part()]
    other = BlobStream(store, late.place)
    other.resume(late.remote_id, tags, PART_BYTES)
    write(other, LARGE, PART_BYTES // SEGMENT_SIZE)
    other.finish()
    try:
        write(late, LARGE, PART_BYTES // SEGMENT_SIZE)
        late.finish()
    except UploadGoneError:
        pass
    late.close()
    assert read(store, late.place) == LARGE


def test_an_aborted_upload_cannot_be_continued_or_finished(store, place) -> None:
    stream = BlobStream(store, place())
    tags = write(stream, LARGE[:PART_BYTES]) or [stream.end_part()]
    remote_id = stream.remote_id
    stream.abort()
    again = BlobStream(store, stream.place)

    def go_on() -> None:
        again.resume(remote_id, tags, PART_BYTES)
        write(again, LARGE, PART_BYTES // SEGMENT_SIZE)
        again.finish()

    with pytest.raises(UploadGoneError):
        go_on()
    assert store.size(stream.place) is None


def test_an_upload_with_missing_bytes_is_not_finished(store, place) -> None:
    stream = BlobStream(store, place())
    write(stream, SMALL)
    stream.size += 1
    with pytest.raises(FsError, match="of this upload"):
        stream.finish()


def test_blobs_and_unfinished_uploads_are_deleted(store, place) -> None:
    complete, kept = stored(store, place(), SMALL), stored(store, place(), SMALL)
    unfinished = BlobStream(store, place())
    write(unfinished, LARGE[:PART_BYTES])
    places = [complete, unfinished.place, place()]
    assert store.delete(places) == places
    assert store.delete(places) == places
    assert [one.place for one in store.walk()] == [kept]


def test_a_blob_is_moved_out_of_the_store(store, place, tmp_path) -> None:
    where = stored(store, place(), SMALL)
    store.move_out(where, tmp_path / "found")
    assert (tmp_path / "found").read_bytes() == SMALL
    assert store.size(where) is None
    store.move_out(where, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("wrong", ["", "../../etc/passwd", "ab/../x", "ab/" + 31 * "0"])
def test_a_place_that_no_blob_can_have_is_refused(store, wrong) -> None:
    for act in (store.open, store.size, store.write, lambda one: store.delete([one])):
        with pytest.raises(IntegrityError):
            act(wrong)


# --- the settings of an object store


@pytest.fixture
def opened(bucket: ObjectStore, tmp_path: Path, store_key: None) -> Callable[..., S3Blobs]:
    def opened(policy: BlobPolicy | None = None) -> S3Blobs:
        store = open_store(tmp_path / "blobs", policy or bucket.policy(os.urandom(8).hex()))
        assert isinstance(store, S3Blobs)
        return store

    return opened


def test_a_prefix_belongs_to_one_server(opened) -> None:
    store = opened()
    check_store(store, "first")
    check_store(store, "first")
    with pytest.raises(BadSettingError, match="Another server"):
        check_store(store, "second")
    assert list(store.walk()) == []  # the marker is no blob


def test_a_missing_bucket_is_one_sentence(opened, bucket) -> None:
    with pytest.raises(BadSettingError, match="no bucket missing"):
        check_store(opened(bucket.policy("x", "missing")), "server")


def test_a_wrong_key_is_one_sentence_and_nothing_is_stored(opened, monkeypatch) -> None:
    store = opened()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(BadSettingError, match="refuses the key"):
        check_store(store, "server")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY["AWS_SECRET_ACCESS_KEY"])
    again = opened()
    found = again.client.list_objects_v2(Bucket=again.bucket, Prefix=store.prefix)
    assert store.prefix + MARKER not in [one["Key"] for one in found.get("Contents", ())]


def test_a_store_that_does_not_answer_is_one_sentence(opened) -> None:
    with pytest.raises(BadSettingError, match="does not answer"):
        check_store(opened(BlobPolicy("s3://b00/x", "http://127.0.0.1:9")), "server")


def test_a_missing_key_is_one_sentence(opened, monkeypatch, tmp_path) -> None:
    for name in KEY:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BadSettingError, match="no key"):
        check_store(opened(), "server")
