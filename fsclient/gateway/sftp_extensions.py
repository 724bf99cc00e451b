"""Extensions to SFTP version 3 that real clients use.

    posix-rename@openssh.com   string old ‖ string new
    fsync@openssh.com          string handle
    statvfs@openssh.com        string path               fstatvfs@openssh.com   string handle
    limits@openssh.com         nothing
    lsetstat@openssh.com       string path ‖ attrs
    expand-path@openssh.com    string path              answered like REALPATH
    users-groups-by-id@openssh.com   string u32s of users ‖ string u32s of groups
    copy-data                  string handle ‖ u64 start ‖ u64 length, 0 for all ‖
                               string handle to write ‖ u64 start
    check-file-handle          string handle ‖ string algorithms ‖ u64 start ‖ u64 length ‖
                               u32 block
    check-file-name            string path ‖ the same
    check-file                 as check-file-handle, the name that paramiko sends

Source: OpenSSH's PROTOCOL, section 4; draft-ietf-secsh-filexfer-extensions-00, sections 3 and 7.
The fields before the `check-file` answer are those that ProFTPD and paramiko send.
`hardlink@openssh.com` is not announced and is refused: a file in a tree has one path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from struct import iter_unpack

from fsclient.gateway.checksums import check_file
from fsclient.gateway.filesystem import Filesystem
from fsclient.gateway.handles import Handle, Handles, Listing, ReadHandle, WriteHandle
from fsclient.gateway.names import names_of, real_name
from fsclient.gateway.paths import place_of
from fskit.sftp.codes import MAX_DATA, MAX_HANDLES, MAX_PACKET, OpenFlag, Response
from fskit.sftp.packets import BadPacketError, Fields, string, u64
from fskit.sftp.status import EndOfFileError, UnsupportedError
from fsproto.errors import FsError, NotFoundError
from fsproto.names import for_terminal

ANNOUNCED = {
    "posix-rename@openssh.com": "1",
    "statvfs@openssh.com": "2",
    "fstatvfs@openssh.com": "2",
    "fsync@openssh.com": "1",
    "lsetstat@openssh.com": "1",
    "limits@openssh.com": "1",
    "expand-path@openssh.com": "1",
    "users-groups-by-id@openssh.com": "1",
    "copy-data": "1",
    "check-file": "check-file-handle,check-file-name",
}

_BLOCK = 4096
_COPIED = 64 * 1024
"""Bytes that are copied at once."""
_ALL = 1 << 64
_ROOM = 1 << 40
"""Bytes (1 TiB) reported as free to a user without quota: the server does not report its free
disk space."""
_FILES = 1 << 32
"""The same for the number of files."""
_READ_ONLY, _NO_SETUID = 1, 2
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Work:
    """The work of an extension request; it returns the reply, or None for a plain status."""

    do: Callable[[], bytes | None]
    waits: bool = False
    """Whether it may take long and must not delay other requests."""
    kind: Response = Response.EXTENDED_REPLY
    """The type of the reply's packet."""


