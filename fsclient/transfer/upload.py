"""Sealing files and sending them; several small ones in one commit, large ones as streams."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fsclient.changes import Changes, NextVersion
from fsclient.session import Session
from fsclient.transfer.buffers import Buffer, Buffers
from fsclient.transfer.localfs import LocalFacts
from fsclient.transfer.progress import Moving, Progress
from fsclient.transfer.threads import Threads
from fsclient.tree import Located
from fsproto import crypto
from fsproto.errors import FsError
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.limits import MAX_INLINE_BLOB
from fsproto.messages.base import Done
from fsproto.messages.files import InlineBlob, Upload, UploadAbort, UploadEnd
from fsproto.sealed import integrity, stream
from fsproto.sealed.manifest import Content, Metadata
from fsproto.types import FileKey, NodeId, Root, Salt
from fsproto.wire.connection import DATA_ROOM

if TYPE_CHECKING:
    from concurrent.futures import Future

AHEAD = 4
"""Segments that are sealed ahead of the one being sent."""
THREADS = 2
BATCH_BYTES = 700_000
BATCH_CHANGES = 400
FLUSH_AFTER_BYTES = 64 << 20
"""After this many bytes of streams a commit is made, so that an interruption costs little."""
_INLINE_PLAIN = MAX_INLINE_BLOB - stream.HEADER_SIZE - stream.TAG_SIZE


class Readable(Protocol):
    """What can be put: a local file, or a pipe."""

    @property
    def facts(self) -> LocalFacts:
        """What is known of it before it was read."""

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with what comes next, not to its end only where there is no more."""

    def check_unchanged(self, size: int) -> None:
        """Raise unless `size` bytes are all of it, as it is now."""


class NotCommittedError(Exception):
    """A commit failed, and with it everything in it; what is wrong with one file stays its own."""

    def __init__(self, error: FsError, files: int) -> None:
        """Take why it failed, and how many files were in it."""
        super().__init__(error.sentence)
        self.error = error
        self.files = files


