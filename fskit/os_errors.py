"""Errors of files as errors of ours, with the exit status of their kind."""

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

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_KINDS: dict[int | None, type[FsError]] = {
    errno.ENOENT: NotFoundError,
    errno.ENOTDIR: NotFoundError,
    errno.EACCES: NotAllowedError,
    errno.EPERM: NotAllowedError,
    errno.EROFS: NotAllowedError,
    errno.EISDIR: UsageError,
    errno.EEXIST: ExistsError,
    errno.ENOTEMPTY: ExistsError,
    **dict.fromkeys(NO_SPACE, OutOfSpaceError),
}


def file_error(what: str, error: OSError, end: str = "") -> FsError:
    """Return the error "`what`: the reason.", of the class that fits the reason.

    `what` names the file and what failed; `end` follows the reason.
    """
    return _KINDS.get(error.errno, FsError)(f"{what}: {error.strerror or error}{end}.")
