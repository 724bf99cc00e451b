"""Holds on to stored blobs for a while, so that what is deleted meanwhile can still be read.

A held blob is a second name (a hard link) in a folder beside the store. Deleting a file takes
away only its own name, so a running server neither notices nor waits.
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
    """Holds on to blobs until it is left; a context."""

    def __init__(self, home: Path, blobs: LocalBlobs) -> None:
        """Take the folder in which to hold them, on the file system of the store, and that."""
        self._home = home
        self._blobs = blobs
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def all(self) -> None:
        """Hold on to all that is stored now; what is deleted meanwhile is left out."""
        for root in self._blobs.names(0):
            self.one(root)

    def one(self, root: bytes) -> bool:
        """Hold on to one; tell whether it is held."""
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
                f"The blobs cannot be held on to in {self._home}: {error.strerror}.",
                hint="They must lie on one file system that knows hard links.",
            ) from None
        return True

    def open(self, root: bytes) -> BinaryIO:
        """Open one that is held."""
        return self._path(root).open("rb", buffering=0)

    def _path(self, root: bytes) -> Path:
        return self.folder / root.hex()[:2] / root.hex()


def let_go_of_leftovers(home: Path) -> None:
    """Delete what a program that was killed held on to; nobody else may be holding now."""
    for folder in home.glob(f"{_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)
