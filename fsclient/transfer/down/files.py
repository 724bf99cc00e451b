"""Download and decryption of files; a file gets its name only after full verification."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fsclient.connection.connection import ServerConnection
from fsclient.session.session import Session
from fsclient.transfer.down.decrypt import FileDecryption
from fsclient.transfer.down.write_behind import Writable, WriteBehind
from fsclient.transfer.report.progress import FileProgress, Progress
from fsclient.transfer.segments import Buffer, Buffers
from fsclient.transfer.workers import WorkerPool
from fsclient.tree.nodes import TreeNode
from fsproto.errors import (
    ConflictError,
    ConnectionLost,
    FsError,
    IntegrityError,
    InternalError,
    RemoteProtocolError,
    SecurityError,
    SignatureError,
    Unreachable,
)
from fsproto.limits import MAX_FETCH, MAX_INLINE_BLOB
from fsproto.messages import files
from fsproto.messages.files import Download, Fetch, Fetched, Sent
from fsproto.values import Value
from fsproto.wire.connection import Control, Data

if TYPE_CHECKING:
    from concurrent.futures import Future

FETCH_BYTES = 512 * 1024
WINDOW_BYTES = 4 << 20
"""Bytes that may be requested before the first of them is received."""
_MOST_DRAINED = 256
"""Segments of a file that does not verify that are received for nothing."""
AHEAD = 4
THREADS = 2


class ResumableTarget(Writable, Protocol):
    """A target that may already hold the first segments of the plaintext."""

    def segments(self) -> int:
        """Lock the partial file and return its number of whole segments; 0 if there is none."""

    def read(self, index: int, room: memoryview) -> memoryview:
        """Return the plaintext of a kept segment."""

    def go_to(self, index: int) -> None:
        """Move to the segment that is written next."""


class DownloadJob(Value, frozen=True):
    """One file to download, and the target of its plaintext."""

    file: TreeNode
    target: Callable[[], AbstractContextManager[Writable]]
    kept: ResumableTarget | None = None
    """The partial file, if there may be one; it is then also the target."""
    at_once: Callable[[bytes], None] | None = None
    """A cheaper way than `target` to write a small file, called with the verified plaintext."""
    may_wait: bool = False
    """Whether writing may block, as to a pipe; then no other thread writes, so Ctrl-C works."""


class Downloader:
    """A downloader that requests the next files while it receives the current one."""

    def __init__(self, session: Session, progress: Progress, *, verified: bool = False) -> None:
        """`verified`: the signatures of the files' manifests were verified by another session."""
        self._verified = verified
        self._session = session
        self._progress = progress
        self._threads = WorkerPool(THREADS, "open")
        self._writer = WorkerPool(1, "write")
        self._buffers = Buffers()

    def close(self) -> None:
        """Stop the threads."""
        self._threads.close()
        self._writer.close()

    def get_all(self, jobs: Iterable[DownloadJob], failed: Callable[[FsError], None]) -> None:
        """Download files; pass errors of single files to `failed`, raise all others."""
        waiting = self._asks(jobs, failed)
        asked: deque[_Ask] = deque()
        under_way = 0
        while True:
            while not asked or under_way < WINDOW_BYTES:
                ask = next(waiting, None)
                if ask is None:
                    break
                self._ask(ask, asked)
                under_way += ask.size
            if not asked:
                return
            ask = asked.popleft()
            under_way -= ask.size
            if ask.small:
                self._receive_small(ask, asked, failed)
            elif self._receive_large(ask, asked, failed):
                self._ask(ask, asked)
                under_way += ask.size

    def _ask(self, ask: _Ask, asked: deque[_Ask]) -> None:
        """Queue a request and send it; reconnect if the connection is lost."""
        asked.append(ask)
        try:
            ask.send(self._session.connection)
        except Unreachable as lost:
            self._ask_again(lost, asked)

    def _ask_again(self, lost: Unreachable, asked: Iterable[_Ask]) -> None:
        """Reconnect, and repeat all requests that are not fully answered."""
        while True:
            self._session.retry.recover(lost)
            try:
                for ask in asked:
                    ask.send(self._session.connection)
            except Unreachable as again:
                lost = again
            else:
                return

    def _asks(
        self, jobs: Iterable[DownloadJob], failed: Callable[[FsError], None]
    ) -> Iterator[_Ask]:
        """Yield the requests: one for each large file, one for many small files."""
        some = _Ask(small=True)
        for job in jobs:
            try:
                opening = self._opening(job)
            except FsError as error:
                failed(named_error(job, error))
                continue
            if opening.content.sealed_size > MAX_INLINE_BLOB:
                large = _Ask(small=False)
                large.add(job, opening)
                yield large
                continue
            some.add(job, opening)
            if len(some.wanted) == MAX_FETCH or some.size > FETCH_BYTES:
                yield some
                some = _Ask(small=True)
        if some.wanted:
            yield some

    def _opening(self, job: DownloadJob) -> FileDecryption:
        if not self._verified:
            self._session.context.authors.check_manifest(job.file.manifest)
        return FileDecryption.of(job.file)

    def _receive_small(
        self, ask: _Ask, asked: deque[_Ask], failed: Callable[[FsError], None]
    ) -> None:
        while ask.wanted:
            try:
                blobs = self._session.connection.answer(ask.request, Fetched).blobs
            except Unreachable as lost:
                self._ask_again(lost, [ask, *asked])
                continue
            if not 0 < len(blobs) <= len(ask.wanted):
                raise RemoteProtocolError("The server sent more files than the client requested.")
            self._session.retry.progressed()
            wanted, ask.wanted = ask.wanted[: len(blobs)], ask.wanted[len(blobs) :]
            for blob, (job, opening) in zip(blobs, wanted, strict=True):
                try:
                    self._take_whole(job, opening, blob)
                except FsError as error:
                    failed(named_error(job, error))

    def _take_whole(self, job: DownloadJob, opening: FileDecryption, blob: bytes | None) -> None:
        if blob is None:
            raise ConflictError(f"'{job.file.path}' was replaced or removed during the download.")
        plain = opening.open_whole(blob)
        if job.at_once is not None:
            job.at_once(plain)
        else:
            with job.target() as target:
                target.write(plain)
        self._progress.advance(len(plain))
        self._progress.file_done()

    def _receive_large(
        self, ask: _Ask, asked: deque[_Ask], failed: Callable[[FsError], None]
    ) -> bool:
        """Receive a large file; return whether it must be requested again from the start."""
        ((job, opening),) = ask.wanted
        try:
            self._receive(ask, job, opening, asked)
        except (Unreachable, RemoteProtocolError):
            raise
        except FsError as error:
            error = named_error(job, error)
            left = opening.segments - opening.next if ask.request else 0
            if isinstance(error, SecurityError) and left > _MOST_DRAINED:
                # A file may have any size: a new connection costs less than its rest.
                self._session.connection.close()
            if not self._drained(opening, ask):
                if self._session.connection.usable:
                    raise error from None
                try:
                    self._ask_again(ConnectionLost(), asked)
                except Unreachable:
                    raise error from None
            if isinstance(error, IntegrityError) and opening.kept:
                # The kept segments may have been changed; the partial file is now deleted.
                ask.wanted = [(job, self._opening(job))]
                return True
            failed(error)
        return False

    def _receive(
        self, ask: _Ask, job: DownloadJob, opening: FileDecryption, asked: deque[_Ask]
    ) -> None:
        path, size = str(job.file.path), job.file.metadata.size
        beside = None if job.may_wait else self._writer
        with job.target() as target, self._progress.begin_file(path, size) as moving:
            while True:
                try:
                    self._take_kept(job, opening, ask, moving)
                    writing = WriteBehind(target, moving, self._buffers, beside)
                    self._open_into(opening, ask, writing)
                    break
                except Unreachable as lost:
                    self._ask_again(lost, [ask, *asked])
            opening.check()
        self._progress.file_done()

    def _take_kept(
        self, job: DownloadJob, opening: FileDecryption, ask: _Ask, moving: FileProgress
    ) -> None:
        """Compute the leaves of the kept segments of a file."""
        kept = job.kept
        if kept is None or opening.hashed >= opening.kept:
            return
        window: deque[tuple[Buffer, Future[None]]] = deque()
        while window or opening.hashed < opening.kept:
            if opening.hashed < opening.kept:
                buffer = self._buffers.take()
                plain = kept.read(opening.hashed, buffer.plain)
                work = self._threads.submit(opening.hash, opening.hashed, plain, buffer.sealed)
                window.append((buffer, work))
                opening.hashed += 1
                moving.advance(len(plain))
            if len(window) > AHEAD or opening.hashed >= opening.kept:
                buffer, work = window.popleft()
                work.result()
                self._buffers.give_back(buffer)
        kept.go_to(opening.kept)

    def _open_into(self, opening: FileDecryption, ask: _Ask, writing: WriteBehind) -> None:
        """Receive the missing segments; if the connection is lost, write all received ones."""
        if not ask.request:
            return
        try:
            for index in range(opening.next, opening.segments):
                buffer = self._buffers.take()
                segment = self._next(opening, ask, index, buffer.sealed)
                work = self._threads.submit(opening.open, index, segment, buffer.plain)
                writing.add(buffer, work)
                opening.next = index + 1
                if index == 0:  # it contains the header, which the other segments need
                    writing.see_to_first()
                if len(writing) > AHEAD:
                    writing.see_to_first()
            writing.finish()
            self._end(opening, ask)
        except Unreachable:
            writing.finish()
            raise
        finally:
            writing.stop()

    def _next(self, opening: FileDecryption, ask: _Ask, index: int, into: memoryview) -> memoryview:
        event = self._event(ask, into)
        if not isinstance(event, Data) or event.index != index:
            raise IntegrityError(
                "The server sent the segments of a file incompletely or out of order."
            )
        if len(event.payload) != opening.segment_size(index):
            raise IntegrityError(
                "The server sent a segment whose size differs from the signed size."
            )
        self._session.retry.progressed()
        return event.payload

    def _end(self, opening: FileDecryption, ask: _Ask) -> None:
        event = self._event(ask)
        if isinstance(event, Data):
            raise IntegrityError("The server sent more of a file than the signed size.")
        if event.message != Sent(opening.content.sealed_size):
            raise IntegrityError(
                "The server reports a file size that differs from the signed size."
            )

    def _event(self, ask: _Ask, into: memoryview | None = None) -> Control | Data:
        """Return the next event of this request."""
        try:
            event = self._session.connection.next_of(ask.request, into)
        except FsError:
            ask.request = 0
            raise
        if isinstance(event, Control):
            ask.request = 0
            if not isinstance(event.message, Sent):
                raise RemoteProtocolError("The server answered another request.")
        return event

    def _drained(self, opening: FileDecryption, ask: _Ask) -> bool:
        """Discard the rest of a failed file, so that the answers after it can be received.

        Return False if that is impossible: the connection is lost, or the server sends more
        than the file.
        """
        for _ in range(opening.segments + 1):
            if not ask.request:
                break
            try:
                self._event(ask)
            except FsError:
                return self._session.connection.usable
        return not ask.request


