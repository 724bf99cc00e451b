"""Writing a small file that is at hand, all of it verified: whole or not there, in few calls.

For what comes piece by piece there is `localfs.written_whole`, which does the same. Paths are text
here: taking a `Path` apart and joining it again costs more than making the file.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from fsclient.errors import local_errors
from fsclient.transfer.localfs import TAKES_NUMBERS, LocalFacts, Target, written_whole

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
    target = Target(path, follow=follow)
    temporary = os.path.join(os.path.dirname(target.final), target.passing_name)  # noqa: PTH118, PTH120
    try:
        number = os.open(temporary, _NEW, 0o600)
    except OSError:
        with local_errors(target.final.parent):
            raise
    try:
        with local_errors(path):
            try:
                _write(number, data)
                target.dress(number, facts)
            finally:
                os.close(number)
            os.replace(temporary, target.final)  # noqa: PTH105 - a path would be taken apart again
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise


def _write(number: int, data: bytes | memoryview) -> None:
    done = os.write(number, data)
    while done < len(data):  # a signal, or a disk that is filling
        done += os.write(number, data[done:])
