"""Reading a local file that is put, in few calls of the system: there may be many of them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fsclient.local_errors import local_errors
from fsclient.transfer.local.files import facts_of
from fsproto.errors import SourceChangedError, UsageError
from fsproto.names import for_terminal

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_READ |= getattr(os, "O_NONBLOCK", 0)  # a named pipe would wait for somebody to write to it
_READ_INTO = getattr(os, "readv", None)  # Windows has none
_AT_ONCE = 64 * 1024
"""Bytes; fewer are copied in less time than it takes to have them read where they go."""
_HOLE_WORTH_TELLING = 64 * 1024
"""Bytes; file systems keep the ends of files and short ones in ways of their own."""


class Source:
    """A local file that is being read; tells if it changed under the reader's hands."""

    def __init__(self, place: Path | str, *, follow: bool = True) -> None:
        """Open it, a link only if links are followed; `FsError` if it is no regular file."""
        self._place = os.fspath(place)
        self._read = 0
        self._number = -1
        with local_errors(self):
            # What a person named may be a device, which does things when it is opened.
            regular = not follow or stat.S_ISREG(os.stat(place).st_mode)  # noqa: PTH116
            if regular:
                self._number = os.open(place, _READ if follow else _READ | _NO_FOLLOW)
                self._before = os.fstat(self._number)
                regular = stat.S_ISREG(self._before.st_mode)
        if not regular:
            self.close()
            raise UsageError(
                f"The local '{for_terminal(str(self))}' is not a regular file.",
                hint="Pipe it: … | fsclient put - NAME",
            )
        self.facts = facts_of(self._before)
        """What it was like when it was opened."""

    @property
    def is_sparse(self) -> bool:
        """Return whether the file has holes, which no disk space stands behind."""
        size = self._before.st_size
        on_disk = getattr(self._before, "st_blocks", None)  # in units of 512 bytes
        seek_hole = getattr(os, "SEEK_HOLE", None)
        if on_disk is None or seek_hole is None or size - on_disk * 512 < _HOLE_WORTH_TELLING:
            return False
        # A file system that compresses takes less room, too; it knows where there are holes.
        try:
            return os.lseek(self._number, 0, seek_hole) < size
        except OSError:
            return False
        finally:
            os.lseek(self._number, 0, os.SEEK_SET)

    @property
    def stat(self) -> os.stat_result:
        """All that the system said of it when it was opened."""
        return self._before

    @property
    def path(self) -> Path:
        """Where it lies, as it was named."""
        return Path(self._place)

    def __str__(self) -> str:
        return self._place

    def go_to(self, at: int) -> None:
        """Go on reading at byte `at`."""
        with local_errors(self):
            os.lseek(self._number, at, os.SEEK_SET)
        self._read = at

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with what comes next, not to its end only where the file ends."""
        have = 0
        with local_errors(self):
            while have < len(room) and (count := _read_into(self._number, room[have:])):
                have += count
                # Where it ended when it was opened, it will not go on; if it does, that is noticed.
                if have < len(room) and self._read + have == self._before.st_size:
                    break
        self._read += have
        if self._read > self._before.st_size:  # it grows, and its end may never be reached
            raise self._changed()
        return have

    def check_unchanged(self, size: int) -> None:
        """Raise `SourceChangedError` unless what was read is the file as it is."""
        now, before = os.fstat(self._number), self._before
        if (size, now.st_size, now.st_mtime_ns) != (
            before.st_size,
            before.st_size,
            before.st_mtime_ns,
        ):
            raise self._changed()

    def _changed(self) -> SourceChangedError:
        return SourceChangedError(
            f"The local '{for_terminal(str(self))}' changed while it was read; it was not put.",
            hint="Put it again when nothing writes to it.",
        )

    def close(self) -> None:
        """Close it."""
        number, self._number = self._number, -1  # which may soon be that of another file
        if number >= 0:
            os.close(number)


def _read_into(number: int, room: memoryview) -> int:
    """Read once from an open file; a file object would take longer to make than a small one."""
    if len(room) > _AT_ONCE and _READ_INTO is not None:
        return int(_READ_INTO(number, [room]))
    data = os.read(number, len(room))
    room[: len(data)] = data
    return len(data)
