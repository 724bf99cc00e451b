"""Blobs in a local folder: `staging/` while they come in, then `ab/…` by their place."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fsd.blobs.base import BlobMissingError, StoredBlob, UploadGoneError
from fskit.files import sync_folder
from fskit.os_errors import NO_SPACE
from fsproto.errors import IntegrityError, InternalError, OutOfSpaceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

log = logging.getLogger(__name__)

PLACE = re.compile("[0-9a-f]{2}/(?:[0-9a-f]{32}|[0-9a-f]{64})")
"""Places are random; earlier releases have named them after the root, which has 64 digits."""
LOST = "The server has lost the content of this file."
SCRATCH_IN_MEMORY = 64 * 1024
"""Bytes of a file without a name, before it is on disk."""
_FAILURES = 10
"""Blobs that the disk does not delete, before a deletion gives up."""


class LocalBlobs:
    """A blob store in one folder of one file system, which several servers may share."""

    delete_after_s = 0.0
    """An open file stays readable after its deletion."""
    orphan_after_s = 3600.0

    def __init__(self, folder: Path) -> None:
        """Take the folder; makes it and its staging room if need be."""
        self._folder = folder
        self.staging = folder / "staging"
        self.staging.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(
        self, place: str, remote_id: str = "", offset: int = 0, parts: int = 0
    ) -> LocalWriter:
        """Start to write a blob, or continue at byte `offset`; `UploadGoneError` if it is lost."""
        staged = self._staged(place)
        flags = os.O_RDWR | os.O_CLOEXEC | (0 if offset else os.O_CREAT)
        with explained():
            try:
                fd = os.open(staged, flags, 0o600)
            except FileNotFoundError:
                raise UploadGoneError("The server has lost this upload.") from None
        return LocalWriter(staged, fd, self.path(place), offset)

    def unfinished(self, place: str) -> FileIO | None:
        """Return a reader of a blob that is being written; None if there is none."""
        with explained():
            try:
                return _Blob(self._staged(place))
            except FileNotFoundError:
                return None

    def open(self, place: str, size: int | None = None) -> FileIO:
        """Open a blob; `BlobMissingError` if there is none."""
        with explained():
            try:
                return _Blob(self.path(place))
            except FileNotFoundError:
                raise BlobMissingError(LOST) from None

    def size(self, place: str) -> int | None:
        """Return the size of a blob; None if there is none."""
        with explained():
            try:
                return self.path(place).stat().st_size
            except FileNotFoundError:
                return None

    def move_out(self, place: str, path: Path) -> None:
        """Move a blob to a new file outside the store; a missing blob is not an error."""
        with explained(), suppress(FileNotFoundError):
            self.path(place).replace(path)

    def abort(self, places: Iterable[str]) -> None:
        """Delete what was written at places whose blobs are not complete."""
        for place in places:
            with suppress(OSError):  # the garbage collection tries again
                self._staged(place).unlink()

    def delete(self, places: Iterable[str]) -> list[str]:
        """Delete the blobs at places, complete or not; return the places that are empty now."""
        empty: list[str] = []
        failures = 0
        for place in places:
            try:
                with explained():
                    self._staged(place).unlink(missing_ok=True)
                    self.path(place).unlink(missing_ok=True)
            except InternalError:  # which the log names
                failures += 1
                if failures == _FAILURES:
                    break
            else:
                empty.append(place)
        return empty

    def walk(self) -> Iterator[StoredBlob]:
        """Yield all complete blobs."""
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            place = f"{path.parent.name}/{path.name}"
            if PLACE.fullmatch(place):
                with suppress(FileNotFoundError):
                    found = path.stat()
                    yield StoredBlob(place, found.st_size, time.time() - found.st_mtime)

    def scratch(self) -> IO[bytes]:
        """Return a file without a name: in memory while it is small, then on disk."""
        return tempfile.SpooledTemporaryFile(SCRATCH_IN_MEMORY, dir=str(self.staging))

    def tidy(self, older_than_s: float) -> None:
        """Delete staged files that no server has written to for that long."""
        with explained():
            for path in self.staging.iterdir():
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime >= older_than_s:
                        path.unlink()

    def path(self, place: str) -> Path:
        """Return the path of a blob, which need not exist."""
        if not PLACE.fullmatch(place):
            raise IntegrityError("The database names a place that no blob can have.")
        return self._folder / place

    def _staged(self, place: str) -> Path:
        return self.staging / self.path(place).name


class _Blob(FileIO):
    """A stored blob, open for reading."""

    def readinto(self, room: WriteableBuffer, /) -> int | None:
        """Read, and raise the errors of `explained`."""
        with explained():
            return super().readinto(room)


class LocalWriter:
    """A file in the staging folder, written at offsets and never truncated.

    A server that was frozen may still have the file open, also after another one has finished it.
    It can only write the bytes that it had received of the same upload, to the same offsets.
    """

    part_size: int | None = None
    remote_id = ""

    def __init__(self, staged: Path, fd: int, final: Path, offset: int) -> None:
        """Take the file, which only the server can read, and where it will be when complete."""
        self._staged = staged
        self._fd = fd
        self._final = final
        self._offset = offset

    def write(self, data: bytes | memoryview) -> None:
        """Append; `OutOfSpaceError` if there is no room."""
        view = memoryview(data)
        with explained():
            while view:
                written = os.pwrite(self._fd, view, self._offset)
                self._offset += written
                view = view[written:]

    def end_part(self) -> str:
        """Do nothing: whoever continues the upload reads what the file has."""
        return ""

    def finish(self, tags: Sequence[str], size: int) -> None:
        """Sync the file, move it to its place, and sync the folder."""
        with explained():
            if os.fstat(self._fd).st_size != size:
                raise IntegrityError("The server has lost a part of this upload.")
            os.fsync(self._fd)
            new_folder = not self._final.parent.exists()
            self._final.parent.mkdir(mode=0o700, exist_ok=True)
            try:
                self._staged.replace(self._final)
            except FileNotFoundError:
                if not self._is_final():
                    raise UploadGoneError("The server has lost this upload.") from None
            sync_folder(self._final.parent)
            if new_folder:
                sync_folder(self._final.parent.parent)
        self.close()

    def _is_final(self) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(self._final.stat(), os.fstat(self._fd))
        return False

    def close(self) -> None:
        """Close the file; harmless if it is closed."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors of the disk into ours: `OutOfSpaceError` if it is full, else `InternalError`.

    The log says which one; it is an error of the machine, and no fault of the program.
    """
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno in NO_SPACE:
            log.error("no space left for files: %s", error.strerror)  # noqa: TRY400
            raise OutOfSpaceError("The server has no space left.") from error
        log.error("the disk for files fails: %s", error)  # noqa: TRY400
        raise InternalError(f"The disk of the server fails: {error.strerror}.") from error
