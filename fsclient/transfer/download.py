"""Receiving sealed files and opening them; nothing gets its name before all of it was verified."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fsclient.connection import ServerConnection
from fsclient.session import Session
from fsclient.transfer.buffers import Buffer, Buffers
from fsclient.transfer.progress import Moving, Progress
from fsclient.transfer.threads import Threads
from fsclient.tree import Located
from fsproto import crypto
from fsproto.errors import ConflictError, FsError, IntegrityError, RemoteProtocolError, Unreachable
from fsproto.limits import MAX_FETCH, MAX_INLINE_BLOB, SEGMENT_SIZE
from fsproto.messages import files
from fsproto.messages.files import Download, Fetch, Fetched, Sent
from fsproto.sealed import integrity, stream
from fsproto.sealed.manifest import Content, verify_author
from fsproto.types import FileKey
from fsproto.wire.connection import Control, Data

if TYPE_CHECKING:
    from concurrent.futures import Future

FETCH_BYTES = 512 * 1024
WINDOW_BYTES = 4 << 20
"""How much may be asked for before the first of it was received."""
AHEAD = 4
THREADS = 2


class Writable(Protocol):
    """Where plaintext goes."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take all of the data."""


@dataclass(frozen=True)
class Job:
    """One file to get, and where its plaintext goes."""

    file: Located
    target: Callable[[], AbstractContextManager[Writable]]


class Downloader:
    """Gets files; asks for the next ones while it receives the first."""

    def __init__(self, session: Session, progress: Progress) -> None:
        """Take where to get from and whom to tell."""
        self._session = session
        self._progress = progress
        self._threads = Threads(THREADS, "open")
        self._buffers = Buffers()

    def close(self) -> None:
        """Let the threads go."""
        self._threads.close()

    def get_all(self, jobs: Iterable[Job], failed: Callable[[FsError], None]) -> None:
        """Get files; what concerns one of them alone goes to `failed`, all else is raised."""
        waiting = self._asks(jobs, failed)
        asked: deque[_Ask] = deque()
        under_way = 0
        while True:
            while not asked or under_way < WINDOW_BYTES:
                ask = next(waiting, None)
                if ask is None:
                    break
                ask.send(self._session.connection)
                asked.append(ask)
                under_way += ask.size
            if not asked:
                return
            ask = asked.popleft()
            under_way -= ask.size
            if ask.small:
                self._receive_small(ask, failed)
            else:
                self._receive_large(ask, failed)

    def _asks(self, jobs: Iterable[Job], failed: Callable[[FsError], None]) -> Iterator[_Ask]:
        """Give what to ask for: a large file by itself, small ones many at once."""
        some = _Ask(small=True)
        for job in jobs:
            try:
                opening = _Opening(self._session, job.file)
            except FsError as error:
                failed(error)
                continue
            if opening.content.sealed_size > MAX_INLINE_BLOB:
                yield _Ask(small=False, wanted=[(job, opening)])
                continue
            some.wanted.append((job, opening))
            if len(some.wanted) == MAX_FETCH or some.size > FETCH_BYTES:
                yield some
                some = _Ask(small=True)
        if some.wanted:
            yield some

    def _receive_small(self, ask: _Ask, failed: Callable[[FsError], None]) -> None:
        wanted = iter(ask.wanted)
        left = len(ask.wanted)
        while left:
            blobs = self._session.connection.answer(ask.request, Fetched).blobs
            if not 0 < len(blobs) <= left:
                raise RemoteProtocolError("The server sent more files than were asked for.")
            left -= len(blobs)
            for blob, (job, opening) in zip(blobs, wanted, strict=False):
                try:
                    self._take_whole(job, opening, blob)
                except FsError as error:
                    failed(error)

    def _take_whole(self, job: Job, opening: _Opening, blob: bytes | None) -> None:
        if blob is None:
            raise ConflictError(f"'{job.file.path}' was replaced or removed meanwhile.")
        if len(blob) != opening.content.sealed_size:
            raise IntegrityError("The server sent a file of another size than was signed.")
        with job.target() as target:
            room = memoryview(bytearray(len(blob)))
            plain = opening.open(0, memoryview(blob), room)
            target.write(plain)
            self._progress.advance(len(plain))
            opening.check()
        self._progress.file_done()

    def _receive_large(self, ask: _Ask, failed: Callable[[FsError], None]) -> None:
        ((job, opening),) = ask.wanted
        try:
            self._receive(job, opening, ask.request)
        except (Unreachable, RemoteProtocolError):
            raise
        except FsError as error:
            if not self._drained(opening, ask.request):
                raise
            failed(error)

    def _receive(self, job: Job, opening: _Opening, request: int) -> None:
        path, size = str(job.file.path), job.file.metadata.size
        with job.target() as target, self._progress.begin_file(path, size) as moving:
            self._open_into(target, opening, request, moving)
        self._progress.file_done()

    def _open_into(self, target: Writable, opening: _Opening, request: int, moving: Moving) -> None:
        window: deque[tuple[Buffer, Future[memoryview]]] = deque()

        def write_first() -> None:
            buffer, opened = window.popleft()
            plain = opened.result()
            target.write(plain)
            moving.advance(len(plain))
            self._buffers.give_back(buffer)

        for index in range(opening.segments):
            buffer = self._buffers.take()
            segment = self._next(opening, request, index, buffer.sealed)
            work = self._threads.submit(opening.open, index, segment, buffer.plain)
            window.append((buffer, work))
            if index == 0:  # it has the header, which the others need
                write_first()
            if len(window) > AHEAD:
                write_first()
        while window:
            write_first()
        self._end(opening, request)
        opening.check()

    def _next(self, opening: _Opening, request: int, index: int, into: memoryview) -> memoryview:
        event = self._event(opening, request, into)
        if not isinstance(event, Data) or event.index != index:
            raise IntegrityError("The server sent the segments of a file cut or out of order.")
        if len(event.payload) != opening.segment_size(index):
            raise IntegrityError("The server sent a segment of another size than was signed.")
        return event.payload

    def _end(self, opening: _Opening, request: int) -> None:
        event = self._event(opening, request)
        if isinstance(event, Data):
            raise IntegrityError("The server sent more of a file than was signed.")
        if event.message != Sent(opening.content.sealed_size):
            raise IntegrityError("The server names another size of a file than was signed.")

    def _event(
        self, opening: _Opening, request: int, into: memoryview | None = None
    ) -> Control | Data:
        try:
            event = self._session.connection.next_of(request, into)
        except FsError:
            opening.ended = True
            raise
        opening.ended = isinstance(event, Control)
        if isinstance(event, Control) and not isinstance(event.message, Sent):
            raise RemoteProtocolError("The server gave an answer to another question.")
        return event

    def _drained(self, opening: _Opening, request: int) -> bool:
        """Receive the rest of a file that was given up, to get at the answers behind it.

        False if they cannot be had: the connection is lost, or the rest does not end where the
        file does. What was wrong with the file counts then, and nothing more is asked.
        """
        try:
            for _ in range(opening.segments + 1):
                if opening.ended:
                    break
                self._event(opening, request)
        except FsError:
            return self._session.connection.usable
        return opening.ended


