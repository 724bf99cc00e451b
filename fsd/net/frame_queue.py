"""The received frames of one connection that wait for their turn, in the order of their arrival."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque

from fsd.net.transport import Transport
from fsd.net.waiting import WaitingFrame
from fsproto.limits import RECORDS_AHEAD


class FrameQueue:
    """The queue of received frames; its last item is the error that ended the connection."""

    def __init__(self, line: Transport, silence_s: float, frame_s: float) -> None:
        """Start to receive; `silence_s` is the longest silence while no frame is in work.

        `frame_s` is the longest time of one frame from its first byte to its last.
        """
        self._line = line
        self._silence_s = silence_s
        self._frame_s = frame_s
        self._frames: deque[WaitingFrame | BaseException] = deque()
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

    @property
    def thread_may_receive(self) -> bool:
        """Whether a thread may receive the next frames."""
        return not self.peer_has_gone and not self._line.stores

    @property
    def came(self) -> asyncio.Event:
        """Set while a frame waits, or the end of the connection."""
        return self._came

    def idle_for(self) -> float:
        """Seconds without a received byte and without a frame in work; 0 while one is."""
        busy = self._at_work or bool(self._frames)
        return 0.0 if busy else time.monotonic() - self._since

    async def next(self, silence_s: float | None = None) -> WaitingFrame:
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
            try:
                raise frame
            finally:
                del frame  # which refers to this call, with all that it holds
        return frame

    def _take(self) -> WaitingFrame | BaseException:
        frame = self._frames.popleft()
        self._settle()
        return frame

    def _put(self, frame: WaitingFrame | BaseException) -> None:
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

    def to_thread(self) -> deque[WaitingFrame]:
        """Let a thread receive until `to_loop`; return the received frames, to process first.

        It must not receive if `thread_may_receive` is false: no bytes come, or not to a thread.
        """
        self._line.to_thread()
        came: deque[WaitingFrame] = deque()
        while self._frames and isinstance(frame := self._frames[0], WaitingFrame):
            came.append(frame)
            self._frames.popleft()
        self._settle()
        return came

    def to_loop(self, left: deque[WaitingFrame]) -> None:
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
        for frame in self._frames:
            if isinstance(frame, WaitingFrame):
                frame.drop()
        self._frames.clear()

    async def _receive(self) -> None:
        try:
            while True:
                await self._room.wait()
                self._put(await self._line.frame())
        except Exception as error:  # noqa: BLE001 - raised where the frames are worked on
            self.peer_has_gone = True
            self._put(error)
