"""Sealing files and sending them; several small ones in one commit, large ones as streams."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from fsclient.changes import Changes, NextVersion
from fsclient.session import Session
from fsclient.transfer.localfs import LocalFacts
from fsclient.transfer.progress import Progress
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

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer only at the end."""

    def check_unchanged(self, size: int) -> None:
        """Raise unless `size` bytes are all of it, as it is now."""


class Uploader:
    """Puts files into folders of one's own tree, batch by batch."""

    def __init__(self, session: Session, progress: Progress) -> None:
        """Take where to put and whom to tell."""
        self._session = session
        self._progress = progress
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="seal")
        self._files = 0
        self._streamed = 0
        self.changes = Changes(session.tree)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def put(self, parent: KeyedNode, name: str, before: Located | None, source: Readable) -> None:
        """Seal a file and send it; it is in its folder after the next `flush`."""
        file = before.keyed if before else new_node(os.urandom)
        version = before.manifest.body.version + 1 if before else 1
        sealing = _Sealing(file.node, version)
        facts, inline = source.facts, None
        if 0 <= facts.size <= _INLINE_PLAIN:
            data = source.read(_INLINE_PLAIN + 1)
            source.check_unchanged(len(data))
            inline = InlineBlob(sealing.salt, sealing.sealer.seal(0, data, last=True))
            size, root = len(data), integrity.blob_root(sealing.salt, inline.data)
            self._progress.advance(size)
        else:
            size, root = self._stream(sealing, source)
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
        changes.commit()
        for _ in range(self._files):
            self._progress.file_done()
        self._files = self._streamed = 0

    def _stream(self, sealing: _Sealing, source: Readable) -> tuple[int, Root]:
        connection = self._session.connection
        request = connection.send(Upload(sealing.salt))
        leaves: list[bytes] = []
        plain = sealed_size = 0
        try:
            for data, sealed, leaf in self._sealed(sealing, source.read):
                connection.send_segment(request, len(leaves), sealed)
                leaves.append(leaf)
                plain += data
                sealed_size += len(sealed)
                self._progress.advance(data)
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

    def _sealed(
        self, sealing: _Sealing, read: Callable[[int], bytes]
    ) -> Iterator[tuple[int, bytes, bytes]]:
        """Give (plaintext bytes, sealed segment, leaf) in order, some sealed ahead in threads."""
        window: deque[Future[tuple[int, bytes, bytes]]] = deque()
        for index, data, last in segments(read):
            window.append(self._pool.submit(sealing.segment, index, data, last=last))
            if len(window) > AHEAD:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()


class _Sealing:
    """The keys of one version of one file while it is sealed."""

    def __init__(self, node: NodeId, version: int) -> None:
        self.file_key = FileKey(os.urandom(crypto.KEY_SIZE))
        self.salt = Salt(os.urandom(integrity.SALT_SIZE))
        bound_to = stream.content_ad(node, version)
        self.sealer = stream.StreamSealer(self.file_key, bound_to, os.urandom)

    def segment(self, index: int, data: bytes, *, last: bool) -> tuple[int, bytes, bytes]:
        sealed = self.sealer.seal(index, data, last=last)
        return len(data), sealed, integrity.leaf(self.salt, index, sealed)

    def content(self, version: int, root: Root, plain_size: int) -> Content:
        commitment = stream.key_commitment(self.file_key, self.salt)
        return Content(version, self.salt, root, stream.sealed_size(plain_size), commitment)


def segments(read: Callable[[int], bytes]) -> Iterator[tuple[int, bytes, bool]]:
    """Cut what `read` gives into (index, plaintext, is the last) of a stream's segments.

    Which segment is the last is part of its seal, so one segment is read ahead.
    """
    index, data = 0, read(stream.plain_length(0))
    while True:
        full = len(data) == stream.plain_length(index)
        following = read(stream.plain_length(index + 1)) if full else b""
        yield index, data, not following
        if not following:
            return
        index, data = index + 1, following
