"""Reads of a sealed file at any offset: a stream fetches segments ahead of the reader.

The protocol can stop an answer only by closing the connection. So a stream continues while
the file is read roughly in order; a jump ends it and starts another one there, which costs a login.
The read-ahead grows while the reads are sequential, so that a short read transfers little.
"""

from __future__ import annotations

import threading

from fsclient.gateway.content import SealedContent
from fsclient.gateway.fetching import fetched
from fsclient.gateway.session_pool import SessionPool, Worker
from fsclient.session.session import Session
from fsproto.errors import FsError, IntegrityError, Unreachable
from fsproto.messages.files import Download, Sent
from fsproto.wire.connection import Data

AHEAD = 8
"""The most segments that are kept ahead of the reader; each is a MiB."""
BEHIND = 2
"""Segments kept after they were read: clients send several reads at once, not in order."""
LINGER_S = 5.0
"""Seconds that a stream waits for its reader before it ends and frees its worker."""


class ReadStream:
    """One file that any thread may read; call `close` at the end."""

    def __init__(
        self, contents: SealedContent, sessions: SessionPool, received: bytes | None = None
    ) -> None:
        """`received` is the sealed content of a small file, if it was received already."""
        self._contents = contents
        self._received = received
        self._sessions = sessions
        self._change = threading.Condition()
        self._kept: dict[int, memoryview] = {}
        self._wanted = 0
        """The requested segment."""
        self._ahead = 1
        self._next = -1
        """The next segment of the stream; -1 if there is no stream."""
        self._stream = 0
        """The number of the current stream; older streams end when they see another number."""
        self._error: FsError | None = None
        self._closed = False

    @property
    def size(self) -> int:
        """Bytes of plaintext."""
        return self._contents.size

    def has(self, offset: int, length: int) -> bool:
        """Return whether the bytes are available without waiting."""
        if offset >= self.size or not length:
            return True
        first, _ = self._contents.segment_at(offset)
        last, _ = self._contents.segment_at(min(offset + length, self.size) - 1)
        with self._change:
            if self._received is not None:
                return True
            return first in self._kept and last in self._kept

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on, fewer only where the file ends."""
        self._open_received()
        length = max(0, min(length, self.size - offset))
        pieces: list[memoryview] = []
        while length:
            index, start = self._contents.segment_at(offset)
            piece = self._segment(index)[start : start + length]
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Release all segments and end a running stream."""
        with self._change:
            self._closed = True
            self._stream += 1
            self._sessions.memory.remove(self, *self._kept)
            self._kept.clear()
            self._change.notify_all()

    def drop(self, index: int) -> None:
        """Discard a segment; it is received again if it is needed again."""
        with self._change:
            self._kept.pop(index, None)

    # --- for the reader

    def _open_received(self) -> None:
        with self._change:
            sealed, self._received = self._received, None
            if sealed is None:
                return
            plain = self._contents.open(0, memoryview(sealed))
        self._put(0, plain, last=True)

    def _segment(self, index: int) -> memoryview:
        with self._change:
            if index == self._wanted + 1:
                self._ahead = min(2 * self._ahead, AHEAD)
            elif not self._wanted - BEHIND <= index <= self._wanted:
                self._ahead = 1
            self._wanted, self._error = max(index, 0), None
            while (found := self._kept.get(index)) is None:
                if self._closed:
                    raise FsError("The file was closed while it was read.")
                if self._error is not None:
                    raise self._error
                if not 0 <= self._next <= index <= self._next + AHEAD:
                    self._begin(index)
                self._change.notify_all()
                self._change.wait()
            self._change.notify_all()  # the stream may continue
            return found

    def _begin(self, index: int) -> None:
        """Start a stream; the previous one ends."""
        self._stream += 1
        self._next = index
        number = self._stream
        threading.Thread(target=self._run, args=(number, index), daemon=True).start()

    # --- the stream

    def _run(self, number: int, first: int) -> None:
        worker: Worker | None = None
        try:
            if self._contents.is_small:
                self._sessions.tree.do(self._fetch)
                return
            worker = self._sessions.take()
            worker.do(lambda session: self._flow(session, number, first))
        except FsError as error:
            self._fail(number, error)
        except Exception as error:  # noqa: BLE001 - the reader must not wait for ever
            failed = FsError(f"The file could not be read ({type(error).__name__}).")
            self._fail(number, failed)
        finally:
            if worker is not None:
                self._sessions.give_back(worker)

    def _fail(self, number: int, error: FsError) -> None:
        with self._change:
            if number == self._stream:
                self._error, self._next = error, -1
                self._change.notify_all()

    def _fetch(self, session: Session) -> None:
        self._put(0, fetched(session, self._contents), last=True)

    def _flow(self, session: Session, number: int, first: int) -> None:
        """Fetch segments while they are wanted; reconnect as often as needed."""
        while True:
            try:
                first = self._flow_once(session, number, first)
                return
            except _LostAtError as lost:
                session.retry.recover(lost.error)
                first = lost.index

    def _flow_once(self, session: Session, number: int, first: int) -> int:
        contents, index = self._contents, first
        connection = session.connection
        with self._change:
            if number != self._stream:  # a newer stream has replaced this one
                return first
        try:
            request = connection.send(Download(contents.node, contents.content.root, first))
            for index in range(first, contents.segments):
                if not self._may_go_on(number, index):
                    connection.close()
                    return index
                event = connection.next_of(request)
                if not isinstance(event, Data) or event.index != index:
                    raise IntegrityError("The server sent segments of a file out of order.")
                session.retry.progressed()
                self._put(index, contents.open(index, event.payload), number)
            end = connection.next_of(request)
        except Unreachable as lost:
            raise _LostAtError(lost, index) from lost
        except IntegrityError:
            connection.close()
            raise
        if isinstance(end, Data) or end.message != Sent(contents.content.sealed_size):
            raise IntegrityError(
                "The server reports a file size that differs from the signed size."
            )
        with self._change:
            if number == self._stream:
                self._next = -1
        return contents.segments

    def _may_go_on(self, number: int, index: int) -> bool:
        """Wait until the next segment is wanted; return false if the stream must end."""
        with self._change:
            while number == self._stream and index > self._wanted + self._ahead:
                if not self._change.wait(LINGER_S) or self._sessions.crowded:
                    break
            if number != self._stream:
                return False
            if index > self._wanted + self._ahead:
                self._next = -1
                return False
            return True

    def _put(
        self, index: int, plain: memoryview, number: int | None = None, *, last: bool = False
    ) -> None:
        with self._change:
            if number is not None and number != self._stream:
                return
            if self._closed:
                return
            self._kept[index] = plain
            self._next = -1 if last else index + 1
            low, high = self._wanted - BEHIND, self._wanted + 2 * AHEAD
            gone = [one for one in self._kept if not low <= one <= high]
            for one in gone:
                del self._kept[one]
            self._sessions.memory.remove(self, *gone)
            over = self._sessions.memory.add(self, index)
            self._change.notify_all()
        for stream, old in over:
            stream.drop(old)


class _LostAtError(Exception):
    """The connection was lost before this segment."""

    def __init__(self, error: Unreachable, index: int) -> None:
        super().__init__(error.sentence)
        self.error = error
        self.index = index
