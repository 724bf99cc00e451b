"""Blobs in a local folder: `staging/` while they come in, then `ab/abcdef…` by their root."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from fskit.files import sync_folder
from fskit.os_errors import NO_SPACE
from fsproto.errors import ConflictError, IntegrityError, InternalError, OutOfSpaceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

log = logging.getLogger(__name__)

_NAME = re.compile("[0-9a-f]{64}")
_SCRATCH_IN_MEMORY = 64 * 1024
"""Bytes of a file without a name, before it is on disk."""
_TICKET = ".upload"
"""File name suffix of blobs staged with a ticket."""


class LocalBlobs:
    """A blob store in one folder of one file system."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; makes it and its staging room if need be."""
        self._folder = folder
        self._staging = folder / "staging"
        self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)

    def stage(self, ticket: str | None = None) -> LocalStagedBlob:
        """Start a blob; with a ticket, it replaces the blob staged under that ticket."""
        with explained():
            if ticket is None:
                fd, name = tempfile.mkstemp(dir=self._staging)
                return LocalStagedBlob(Path(name), os.fdopen(fd, "wb", buffering=0), self.path)
            path = self._ticket(ticket)
            path.unlink(
                missing_ok=True
            )  # a writer that still has it open writes to the deleted file
            return LocalStagedBlob(path, _opened(path, "x+b"), self.path)

    def staged(self, ticket: str) -> LocalStagedBlob | None:
        """Open the blob staged under a ticket, also after a crash; None if there is none."""
        path = self._ticket(ticket)
        with explained():
            try:
                file = _opened(path, "r+b")
            except FileNotFoundError:
                return None
            os.utime(path)  # the time until its deletion restarts
        return LocalStagedBlob(path, file, self.path)

    def tickets(self, beginning: str) -> list[str]:
        """Return the tickets that start with a prefix, the most recently written last."""
        with explained():
            found = [path for path in self._staging.iterdir() if path.name.endswith(_TICKET)]
        wanted = [path for path in found if path.name.startswith(beginning)]
        return [path.name[: -len(_TICKET)] for path in sorted(wanted, key=_age_s, reverse=True)]

    def staged_size(self, ticket: str) -> int:
        """Return the bytes staged under a ticket; 0 if there are none."""
        with explained():
            try:
                return self._ticket(ticket).stat().st_size
            except FileNotFoundError:
                return 0

    def drop(self, ticket: str) -> None:
        """Delete the blob staged under a ticket; a missing one is not an error."""
        with explained():
            self._ticket(ticket).unlink(missing_ok=True)

    def scratch(self) -> IO[bytes]:
        """Return a file without a name: in memory while it is small, then on disk."""
        return tempfile.SpooledTemporaryFile(_SCRATCH_IN_MEMORY, dir=str(self._staging))

    def open(self, root: bytes) -> FileIO:
        """Open a blob; `IntegrityError` if it has gone missing."""
        with explained():
            try:
                return _Blob(self.path(root))
            except FileNotFoundError:
                raise IntegrityError("The server has lost the content of this file.") from None

    def delete(self, root: bytes) -> None:
        """Delete a blob; a missing one is not an error."""
        with explained():
            self.path(root).unlink(missing_ok=True)

    def names(self, older_than_s: float) -> Iterator[bytes]:
        """Return the roots of blobs that were stored at least that long ago."""
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            if _NAME.fullmatch(path.name) and _age_s(path) >= older_than_s:
                yield bytes.fromhex(path.name)

    def tidy(self, older_than_s: float, tickets_older_than_s: float) -> None:
        """Delete blobs staged at least that long ago (without, and with, a ticket)."""
        with explained():
            for path in self._staging.iterdir():
                has_ticket = path.name.endswith(_TICKET)
                if _age_s(path) >= (tickets_older_than_s if has_ticket else older_than_s):
                    path.unlink(missing_ok=True)

    def _ticket(self, ticket: str) -> Path:
        return self._staging / f"{ticket}{_TICKET}"

    def path(self, root: bytes) -> Path:
        """Return the path of a blob, which need not exist."""
        name = root.hex()
        return self._folder / name[:2] / name


class _Blob(FileIO):
    """A stored blob, open for reading."""

    def readinto(self, room: WriteableBuffer, /) -> int | None:
        """Read, and raise the errors of `explained`."""
        with explained():
            return super().readinto(room)


class LocalStagedBlob:
    """A file in the staging folder."""

    def __init__(self, path: Path, file: BinaryIO, place: Callable[[bytes], Path]) -> None:
        """Take the file, which is open and readable by the server alone."""
        self._path = path
        self._file = file
        self._place = place

    def write(self, data: bytes | memoryview) -> None:
        """Append; `OutOfSpaceError` if there is no room."""
        view = memoryview(data)
        with explained():
            while view:
                view = view[self._file.write(view) :]

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Yield the bytes written so far in pieces of `size` bytes; the last may be shorter."""
        room = memoryview(bytearray(size))
        with explained():
            self._file.seek(0)
            while have := _filled(room, self._file):
                yield room[:have]

    def write_from(self, offset: int) -> None:
        """Continue writing at byte `offset`, over the bytes that are there."""
        with explained():
            self._file.seek(offset)

    def is_current(self) -> bool:
        """Return whether the file is still in the staging folder under its name."""
        with suppress(OSError):
            return not self._file.closed and os.path.samestat(
                os.fstat(self._file.fileno()), self._path.stat()
            )
        return False

    def let_go(self) -> None:
        """Close the file but keep it, to be opened again by its ticket; harmless after `keep`."""
        self._file.close()

    def keep(self, root: bytes, size: int) -> None:
        """Make it durable under its name: the file is synced first, then the folder entry."""
        final = self._place(root)
        if not self.is_current():
            raise ConflictError("This upload continues over another connection.")
        with explained():
            if os.fstat(self._file.fileno()).st_size != size:
                raise IntegrityError("The server has lost a part of this upload.")
            os.fsync(self._file.fileno())
            self._file.close()
            new_folder = not final.parent.exists()
            final.parent.mkdir(mode=0o700, exist_ok=True)
            self._path.replace(final)
            sync_folder(final.parent)
            if new_folder:
                sync_folder(final.parent.parent)

    def discard(self) -> None:
        """Forget it; harmless after `keep` and after another took its ticket."""
        if self.is_current():
            with suppress(OSError):
                self._path.unlink()
        self._file.close()


def _opened(path: Path, mode: str) -> BinaryIO:
    opened = open(path, mode, buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115
    return cast("BinaryIO", opened)


def _filled(room: memoryview, file: BinaryIO) -> int:
    have = 0
    while have < len(room) and (count := file.readinto(room[have:])):  # type: ignore[attr-defined]
        have += count
    return have


def _age_s(path: Path) -> float:
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime
    return 0.0


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