@dataclass
class _Ask:
    """One request for content: of one large file, or of many small ones."""

    small: bool
    wanted: list[tuple[Job, _Opening]] = field(default_factory=list)
    request: int = 0

    @property
    def size(self) -> int:
        """Bytes that will come."""
        return sum(opening.content.sealed_size for _, opening in self.wanted)

    def send(self, connection: ServerConnection) -> None:
        """Ask."""
        contents = [
            files.Content(job.file.keyed.node, opening.content.root) for job, opening in self.wanted
        ]
        if self.small:
            self.request = connection.send(Fetch(contents))
        else:
            self.request = connection.send(Download(contents[0].node, contents[0].root))


class _Opening:
    """One file while it is opened: everything about it that can be checked before is."""

    def __init__(self, session: Session, file: Located) -> None:
        """Check who signed it and that the key is the one that was committed to."""
        identity = session.identity
        verified = verify_author(file.manifest.signed, identity.user, identity.signing.public)
        self.content, self._file_key = checked_content(file, verified.body.content)
        self._bound_to = stream.content_ad(file.keyed.node, self.content.version)
        self._name = str(file.path)
        self.segments = stream.stored_segment_count(self.content.sealed_size)
        self.ended = False
        self._opener: stream.StreamOpener | None = None
        self._leaves: list[bytes] = [b""] * self.segments

    def segment_size(self, index: int) -> int:
        """Return how many bytes stored segment `index` must have."""
        return min(SEGMENT_SIZE, self.content.sealed_size - index * SEGMENT_SIZE)

    def open(self, index: int, segment: memoryview, into: memoryview) -> memoryview:
        """Open a segment and take its leaf; segment 0 first, the others in any thread."""
        if index == 0 and self._opener is None:
            header = bytes(segment[: stream.HEADER_SIZE])
            self._opener = stream.StreamOpener(self._file_key, self._bound_to, header)
        opener = self._opener
        if opener is None:
            raise RuntimeError("segment 0, which has the header, comes first")
        self._leaves[index] = integrity.leaf(self.content.salt, index, segment)
        return opener.open_into(index, segment, into, last=index == self.segments - 1)

    def check(self) -> None:
        """Compare the salted hash of all that came with the one that was signed."""
        root = integrity.root(self.content.salt, self._leaves, self.content.sealed_size)
        if not crypto.equal(root, self.content.root):
            raise IntegrityError(f"'{self._name}' does not have the salted hash that was signed.")


def checked_content(file: Located, content: Content | None) -> tuple[Content, FileKey]:
    """Return what a file's manifest says of its content, and its key, once they fit together."""
    key = file.metadata.file_key
    if content is None or key is None:
        raise IntegrityError(f"'{file.path}' is a folder, not a file.")
    if not crypto.equal(stream.key_commitment(key, content.salt), content.commitment):
        raise IntegrityError(f"'{file.path}' was not sealed with the key that its author named.")
    if stream.sealed_size(file.metadata.size) != content.sealed_size:
        raise IntegrityError(f"'{file.path}' has another size than its author signed.")
    return content, key