class Extensions:
    """The extensions for one SFTP session."""

    def __init__(self, filesystem: Filesystem, handles: Handles) -> None:
        self._files = filesystem
        self._handles = handles
        self._known: dict[str, Callable[[Fields], Work]] = {
            "posix-rename@openssh.com": self._posix_rename,
            "statvfs@openssh.com": self._statvfs,
            "fstatvfs@openssh.com": self._statvfs,
            "fsync@openssh.com": self._fsync,
            "lsetstat@openssh.com": self._lsetstat,
            "limits@openssh.com": self._limits,
            "expand-path@openssh.com": self._expand_path,
            "users-groups-by-id@openssh.com": self._names_by_id,
            "copy-data": self._copy_data,
            "hardlink@openssh.com": self._hardlink,
            "check-file": self._check_handle,
            "check-file-handle": self._check_handle,
            "check-file-name": self._check_name,
        }

    def find(self, name: str, fields: Fields) -> Work:
        """Return the work of a request; raise `UnsupportedError` for an unknown one."""
        known = self._known.get(name)
        if known is None:
            raise UnsupportedError
        return known(fields)

    def _posix_rename(self, fields: Fields) -> Work:
        old, new = place_of(fields.text()), place_of(fields.text())
        return Work(partial(self._files.rename, old, new, replacing=True))

    def _fsync(self, fields: Fields) -> Work:
        handle = self._handle(fields)
        return Work(self._files.opened.start_sync(handle), waits=True)

    def _lsetstat(self, fields: Fields) -> Work:
        place, wanted = place_of(fields.text()), fields.attributes()
        return Work(partial(self._files.set_attributes, place, wanted, follow=False))

    def _limits(self, fields: Fields) -> Work:
        numbers = (MAX_PACKET, MAX_DATA, MAX_DATA, MAX_HANDLES)
        return Work(lambda: b"".join(map(u64, numbers)))

    def _expand_path(self, fields: Fields) -> Work:
        """`~` is the top of the tree; no other user has a home here."""
        path = fields.text()
        if path.startswith("~") and not path.startswith("~/") and path != "~":
            raise NotFoundError(f"There is no home of '{for_terminal(path[1:])}' here.")
        place = place_of(path.removeprefix("~"))
        return Work(lambda: real_name(self._files.canonical(place)), kind=Response.NAME)

    def _names_by_id(self, fields: Fields) -> Work:
        lists = [fields.string() for _ in range(2)]
        if any(len(one) % 4 for one in lists):
            raise BadPacketError("a number has four bytes")
        numbers = [[number for (number,) in iter_unpack(">I", one)] for one in lists]
        names = names_of(*numbers)
        return Work(lambda: b"".join(string(b"".join(map(string, some))) for some in names))

    def _copy_data(self, fields: Fields) -> Work:
        source, start, length = self._handle(fields), fields.u64(), fields.u64()
        target, at = self._handle(fields), fields.u64()
        if isinstance(source, Listing) or isinstance(target, Listing):
            raise FsError("Only files have data that can be copied.")
        if _content(source) is _content(target):
            raise FsError("Data is copied from one file to another, not within one.")
        return Work(lambda: self._copy(source, start, length, target, at))

    def _copy(self, source: Handle, start: int, length: int, target: Handle, at: int) -> None:
        left = length or _ALL
        while left:
            wanted = min(_COPIED, left)
            left -= wanted
            piece = self._files.opened.read(source, start, wanted)
            if not piece:
                # Like OpenSSH's sftp-server: only a missing whole piece is an error.
                if left and length:
                    raise EndOfFileError
                return
            self._files.opened.write(target, at, piece)
            start, at = start + len(piece), at + len(piece)

    def _handle(self, fields: Fields) -> Handle:
        return self._handles.get(bytes(fields.string()))

    def _hardlink(self, fields: Fields) -> Work:
        raise UnsupportedError("Hard links are not supported.")

    def _statvfs(self, fields: Fields) -> Work:
        return Work(self._space)

    def _space(self) -> bytes:
        account = self._files.account()
        used = -(-account.used_bytes // _BLOCK)
        room, files = _ROOM // _BLOCK, _FILES
        if account.quota_bytes is not None:
            room = max(0, account.quota_bytes - account.used_bytes) // _BLOCK
        if account.quota_files is not None:
            files = max(0, account.quota_files - account.files)
        flags = _NO_SETUID | (_READ_ONLY if self._files.read_only else 0)
        sizes = (_BLOCK, _BLOCK, used + room, room, room)
        numbers = (account.files + files, files, files)
        return b"".join(map(u64, (*sizes, *numbers, 0, flags, _LONGEST_NAME)))

    def _check_handle(self, fields: Fields) -> Work:
        handle = self._handle(fields)
        read, size = partial(self._files.opened.read, handle), self._files.facts_of(handle).size
        return Work(check_file(read, size, fields), waits=True)

    def _check_name(self, fields: Fields) -> Work:
        place = place_of(fields.text())
        handle = self._files.opened.open(place, OpenFlag.READ)
        read, size = partial(self._files.opened.read, handle), self._files.facts_of(handle).size
        try:
            work = check_file(read, size, fields)
        except BaseException:
            self._files.opened.close(handle)
            raise

        def do() -> bytes:
            try:
                return work()
            finally:
                self._files.opened.close(handle)

        return Work(do, waits=True)


def _content(handle: ReadHandle | WriteHandle) -> object:
    return handle.content if isinstance(handle, ReadHandle) else handle.writing
