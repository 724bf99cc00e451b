"""That a command for more than one file has begun, on disk until all of it went well.

The words of a command change their meaning while it works: `put photos new` makes the folder `new`,
and given again would put into it. And what it has done needs not be done again. So the same
command, given again in the same place within a day, means what it did mean, and passes over the
files that have gone where they belong since it began.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fsproto import crypto, labels

_OLDEST_S = 24 * 3600.0
_LENGTH = struct.Struct(">I")
_AS_NAME, _INTO = b"as its name", b"into it"


class ResumeMarker:
    """One command's note: an empty one, or what a command before it has left."""

    def __init__(self, folder: Path, verb: str, paths: Sequence[str]) -> None:
        self._path: Path | None = None
        self.since_ns: int | None = None
        """When the command began that this one goes on with; None if it goes on with none."""
        self.took_as_name = False
        """Whether that one took its target for a new name, not for a folder to go into."""
        with suppress(OSError):
            told = [os.fsencode(one) for one in (verb, os.getcwd(), *paths)]  # noqa: PTH109
            sized = b"".join(_LENGTH.pack(len(one)) + one for one in told)
            self._path = folder / crypto.sha256(labels.UNFINISHED, sized).hex()
            if time.time() - self._path.stat().st_mtime < _OLDEST_S:
                self.took_as_name = self._path.read_bytes() == _AS_NAME
                self.since_ns = self._path.stat().st_mtime_ns

    def begin(self, *, as_name: bool) -> None:
        """Note that the command begins, before it changes anything; without room, do without."""
        if self._path is not None and self.since_ns is None:
            with suppress(OSError):
                self._path.parent.mkdir(mode=0o700, exist_ok=True)
                _tidy(self._path.parent)
                self._path.write_bytes(_AS_NAME if as_name else _INTO)

    def end(self) -> None:
        """Forget it: all went well, or nobody wants to go on."""
        self.since_ns, self.took_as_name = None, False
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def _tidy(folder: Path) -> None:
    """Delete markers of commands that were not resumed."""
    for path in folder.iterdir():
        if time.time() - path.stat().st_mtime > _OLDEST_S:
            path.unlink(missing_ok=True)
