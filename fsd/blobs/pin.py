"""Pins on stored blobs, so that a blob deleted in the meantime can still be read.

A pinned blob has a second name (a hard link) in a folder next to the store. Deletion removes only
the first name, so a pin does not affect a running server.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from fsproto.errors import FsError

if TYPE_CHECKING:
    from fsd.blobs.local import LocalBlobs

_PREFIX = ".held-"


class BlobPin:
    """A context manager that pins blobs until its end."""

    def __init__(self, home: Path, blobs: LocalBlobs) -> None:
        """`home` is a folder for the pins; it must be on the same file system as the store."""
        self._home = home
        self._blobs = blobs
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def all(self) -> None:
        """Pin all blobs that are stored now, except those deleted during the call."""
        for root in self._blobs.names(0):
            self.one(root)

    def one(self, root: bytes) -> bool:
        """Pin one blob; return whether it is pinned."""
        held = self._path(root)
        try:
            held.parent.mkdir(exist_ok=True)
            held.hardlink_to(self._blobs.path(root))
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

    def open(self, root: bytes) -> BinaryIO:
        """Open a pinned blob."""
        return self._path(root).open("rb", buffering=0)

    def _path(self, root: bytes) -> Path:
        return self.folder / root.hex()[:2] / root.hex()


def let_go_of_leftovers(home: Path) -> None:
    """Delete the pins of a killed program; no other pins may be in use."""
    for folder in home.glob(f"{_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)
