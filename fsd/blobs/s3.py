"""Blobs in a bucket of an S3-compatible object store.

The key of an object is a prefix and the place. Large blobs are uploaded in parts, straight from the
stream; which parts a blob has is in the database, never asked of the store. A blob appears at its
key by one conditional request, when it is complete.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from fsd.blobs.base import BlobReader, StoredBlob, UploadGoneError
from fsd.blobs.local import PLACE, SCRATCH_IN_MEMORY
from fsd.blobs.read_ahead import ReadAhead
from fsd.blobs.s3_errors import S3ObjectError, code_of, explained, field_of
from fsd.blobs.s3_reader import S3Reader
from fsproto.errors import FsError, IntegrityError, InternalError, OutOfSpaceError
from fsproto.limits import SEGMENT_SIZE

log = logging.getLogger(__name__)

DELETE_AFTER_S = 24 * 3600.0
"""A download by range requests, or a backup, may still need a blob whose row is gone."""
PART_BYTES = 8 * SEGMENT_SIZE
"""Stores take parts of at least 5 MiB, except the last."""
LARGE_PART_BYTES = 16 * SEGMENT_SIZE
SMALL_PARTS = 1000
"""So many parts have `PART_BYTES`; the following ones are larger."""
MOST_PARTS = 10_000
_DELETED_AT_ONCE = 1000
_AHEAD_AT_ONCE = 16
"""Downloads that read ahead at the same time; the others read when they need the bytes."""


class S3Blobs:
    """A blob store in one bucket, under a prefix that no other server uses."""

    delete_after_s = DELETE_AFTER_S
    orphan_after_s = 7 * 24 * 3600.0
    """The store has a clock of its own, and may receive a request late."""

    def __init__(self, connect: Callable[[], Any], bucket: str, prefix: str, scratch: Path) -> None:
        """Take what makes a client of boto3, and a local folder for files without a name.

        `prefix` is empty or ends in `/`.
        """
        self._connect = connect
        self.bucket = bucket
        self.prefix = prefix
        self._scratch = scratch
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)

    @cached_property
    def client(self) -> Any:  # noqa: ANN401 - boto3 has no types
        """The client, which is made at its first use."""
        return self._connect()

    @cached_property
    def _threads(self) -> Executor:
        return ThreadPoolExecutor(_AHEAD_AT_ONCE, thread_name_prefix="fsd-ahead")

    def write(self, place: str, remote_id: str = "", offset: int = 0, parts: int = 0) -> S3Writer:
        """Start to write a blob, or continue after its first `parts` parts.

        `UploadGoneError` if they are those of another kind of store.
        """
        if parts and not remote_id:
            raise UploadGoneError("The object store has lost this upload.")
        return S3Writer(self, place, remote_id, parts)

    def unfinished(self, place: str) -> None:
        """Return None: a store shows the bytes of an object only when it is complete."""

    def open(self, place: str, size: int | None = None) -> BlobReader:
        """Return a reader of a blob; its first read raises `BlobMissingError` if it is missing."""
        reader = S3Reader(lambda: self.client, self.bucket, self.key(place), size)
        return ReadAhead(reader, self._threads)

    def abort(self, places: Iterable[str]) -> None:
        """Abort the unfinished uploads at places; the garbage collection repeats it."""
        try:
            self._abort(set(places))
        except FsError as error:
            log.warning("an unfinished upload stays for a while: %s", error.sentence)

    def delete(self, places: Iterable[str]) -> list[str]:
        """Delete the blobs at places, complete or not; return the places that are empty now."""
        wanted, empty = list(places), list[str]()
        if wanted:
            self._abort(set(wanted))
        for at in range(0, len(wanted), _DELETED_AT_ONCE):
            some = wanted[at : at + _DELETED_AT_ONCE]
            keys = [{"Key": self.key(place)} for place in some]
            with explained():
                answer = self.client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": keys, "Quiet": True}
                )
            kept = {one.get("Key") for one in answer.get("Errors", ())}
            if kept:
                log.error("the object store does not delete %d blobs", len(kept))
            empty += [place for place in some if self.key(place) not in kept]
        return empty

    def walk(self) -> Iterator[StoredBlob]:
        """Yield all complete blobs."""
        pages = self.client.get_paginator("list_objects_v2")
        with explained():
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
                for one in page.get("Contents", ()):
                    place = one["Key"].removeprefix(self.prefix)
                    if PLACE.fullmatch(place):
                        age_s = time.time() - one["LastModified"].timestamp()
                        yield StoredBlob(place, one["Size"], age_s)

    def scratch(self) -> IO[bytes]:
        """Return a file without a name: in memory while it is small, then on the local disk."""
        return tempfile.SpooledTemporaryFile(SCRATCH_IN_MEMORY, dir=str(self._scratch))

    def tidy(self, older_than_s: float) -> None:
        """Abort uploads that were started that long ago."""
        for one in self._unfinished():
            if time.time() - one["Initiated"].timestamp() >= older_than_s:
                self._abort_one(one)

    def key(self, place: str) -> str:
        """Return the key of the object at a place."""
        if not PLACE.fullmatch(place):
            raise IntegrityError("The database names a place that no blob can have.")
        return self.prefix + place

    def size(self, place: str) -> int | None:
        """Return the size of a blob; None if there is none."""
        with explained():
            try:
                answer = self.client.head_object(Bucket=self.bucket, Key=self.key(place))
            except S3ObjectError.of_client() as error:
                if code_of(error) in {"404", "NoSuchKey", "NotFound"}:
                    return None
                raise
            return int(field_of(answer, "ContentLength"))

    def move_out(self, place: str, path: Path) -> None:
        """Download a blob to a new file, then delete it; a missing blob is not an error."""
        if self.size(place) is None:
            return
        reader, room = self.open(place), memoryview(bytearray(SEGMENT_SIZE))
        try:
            with path.open("xb") as file:
                while count := reader.readinto(room):
                    file.write(room[:count])
                file.flush()
                os.fsync(file.fileno())
        finally:
            reader.close()
        self.delete([place])

    def _unfinished(self) -> Iterator[dict[str, Any]]:
        pages = self.client.get_paginator("list_multipart_uploads")
        with explained():
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
                yield from page.get("Uploads", ())

    def _abort(self, places: set[str]) -> None:
        keys = {self.key(place) for place in places}
        for one in self._unfinished():
            if one["Key"] in keys:
                self._abort_one(one)

    def _abort_one(self, one: dict[str, Any]) -> None:
        with explained():
            try:
                self.client.abort_multipart_upload(
                    Bucket=self.bucket, Key=one["Key"], UploadId=one["UploadId"]
                )
            except S3ObjectError.of_client() as error:
                if code_of(error) != "NoSuchUpload":
                    raise


class S3Writer:
    """The bytes of one object; a part is in memory until it is ended."""

    def __init__(self, store: S3Blobs, place: str, remote_id: str, parts: int) -> None:
        """Take the store, and the upload that is continued after some parts."""
        self._store = store
        self._key = {"Bucket": store.bucket, "Key": store.key(place)}
        self._place = place
        self.remote_id = remote_id
        self._parts = parts
        self._part = bytearray()

    @property
    def part_size(self) -> int:
        """Bytes of the next part."""
        return PART_BYTES if self._parts < SMALL_PARTS else LARGE_PART_BYTES

    def write(self, data: bytes | memoryview) -> None:
        """Append to the part in memory."""
        self._part += data

    def end_part(self) -> str:
        """Send the part in memory; return its tag. `OutOfSpaceError` if there are too many."""
        if self._parts >= MOST_PARTS:
            raise OutOfSpaceError("The file is larger than the object store allows.")
        client = self._store.client
        with self._lost_upload():
            if not self.remote_id:
                answer = client.create_multipart_upload(**self._key)
                self.remote_id = field_of(answer, "UploadId")
            self._parts += 1
            answer = client.upload_part(
                **self._key,
                UploadId=self.remote_id,
                PartNumber=self._parts,
                Body=self._part,
                ContentMD5=_md5(self._part),
            )
            tag = field_of(answer, "ETag")
        self._part = bytearray()
        return str(tag)

    def finish(self, tags: Sequence[str], size: int) -> None:
        """Make the object complete, and look whether the store has all of it."""
        client = self._store.client
        with self._lost_upload():
            try:
                if tags:
                    parts = [
                        {"ETag": tag, "PartNumber": number} for number, tag in enumerate(tags, 1)
                    ]
                    client.complete_multipart_upload(
                        **self._key,
                        UploadId=self.remote_id,
                        MultipartUpload={"Parts": parts},
                        IfNoneMatch="*",
                    )
                else:
                    client.put_object(
                        **self._key,
                        Body=self._part,
                        ContentMD5=_md5(self._part),
                        IfNoneMatch="*",
                    )
            except S3ObjectError.of_client() as error:
                # It may be complete already: by a request whose answer was lost, or by another
                # server. Nothing else ever writes to this key.
                if code_of(error) not in {"PreconditionFailed", "412", "NoSuchUpload"}:
                    raise
                if self._store.size(self._place) is None:
                    raise UploadGoneError("The object store has lost this upload.") from None
        found = self._store.size(self._place)
        if found != size:
            log.error("the object store has %s bytes of %d", found, size)
            raise InternalError("The object store did not keep all of this upload.")
        self.close()

    @contextmanager
    def _lost_upload(self) -> Iterator[None]:
        with explained():
            try:
                yield
            except S3ObjectError.of_client() as error:
                if code_of(error) in {"NoSuchUpload", "InvalidPart", "InvalidPartOrder"}:
                    raise UploadGoneError("The object store has lost this upload.") from None
                raise

    def close(self) -> None:
        """Release the memory; ended parts stay in the store."""
        self._part = bytearray()


def _md5(data: bytes | bytearray) -> str:
    """Return the hash with which the store checks what it received; it protects against no one."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
