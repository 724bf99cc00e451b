"""A drop's content: kept as it comes, sealed, until all of it was verified; then read from there.

Nothing of it is put anywhere before. What lies on this disk meanwhile is what the server has.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fsclient.local_errors import local_errors
from fsclient.session.login import Session
from fsclient.transfer.local.files import LocalStat, fill
from fsproto import crypto
from fsproto.drop import OpenedDrop, content_ad
from fsproto.errors import IntegrityError, RemoteProtocolError
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.files import Download, Sent
from fsproto.sealed import integrity, stream
from fsproto.sealed.manifest import Mode
from fsproto.types import NodeId
from fsproto.wire.connection import Data

_FOLDER = "The folder for what comes from the drop box"


@contextmanager
def fetched(session: Session, drop: OpenedDrop, folder: Path) -> Iterator[VerifiedDrop]:
    """Fetch a drop's content and give a reader of it, once all of it was verified.

    `IntegrityError` if it is not what its note says; `RemoteProtocolError` if what comes makes no
    sense. `folder` is where it is kept meanwhile, without a name where the system allows it.
    """
    with local_errors(_FOLDER):
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed below
    with file:
        opener = _Receiving(drop, file).all(session)
        yield VerifiedDrop(drop, file, opener)


class _Receiving:
    """One drop while it comes."""

    def __init__(self, drop: OpenedDrop, file: BinaryIO) -> None:
        self._drop = drop
        self._file = file
        self._content = drop.content
        self._count = stream.stored_segment_count(drop.content.sealed_size)
        self._opener: stream.StreamOpener | None = None
        self._wrong: IntegrityError | None = None

    def all(self, session: Session) -> stream.StreamOpener:
        """Receive all of it; return what opens it."""
        connection, content = session.connection, self._content
        request = connection.send(Download(NodeId(self._drop.drop), content.root, 0))
        leaves = []
        for index in range(self._count):
            event = connection.next_of(request)
            size = min(SEGMENT_SIZE, content.sealed_size - index * SEGMENT_SIZE)
            if not isinstance(event, Data) or (event.index, len(event.payload)) != (index, size):
                raise RemoteProtocolError("The server sent a drop cut or out of order.")
            leaves.append(integrity.leaf(content.salt, index, event.payload))
            self._take(index, event.payload)
        end = connection.next_of(request)
        if isinstance(end, Data) or end.message != Sent(content.sealed_size):
            raise RemoteProtocolError("The server sent more of a drop than there is.")
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
        """Keep a segment, and see whether it opens; what is wrong is told when all has come."""
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
    """The plaintext of a drop that was verified, to be put: a `Readable`."""

    def __init__(self, drop: OpenedDrop, file: BinaryIO, opener: stream.StreamOpener) -> None:
        """Take where its sealed content lies, all of it."""
        self._drop = drop
        self._file = file
        self._opener = opener
        self._count = stream.stored_segment_count(drop.content.sealed_size)
        self.begin_again()
        self.facts = LocalStat(drop.note.size, drop.note.mtime_ns, Mode.REGULAR)

    def begin_again(self) -> None:
        """Read it from its beginning."""
        self._next, self._left = 0, memoryview(b"")
        self._file.seek(0)

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with what comes next; less only at the end."""
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
        """Raise `IntegrityError` unless `size` bytes are all of it."""
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
