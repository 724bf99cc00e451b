"""Atomic writing of a small, verified file from memory, in few system calls.

`files.written_whole` does the same for content that arrives in pieces. Paths are text here: to
split and join a `Path` costs more than to create the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from fsclient.local_errors import local_errors
from fsclient.transfer.local.files import (
    TAKES_NUMBERS,
    LocalStat,
    LocalTarget,
    give_name,
    passing_name,
    set_time,
    written_whole,
)
from fsproto.sealed.manifest import Mode

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_NEW |= getattr(os, "O_BINARY", 0)


def write_whole(path: Path, data: bytes | memoryview, facts: LocalStat, *, follow: bool) -> None:
    """Write a file completely, then give it its name, time and mode.

    `follow` is as for a `LocalTarget`.
    """
    if not TAKES_NUMBERS:
        with written_whole(path, facts, follow=follow) as file, local_errors(path):
            file.write(data)
        return
    target = LocalTarget(path, follow=follow)
    set_metadata = partial(target.set_metadata, facts=facts)
    _write_beside(path, os.fspath(target.final), data, set_metadata, 0o600)


def write_new(path: str, data: bytes | memoryview, facts: LocalStat) -> None:
    """Write a file as `write_whole` does, in a folder that this command has just created.

    If another process creates a file or link at the path in the meantime, it is replaced, never
    followed.
    """
    if not TAKES_NUMBERS or facts.mode is not Mode.REGULAR:
        write_whole(Path(path), data, facts, follow=False)
        return
    # The umask already gives the file its right mode.
    set_metadata = partial(set_time, mtime_ns=facts.mtime_ns)
    _write_beside(path, path, data, set_metadata, 0o666)


def _write_beside(
    named: Path | str,
    final: str,
    data: bytes | memoryview,
    set_metadata: Callable[[int], None],
    permissions: int,
) -> None:
    """Write a temporary file in the same folder, call `set_metadata`, and rename it to `final`."""
    folder = os.path.dirname(final)  # noqa: PTH120
    temporary = os.path.join(folder, passing_name())  # noqa: PTH118
    try:
        number = os.open(temporary, _NEW, permissions)
    except OSError:
        with local_errors(Path(folder)):
            raise
    try:
        try:
            done = os.write(number, data)
            while done < len(data):  # a signal, or a disk that is filling
                done += os.write(number, data[done:])
            set_metadata(number)
        finally:
            os.close(number)
        give_name(temporary, final)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        with local_errors(Path(named)):
            raise
