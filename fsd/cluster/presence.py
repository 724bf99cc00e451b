"""Which fsd processes of a data directory still run.

    nodes/ID   a file for each of them, which its process keeps locked; it has its own inode number

The lock ends with the process. So after a crash, the next start need not wait until the node has
not been seen for a while. A file with another inode number was copied with its data directory: it
says nothing about the process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fskit import files

FOLDER = "nodes"
_ID = re.compile(r"[0-9a-f]{32}")


class Presence:
    """The processes of one data directory."""

    def __init__(self, home: Path) -> None:
        """Take the path of the data directory; change nothing yet."""
        self._folder = home / FOLDER
        self._own: tuple[Path, BinaryIO] | None = None

    def enter(self, node: bytes) -> None:
        """Note that the process of a node runs, until `leave` or its end."""
        path = self._folder / node.hex()
        with self._alone():
            file = path.open("w+b")
            try:
                files.lock(file.fileno())
                file.write(b"%d" % os.fstat(file.fileno()).st_ino)
                file.flush()
            except BaseException:
                file.close()
                raise
        self._own = (path, file)

    def leave(self) -> None:
        """Note that the process of the node has ended; harmless if it is repeated."""
        if self._own is not None:
            path, file = self._own
            self._own = None
            file.close()
            path.unlink(missing_ok=True)

    def take_gone(self) -> set[bytes]:
        """Return the nodes whose processes have ended without `leave`, and forget them."""
        gone = set()
        with self._alone():
            for path in self._folder.iterdir():
                if _ID.fullmatch(path.name) and not _is_locked(path):
                    if _is_original(path):
                        gone.add(bytes.fromhex(path.name))
                    path.unlink()
        return gone

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes of the data directory out: a new file is not locked at once."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with (self._folder / "lock").open("ab") as file:
            files.lock(file.fileno(), wait=True)
            yield


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            files.lock(file.fileno())
        except OSError:
            return True
    return False


def _is_original(path: Path) -> bool:
    with suppress(ValueError):
        return int(path.read_bytes()) == path.stat().st_ino
    return False
