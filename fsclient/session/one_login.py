"""One login at a time for each profile, so that parallel commands share one session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fsclient.profile_errors import profile_errors
from fskit import files
from fsproto.errors import LoginRefused

_MARK = 16
"""Random bytes that make each recorded refusal different."""
_LONGEST = 1024


@contextmanager
def one_login(path: Path, source: bytes | None) -> Iterator[None]:
    """Hold a profile's lock at `path` during the block, which logs in; wait until it is free.

    `source` identifies where the one-time passwords come from. If a login from the same source was
    refused while this one waited, raise `LoginRefused` instead of being refused, too. Without a
    source a person types the codes: no command should wait for that, so there is no lock.
    """
    if source is None:
        yield
        return
    with profile_errors(path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        before = _content(fd)
        with profile_errors(path):
            files.lock(fd, wait=True)
        refused = _content(fd)
        if refused != before and refused[_MARK:] == source:
            raise LoginRefused
        try:
            yield
        except LoginRefused:
            with suppress(OSError):  # on a full disk, those who wait try the code themselves
                os.lseek(fd, 0, os.SEEK_SET)
                os.ftruncate(fd, 0)
                os.write(fd, os.urandom(_MARK) + source)
            raise
    finally:
        os.close(fd)


def _content(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    return os.read(fd, _LONGEST)
