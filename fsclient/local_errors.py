"""Errors of this machine, rather than of the server, with an exit status."""

from __future__ import annotations

import errno
import sys

from fsproto.errors import (
    ConflictError,
    FsError,
    InvalidNameError,
    NotAllowedError,
    NotFoundError,
    OutOfSpaceError,
    UsageError,
)
from fsproto.names import for_terminal

_BAD_NAME = InvalidNameError, "has a name that this file system does not take"
_NOT_IN_LOCALE = "has a name that cannot be written in the encoding of this locale ({})"
_ANOTHER_NAME = "Get it under another name, or rename it in the tree: fsclient mv."
_UTF_8 = "Choose a locale with UTF-8, for example: LC_ALL=C.UTF-8"
_CLASSES: dict[int | None, tuple[type[FsError], str]] = {
    errno.ENOENT: (NotFoundError, "does not exist"),
    errno.ENOTDIR: (NotFoundError, "does not exist: a part of its path is a file"),
    errno.EACCES: (NotAllowedError, "may not be accessed by you"),
    errno.EPERM: (NotAllowedError, "may not be accessed by you"),
    errno.EROFS: (NotAllowedError, "is on a file system that cannot be written"),
    errno.EISDIR: (UsageError, "is a folder"),
    errno.ELOOP: (NotFoundError, "does not exist: symbolic links in its path lead in a circle"),
    errno.EEXIST: (ConflictError, "is in the way"),
    errno.ENOTEMPTY: (ConflictError, "is in the way: the folder is not empty"),
    errno.ENOSPC: (OutOfSpaceError, "cannot be written: there is no space left"),
    errno.EDQUOT: (OutOfSpaceError, "cannot be written: your disk quota is used up"),
    errno.EFBIG: (OutOfSpaceError, "cannot be written: a file may not be that large here"),
    errno.ENAMETOOLONG: (
        UsageError,
        "has a name or path that this system does not take: it is too long",
    ),
    errno.EILSEQ: _BAD_NAME,
    errno.EINVAL: _BAD_NAME,
    errno.ERANGE: (NotAllowedError, "has a time that this file system does not take"),
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
        if isinstance(error, UnicodeEncodeError):
            raise name_not_in_locale(self._what) from error
        if not isinstance(error, OSError) or isinstance(error, BrokenPipeError):
            return
        kind, words = _CLASSES.get(error.errno, (FsError, f"cannot be used: {error.strerror}"))
        raise kind(f"{_named(self._what)} {words}.") from error


def name_not_taken(what: object) -> InvalidNameError:
    """Return the error for a local name that its file system refuses."""
    return InvalidNameError(f"{_named(what)} {_BAD_NAME[1]}.", hint=_ANOTHER_NAME)


def name_not_in_locale(what: object) -> InvalidNameError:
    """Return the error for a local name that the encoding of file names cannot express."""
    words = _NOT_IN_LOCALE.format(sys.getfilesystemencoding())
    return InvalidNameError(f"{_named(what)} {words}.", hint=_UTF_8)


def _named(what: object) -> str:
    return what if isinstance(what, str) else f"The local '{for_terminal(str(what))}'"
