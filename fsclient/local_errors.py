"""Errors of this machine, rather than of the server, with an exit status."""

from __future__ import annotations

import errno

from fsproto.errors import (
    ConflictError,
    FsError,
    NotAllowedError,
    NotFoundError,
    OutOfSpaceError,
    UsageError,
)
from fsproto.names import for_terminal

_BAD_NAME = UsageError, "has a name that this file system does not take"
_CLASSES: dict[int | None, tuple[type[FsError], str]] = {
    errno.ENOENT: (NotFoundError, "does not exist"),
    errno.ENOTDIR: (NotFoundError, "does not exist: a part of its path is a file"),
    errno.EACCES: (NotAllowedError, "may not be accessed by you"),
    errno.EPERM: (NotAllowedError, "may not be accessed by you"),
    errno.EROFS: (NotAllowedError, "is on a file system that cannot be written"),
    errno.EISDIR: (UsageError, "is a folder"),
    errno.EEXIST: (ConflictError, "is in the way"),
    errno.ENOTEMPTY: (ConflictError, "is in the way: the folder is not empty"),
    errno.ENOSPC: (OutOfSpaceError, "cannot be written: there is no space left"),
    errno.EDQUOT: (OutOfSpaceError, "cannot be written: your disk quota is used up"),
    errno.EFBIG: (OutOfSpaceError, "cannot be written: a file may not be that large here"),
    errno.ENAMETOOLONG: _BAD_NAME,
    errno.EILSEQ: _BAD_NAME,
    errno.EINVAL: _BAD_NAME,
}


class local_errors:  # noqa: N801 - used like a function
    """Turn an `OSError` into a sentence about `what`: a local path, or a string that names it.

    A closed pipe (`BrokenPipeError`) passes unchanged, because it is no error of this program.
    """

    # Not a generator, for speed: several of these run for every small file.
    __slots__ = ("_what",)

    def __init__(self, what: object) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if not isinstance(error, OSError) or isinstance(error, BrokenPipeError):
            return
        what = self._what
        kind, words = _CLASSES.get(error.errno, (FsError, f"cannot be used: {error.strerror}"))
        named = what if isinstance(what, str) else f"The local '{for_terminal(str(what))}'"
        raise kind(f"{named} {words}.") from error
