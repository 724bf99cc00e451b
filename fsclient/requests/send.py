"""Sending of files with a request link: sealed here, resumable, with a receipt for each.

One file is one drop. Large files have a journal, as uploads of users have, so that the same command
resumes them: every leaf is written down before its segment is sent. A sent segment is
sent again only if it has the same leaf; otherwise two plaintexts could be sealed alike.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress

from fsclient.connection.retry import NoRetry
from fsclient.requests.http import NeedsAnotherSegment, RequestServer
from fsclient.requests.sent import SentRecord
from fsclient.requests.source import ToSend
from fsclient.transfer.journal import FORMAT, JournalFile
from fsclient.transfer.report.progress import FileProgress, Progress
from fsclient.transfer.segments import Buffer, Buffers
from fsclient.transfer.workers import WorkerPool
from fsproto import crypto
from fsproto.drop import DropContent
from fsproto.errors import (
    ConflictError,
    FsError,
    RemoteProtocolError,
    SourceChangedError,
    Unreachable,
)
from fsproto.keys.identity import NamedBundle
from fsproto.limits import MAX_REQUEST_SEGMENTS, SEGMENT_SIZE
from fsproto.names import for_terminal
from fsproto.requests.drop import NewDrop, RequestDropKeys, RequestNote
from fsproto.requests.secret import RequestKeys
from fsproto.requests.upload import FinishUpload, StartUpload, UploadState
from fsproto.sealed import integrity, stream
from fsproto.types import Root
from fsproto.values import Value

_THREADS = 2
_AHEAD = 4
_ATTEMPTS = 8


class Receipt(Value, frozen=True):
    """What shows the owner and the uploader that they mean the same file."""

    name: str
    size: int
    drop: bytes
    root: Root

    @property
    def text(self) -> str:
        """The root in hex."""
        return self.root.hex()


class RequestSender:
    """A sender of files, one after the other."""

    def __init__(
        self,
        server: RequestServer,
        keys: RequestKeys,
        owner: NamedBundle,
        progress: Progress,
        retry: NoRetry,
    ) -> None:
        """`retry` opens a new connection when the present one is lost."""
        self._server = server
        self._keys = keys
        self._owner = owner
        self._progress = progress
        self._retry = retry
        self._threads = WorkerPool(_THREADS, "seal")
        self._buffers = Buffers()

    def close(self) -> None:
        """Stop the threads."""
        self._threads.close()

    def send(
        self, source: ToSend, name: str, sender: str, journal: JournalFile[SentRecord] | None
    ) -> Receipt:
        """Send a file; return its receipt when the server has stored it."""
        self._progress.expect(source.size)
        with self._progress.begin_file(name, source.size) as moving:
            one = _Sending(self, source, journal, moving)
            try:
                receipt = one.run(name, sender)
            except BaseException:
                if journal is None:
                    one.abandon()
                raise
        if journal is not None:
            journal.remove()
        self._progress.file_done()
        return receipt

    def new_drop(self) -> NewDrop:
        """Draw the keys of a drop."""
        return NewDrop.to(self._owner, self._keys.request, self._keys.mark, os.urandom)

    def drop_of(self, record: SentRecord) -> NewDrop:
        """Return the drop of an earlier attempt."""
        keys = RequestDropKeys.of(self._keys.request, record.secret, self._keys.mark)
        return NewDrop(
            self._keys.request, record.drop, record.salt, keys, record.secret, record.wrapped
        )

    # --- for one file

    @property
    def server(self) -> RequestServer:
        """The server of the request link."""
        return self._server

    @property
    def retry(self) -> NoRetry:
        """The handling of lost connections."""
        return self._retry

    @property
    def buffers(self) -> Buffers:
        """The buffers for segments."""
        return self._buffers

    def submit(self, work: Callable[[], memoryview]) -> Future[memoryview]:
        """Seal in a thread."""
        return self._threads.submit(work)


class _Sending:
    """One file on its way."""

    def __init__(
        self,
        owner: RequestSender,
        source: ToSend,
        journal: JournalFile[SentRecord] | None,
        moving: FileProgress,
    ) -> None:
        self._owner = owner
        self._source = source
        self._journal = journal
        self._moving = moving
        self._counted = 0
        self._count = stream.segment_count(source.size)
        self._leaves: list[bytes] = []
        self._ticket = b""
        self._made = self._begun()

    def run(self, name: str, sender: str) -> Receipt:
        """Send all segments, and make the drop."""
        owner, made, size = self._owner, self._made, self._source.sealed_size
        state = self._asked()
        for _ in range(_ATTEMPTS):
            state = self._put_all(state)
            for _ in self._sealed(len(self._leaves), self._count):
                pass  # of segments that the server has had from an earlier attempt
            self._source.check_unchanged()
            root = integrity.root(made.salt, self._leaves, size)
            content = DropContent(made.salt, root, size)
            note = RequestNote(1, name, self._source.size, self._source.mtime_ns, sender)
            end = FinishUpload(root, made.wrapped, made.seal_note(content, note, os.urandom))
            ticket = state.ticket
            try:
                if not state.finished:
                    owner.retry.run(lambda: owner.server.finish(made.drop, ticket, end))  # noqa: B023
            except NeedsAnotherSegment:
                state = self._asked()
                continue
            return Receipt(name, self._source.size, made.drop, root)
        raise ConflictError("Another program sends the same file; it was not sent by this one.")

    def abandon(self) -> None:
        """Have the server forget the upload, if it can be reached."""
        if self._ticket:
            with suppress(FsError):
                self._owner.server.abandon(self._made.drop, self._ticket)

    def _asked(self) -> UploadState:
        """Start the upload, or ask the server how much of it it has."""
        made = self._made
        ask = StartUpload(made.drop, made.salt, self._source.sealed_size)
        state = self._owner.retry.run(lambda: self._owner.server.start(ask))
        self._ticket = state.ticket
        return state

    def _put_all(self, state: UploadState) -> UploadState:
        """Send what the server does not have; `RemoteProtocolError` if it never has more."""
        most, in_vain = state.segments, 0
        while state.segments < self._count and not state.finished:
            state = self._put_some(state)
            in_vain = 0 if state.segments > most else in_vain + 1
            most = max(most, state.segments)
            if in_vain == _ATTEMPTS:
                raise RemoteProtocolError("The server loses what it is sent.")
        return state

    def _put_some(self, state: UploadState) -> UploadState:
        """Send the next segments; return the state after that."""
        first = state.segments
        end = min(first + MAX_REQUEST_SEGMENTS, self._count)
        start_byte = first * SEGMENT_SIZE
        size = min(end * SEGMENT_SIZE, self._source.sealed_size) - start_byte
        body = self._moved(self._sealed(first, end), first)
        try:
            after = self._owner.server.put(self._made.drop, state.ticket, first, body, size)
        except NeedsAnotherSegment:
            return self._asked()
        except Unreachable as lost:
            self._owner.retry.recover(lost)
            return self._asked()
        self._owner.retry.progressed()
        return after

    def _moved(self, sealed: Iterator[memoryview], index: int) -> Iterator[memoryview]:
        for segment in sealed:
            yield segment
            if index >= self._counted:
                self._counted = index + 1
                start = stream.plain_start(index)
                self._moving.advance(stream.plain_end(index + 1, self._source.size) - start)
            index += 1

    def _sealed(self, first: int, end: int) -> Iterator[memoryview]:
        """Yield sealed segments, each valid until the next one; note and compare their leaves."""
        waiting: deque[tuple[int, Buffer, Future[memoryview]]] = deque()
        index, buffers = first, self._owner.buffers
        sealer = self._source.sealer(self._made)
        if first < end:
            self._source.go_to(first)
        while index < end or waiting:
            while index < end and len(waiting) < _AHEAD:
                buffer = buffers.take()
                work = sealer(index, buffer, last=index == self._count - 1)
                waiting.append((index, buffer, self._owner.submit(work)))
                index += 1
            number, buffer, future = waiting.popleft()
            segment = future.result()
            self._note(number, integrity.leaf(self._made.salt, number, segment))
            yield segment
            buffers.give_back(buffer)

    def _note(self, index: int, leaf: bytes) -> None:
        if index < len(self._leaves):
            if not crypto.equal(self._leaves[index], leaf):
                raise self._changed()
            return
        self._leaves.append(leaf)
        if self._journal is not None:
            self._journal.append(leaf)

    def _begun(self) -> NewDrop:
        """Return the drop of an earlier attempt with an unchanged file, else a new one."""
        journal = self._journal
        if journal is not None and journal.record is not None:
            self._made = self._owner.drop_of(journal.record)
            self._leaves = list(journal.leaves)
            try:
                for _ in self._sealed(0, len(self._leaves)):
                    pass
            except SourceChangedError:
                self._leaves = []
            else:
                return self._made
        made = self._source.made or self._owner.new_drop()
        if journal is not None:
            journal.begin(
                SentRecord(FORMAT, journal.facts, made.drop, made.secret, made.salt, made.wrapped)
            )
        return made

    def _changed(self) -> SourceChangedError:
        return SourceChangedError(
            f"The local '{for_terminal(str(self._source))}' changed while it was sent.",
            hint="Send it again when nothing writes to it.",
        )
