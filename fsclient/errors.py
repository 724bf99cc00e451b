"""What goes wrong on this machine rather than at the server, as errors with an exit status."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from fsproto.errors import (
    ConflictError,
    FsError,
    NotAllowedError,
    NotFoundError,
    OutOfSpaceError,
    UsageError,
)
from fsproto.names import for_terminal

_CLASSES: dict[int | None, tuple[type[FsError], str]] = {
    errno.ENOENT: (NotFoundError, "is not there"),
    errno.ENOTDIR: (NotFoundError, "is not there: a part of its path is a file"),
    errno.EACCES: (NotAllowedError, "may not be accessed by you"),
    errno.EPERM: (NotAllowedError, "may not be accessed by you"),
    errno.EROFS: (NotAllowedError, "is on a file system that cannot be written"),
    errno.EISDIR: (UsageError, "is a folder"),
    errno.EEXIST: (ConflictError, "is in the way"),
    errno.ENOTEMPTY: (ConflictError, "is in the way: the folder is not empty"),
    errno.ENOSPC: (OutOfSpaceError, "cannot be written: there is no space left"),
    errno.EDQUOT: (OutOfSpaceError, "cannot be written: your disk quota is used up"),
    errno.ENAMETOOLONG: (UsageError, "has a name that this file system does not take"),
    errno.EILSEQ: (UsageError, "has a name that this file system does not take"),
    errno.EINVAL: (UsageError, "has a name that this file system does not take"),
}


@contextmanager
def local_errors(path: object) -> Iterator[None]:
    """Turn an `OSError` about a local file into a sentence about `path`."""
    try:
        yield
    except OSError as error:
        kind, what = _CLASSES.get(error.errno, (FsError, f"cannot be used: {error.strerror}"))
        raise kind(f"The local {for_terminal(str(path))} {what}.") from error
