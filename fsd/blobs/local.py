"""Blobs in a local folder: `staging/` while they come in, then `ab/abcdef…` by their root."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fsproto.errors import IntegrityError, OutOfSpaceError

_NAME_LENGTH = 64


class LocalBlobs:
    """A blob store in one folder of one file system."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; makes it and its staging room if need be."""
        self._folder = folder
        self._staging = folder / "staging"
        self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)

    def stage(self) -> LocalStagedBlob:
        """Begin a blob."""
        with _room():
            return LocalStagedBlob(self._staging, self._path)

    def open(self, root: bytes) -> BinaryIO:
        """Open a blob; `IntegrityError` if it has gone missing."""
        try:
            return self._path(root).open("rb", buffering=0)
        except FileNotFoundError:
            raise IntegrityError("The server has lost the content of this file.") from None

    def delete(self, root: bytes) -> None:
        """Delete a blob; one that is not there is deleted already."""
        self._path(root).unlink(missing_ok=True)

    def names(self, older_than_s: float) -> Iterator[bytes]:
        """Return the roots of blobs that were kept that long ago."""
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            if len(path.name) == _NAME_LENGTH and _age_s(path) >= older_than_s:
                yield bytes.fromhex(path.name)

    def tidy(self, older_than_s: float) -> None:
        """Delete what was staged that long ago and never kept."""
        for path in self._staging.iterdir():
            if _age_s(path) >= older_than_s:
                path.unlink(missing_ok=True)

    def _path(self, root: bytes) -> Path:
        name = root.hex()
        return self._folder / name[:2] / name


class LocalStagedBlob:
    """A file in the staging room."""

    def __init__(self, staging: Path, place: Callable[[bytes], Path]) -> None:
        """Make an empty file, readable by the server alone."""
        self._place = place
        fd, name = tempfile.mkstemp(dir=staging)
        self._path = Path(name)
        self._file = os.fdopen(fd, "wb", buffering=0)

    def write(self, data: bytes | memoryview) -> None:
        """Append; `OutOfSpaceError` if there is no room."""
        view = memoryview(data)
        with _room():
            while view:
                view = view[self._file.write(view) :]

    def keep(self, root: bytes) -> None:
        """Make it durable under its name: the file is synced first, then the folder entry."""
        final = self._place(root)
        with _room():
            os.fsync(self._file.fileno())
            self._file.close()
            new_folder = not final.parent.exists()
            final.parent.mkdir(mode=0o700, exist_ok=True)
            self._path.replace(final)
            _sync_folder(final.parent)
            if new_folder:
                _sync_folder(final.parent.parent)

    def discard(self) -> None:
        """Forget it; harmless after `keep`."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows has no such call, and journals the rename itself
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _age_s(path: Path) -> float:
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime
    return 0.0


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OutOfSpaceError("The server has no space left.") from error
        raise
