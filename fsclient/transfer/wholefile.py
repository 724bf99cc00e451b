"""Writing a small file that is at hand, all of it verified: whole or not there, in few calls.

For what comes piece by piece there is `localfs.written_whole`, which does the same. Paths are text
here: taking a `Path` apart and joining it again costs more than making the file.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from fsclient.errors import local_errors
from fsclient.transfer.localfs import (
    TAKES_NUMBERS,
    LocalFacts,
    Target,
    passing_name,
    written_whole,
)
from fsproto.sealed.manifest import Mode

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_NEW |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def write_whole(path: Path, data: bytes | memoryview, facts: LocalFacts, *, follow: bool) -> None:
    """Write a file that gets its name, time and mode once all of it is written.

    `follow` is as for a `Target`.
    """
    if not TAKES_NUMBERS:
        with written_whole(path, facts, follow=follow) as file, local_errors(path):
            file.write(data)
        return
    final = os.fspath(path)
    # A new file has from the umask what it would be given else; two calls of the system less.
    is_new = facts.mode is Mode.REGULAR and not _is_there(final)
    target = None if is_new else Target(path, follow=follow)
    if target is not None:
        final = os.fspath(target.final)
    folder = os.path.dirname(final)  # noqa: PTH120
    temporary = os.path.join(folder, passing_name())  # noqa: PTH118
    try:
        number = os.open(temporary, _NEW, 0o600 if target else 0o666)
    except OSError:
        with local_errors(Path(folder)):
            raise
    try:
        with local_errors(path):
            try:
                _write(number, data)
                if target is not None:
                    target.dress(number, facts)
                else:
                    os.utime(number, ns=(facts.mtime_ns, facts.mtime_ns))
            finally:
                os.close(number)
            os.replace(temporary, final)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise


def _is_there(path: str) -> bool:
    """Tell whether a path leads to anything, a link included, in half the time of a `stat`."""
    return os.access(path, os.F_OK, follow_symlinks=False)


def _write(number: int, data: bytes | memoryview) -> None:
    done = os.write(number, data)
    while done < len(data):  # a signal, or a disk that is filling
        done += os.write(number, data[done:])
