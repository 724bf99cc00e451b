"""Local symbolic links: reading, and atomic creation.

A link is transferred as a small file whose content is the link target. Links are not followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fsclient.local_errors import local_errors
from fsclient.transfer.local.files import (
    LocalStat,
    facts_of,
    give_name,
    inode_of,
    passing_name,
    set_time,
    time_ns_of,
)
from fsproto.errors import (
    ConflictError,
    IntegrityError,
    InvalidNameError,
    NotAllowedError,
    SourceChangedError,
)
from fsproto.limits import MAX_LINK_TARGET
from fsproto.names import for_terminal
from fsproto.sealed.manifest import Mode

_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ENAMETOOLONG)
"""The last one: Linux takes targets of at most 4095 bytes."""


class LinkSource:
    """A local link as an upload source; its content is the link target."""

    def __init__(self, path: Path) -> None:
        """Read the link; raise `FsError` if that fails or the target is too long."""
        self._path = path
        with local_errors(path):
            found = path.lstat()
        self._target = self._rest = _target(path)
        if len(self._target) > MAX_LINK_TARGET:
            raise InvalidNameError(
                f"The local '{for_terminal(str(path))}' is a symbolic link to a path of more than "
                f"{MAX_LINK_TARGET} bytes."
            )
        size, mtime_ns = len(self._target), time_ns_of(found)
        self.facts = LocalStat(size, mtime_ns, Mode.SYMLINK, inode_of(found))

    def read_into(self, room: memoryview) -> int:
        """Read the next bytes of the link target into `room`."""
        piece, self._rest = self._rest[: len(room)], self._rest[len(room) :]
        room[: len(piece)] = piece
        return len(piece)

    def check_unchanged(self, size: int) -> None:
        """Raise `SourceChangedError` if the link has another target now."""
        if size != len(self._target) or _target(self._path) != self._target:
            raise SourceChangedError(
                f"The local '{for_terminal(str(self._path))}' changed while it was read; "
                "it was not put."
            )

    def close(self) -> None:
        """Do nothing: a link is not held open."""


def local_facts(path: Path | str, *, follow: bool = False) -> LocalStat | None:
    """Return size, time and mode of a file or link; None if the path is neither."""
    try:
        found = os.stat(path, follow_symlinks=follow)  # noqa: PTH116 - a `Path` is slow to create
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        with local_errors(path):
            raise
    if stat.S_ISLNK(found.st_mode):  # on some systems `st_size` of a link is meaningless
        size = len(_target(Path(path)))
        return LocalStat(size, time_ns_of(found), Mode.SYMLINK, inode_of(found))
    return facts_of(found) if stat.S_ISREG(found.st_mode) else None


def _target(path: Path) -> bytes:
    with local_errors(path):
        return os.readlink(os.fsencode(path))  # noqa: PTH115 - a `Path` would drop a './'


class _Target(bytearray):
    """A buffer for a link target."""

    def write(self, data: bytes | memoryview, /) -> None:
        if len(self) + len(data) <= MAX_LINK_TARGET:
            self.extend(data)
        else:
            self[:] = bytes(MAX_LINK_TARGET + 1)  # too long: `link_made` refuses it


@contextmanager
def link_made(path: Path, mtime_ns: int) -> Iterator[_Target]:
    """Yield a buffer for a link target; create the link only if the block succeeds.

    The link replaces a file or link. Raise `FsError` if it cannot be created or its target is
    invalid.
    """
    target = _Target()
    yield target
    if not 0 < len(target) <= MAX_LINK_TARGET or 0 in target:
        raise IntegrityError(
            f"The symbolic link for the local '{for_terminal(str(path))}' has an invalid target."
        )
    _must_be_replaceable(path)
    temporary = path.parent / passing_name()
    try:
        _make(bytes(target), temporary, path)
        with local_errors(path):
            if os.utime in os.supports_follow_symlinks:
                set_time(temporary, mtime_ns, follow_symlinks=False)
            give_name(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _make(target: bytes, temporary: Path, path: Path) -> None:
    with local_errors(path.parent):
        try:
            temporary.symlink_to(os.fsdecode(target))
        except (NotImplementedError, ValueError):
            raise _not_here(path) from None
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise _not_here(path) from None
            raise


def _not_here(path: Path) -> NotAllowedError:
    return NotAllowedError(
        f"The local '{for_terminal(str(path))}' would be a symbolic link, "
        "and such a link cannot be made there."
    )


def _must_be_replaceable(path: Path) -> None:
    with local_errors(path):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            return
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise ConflictError(
            f"The local '{for_terminal(str(path))}' is not a regular file and is not replaced."
        )
