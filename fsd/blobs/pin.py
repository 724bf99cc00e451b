"""Pins on stored blobs, so that a blob deleted in the meantime can still be read.

A pinned blob has a second name (a hard link) in a folder next to the store. Deletion removes only
the first name, so a pin does not affect a running server.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from fsd.blobs.base import BlobStore
from fsd.blobs.check import ByteSource, StoredBytes
from fsd.blobs.local import LocalBlobs
from fsproto.errors import FsError

_PREFIX = ".held-"


class BlobPin:
    """A context manager that pins blobs until its end."""

    def __init__(self, home: Path, blobs: BlobStore) -> None:
        """`home` is a folder for the pins; it must be on the same file system as a local store.

        An object store needs no pins: it keeps a deleted blob for a day.
        """
        self._home = home
        self._blobs = blobs
        self._seen: dict[str, int] = {}
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def all(self) -> None:
        """Pin all blobs that are stored now, except those deleted during the call."""
        for blob in self._blobs.walk():
            if isinstance(self._blobs, LocalBlobs):
                self.one(blob.place)
            else:
                self._seen[blob.place] = blob.size

    def one(self, place: str) -> bool:
        """Pin one blob; return whether it is there."""
        if not isinstance(self._blobs, LocalBlobs):
            if place not in self._seen and (size := self._blobs.size(place)) is not None:
                self._seen[place] = size
            return place in self._seen
        held = self.folder / place
        try:
            held.parent.mkdir(exist_ok=True)
            held.hardlink_to(self._blobs.path(place))
        except FileExistsError:
            return True
        except FileNotFoundError:
            return False
        except OSError as error:
            raise FsError(
                f"The blobs cannot be pinned in {self._home}: {error.strerror}.",
                hint="They must be on one file system with hard links.",
            ) from None
        return True

    def size(self, place: str) -> int:
        """Return the size of a pinned blob."""
        if isinstance(self._blobs, LocalBlobs):
            return (self.folder / place).stat().st_size
        return self._seen[place]

    @contextmanager
    def open(self, place: str) -> Iterator[ByteSource]:
        """Open a pinned blob."""
        if isinstance(self._blobs, LocalBlobs):
            with (self.folder / place).open("rb", buffering=0) as file:
                yield file
        else:
            with closing(StoredBytes(self._blobs.open(place))) as source:
                yield source


def let_go_of_leftovers(home: Path) -> None:
    """Delete the pins of a killed program; no other pins may be in use."""
    for folder in home.glob(f"{_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)