class Uploader:
    """Puts files into folders of one's own tree, batch by batch."""

    def __init__(self, session: Session, progress: Progress) -> None:
        """Take where to put and whom to tell."""
        self._session = session
        self._progress = progress
        self._threads = Threads(THREADS, "seal")
        self._files = 0
        self._streamed = 0
        self._buffers = Buffers()
        self.changes = Changes(session.tree)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.close()

    def put(
        self,
        parent: KeyedNode,
        name: str,
        before: Located | None,
        source: Readable,
        *,
        path: str = "",
    ) -> None:
        """Seal a file and send it; it is in its folder after the next `flush`.

        `path` is what it is called where its progress is told; else that is its name.
        """
        file = before.keyed if before else new_node(os.urandom)
        version = before.manifest.body.version + 1 if before else 1
        sealing = _Sealing(file.node, version)
        facts, inline = source.facts, None
        if 0 <= facts.size <= _INLINE_PLAIN:
            room = memoryview(bytearray(facts.size + 1))
            data = bytes(room[: source.read_into(room)])
            source.check_unchanged(len(data))
            inline = InlineBlob(sealing.salt, sealing.sealer.seal(0, data, last=True))
            size, root = len(data), integrity.blob_root(sealing.salt, inline.data)
            self._progress.advance(size)
        else:
            with self._progress.begin_file(path or name, facts.size) as moving:
                size, root = self._stream(sealing, source, moving)
            self._streamed += size
        metadata = Metadata(name, size, facts.mtime_ns, facts.executable, sealing.file_key)
        manifest = before.manifest if before else None
        content = sealing.content(version, root, size)
        self.changes.put_file(parent, NextVersion(file, manifest, metadata, content), inline)
        self._files += 1
        self.flush_if_full()

    def flush_if_full(self) -> None:
        """Commit if the batch has become as large as one commit should be."""
        full = self.changes.size > BATCH_BYTES or len(self.changes) >= BATCH_CHANGES
        if full or self._streamed > FLUSH_AFTER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Commit what was put so far."""
        changes, self.changes = self.changes, Changes(self._session.tree)
        files, self._files, self._streamed = self._files, 0, 0
        try:
            changes.commit()
        except FsError as error:
            raise NotCommittedError(error, files) from error
        for _ in range(files):
            self._progress.file_done()

    def _stream(self, sealing: _Sealing, source: Readable, moving: Moving) -> tuple[int, Root]:
        connection = self._session.connection
        request = connection.send(Upload(sealing.salt))
        leaves: list[bytes] = []
        plain = sealed_size = 0
        try:
            for done in self._sealed(sealing, source):
                connection.send_segment(request, len(leaves), done.record)
                leaves.append(done.leaf)
                plain += done.plain_size
                sealed_size += len(done.record) - DATA_ROOM
                moving.advance(done.plain_size)
                self._buffers.give_back(done.buffer)
            source.check_unchanged(plain)
        except FsError:
            if connection.usable:
                with suppress(FsError):  # it is the first failure that counts
                    connection.go_on(request, UploadAbort())
            raise
        root = integrity.root(sealing.salt, leaves, sealed_size)
        connection.go_on(request, UploadEnd(root, sealed_size))
        connection.answer(request, Done)
        return plain, root

    def _sealed(self, sealing: _Sealing, source: Readable) -> Iterator[_Sealed]:
        """Give sealed segments in order, some sealed ahead in threads."""
        window: deque[Future[_Sealed]] = deque()
        for segment in segments(source.read_into, self._buffers.take):
            window.append(self._threads.submit(sealing.seal, segment))
            if len(window) > AHEAD:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()


@dataclass(frozen=True)
class Segment:
    """Plaintext that was read, and where it stands in its stream."""

    index: int
    buffer: Buffer
    size: int
    last: bool


@dataclass(frozen=True)
class _Sealed:
    """A sealed segment, behind room for its address, and its leaf."""

    buffer: Buffer
    record: memoryview
    leaf: bytes
    plain_size: int


class _Sealing:
    """The keys of one version of one file while it is sealed."""

    def __init__(self, node: NodeId, version: int) -> None:
        self.file_key = FileKey(os.urandom(crypto.KEY_SIZE))
        self.salt = Salt(os.urandom(integrity.SALT_SIZE))
        bound_to = stream.content_ad(node, version)
        self.sealer = stream.StreamSealer(self.file_key, bound_to, os.urandom)

    def seal(self, segment: Segment) -> _Sealed:
        buffer, sealed = segment.buffer, segment.buffer.sealed[DATA_ROOM:]
        plain = buffer.plain[: segment.size]
        size = self.sealer.seal_into(segment.index, plain, sealed, last=segment.last)
        leaf = integrity.leaf(self.salt, segment.index, sealed[:size])
        return _Sealed(buffer, buffer.sealed[: DATA_ROOM + size], leaf, segment.size)

    def content(self, version: int, root: Root, plain_size: int) -> Content:
        commitment = stream.key_commitment(self.file_key, self.salt)
        return Content(version, self.salt, root, stream.sealed_size(plain_size), commitment)


def segments(
    read_into: Callable[[memoryview], int], take: Callable[[], Buffer]
) -> Iterator[Segment]:
    """Cut what is read into the segments of a stream, each in a buffer of its own.

    Which segment is the last is part of its seal, so one segment is read ahead.
    """
    index, buffer = 0, take()
    size = read_into(buffer.plain[: stream.plain_length(0)])
    while True:
        following, more = buffer, 0
        if size == stream.plain_length(index):
            following = take()
            more = read_into(following.plain[: stream.plain_length(index + 1)])
        yield Segment(index, buffer, size, not more)
        if not more:
            return
        index, buffer, size = index + 1, following, more
