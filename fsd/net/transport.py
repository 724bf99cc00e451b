"""The bytes of one connection: received on the event loop, or by a thread that borrows it.

Frames are processed strictly one after the other, while the next ones are received. At most three
large frames are in memory: one in work, two that wait or arrive. The thread that processes segments
also receives them, for waking another thread for each segment costs more than the cipher.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
import time
from collections import deque

from fsproto.errors import ConnectionLost
from fsproto.limits import RECORDS_AHEAD
from fsproto.wire.connection import Connection
from fsproto.wire.frames import Frame

_LEFT_OVER = 1 << 16
_LEFT_OVER_READS = 16
_SOON_S = 0.002
"""Seconds that a thread waits for one peer; many peers share few threads."""


class Transport:
    """A socket and the connection that runs over it."""

    def __init__(self, sock: socket.socket, connection: Connection, silence_s: float) -> None:
        """Take both, and the peer's time limits for sending and for receiving."""
        self._socket = sock
        self._connection = connection
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
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

    async def frame(self) -> Frame:
        """Return the next whole frame; raise the peer's error, or `ConnectionLost` at the end."""
        while True:
            await self._ours.wait()
            frame = self._frame_now()
            if frame is not None:
                return frame
            self._connection.rest()  # a client that is silent holds one incomplete frame at most
            await self._readable()

    async def _readable(self) -> None:
        """Wait for bytes without reading them, because a thread may read them."""
        came = self._loop.create_future()
        self._loop.add_reader(self._socket, _tell, came)
        try:
            await came
        finally:
            self._loop.remove_reader(self._socket)

    async def unless_ended(self, awaited: asyncio.Future[None]) -> None:
        """Wait for a future, and cancel it with `ConnectionLost` if the peer ends first."""
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

    async def send(self, data: bytes | memoryview) -> None:
        """Send, and wait until the socket has accepted all."""
        async with asyncio.timeout(self._silence_s):
            await self._loop.sock_sendall(self._socket, data)

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

    def send_soon(self, data: memoryview) -> memoryview:
        """Send as much as the peer accepts within moments; return the rest."""
        ends = 0.0
        while True:
            with self._threads, contextlib.suppress(BlockingIOError):
                self._check_open()
                data = data[self._socket.send(data) :]
            if not data:
                return data
            ends = ends or time.monotonic() + _SOON_S
            if not self._becomes(select.POLLOUT, ends):
                return data

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

    def _frame_now(self) -> Frame | None:
        """Return the next frame, if it has arrived completely."""
        while (frame := self._connection.take_frame()) is None:
            try:
                count = self._socket.recv_into(self._connection.room())
            except BlockingIOError:
                return None
            self._connection.received(count)
            self.heard = time.monotonic()
            if self.frame_began is None:
                self.frame_began = self.heard
        self.frame_began = None
        return frame


def _tell(came: asyncio.Future[None]) -> None:
    if not came.done():
        came.set_result(None)


class FrameQueue:
    """The queue of received frames; its last item is the error that ended the connection."""

    def __init__(self, line: Transport, silence_s: float, frame_s: float) -> None:
        """Start to receive; `silence_s` is the longest silence while no frame is in work.

        `frame_s` is the longest time of one frame from its first byte to its last.
        """
        self._line = line
        self._silence_s = silence_s
        self._frame_s = frame_s
        self._frames: deque[Frame | BaseException] = deque()
        self._came = asyncio.Event()
        """Set while there is a frame."""
        self._room = asyncio.Event()
        """Set while there is room for another."""
        self._room.set()
        self._at_work = False
        self.peer_has_gone = False
        """Whether nothing more will come, though something may still wait for its turn."""
        self._since = time.monotonic()
        self._receiving = asyncio.create_task(self._receive())

    def idle_for(self) -> float:
        """Seconds without a received byte and without a frame in work; 0 while one is."""
        busy = self._at_work or bool(self._frames)
        return 0.0 if busy else time.monotonic() - self._since

    async def next(self, silence_s: float | None = None) -> Frame:
        """Return the next frame; after the last one, raise the error that ended the connection.

        `TimeoutError` if nothing, or too little, arrives; `silence_s` is for this frame only.
        """
        self._at_work, self._since = False, time.monotonic()
        silence_s = self._silence_s if silence_s is None else silence_s
        while not self._frames:
            try:
                async with asyncio.timeout(self._left(silence_s)):
                    await self._came.wait()
            except TimeoutError:
                if self._left(silence_s) <= 0 and not self._frames:
                    raise
        frame = self._take()
        self._at_work = True
        if isinstance(frame, BaseException):
            raise frame
        return frame

    def _take(self) -> Frame | BaseException:
        frame = self._frames.popleft()
        self._settle()
        return frame

    def _put(self, frame: Frame | BaseException) -> None:
        self._frames.append(frame)
        self._settle()

    def _settle(self) -> None:
        for event, holds in (
            (self._came, bool(self._frames)),
            (self._room, len(self._frames) < RECORDS_AHEAD),
        ):
            if holds:
                event.set()
            else:
                event.clear()

    def to_thread(self) -> deque[Frame]:
        """Let a thread receive until `to_loop`; return the received frames, to process first.

        It must not receive if `peer_has_gone`; `next` then raises the error.
        """
        self._line.to_thread()
        came: deque[Frame] = deque()
        while self._frames and isinstance(frame := self._frames[0], Frame):
            came.append(frame)
            self._frames.popleft()
        self._settle()
        return came

    def to_loop(self, left: deque[Frame]) -> None:
        """Receive again; `left` are unprocessed frames."""
        self._frames.extendleft(reversed(left))
        self._settle()
        self._line.to_loop()

    def _left(self, silence_s: float) -> float:
        """Return the remaining wait in seconds; received bytes extend it."""
        line = self._line
        ends = max(self._since, line.heard) + silence_s
        if line.frame_began is not None:
            ends = min(ends, max(self._since, line.frame_began) + self._frame_s)
        return ends - time.monotonic()

    async def close(self) -> None:
        """Stop receiving."""
        self._receiving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._receiving

    async def _receive(self) -> None:
        try:
            while True:
                await self._room.wait()
                self._put(await self._line.frame())
        except Exception as error:  # noqa: BLE001 - raised where the frames are worked on
            self.peer_has_gone = True
            self._put(error)
