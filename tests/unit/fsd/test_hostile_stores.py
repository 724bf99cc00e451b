"""An object store that fails or lies costs a retry or a clear error, never an accepted blob."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fsd.blobs import opening
from fsd.blobs.base import StoreUnavailableError, UploadGoneError
from fsd.blobs.check import StoredBytes
from fsd.blobs.opening import check_store
from fsd.blobs.s3 import PART_BYTES, S3Blobs
from fsd.blobs.stream import BlobStream
from fsd.policies import BlobPolicy
from fsproto.errors import BadSettingError, FsError
from fsproto.limits import SEGMENT_SIZE
from tests.support.fixed_keys import stretch
from tests.support.hostile_store import Answer, Ask, HostileStore, error
from tests.support.object_store import ObjectStore, opened

SMALL = stretch("small", 100_000)
LARGE = stretch("large", PART_BYTES + 2 * SEGMENT_SIZE + 77)
SIZES = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
PUTS = ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "HeadObject")
CONDITIONS = re.compile("if-(none-)?match", re.IGNORECASE)


@pytest.fixture(scope="session")
def proxy(bucket: ObjectStore) -> Iterator[HostileStore]:
    with HostileStore(bucket.endpoint).running() as running:
        yield running


@pytest.fixture
def hostile(proxy: HostileStore, store_key: None) -> HostileStore:
    proxy.rule, proxy.seen = Ask.passed, []
    return proxy


@pytest.fixture
def policy(bucket: ObjectStore) -> BlobPolicy:
    return bucket.policy(os.urandom(8).hex())


@pytest.fixture
def store(
    hostile: HostileStore, policy: BlobPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> S3Blobs:
    """The store through the proxy; requests are given up soon, and repeated at once."""
    from botocore.retries.standard import ExponentialBackoff

    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.01)
    monkeypatch.setattr(opening, "_READ_S", 2)
    monkeypatch.setattr(opening, "_TRIES", 2)
    return opened(replace(policy, endpoint=hostile.endpoint), tmp_path / "blobs")


@pytest.fixture
def honest(policy: BlobPolicy, store_key: None, tmp_path: Path) -> S3Blobs:
    """The same store without the proxy."""
    return opened(policy, tmp_path / "blobs")


@pytest.fixture
def place() -> str:
    name = os.urandom(16).hex()
    return f"{name[:2]}/{name}"


def put(store: S3Blobs, place: str, data: bytes) -> None:
    stream = BlobStream(store, place)
    for at in range(0, len(data), SEGMENT_SIZE):
        stream.write(data[at : at + SEGMENT_SIZE])
        if stream.needs_part:
            stream.end_part()
    stream.finish()


def read(store: S3Blobs, place: str, first: int = 0, size: int | None = None) -> bytes:
    reader = store.open(place, size)
    reader.seek(first)
    source = StoredBytes(reader)
    try:
        return source.read(len(LARGE) + 1)
    finally:
        source.close()


def is_kept(store: S3Blobs, place: str, data: bytes) -> bool:
    return store.size(place) == len(data) and read(store, place) == data


# --- uploads


@SIZES
@pytest.mark.parametrize(
    "failure",
    [error("InternalError"), error("ServiceUnavailable", 503), error("SlowDown", 503), None],
    ids=["500", "503", "SlowDown", "cut"],
)
def test_each_request_that_fails_once_is_repeated(
    store, hostile, honest, place, data, failure
) -> None:
    hostile.at(*PUTS, give=lambda _: failure, times=1)
    put(store, place, data)
    assert hostile.seen.count("HeadObject") == 2
    assert is_kept(honest, place, data)


@pytest.mark.parametrize("operation", PUTS)
def test_a_request_that_always_fails_is_a_clear_error(store, hostile, place, operation) -> None:
    data = SMALL if operation == "PutObject" else LARGE
    hostile.at(operation, give=lambda _: error("SlowDown", 503))
    with pytest.raises(StoreUnavailableError, match=r"fails: (SlowDown|503)"):
        put(store, place, data)


def test_an_answer_that_does_not_arrive_in_time_is_asked_for_again(
    store, hostile, honest, place
) -> None:
    over = threading.Event()

    def late(ask: Ask) -> None:
        ask.passed()
        over.wait(60)

    hostile.at("UploadPart", "CompleteMultipartUpload", give=late, times=1)
    try:
        put(store, place, LARGE)
    finally:
        over.set()
    assert is_kept(honest, place, LARGE)


@SIZES
def test_a_lost_answer_of_the_last_request_does_no_harm(
    store, hostile, honest, place, data
) -> None:
    def lost(ask: Ask) -> None:
        ask.passed()

    hostile.at("CompleteMultipartUpload", "PutObject", give=lost, times=1)
    put(store, place, data)
    assert is_kept(honest, place, data)


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart", "CompleteMultipartUpload"])
def test_an_error_with_status_200_is_an_error(store, hostile, honest, place, operation) -> None:
    data = SMALL if operation == "PutObject" else LARGE
    hostile.at(operation, give=lambda _: error("InternalError", 200))
    with pytest.raises(FsError, match=r"fails|answers without"):
        put(store, place, data)
    hostile.at(operation, give=lambda _: error("InternalError", 200), times=1)
    put(store, place, data)
    assert is_kept(honest, place, data)


@SIZES
def test_a_blob_that_the_store_only_claims_to_have_is_not_accepted(
    store, hostile, place, data
) -> None:
    text = b'<?xml version="1.0"?><CompleteMultipartUploadResult/>'
    hostile.at("PutObject", "CompleteMultipartUpload", give=lambda _: Answer(200, {}, text))
    with pytest.raises(FsError, match="did not keep all"):
        put(store, place, data)


def test_a_part_that_is_changed_on_the_way_is_not_accepted(store, hostile, honest, place) -> None:
    def changed(ask: Ask) -> Answer:
        return replace(ask, body=bytes([ask.body[0] ^ 1]) + ask.body[1:]).passed()

    hostile.at("UploadPart", give=changed)
    with pytest.raises(FsError):
        put(store, place, LARGE)
    assert honest.size(place) is None


def test_a_part_that_the_store_has_lost_is_not_left_out(store, hostile, honest, place) -> None:
    hostile.at("UploadPart", give=lambda _: Answer(200, {"ETag": '"' + 32 * "0" + '"'}), times=1)
    with pytest.raises(UploadGoneError):
        put(store, place, LARGE)
    assert honest.size(place) is None


@SIZES
def test_a_store_that_ignores_conditions_keeps_blobs(store, hostile, honest, place, data) -> None:
    hostile.rule = lambda ask: ask.without(CONDITIONS).passed()
    put(store, place, data)
    assert is_kept(honest, place, data)
    assert read(store, place, 70_000) == data[70_000:]


# --- downloads


@pytest.fixture
def stored(honest: S3Blobs, place: str) -> str:
    put(honest, place, LARGE)
    return place


@pytest.mark.parametrize(
    "failure",
    [error("InternalError"), error("SlowDown", 503), error("InternalError", 200), None],
    ids=["500", "SlowDown", "200 with an error", "cut"],
)
def test_a_download_that_fails_once_is_repeated(store, hostile, stored, failure) -> None:
    hostile.at("GetObject", give=lambda _: failure, times=1)
    assert read(store, stored, size=len(LARGE)) == LARGE


def test_a_download_continues_where_the_connection_was_cut(store, hostile, stored) -> None:
    hostile.at("GetObject", give=lambda ask: replace(ask.passed(), cut_after=3_000_000), times=3)
    assert read(store, stored) == LARGE
    assert hostile.seen == 4 * ["GetObject"]


@pytest.mark.parametrize("first", [0, 3_000_000])
def test_a_download_that_is_always_cut_at_once_is_a_clear_error(
    store, hostile, stored, first
) -> None:
    hostile.at("GetObject", give=lambda ask: replace(ask.passed(), cut_after=0))
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        read(store, stored, first)


def with_header(name: str, value: str) -> Callable[[Ask], Answer]:
    def give(ask: Ask) -> Answer:
        answer = ask.passed()
        return replace(answer, headers=answer.headers | {name: value})

    return give


def shorter(ask: Ask) -> Answer:
    """Return an answer about an object with fewer bytes, which fits together."""
    body = ask.passed().body[:1000]
    told = {"ETag": '"1"', "Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}"}
    return Answer(206, told, body)


@pytest.mark.parametrize(
    "give",
    [
        lambda ask: ask.without(re.compile("range", re.IGNORECASE)).passed(),
        lambda _: error("InternalError", 200),
        with_header("Content-Range", f"bytes 0-{len(LARGE) - 1}/{len(LARGE)}"),
        shorter,
    ],
    ids=["whole object", "error", "other range", "shorter object"],
)
def test_an_answer_other_than_the_requested_bytes_is_a_clear_error(
    store, hostile, stored, give
) -> None:
    hostile.at("GetObject", give=give)
    with pytest.raises(StoreUnavailableError, match="not return what was asked for"):
        read(store, stored, 3_000_000, len(LARGE))


def test_a_blob_that_is_replaced_during_the_download_is_noticed(store, hostile, stored) -> None:
    hostile.at("GetObject", give=lambda ask: replace(ask.passed(), cut_after=3_000_000), times=1)
    reader = StoredBytes(store.open(stored))
    assert reader.read(1_000_000) == LARGE[:1_000_000]
    hostile.rule = lambda ask: with_header("ETag", '"another"')(ask.without(CONDITIONS))
    with pytest.raises(FsError):
        reader.read(len(LARGE))
    reader.close()


# --- lists and deletions


def nothing(_: Ask) -> Answer:
    return Answer(200, {}, b'<?xml version="1.0"?><ListBucketResult/>')


def test_blobs_are_deleted_however_late_the_store_lists(store, hostile, honest, stored) -> None:
    hostile.at("Bucket", "ListMultipartUploads", give=nothing)
    assert list(store.walk()) == []
    assert store.delete([stored]) == [stored]
    assert honest.size(stored) is None


@pytest.mark.parametrize(
    "failure",
    [error("SlowDown", 503), error("InternalError", 200), None],
    ids=["503", "200", "cut"],
)
def test_a_deletion_that_fails_leaves_the_place_for_the_next_time(
    store, hostile, stored, failure
) -> None:
    hostile.at("DeleteObjects", give=lambda _: failure)
    with pytest.raises(StoreUnavailableError):
        store.delete([stored])
    hostile.rule = Ask.passed
    assert store.delete([stored]) == [stored]


def test_a_list_that_fails_is_an_error_and_not_a_short_list(store, hostile, stored) -> None:
    for failure in (
        error("SlowDown", 503),
        error("InternalError", 200),
        Answer(200, {}, b"no XML"),
    ):
        hostile.at("Bucket", give=lambda _, failure=failure: failure)
        with pytest.raises(StoreUnavailableError):
            list(store.walk())


# --- at the start


def test_a_prefix_of_another_server_is_refused_by_a_store_that_ignores_conditions(
    store, hostile, honest
) -> None:
    check_store(honest, "first")
    hostile.rule = lambda ask: ask.without(CONDITIONS).passed()
    with pytest.raises(BadSettingError, match="Another server"):
        check_store(store, "second")
    check_store(honest, "first")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (error("RequestTimeTooSkewed", 403), "The clock of this machine differs"),
        (
            replace(error("AccessDenied", 403), headers={"Date": "Sat, 01 Jan 2022 00:00:00 GMT"}),
            "The clock of this machine differs",
        ),
        (
            replace(error("PermanentRedirect", 301), headers={"x-amz-bucket-region": "eu-west-9"}),
            "is in the region eu-west-9",
        ),
        (error("SignatureDoesNotMatch", 403), "refuses the key"),
        (error("NoSuchBucket", 404), "has no bucket"),
        (error("Whatever", 418), "cannot be used: Whatever"),
        (Answer(200, {}, b"no XML"), "cannot be used: 500"),
    ],
    ids=["clock", "date", "region", "key", "bucket", "unknown", "no store"],
)
def test_what_is_wrong_at_the_start_is_one_sentence_and_nothing_is_stored(
    store, hostile, honest, answer, sentence
) -> None:
    hostile.rule = lambda _: answer
    with pytest.raises(BadSettingError, match=sentence):
        check_store(store, "server")
    found = honest.client.list_objects_v2(Bucket=honest.bucket, Prefix=honest.prefix)
    assert "Contents" not in found


@pytest.mark.parametrize(
    ("query", "text", "sentence"),
    [
        (
            "versioning",
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
            "keeps all versions",
        ),
        (
            "object-lock",
            (
                "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>"
                "<DefaultRetention><Mode>COMPLIANCE</Mode><Days>9</Days></DefaultRetention></Rule>"
                "</ObjectLockConfiguration>"
            ),
            "has an object lock",
        ),
    ],
    ids=["versioning", "object lock"],
)
def test_a_bucket_that_deletes_nothing_is_refused(store, hostile, query, text, sentence) -> None:
    def give(ask: Ask) -> Answer:
        return Answer(200, {}, text.encode()) if f"?{query}" in ask.path else ask.passed()

    hostile.rule = give
    with pytest.raises(BadSettingError, match=sentence):
        check_store(store, "server")
