"""One connection's bytes: frames are received on the event loop while earlier ones are at work.

A large frame is deciphered, hashed and written in a thread; meanwhile the next one is received.
Frames are worked on strictly one after the other, so at most three large ones are in memory: one
at work, one waiting, one coming in.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from fsproto.wire.connection import Connection
from fsproto.wire.frames import Frame

_LEFT_OVER = 1 << 16
_LEFT_OVER_READS = 16


class Line:
    """A socket and the connection that runs over it."""

    def __init__(self, sock: socket.socket, connection: Connection, silence_s: float) -> None:
        """Take both, and how long the peer may take to send, or to take what it is sent."""
        self._socket = sock
        self._connection = connection
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self.heard = time.monotonic()
        """When the last bytes came."""
        self.frame_began: float | None = None
        """When the first bytes came of the frame that is being received."""

    async def frame(self) -> Frame:
        """Return the next frame, whole; raises the peer's error, or `ConnectionLost` at its end."""
        while (frame := self._connection.take_frame()) is None:
            room = self._connection.room()
            self._connection.received(await self._loop.sock_recv_into(self._socket, room))
            self.heard = time.monotonic()
            if self.frame_began is None:
                self.frame_began = self.heard
        self.frame_began = None
        return frame

    async def send(self, data: bytes | memoryview) -> None:
        """Send, waiting until the peer takes it."""
        async with asyncio.timeout(self._silence_s):
            await self._loop.sock_sendall(self._socket, data)

    def close(self) -> None:
        """Close the socket, so that what was said last still arrives.

        Closing on bytes that were not read resets the connection, and the peer loses our words.
        """
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            for _ in range(_LEFT_OVER_READS):
                if not self._socket.recv(_LEFT_OVER):
                    break
        self._socket.close()


class Inbox:
    """Frames that came and wait for their turn; what ends the line comes last, as an exception."""

    def __init__(self, line: Line, silence_s: float, frame_s: float) -> None:
        """Begin to receive; `silence_s` is how long nothing may come while nothing is at work.

        `frame_s` is how long one frame may take from its first byte to its last.
        """
        self._line = line
        self._silence_s = silence_s
        self._frame_s = frame_s
        self._frames: asyncio.Queue[Frame | BaseException] = asyncio.Queue(maxsize=1)
        self._at_work = False
        self.peer_has_gone = False
        """Whether nothing more will come, though something may still wait for its turn."""
        self._since = time.monotonic()
        self._receiving = asyncio.create_task(self._receive())

    def idle_for(self) -> float:
        """How long, in seconds, nothing came and nothing was at work; 0 while something is."""
        busy = self._at_work or not self._frames.empty()
        return 0.0 if busy else time.monotonic() - self._since

    async def next(self, silence_s: float | None = None) -> Frame:
        """Return the frame whose turn it is; raises what ended the line after the last one.

        `TimeoutError` if nothing, or too little, comes; `silence_s` is for this one frame.
        """
        self._at_work, self._since = False, time.monotonic()
        silence_s = self._silence_s if silence_s is None else silence_s
        while True:
            try:
                async with asyncio.timeout(self._left(silence_s)):
                    frame = await self._frames.get()
                break
            except TimeoutError:
                if self._left(silence_s) <= 0:
                    raise
        self._at_work = True
        if isinstance(frame, BaseException):
            raise frame
        return frame

    def _left(self, silence_s: float) -> float:
        """How long, in seconds, may still be waited; bytes that come make it longer."""
        line = self._line
        ends = max(self._since, line.heard) + silence_s
        if line.frame_began is not None:
            ends = min(ends, max(self._since, line.frame_began) + self._frame_s)
        return ends - time.monotonic()

    async def close(self) -> None:
        """Receive no more."""
        self._receiving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._receiving

    async def _receive(self) -> None:
        try:
            while True:
                await self._frames.put(await self._line.frame())
        except Exception as error:  # noqa: BLE001 - raised where the frames are worked on
            self.peer_has_gone = True
            await self._frames.put(error)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets on every address of `host`; `OSError` if there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    places = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    # A port that is picked is picked once: two families would get two different ones.
    sockets: list[socket.socket] = []
    try:
        for family, address in places[: 1 if port == 0 else None]:
            sockets.append(socket.create_server(address, family=family, backlog=512))
            sockets[-1].setblocking(False)  # noqa: FBT003 - the standard library's own signature
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets
