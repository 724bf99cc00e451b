"""Errors of the system: of files, as errors of ours of the same kind, and of memory."""

from __future__ import annotations

import errno

from fsproto.errors import (
    ExistsError,
    FsError,
    NotAllowedError,
    NotFoundError,
    OutOfSpaceError,
    UsageError,
)

NO_MEMORY = "There is not enough memory."
_NO_MEMORY_SIGNS = (
    "can't start new thread",
    "malloc failure",
    "failed to map segment",
    "error return without exception set",
)
"""Words of errors that have no class of their own: of Python's threads, of OpenSSL, of the loader
of libraries, and of Python itself where it had no memory to make the error."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""On a file system that cannot lock files."""
_KINDS: dict[int | None, type[FsError]] = {
    errno.ENOENT: NotFoundError,
    errno.ENOTDIR: NotFoundError,
    errno.ELOOP: NotFoundError,
    errno.EACCES: NotAllowedError,
    errno.EPERM: NotAllowedError,
    errno.EROFS: NotAllowedError,
    errno.EISDIR: UsageError,
    errno.EEXIST: ExistsError,
    errno.ENOTEMPTY: ExistsError,
    **dict.fromkeys(NO_SPACE, OutOfSpaceError),
}


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error means that there is too little memory, or no further thread."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = str(error)
    return isinstance(error, MemoryError) or any(sign in said for sign in _NO_MEMORY_SIGNS)


def file_error(what: str, error: OSError, end: str = "") -> FsError:
    """Return the error "`what`: the reason.", of the class that fits the reason.

    `what` names the file and what failed; `end` follows the reason.
    """
    return _KINDS.get(error.errno, FsError)(f"{what}: {error.strerror or error}{end}.")
