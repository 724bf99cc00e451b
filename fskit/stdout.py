"""Standard output whose failures are errors with a sentence and an exit status."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, NoReturn

from fsproto.errors import FsError, OutOfSpaceError, UsageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

READER_GONE = 128 + 13
"""The exit status of a program that SIGPIPE ended."""
_CALLED = "Standard output"
_FULL = {
    errno.ENOSPC: "there is no space left",
    errno.EDQUOT: "your disk quota is used up",
    errno.EFBIG: "a file may not be that large here",
}


class ReaderGone(Exception):
    """The program that reads standard output has ended."""


def guard_stdout() -> None:
    """Have every write to stdout raise `FsError` or `ReaderGone` where it fails.

    This includes writes of libraries, whose `OSError` does not name a file. Characters that the
    terminal's encoding lacks become escapes.
    """
    before = sys.stdout
    if before is None:
        sys.stdout = _Closed()
    elif isinstance(before, io.TextIOWrapper):
        raw = getattr(before.buffer, "raw", before.buffer)  # unbuffered, it is the file itself
        if isinstance(raw, io.FileIO):
            sys.stdout = io.TextIOWrapper(
                io.BufferedWriter(_Guarded(raw)),
                before.encoding,
                "backslashreplace",
                line_buffering=before.line_buffering or before.write_through,
            )
        else:
            before.reconfigure(errors="backslashreplace")


def check_reader() -> None:
    """Raise `ReaderGone` if the reader of stdout has ended, where the system can tell."""
    poll = getattr(select, "poll", None)  # not on Windows
    if poll is None or isinstance(sys.stdout, _Closed):
        return
    asked = poll()
    asked.register(sys.stdout.fileno(), 0)
    if any(event & (select.POLLERR | select.POLLNVAL) for _, event in asked.poll(0)):
        raise ReaderGone


def discard_stdout() -> None:
    """Discard what is still to be written to stdout, because it has failed."""
    if not isinstance(sys.stdout, _Closed):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class _Guarded(io.RawIOBase):
    """The raw file of stdout."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()

    def write(self, data: Buffer, /) -> int | None:
        try:
            return self._raw.write(data)
        except BrokenPipeError:
            raise ReaderGone from None
        except OSError as error:
            if why := _FULL.get(error.errno or 0):
                raise OutOfSpaceError(f"{_CALLED} cannot be written: {why}.") from error
            raise FsError(f"{_CALLED} cannot be used: {error.strerror}.") from error


class _Closed(io.TextIOBase):
    """Stdout of a program that was started without one."""

    closed = True

    def write(self, _: str, /) -> NoReturn:
        raise _closed_error()

    @property
    def buffer(self) -> NoReturn:
        raise _closed_error()

    def isatty(self) -> bool:
        return False

    def flush(self) -> None:
        """Do nothing: nothing was written."""


def _closed_error() -> UsageError:
    return UsageError(f"{_CALLED} is closed.")
