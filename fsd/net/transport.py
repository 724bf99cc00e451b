"""The bytes of one connection: received on the event loop, or by a thread that borrows it.

Frames are processed strictly one after the other, while the next ones are received: at most one is
in work, and three wait or arrive. What waits for a slow client, or for its turn, is in memory only
as far as `fsd.net.waiting` allows. The thread that processes segments also receives them, for
waking another thread for each segment costs more than the cipher.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import TypeVar

from fsd.net.waiting import FREE, Slot, WaitingBytes, WaitingFrame
from fsproto.errors import ConnectionLost
from fsproto.wire.connection import Connection
from fsproto.wire.frames import Frame

T = TypeVar("T")

_LEFT_OVER = 1 << 16
_LEFT_OVER_READS = 16
_SOON_S = 0.002
"""Seconds that a thread waits for one peer; many peers share few threads."""
_PIECE = 1 << 17
"""Bytes that a thread carries between a socket and the file of waiting records."""


class Transport:
    """A socket and the connection that runs over it."""

    def __init__(
        self,
        sock: socket.socket,
        connection: Connection,
        silence_s: float,
        waiting: WaitingBytes,
        pool: Executor | None = None,
    ) -> None:
        """Take both, and the longest time in seconds that the peer may leave sent bytes unread.

        `waiting` has room for the bytes that wait; the threads of `pool` use its file.
        """
        self._socket = sock
        self._connection = connection
        self._silence_s = silence_s
        self._waiting = waiting
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._part = 0
        """Bytes that `waiting` counts for the incomplete frame."""
        self._unsent = memoryview(b"")
        """The rest of the last record."""
        self.stores = False
        """Whether a frame is carried into the file, so that no thread may receive the next one."""
        self._ours = asyncio.Event()
        """Set unless a thread receives."""
        self._ours.set()
        self._threads = threading.Lock()
        """Held while a thread uses the socket, and to close it. Otherwise the system could give the
        closed socket's number to another connection, and the thread would read its bytes."""
        self._closed = False
        self.heard = time.monotonic()
        """When the last bytes arrived, by `time.monotonic()`."""
        self.frame_began: float | None = None
        """When the first bytes of the current frame arrived; None between frames."""

    # --- on the event loop

    async def frame(self) -> WaitingFrame:
        """Return the next whole frame; raise the peer's error, or `ConnectionLost` at the end."""
        while True:
            while not self._ours.is_set():  # a thread may receive again before this task runs
                await self._ours.wait()
            frame = self._frame_now(self._may_hold_part)
            if frame is not None:
                self.stores = True
                waiting = await self.wait_with(frame)
                self.stores = False
                return waiting
            self._connection.rest()  # a client that is silent holds one incomplete frame at most
            if not self._may_hold_part():
                return await self._store()
            await self._readable()

    async def wait_with(self, frame: Frame) -> WaitingFrame:
        """Let a record wait: in memory if there is room."""
        waiting = self._waiting.frame(frame)
        if waiting is None:
            waiting = await self._in_thread(self._waiting.stored_frame, frame)
        return waiting

    async def taken(self, frame: WaitingFrame) -> Frame:
        """Return the record of a frame that waited."""
        return frame.take() if frame.in_memory else await self._in_thread(frame.take)

    def _may_hold_part(self) -> bool:
        """Return whether the incomplete frame, if there is one, may wait in memory."""
        held = self._connection.held
        if held <= FREE or self._part:
            return True
        if not self._waiting.hold(held):
            return False
        self._part = held
        return True

    def _release_part(self) -> None:
        part, self._part = self._part, 0
        self._waiting.release(part)

    async def _store(self) -> WaitingFrame:
        """Receive the rest of a frame into the file, as slowly as the peer sends it."""
        self.stores = True
        header, part, length = self._connection.set_aside()
        have, slot = len(part), await self._in_thread(self._waiting.slot)
        try:
            if part:
                await self._in_thread(slot.write, part)
            del part
            while have < length:
                await self._readable()
                have = await self._in_thread(self._receive_into, slot, have, length)
        except BaseException:
            slot.give_back()
            raise
        self.frame_began, self.stores = None, False
        return WaitingFrame(header, length, slot, slot.give_back)

    def _receive_into(self, slot: Slot, have: int, length: int) -> int:
        """Store what has arrived of a frame; return how many bytes of it there are then."""
        room, count = memoryview(bytearray(min(_PIECE, length - have))), 0
        with self._threads, contextlib.suppress(BlockingIOError):
            self._check_open()
            count = self._socket.recv_into(room)
            if not count:
                raise ConnectionLost
            self.heard = time.monotonic()
        slot.write(room[:count], have)  # without the lock, which the event loop needs
        return have + count

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await self._loop.run_in_executor(self._pool, work, *args)

    async def _readable(self) -> None:
        """Wait for bytes without reading them, because a thread may read them."""
        came = self._loop.create_future()
        with _lost_at_once():
            self._loop.add_reader(self._socket, _tell, came)
        try:
            await came
        finally:
            self._loop.remove_reader(self._socket)

    async def _writable(self) -> None:
        """Wait until the socket accepts bytes."""
        came = self._loop.create_future()
        with _lost_at_once():
            self._loop.add_writer(self._socket, _tell, came)
        try:
            await came
        finally:
            self._loop.remove_writer(self._socket)

    async def unless_ended(self, awaited: asyncio.Future[None]) -> None:
        """Wait for a future, and cancel it with `ConnectionLost` if the peer ends first."""
        with _lost_at_once():
            self._loop.add_reader(self._socket, self._cancel_at_end, awaited)
        try:
            await awaited
        except asyncio.CancelledError:
            if self._has_ended():
                raise ConnectionLost from None
            raise
        finally:
            self._loop.remove_reader(self._socket)

    def _cancel_at_end(self, awaited: asyncio.Future[None]) -> None:
        if self._has_ended():
            awaited.cancel()
        self._loop.remove_reader(self._socket)  # if the peer sent more, its end is noticed later

    def _has_ended(self) -> bool:
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def send(self, data: bytes) -> None:
        """Send, and wait until the socket has accepted all."""
        self.put(data)
        del data
        await self.flush()

    def put(self, data: bytes) -> None:
        """Take a record, which `flush` sends; in any thread.

        Who waits for `flush` should hold no reference to the record or to its message.
        """
        self._unsent = memoryview(data)

    async def flush(self) -> None:
        """Send the record that `put` took, or the rest of it that `send_soon` left."""
        if not self._unsent:
            return
        async with asyncio.timeout(self._silence_s):
            with contextlib.suppress(BlockingIOError):
                rest = self._unsent[self._socket.send(self._unsent) :]
                self.put(bytes(rest))  # not the whole record for a few bytes of it
                del rest
            if self._unsent:
                await self._flush_slowly()

    async def _flush_slowly(self) -> None:
        size = self._unsent.nbytes if self._unsent.nbytes > FREE else 0
        if not self._waiting.hold(size):
            await self._send_from_file()
            return
        try:
            await self._loop.sock_sendall(self._socket, self._unsent)
            self._unsent = memoryview(b"")
        finally:
            self._waiting.release(size)

    async def _send_from_file(self) -> None:
        """Send what is unsent, with a copy in the file instead of memory."""
        size, sent = len(self._unsent), 0
        slot = await self._in_thread(self._waiting.slot)
        try:
            await self._in_thread(slot.write, self._unsent)
            self._unsent = memoryview(b"")
            while sent < size:
                await self._writable()
                sent = await self._in_thread(self._send_from, slot, sent, size)
        finally:
            slot.give_back()

    def _send_from(self, slot: Slot, sent: int, size: int) -> int:
        """Send as much of a stored record as the socket accepts; return how much is sent then."""
        room = memoryview(bytearray(min(_PIECE, size - sent)))
        slot.read_into(room, sent)
        with self._threads, contextlib.suppress(BlockingIOError):
            self._check_open()
            sent += self._socket.send(room)
        return sent

    def to_thread(self) -> None:
        """Stop receiving, so that a thread can receive."""
        self._ours.clear()

    def to_loop(self) -> None:
        """Resume receiving."""
        self._ours.set()

    def close(self) -> None:
        """Close the socket, so that the last message still arrives.

        A close with unread bytes resets the connection, and the peer loses that message.
        """
        with self._threads:
            self._closed = True
            self._connection.forget()
            self._release_part()
            self._unsent = memoryview(b"")
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
                for _ in range(_LEFT_OVER_READS):
                    if not self._socket.recv(_LEFT_OVER):
                        break
            self._socket.close()

    # --- in a thread

    def frame_soon(self, *, wait: bool) -> Frame | None:
        """Return the next frame if it arrives within moments; raise the same errors as `frame`.

        Only while the line is lent.
        """
        ends = 0.0
        while True:
            with self._threads:
                self._check_open()
                frame = self._frame_now()
            if frame is not None or not wait:
                return frame
            ends = ends or time.monotonic() + _SOON_S
            if not self._becomes(select.POLLIN, ends):
                return None

    def send_soon(self, data: memoryview) -> bool:
        """Send as much as the peer accepts within moments; return whether that is all.

        The rest is copied, for `flush`.
        """
        ends = 0.0
        while True:
            with self._threads, contextlib.suppress(BlockingIOError):
                self._check_open()
                data = data[self._socket.send(data) :]
            if not data:
                return True
            ends = ends or time.monotonic() + _SOON_S
            if not self._becomes(select.POLLOUT, ends):
                self.put(bytes(data))
                return False

    def _becomes(self, what: int, ends: float) -> bool:
        """Wait until the socket is readable or writable."""
        number, wait_s = self._socket.fileno(), ends - time.monotonic()
        if number < 0:  # it was closed concurrently
            raise ConnectionLost
        poll = select.poll()
        poll.register(number, what)
        return wait_s > 0 and bool(poll.poll(wait_s * 1000))

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionLost

    # --- either

    def _frame_now(self, may_go_on: Callable[[], bool] = lambda: True) -> Frame | None:
        """Return the next frame, if it has arrived completely; read while `may_go_on` is true."""
        while (frame := self._connection.take_frame()) is None:
            if not may_go_on():
                return None
            try:
                count = self._socket.recv_into(self._connection.room())
            except BlockingIOError:
                return None
            self._connection.received(count)
            self.heard = time.monotonic()
            if self.frame_began is None:
                self.frame_began = self.heard
        self.frame_began = None
        self._release_part()
        return frame


@contextlib.contextmanager
def _lost_at_once() -> Iterator[None]:
    """Raise `ConnectionLost` if uvloop watches a socket no longer, for the peer has reset it."""
    try:
        yield
    except RuntimeError as error:
        raise ConnectionLost from error


def _tell(came: asyncio.Future[None]) -> None:
    if not came.done():
        came.set_result(None)