def named_error(job: DownloadJob, error: FsError) -> FsError:
    """Return the error of one file; it names the file if the server is to blame."""
    path = job.file.path
    if not isinstance(error, IntegrityError | SignatureError | InternalError):
        return error
    said = error.sentence if f"'{path}'" in error.sentence else f"'{path}': {error.sentence}"
    if isinstance(error, InternalError):
        return InternalError(said, hint=error.hint)
    return type(error)(
        said,
        hint=error.hint
        or f"An older version may be intact: 'fsclient history {path.argument}'. Tell your "
        "administrator: 'fsadmin check' finds damaged files.",
    )


@dataclass
class _Ask:
    """One request for content: of one large file, or of many small ones."""

    small: bool
    wanted: list[tuple[DownloadJob, FileDecryption]] = field(default_factory=list)
    request: int = 0
    """0 if there is nothing to request, or a large file is fully answered."""
    size: int = 0
    """Total sealed bytes of the files in the request."""

    def add(self, job: DownloadJob, opening: FileDecryption) -> None:
        """Add a file to the request."""
        self.wanted.append((job, opening))
        self.size += opening.content.sealed_size

    def send(self, connection: ServerConnection) -> None:
        """Send the request for the content that is still missing."""
        contents = [
            files.Content(job.file.keyed.node, opening.content.root) for job, opening in self.wanted
        ]
        if self.small:
            self.request = connection.send(Fetch(contents))
            return
        ((job, opening),), (content,) = self.wanted, contents
        if opening.next == 0 and job.kept is not None:
            opening.go_on_behind(job.kept.segments())
        self.request = 0
        if opening.next < opening.segments:
            self.request = connection.send(Download(content.node, content.root, opening.next))
