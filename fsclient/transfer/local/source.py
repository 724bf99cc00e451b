"""Reading of local files for upload, in few system calls: there may be many files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fsclient.local_errors import local_errors
from fsclient.transfer.local.files import facts_of
from fsproto.errors import FsError, SourceChangedError, UsageError
from fsproto.names import for_terminal

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_READ |= getattr(os, "O_NONBLOCK", 0)  # opening a named pipe would block until it has a writer
_READ_INTO = getattr(os, "readv", None)  # Windows has none
PIPE_IT = "To put what it gives now: cat FILE | fsclient put - NAME"
_AT_ONCE = 64 * 1024
"""Bytes; for smaller reads, read-and-copy is faster than `readv` into the buffer."""
_HOLE_WORTH_TELLING = 64 * 1024
"""Bytes; smaller differences can come from how file systems store small files and tails."""


class Source:
    """A local file that is read for upload; detects changes during the reading."""

    def __init__(self, place: Path | str, *, follow: bool = True) -> None:
        """Open a file, a link only with `follow`; raise `FsError` if it is not a regular file."""
        self._place = os.fspath(place)
        self._read = 0
        self._number = -1
        with local_errors(self):
            # The user may have named a device, and opening a device can have side effects.
            regular = not follow or stat.S_ISREG(os.stat(place).st_mode)  # noqa: PTH116
            if regular:
                self._number = os.open(place, _READ if follow else _READ | _NO_FOLLOW)
                self._before = os.fstat(self._number)
                regular = stat.S_ISREG(self._before.st_mode)
        if not regular:
            self.close()
            raise UsageError(
                f"The local '{for_terminal(str(self))}' is not a regular file.",
                hint=PIPE_IT,
            )
        self.facts = facts_of(self._before)
        """Size, time and mode when the file was opened."""

    @property
    def is_sparse(self) -> bool:
        """Return whether the file has holes without disk space."""
        size = self._before.st_size
        on_disk = getattr(self._before, "st_blocks", None)  # in units of 512 bytes
        seek_hole = getattr(os, "SEEK_HOLE", None)
        if on_disk is None or seek_hole is None or size - on_disk * 512 < _HOLE_WORTH_TELLING:
            return False
        # Compression also saves disk space, so ask the file system for holes.
        try:
            return os.lseek(self._number, 0, seek_hole) < size
        except OSError:
            return False
        finally:
            os.lseek(self._number, 0, os.SEEK_SET)

    @property
    def stat(self) -> os.stat_result:
        """The `stat` result when the file was opened."""
        return self._before

    @property
    def path(self) -> Path:
        """The path as it was given."""
        return Path(self._place)

    def __str__(self) -> str:
        return self._place

    def go_to(self, at: int) -> None:
        """Continue reading at byte `at`."""
        with local_errors(self):
            os.lseek(self._number, at, os.SEEK_SET)
        self._read = at

    def read_into(self, room: memoryview) -> int:
        """Read the next bytes into `room`; fill it unless the file ends."""
        have = 0
        with local_errors(self):
            while have < len(room) and (count := _read_into(self._number, room[have:])):
                have += count
                # Do not read past the original size; `check_unchanged` notices growth.
                if have < len(room) and self._read + have == self._before.st_size:
                    break
        self._read += have
        if self._read > self._before.st_size:  # it grows, and its end may never be reached
            raise self._not_as_long(self._read)
        return have

    def check_unchanged(self, size: int) -> None:
        """Raise `SourceChangedError` if the file changed or `size` is not its size."""
        now, before = os.fstat(self._number), self._before
        if size != before.st_size:
            raise self._not_as_long(size)
        if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise self._changed()

    def check_length(self) -> None:
        """Read a file without blocks on disk; raise `FsError` unless its length is its size.

        Files of the kernel have no blocks. A large sparse file may have none, too: it is not read.
        """
        if getattr(self._before, "st_blocks", 1) or self._before.st_size > _AT_ONCE:
            return
        room = memoryview(bytearray(self._before.st_size + 1))
        self.check_unchanged(self.read_into(room))
        self.go_to(0)

    def _not_as_long(self, read: int) -> FsError:
        """Return the error for a file that ended after `read` bytes, or did not end there."""
        size = os.fstat(self._number).st_size
        if size != self._before.st_size:
            return self._changed()
        gives = "more" if read > size else "fewer"
        return UsageError(
            f"The local '{for_terminal(str(self))}' has a size of {size} bytes but gives {gives}.",
            hint=f"It is a special file. {PIPE_IT}",
        )

    def _changed(self) -> SourceChangedError:
        return SourceChangedError(
            f"The local '{for_terminal(str(self))}' changed while it was read; it was not put.",
            hint=f"Put it again when nothing writes to it. {PIPE_IT}",
        )

    def close(self) -> None:
        """Close the file."""
        number, self._number = self._number, -1  # another file may soon reuse the number
        if number >= 0:
            os.close(number)


def _read_into(number: int, room: memoryview) -> int:
    """Read once from a descriptor; creating a file object costs more than a small read."""
    if len(room) > _AT_ONCE and _READ_INTO is not None:
        return int(_READ_INTO(number, [room]))
    data = os.read(number, len(room))
    room[: len(data)] = data
    return len(data)
