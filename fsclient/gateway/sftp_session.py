"""The SFTP session of one client: requests in, file system calls, answers out. No sockets.

Requests are served in order, except those that wait for the network: reads of
data not yet received, and a close that has data to send. Those run in a few threads, and
are answered when they are ready (draft-ietf-secsh-filexfer-02, section 2, allows any order).
Operations on a file that is being closed wait for the close (`Filesystem`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from fsclient.gateway.attributes import FileAttributes
from fsclient.gateway.filesystem import Filesystem
from fsclient.gateway.handles import BadHandleError, Handles, Listing, ReadHandle, SerialQueue
from fsclient.gateway.names import attributes_of, real_name, time_of
from fsclient.gateway.paths import GatewayPath, place_of
from fsclient.gateway.sftp_extensions import ANNOUNCED, Extensions
from fskit.sftp import packets
from fskit.sftp.codes import MAX_DATA, OpenFlag, Request, Response, StatusCode
from fskit.sftp.packets import BadPacketError, Fields, Packets, packet, string, u32
from fskit.sftp.replies import name_entry, name_packet, status_packet, version_packet
from fskit.sftp.status import sentence_of, status_of
from fsproto.errors import FsError, SecurityError

WAITERS = 32
"""The most threads that wait for the network, for one client; the closes in them become one
commit."""


class _ClientGoneError(Exception):
    """An answer could not be sent: the client has disconnected."""


class SftpSession:
    """One SFTP channel."""

    def __init__(
        self,
        filesystem: Filesystem,
        send: Callable[[bytes], None],
        tell: Callable[[FsError], None],
    ) -> None:
        """`send` sends bytes to the client; `tell` receives errors for the user.

        Several threads call `send`, one at a time.
        """
        self._files = filesystem
        self._send = send
        self._tell = tell
        self._handles = Handles()
        self._extensions = Extensions(filesystem, self._handles)
        self._packets = Packets()
        self._sending = threading.Lock()
        self._waiters = ThreadPoolExecutor(WAITERS, thread_name_prefix="sftp")
        self._ready: list[bytes] = []
        """Answers that are sent together."""
        self._begun = False
        self._serve: dict[int, Callable[[int, Fields], bytes | None]] = {
            Request.OPEN: self._open,
            Request.CLOSE: self._close,
            Request.READ: self._read,
            Request.WRITE: self._write,
            Request.LSTAT: self._lstat,
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
            Request.READLINK: self._readlink,
            Request.SYMLINK: self._symlink,
            Request.EXTENDED: self._extended,
        }

    def feed(self, data: bytes) -> None:
        """Process received bytes; raise `BadPacketError` if they are malformed.

        Raises `EOFError` if the client has disconnected, so that it cannot be answered.
        """
        try:
            for one in self._packets.feed(data):
                answer = self._answer(one)
                if answer is not None:
                    self._ready.append(answer)
                    if sum(map(len, self._ready)) >= MAX_DATA:
                        self._flush()
            self._flush()
        except _ClientGoneError:
            raise EOFError from None

    def end(self) -> None:
        """Discard all open handles after a disconnect; open files are not published."""
        try:
            self._files.opened.abandon(self._handles.clear())
        finally:
            self._waiters.shutdown(wait=True)

    # --- one request

    def _flush(self) -> None:
        """Send the answers that are ready."""
        ready, self._ready = self._ready, []
        if ready:
            self._out(b"".join(ready))

    def _out(self, data: bytes) -> None:
        try:
            with self._sending:
                self._send(data)
        except (OSError, EOFError) as error:
            raise _ClientGoneError from error

    def _answer(self, one: memoryview) -> bytes | None:
        kind, fields = one[0], Fields(one[1:])
        if not self._begun:
            answer = version_packet(kind, ANNOUNCED)
            self._begun = True
            return answer
        request = fields.u32()
        serve = self._serve.get(kind)
        if serve is None:
            return status_packet(request, StatusCode.OP_UNSUPPORTED)
        return self._served(request, lambda: serve(request, fields))

    def _served(self, request: int, work: Callable[[], bytes | None]) -> bytes | None:
        """Run a request; an error becomes a status."""
        try:
            return work()
        except _ClientGoneError:
            raise
        except BadPacketError:
            return status_packet(request, StatusCode.BAD_MESSAGE)
        except FsError as error:
            if isinstance(error, SecurityError):
                self._tell(error)
            return status_packet(request, status_of(error), sentence_of(error))
        except Exception as error:  # noqa: BLE001 - the client must be answered, whatever it was
            failed = FsError(f"Unexpected internal error ({type(error).__name__}).")
            failed.__cause__ = error
            self._tell(failed)
            return status_packet(request, StatusCode.FAILURE, failed.sentence)

    def _later(
        self, request: int, work: Callable[[], bytes], turns: SerialQueue | None = None
    ) -> None:
        """Run a request concurrently with the next ones, and answer it when it is done.

        Requests with the same `turns` run and are answered in the order in which they arrived.
        """

        def do() -> None:
            answer = self._served(request, work)
            if answer is not None:
                with suppress(_ClientGoneError):  # the reader of the channel sees that
                    self._out(answer)

        try:
            self._flush()
        finally:  # a client that vanishes after its close has closed its file all the same
            if turns is None:
                self._waiters.submit(do)
            else:
                turns.take(do, self._waiters)

    # --- files

    def _open(self, request: int, fields: Fields) -> bytes:
        place, flags, wanted = _place(fields), OpenFlag(fields.u32() & 0x3F), fields.attributes()
        name = self._handles.add(lambda: self._files.opened.open(place, flags, wanted))
        return packet(Response.HANDLE, u32(request), string(name))

    def _close(self, request: int, fields: Fields) -> bytes | None:
        handle = self._handles.remove(bytes(fields.string()))
        if isinstance(handle, Listing):
            return status_packet(request, StatusCode.OK)

        def close() -> bytes:
            try:
                self._files.opened.close(handle)
            except FsError as error:
                self._tell(error)  # not every program checks the status of its close
                raise
            return status_packet(request, StatusCode.OK)

        if not self._files.opened.waits_at_close(handle):
            return close()
        self._later(request, close)
        return None

    def _read(self, request: int, fields: Fields) -> bytes | None:
        handle = self._handles.get(bytes(fields.string()))
        offset, length = fields.u64(), min(fields.u32(), MAX_DATA)

        def read() -> bytes:
            data = self._files.opened.read(handle, offset, length)
            if not data and length:
                return status_packet(request, StatusCode.EOF)
            return packet(Response.DATA, u32(request), u32(len(data)), data)

        if not isinstance(handle, ReadHandle):
            return read()
        # In order: scp of OpenSSH 9.2 truncates a file after an answer that is too early.
        if not handle.turns.busy and handle.has(offset, length):
            return read()
        self._later(request, read, handle.turns)
        return None

    def _write(self, request: int, fields: Fields) -> bytes:
        handle = self._handles.get(bytes(fields.string()))
        offset, data = fields.u64(), fields.string()
        self._files.opened.write(handle, offset, data)
        return status_packet(request, StatusCode.OK)

    def _fstat(self, request: int, fields: Fields) -> bytes:
        facts = self._files.facts_of(self._handles.get(bytes(fields.string())))
        return _attributes(request, facts)

    def _fsetstat(self, request: int, fields: Fields) -> bytes:
        handle = self._handles.get(bytes(fields.string()))
        self._files.set_attributes_of(handle, fields.attributes())
        return status_packet(request, StatusCode.OK)

    # --- paths

    def _stat(self, request: int, fields: Fields) -> bytes:
        return _attributes(request, self._files.facts(_place(fields)))

    def _lstat(self, request: int, fields: Fields) -> bytes:
        return _attributes(request, self._files.facts(_place(fields), follow=False))

    def _setstat(self, request: int, fields: Fields) -> bytes:
        self._files.set_attributes(_place(fields), fields.attributes())
        return status_packet(request, StatusCode.OK)

    def _remove(self, request: int, fields: Fields) -> bytes:
        self._files.remove(_place(fields))
        return status_packet(request, StatusCode.OK)

    def _rmdir(self, request: int, fields: Fields) -> bytes:
        self._files.remove(_place(fields), folder=True)
        return status_packet(request, StatusCode.OK)

    def _mkdir(self, request: int, fields: Fields) -> bytes:
        self._files.make_folder(_place(fields))
        return status_packet(request, StatusCode.OK)

    def _rename(self, request: int, fields: Fields) -> bytes:
        self._files.rename(_place(fields), _place(fields), replacing=False)
        return status_packet(request, StatusCode.OK)

    def _realpath(self, request: int, fields: Fields) -> bytes:
        name = real_name(self._files.canonical(_place(fields)))
        return packet(Response.NAME, u32(request), name)

    def _readlink(self, request: int, fields: Fields) -> bytes:
        target = string(self._files.link_target(_place(fields)))
        return packet(Response.NAME, u32(request), u32(1), target * 2, _NOTHING)

    def _symlink(self, request: int, fields: Fields) -> bytes:
        # OpenSSH sends the target first, contrary to the draft; other programs do the same
        # (PROTOCOL, section 4.1).
        target = bytes(fields.string())
        self._files.make_link(_place(fields), target)
        return status_packet(request, StatusCode.OK)

    def _opendir(self, request: int, fields: Fields) -> bytes:
        place = _place(fields)
        name = self._handles.add(lambda: Listing(place, self._files.listing(place)))
        return packet(Response.HANDLE, u32(request), string(name))

    def _readdir(self, request: int, fields: Fields) -> bytes:
        handle = self._handles.get(bytes(fields.string()))
        if not isinstance(handle, Listing):
            raise BadHandleError("The handle is of a file, not of a folder.")
        now = time.time()

        def entry(one: tuple[str, FileAttributes]) -> bytes:
            name, facts = one
            return name_entry(name, attributes_of(facts), time_of(facts, now))

        return name_packet(request, handle.left, entry)

    def _extended(self, request: int, fields: Fields) -> bytes | None:
        name = fields.text()
        work = self._extensions.find(name, fields)

        def do() -> bytes:
            data = work.do()
            if data is None:
                return status_packet(request, StatusCode.OK)
            return packet(work.kind, u32(request), data)

        if not work.waits:
            return do()
        self._later(request, do)
        return None


_NOTHING = packets.Attributes().packed()


def _place(fields: Fields) -> GatewayPath:
    return place_of(fields.text())


def _attributes(request: int, facts: FileAttributes) -> bytes:
    return packet(Response.ATTRS, u32(request), attributes_of(facts).packed())
