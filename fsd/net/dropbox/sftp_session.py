"""One client's SFTP session with the drop box: bytes in, bytes out.

The caller (an SSH channel, a pair of pipes) passes received bytes to `feed` and sends the bytes
that it returns; `serve` does both. It blocks: a close waits for the disk and the database.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fsd.net.dropbox.tree import DropAttributes, DropTree, Place, path_of, place_of
from fsd.services.drops.session import DropSession, IncomingDrop
from fskit.sftp.codes import MAX_DATA, MAX_PACKET, OpenFlag, Request, Response, StatusCode
from fskit.sftp.packets import Attributes, BadPacketError, Fields, Packets, packet, string, u32, u64
from fskit.sftp.replies import name_entry, name_packet, status_packet, version_packet
from fskit.sftp.status import UnsupportedError, sentence_of, status_of
from fsproto.errors import FsError, NotAllowedError, SecurityError

log = logging.getLogger(__name__)

MAX_HANDLES = 64
"""Handles of one client that are open at once."""
_ANNOUNCED = {
    "posix-rename@openssh.com": "1",
    "lsetstat@openssh.com": "1",
    "limits@openssh.com": "1",
}
_HALF_A_YEAR_S = 183 * 24 * 3600
_NOTHING = Attributes().packed()


class BadHandleError(FsError):
    """That handle is not open."""


@dataclass(eq=False)
class _Writing:
    """A drop that is being received."""

    drop: IncomingDrop
    appends: bool


@dataclass(eq=False)
class _Listing:
    """A folder listing in progress: the remaining entries, in reverse order."""

    place: Place
    left: list[tuple[str, DropAttributes]] = field(repr=False)


class SftpSession:
    """One SFTP channel to a drop box."""

    def __init__(self, box: DropSession, now_s: Callable[[], float] = time.time) -> None:
        """Take the session's drop box, and a clock in seconds.

        `end` discards the open uploads of this channel; the session continues.
        """
        self._now_s = now_s
        self._tree = DropTree(box, int(now_s()) * 1_000_000_000)
        self._box = box
        self._packets = Packets()
        self._begun = False
        self._open: dict[bytes, _Writing | _Listing] = {}
        self._last = 0
        self._serve: dict[int, Callable[[int, Fields], bytes]] = {
            Request.OPEN: self._opened,
            Request.CLOSE: self._close,
            Request.READ: self._read,
            Request.WRITE: self._write,
            Request.LSTAT: self._stat,
            Request.STAT: self._stat,
            Request.FSTAT: self._fstat,
            Request.SETSTAT: self._setstat,
            Request.FSETSTAT: self._fsetstat,
            Request.OPENDIR: self._opendir,
            Request.READDIR: self._readdir,
            Request.REMOVE: self._remove,
            Request.MKDIR: self._mkdir,
            Request.RMDIR: self._rmdir,
            Request.REALPATH: self._realpath,
            Request.RENAME: self._rename,
            Request.READLINK: self._link,
            Request.SYMLINK: self._link,
            Request.EXTENDED: self._extended,
        }

    def serve(self, recv: Callable[[], bytes], send: Callable[[bytes], object]) -> None:
        """Answer requests until `recv` returns nothing, or a packet cannot be parsed."""
        try:
            while data := recv():
                answer = self.feed(data)
                if answer:
                    send(answer)
        except BadPacketError as error:
            log.warning("a drop box's client makes no sense: %s", error)
        finally:
            self.end()

    def feed(self, data: bytes) -> bytes:
        """Take received bytes; return the answers. `BadPacketError` if a packet cannot be parsed.

        The caller must call `end` after that error, and after the last bytes.
        """
        return b"".join([self._answer(one) for one in self._packets.feed(data)])

    def end(self) -> None:
        """Discard all open files, for the client is gone; an unclosed file makes no drop."""
        left = list(self._open.values())
        self._open.clear()
        for one in left:
            if isinstance(one, _Writing):
                one.drop.abort()

    # --- one request

    def _answer(self, one: memoryview) -> bytes:
        kind, fields = one[0], Fields(one[1:])
        if not self._begun:
            answer = version_packet(kind, _ANNOUNCED)
            self._begun = True
            return answer
        request = fields.u32()
        serve = self._serve.get(kind)
        if serve is None:
            return status_packet(request, StatusCode.OP_UNSUPPORTED)
        try:
            return serve(request, fields)
        except BadPacketError:
            return status_packet(request, StatusCode.BAD_MESSAGE)
        except FsError as error:
            if isinstance(error, SecurityError):
                log.warning("drop refused: %s", error.sentence)
            return status_packet(request, status_of(error), sentence_of(error))
        except Exception:
            log.exception("drop failed")
            return status_packet(request, StatusCode.FAILURE, "Something unexpected went wrong.")

    def _add(self, one: _Writing | _Listing) -> bytes:
        self._last += 1  # a handle is never reused: a closed one stays closed
        name = self._last.to_bytes(8, "big")
        self._open[name] = one
        return name

    def _room(self) -> None:
        if len(self._open) >= MAX_HANDLES:
            raise NotAllowedError(f"More than {MAX_HANDLES} files are open.")

    def _handle(self, fields: Fields) -> _Writing | _Listing:
        found = self._open.get(bytes(fields.string()))
        if found is None:
            raise BadHandleError
        return found

    def _writing(self, fields: Fields) -> _Writing:
        found = self._handle(fields)
        if not isinstance(found, _Writing):
            raise UnsupportedError("That is a folder, not a file.")
        return found

    # --- files

    def _opened(self, request: int, fields: Fields) -> bytes:
        place, flags, wanted = _place(fields), OpenFlag(fields.u32() & 0x3F), fields.attributes()
        self._room()
        drop = self._tree.open(place, flags, wanted)
        name = self._add(_Writing(drop, bool(flags & OpenFlag.APPEND)))
        return packet(Response.HANDLE, u32(request), string(name))

    def _close(self, request: int, fields: Fields) -> bytes:
        found = self._open.pop(bytes(fields.string()), None)
        if found is None:
            raise BadHandleError
        if isinstance(found, _Writing):
            found.drop.finish()
        return status_packet(request, StatusCode.OK)

    def _read(self, request: int, fields: Fields) -> bytes:
        self._handle(fields)
        raise NotAllowedError("Dropped files cannot be read back.")

    def _write(self, request: int, fields: Fields) -> bytes:
        one = self._writing(fields)
        offset, data = fields.u64(), fields.string()
        one.drop.write(one.drop.size if one.appends else offset, data)
        return status_packet(request, StatusCode.OK)

    def _fstat(self, request: int, fields: Fields) -> bytes:
        found = self._handle(fields)
        if isinstance(found, _Listing):
            return _attributes(request, self._tree.facts(found.place))
        stored = tuple(found.drop.name.split("/"))
        return _attributes(request, self._tree.stored_facts(stored))

    def _fsetstat(self, request: int, fields: Fields) -> bytes:
        one = self._writing(fields)
        self._tree.describe(one.drop, fields.attributes())
        return status_packet(request, StatusCode.OK)

    # --- paths

    def _stat(self, request: int, fields: Fields) -> bytes:
        return _attributes(request, self._tree.facts(_place(fields)))

    def _setstat(self, request: int, fields: Fields) -> bytes:
        self._tree.set_attributes(_place(fields), fields.attributes())
        return status_packet(request, StatusCode.OK)

    def _remove(self, request: int, fields: Fields) -> bytes:
        self._tree.remove(_place(fields))
        return status_packet(request, StatusCode.OK)

    def _rmdir(self, request: int, fields: Fields) -> bytes:
        self._tree.remove_folder(_place(fields))
        return status_packet(request, StatusCode.OK)

    def _mkdir(self, request: int, fields: Fields) -> bytes:
        self._tree.make_folder(_place(fields))
        return status_packet(request, StatusCode.OK)

    def _rename(self, request: int, fields: Fields) -> bytes:
        self._tree.rename(_place(fields), _place(fields), replacing=False)
        return status_packet(request, StatusCode.OK)

    def _realpath(self, request: int, fields: Fields) -> bytes:
        path = path_of(_place(fields))
        return packet(Response.NAME, u32(request), u32(1), string(path) * 2, _NOTHING)

    def _link(self, request: int, fields: Fields) -> bytes:
        raise NotAllowedError("There are no symbolic links in a drop box.")

    def _opendir(self, request: int, fields: Fields) -> bytes:
        place = _place(fields)
        self._room()
        name = self._add(_Listing(place, self._tree.listing(place)[::-1]))
        return packet(Response.HANDLE, u32(request), string(name))

    def _readdir(self, request: int, fields: Fields) -> bytes:
        found = self._handle(fields)
        if not isinstance(found, _Listing):
            raise UnsupportedError("That is a file, not a folder.")
        now = self._now_s()

        def entry(one: tuple[str, DropAttributes]) -> bytes:
            name, facts = one
            return name_entry(name, facts.attributes(), _time_of(facts, now))

        return name_packet(request, found.left, entry)

    # --- beyond version 3

    def _extended(self, request: int, fields: Fields) -> bytes:
        match fields.text():
            case "posix-rename@openssh.com":
                self._tree.rename(_place(fields), _place(fields), replacing=True)
                return status_packet(request, StatusCode.OK)
            case "lsetstat@openssh.com":
                return self._setstat(request, fields)
            case "limits@openssh.com":
                numbers = (MAX_PACKET, MAX_DATA, MAX_DATA, MAX_HANDLES)
                return packet(Response.EXTENDED_REPLY, u32(request), *map(u64, numbers))
            case "hardlink@openssh.com":
                raise NotAllowedError("There are no links in a drop box.")
        raise UnsupportedError


def _place(fields: Fields) -> Place:
    return place_of(fields.text())


def _attributes(request: int, facts: DropAttributes) -> bytes:
    return packet(Response.ATTRS, u32(request), facts.attributes().packed())


def _time_of(facts: DropAttributes, now_s: float) -> str:
    """Return the modification time as in `ls -l`, in UTC: the client's time zone is unknown."""
    seconds = min(max(facts.mtime_ns // 1_000_000_000, 0), 0xFFFFFFFF)
    recent = abs(now_s - seconds) < _HALF_A_YEAR_S
    return time.strftime("%b %e %H:%M" if recent else "%b %e  %Y", time.gmtime(seconds))
