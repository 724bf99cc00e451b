"""Markers of unfinished commands for several files, kept on disk until the command succeeds.

A command may change the meaning of its own arguments: `put photos new` creates the folder `new`;
the same command again would put `photos` into that folder. Files that are already transferred need
not be transferred again. So the same command, repeated in the same working directory within a day,
keeps its first meaning and skips the files that were transferred since it started.
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
    """The marker of one command: empty, or left by an earlier run."""

    def __init__(self, folder: Path, verb: str, paths: Sequence[str]) -> None:
        self._path: Path | None = None
        self.since_ns: int | None = None
        """Start of the command that this one resumes, in ns; None if it resumes none."""
        self.took_as_name = False
        """Whether that command used its target as a new name, not as an existing folder."""
        with suppress(OSError):
            told = [os.fsencode(one) for one in (verb, os.getcwd(), *paths)]  # noqa: PTH109
            sized = b"".join(_LENGTH.pack(len(one)) + one for one in told)
            self._path = folder / crypto.sha256(labels.UNFINISHED, sized).hex()
            if time.time() - self._path.stat().st_mtime < _OLDEST_S:
                self.took_as_name = self._path.read_bytes() == _AS_NAME
                self.since_ns = self._path.stat().st_mtime_ns

    def begin(self, *, as_name: bool) -> None:
        """Write the marker before the command changes anything; ignore disk errors."""
        if self._path is not None and self.since_ns is None:
            with suppress(OSError):
                self._path.parent.mkdir(mode=0o700, exist_ok=True)
                _tidy(self._path.parent)
                self._path.write_bytes(_AS_NAME if as_name else _INTO)

    def end(self) -> None:
        """Delete the marker: the command succeeded or will not be resumed."""
        self.since_ns, self.took_as_name = None, False
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def _tidy(folder: Path) -> None:
    """Delete old markers: their commands were never resumed."""
    for path in folder.iterdir():
        if time.time() - path.stat().st_mtime > _OLDEST_S:
            path.unlink(missing_ok=True)
