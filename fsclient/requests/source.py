"""Sources of request links: local files, and standard input, sealed into a file first."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, Protocol

from fsclient.local_errors import local_errors
from fsclient.transfer.local.files import fill
from fsclient.transfer.local.source import Source
from fsclient.transfer.segments import Buffer
from fsproto.drop import content_ad
from fsproto.errors import SourceChangedError
from fsproto.limits import SEGMENT_SIZE
from fsproto.names import for_terminal
from fsproto.requests.drop import NewDrop
from fsproto.sealed import stream
from fsproto.sealed.stream import StreamSealer

SealSegment = Callable[..., Callable[[], memoryview]]
"""Take the number of a segment, a buffer, and `last`; return the work that gives the sealed one."""
_SPOOL = "The temporary file for standard input"


class ToSend(Protocol):
    """A file to send, of a known size."""

    size: int
    sealed_size: int
    mtime_ns: int
    made: NewDrop | None
    """The drop that it is sealed for already; None for most."""

    def go_to(self, index: int) -> None:
        """Continue with a segment."""

    def sealer(self, made: NewDrop) -> SealSegment:
        """Return what seals the segments one after the other, for a drop."""

    def check_unchanged(self) -> None:
        """Raise `SourceChangedError` if the file was changed since it was opened."""


class FileToSend:
    """A local file, sealed as it is read."""

    made: NewDrop | None = None

    def __init__(self, source: Source) -> None:
        """Take an open file."""
        self._source = source
        self.size = source.facts.size
        self.sealed_size = stream.sealed_size(self.size)
        self.mtime_ns = source.facts.mtime_ns

    def __str__(self) -> str:
        return str(self._source)

    def go_to(self, index: int) -> None:
        """Continue with a segment."""
        self._source.go_to(stream.plain_start(index))

    def sealer(self, made: NewDrop) -> SealSegment:
        """Return what reads a segment, and then seals it in any thread."""
        keys = StreamSealer(made.keys.file_key, content_ad(made.drop), made.salt)

        def read(index: int, buffer: Buffer, *, last: bool) -> Callable[[], memoryview]:
            start = stream.plain_start(index)
            plain = buffer.plain[: stream.plain_end(index + 1, self.size) - start]
            if self._source.read_into(plain) != len(plain):
                raise self._changed()
            return partial(_seal, keys, index, plain, buffer, last=last)

        return read

    def check_unchanged(self) -> None:
        """Raise `SourceChangedError` if the file was changed since it was opened."""
        self._source.check_unchanged(self.size)

    def _changed(self) -> SourceChangedError:
        return SourceChangedError(
            f"The local '{for_terminal(str(self))}' changed while it was sent.",
            hint="Send it again when nothing writes to it.",
        )


class SealedInput:
    """Standard input: its size is known only at its end, so it is sealed into a file first."""

    def __init__(self, made: NewDrop, stdin: BinaryIO) -> None:
        """Read all of it; the temporary file has no plaintext."""
        self.made: NewDrop | None = made
        self.mtime_ns = time.time_ns()
        self.size = self.sealed_size = 0
        with local_errors(_SPOOL):
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        keys = StreamSealer(made.keys.file_key, content_ad(made.drop), made.salt)
        for index, plain, last in _plain_segments(stdin):
            sealed = keys.seal(index, plain, last=last)
            self.size += len(plain)
            self.sealed_size += len(sealed)
            with local_errors(_SPOOL):
                self._file.write(sealed)

    def __str__(self) -> str:
        return "standard input"

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()

    def go_to(self, index: int) -> None:
        """Continue with a segment."""
        with local_errors(_SPOOL):
            self._file.seek(index * SEGMENT_SIZE)

    def sealer(self, made: NewDrop) -> SealSegment:
        """Return what reads a sealed segment; it was sealed for this drop."""
        if made is not self.made:
            raise ValueError("standard input was sealed for another drop")

        def read(index: int, buffer: Buffer, *, last: bool) -> Callable[[], memoryview]:
            size = self.sealed_size - index * SEGMENT_SIZE if last else SEGMENT_SIZE
            sealed = buffer.sealed[:size]
            with local_errors(_SPOOL):
                fill(sealed, self._file)
            return lambda: sealed

        return read

    def check_unchanged(self) -> None:
        """Do nothing: no other program can change it."""


def _seal(
    keys: StreamSealer, index: int, plain: memoryview, buffer: Buffer, *, last: bool
) -> memoryview:
    room = buffer.sealed[:SEGMENT_SIZE]
    return room[: keys.seal_into(index, plain, room, last=last)]


def _plain_segments(stdin: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Yield number and plaintext of the segments of an input, and whether it is the last one."""
    index, plain = 0, _read(stdin, stream.plain_length(0))
    while True:
        full = len(plain) == stream.plain_length(index)
        following = _read(stdin, stream.plain_length(index + 1)) if full else b""
        yield index, plain, not following
        if not following:
            return
        index, plain = index + 1, following


def _read(stdin: BinaryIO, size: int) -> bytes:
    room = bytearray(size)
    with local_errors("standard input"):
        have = fill(memoryview(room), stdin)
    return bytes(memoryview(room)[:have])
