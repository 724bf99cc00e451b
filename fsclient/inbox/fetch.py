"""The content of a drop: stored sealed in a temporary file, verified completely, then read.

Until the verification is complete, no plaintext is stored: the local disk has only the sealed bytes
that the server has, too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fsclient.local_errors import local_errors
from fsclient.session.session import Session
from fsclient.transfer.local.files import LocalStat, fill
from fsproto import crypto
from fsproto.drop import OpenedDrop, content_ad
from fsproto.errors import IntegrityError, RemoteProtocolError
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.files import Download, Sent
from fsproto.requests.drop import OpenedRequestDrop
from fsproto.sealed import integrity, stream
from fsproto.sealed.manifest import Mode
from fsproto.types import NodeId
from fsproto.wire.connection import Data

AnyDrop = OpenedDrop | OpenedRequestDrop
_FOLDER = "The folder for what comes from the drop box"


@contextmanager
def fetched(session: Session, drop: AnyDrop, folder: Path) -> Iterator[VerifiedDrop]:
    """Fetch a drop's content, verify all of it, and yield a reader of it.

    `IntegrityError` if the content does not match its note; `RemoteProtocolError` for an invalid
    answer. `folder` holds the temporary file, which has no name where the system allows this.
    """
    with local_errors(_FOLDER):
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed below
    with file:
        opener = _Receiving(drop, file).all(session)
        yield VerifiedDrop(drop, file, opener)


class _Receiving:
    """The reception of one drop."""

    def __init__(self, drop: AnyDrop, file: BinaryIO) -> None:
        self._drop = drop
        self._file = file
        self._content = drop.content
        self._count = stream.stored_segment_count(drop.content.sealed_size)
        self._opener: stream.StreamOpener | None = None
        self._wrong: IntegrityError | None = None

    def all(self, session: Session) -> stream.StreamOpener:
        """Receive and verify all segments; return the opener of the stream."""
        connection, content = session.connection, self._content
        request = connection.send(Download(NodeId(self._drop.drop), content.root, 0))
        leaves = []
        for index in range(self._count):
            event = connection.next_of(request)
            size = min(SEGMENT_SIZE, content.sealed_size - index * SEGMENT_SIZE)
            if not isinstance(event, Data) or (event.index, len(event.payload)) != (index, size):
                raise RemoteProtocolError(
                    "The server sent the segments of a drop incompletely or out of order."
                )
            leaves.append(integrity.leaf(content.salt, index, event.payload))
            self._take(index, event.payload)
        end = connection.next_of(request)
        if isinstance(end, Data) or end.message != Sent(content.sealed_size):
            raise RemoteProtocolError("The server sent more segments than the drop has.")
        if not crypto.equal(
            integrity.root(content.salt, leaves, content.sealed_size), content.root
        ):
            raise IntegrityError(
                "A drop's content does not have the salted hash that its note names."
            )
        if self._wrong is not None or self._opener is None:
            raise self._wrong or IntegrityError("A drop has no content.")
        return self._opener

    def _take(self, index: int, segment: memoryview) -> None:
        """Store a segment and try to open it; `all` raises the first error at the end."""
        with local_errors(_FOLDER):
            self._file.write(segment)
        if self._wrong is not None:
            return
        try:
            if index == 0:
                drop = self._drop
                header = bytes(segment[: stream.HEADER_SIZE])
                self._opener = stream.StreamOpener(drop.file_key, content_ad(drop.drop), header)
            if self._opener is not None:
                self._opener.open(index, segment, last=index == self._count - 1)
        except IntegrityError as error:
            self._wrong = error


class VerifiedDrop:
    """The plaintext of a verified drop, as a `Readable` for an upload."""

    def __init__(self, drop: AnyDrop, file: BinaryIO, opener: stream.StreamOpener) -> None:
        """`file` holds the complete sealed content."""
        self._drop = drop
        self._file = file
        self._opener = opener
        self._count = stream.stored_segment_count(drop.content.sealed_size)
        self.begin_again()
        self.facts = LocalStat(drop.note.size, drop.note.mtime_ns, Mode.REGULAR)

    def begin_again(self) -> None:
        """Return to the start of the content."""
        self._next, self._left = 0, memoryview(b"")
        self._file.seek(0)

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with the next bytes; return their number, less only at the end."""
        done = 0
        while done < len(room) and (self._left or self._next < self._count):
            if not self._left:
                self._left = memoryview(self._segment())
                continue
            piece = min(len(self._left), len(room) - done)
            room[done : done + piece], self._left = self._left[:piece], self._left[piece:]
            done += piece
        return done

    def check_unchanged(self, size: int) -> None:
        """Raise `IntegrityError` unless the drop has `size` bytes."""
        if size != self._drop.note.size:
            raise IntegrityError("A drop was changed on this disk while it was put.")

    def _segment(self) -> bytes:
        index, self._next = self._next, self._next + 1
        size = min(SEGMENT_SIZE, self._drop.content.sealed_size - index * SEGMENT_SIZE)
        sealed = memoryview(bytearray(size))
        with local_errors(_FOLDER):
            have = fill(sealed, self._file)
        plain = self._opener.open(index, sealed[:have], last=index == self._count - 1)
        if not plain and index + 1 < self._count:
            raise IntegrityError("A drop was changed on this disk while it was put.")
        return plain
