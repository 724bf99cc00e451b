"""What a client has open: files that it reads, files that it writes, listings."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from fsclient.gateway.attributes import FileAttributes
from fsclient.gateway.open_write import OpenWrite
from fsclient.gateway.paths import GatewayPath
from fsclient.gateway.read_stream import ReadStream
from fskit.sftp.codes import MAX_HANDLES
from fsproto.errors import FsError, NotAllowedError


class BadHandleError(FsError):
    """That handle is not open."""


class SerialQueue:
    """Things that are done one after the other, by whichever thread of some is free."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._left: deque[Callable[[], None]] = deque()
        self._busy = False
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Tell whether something is being done."""
        with self._lock:
            return self._busy

    def take(self, work: Callable[[], None], threads: Executor) -> None:
        """Have something done when its turn comes."""
        with self._lock:
            self._left.append(work)
            if self._busy:
                return
            self._busy = True
        threads.submit(self._run)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._left:
                    self._busy = False
                    return
                work = self._left.popleft()
            work()


@dataclass(eq=False)
class ReadHandle:
    """A file that is read, as it was when it was opened."""

    place: GatewayPath
    reading: ReadStream
    facts: FileAttributes
    turns: SerialQueue = field(default_factory=SerialQueue)
    """Pieces that are asked for come in this order."""


@dataclass(eq=False)
class WriteHandle:
    """A file that is written, or read while it is."""

    place: GatewayPath
    writing: OpenWrite
    reads: bool
    writes: bool
    appends: bool

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write; where the handle appends, the offset counts for nothing."""
        if not self.writes:
            raise NotAllowedError("The file was not opened for writing.")
        self.writing.write(None if self.appends else offset, data)


@dataclass(eq=False)
class Listing:
    """A folder that is listed: what is left of it to be told."""

    place: GatewayPath
    left: list[tuple[str, FileAttributes]] = field(repr=False)


Handle = ReadHandle | WriteHandle | Listing


class Handles:
    """All of one client's, by the names it knows them by."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: dict[bytes, Handle] = {}
        self._last = 0
        self._lock = threading.Lock()

    def add(self, make: Callable[[], Handle]) -> bytes:
        """Open something, unless too much is open already; return its name."""
        with self._lock:
            if len(self._open) >= MAX_HANDLES:
                raise FsError(f"More than {MAX_HANDLES} files are open.")
        handle = make()
        with self._lock:
            self._last += 1  # no name is given twice: one that was closed stays closed
            name = self._last.to_bytes(8, "big")
            self._open[name] = handle
        return name

    def get(self, name: bytes) -> Handle:
        """Return what a name stands for; `BadHandleError` if it is closed, or never was open."""
        with self._lock:
            found = self._open.get(name)
        if found is None:
            raise BadHandleError
        return found

    def remove(self, name: bytes) -> Handle:
        """Return what a name stood for, which it does no longer."""
        with self._lock:
            found = self._open.pop(name, None)
        if found is None:
            raise BadHandleError
        return found

    def clear(self) -> list[Handle]:
        """Return all that is still open, and forget it."""
        with self._lock:
            left = list(self._open.values())
            self._open.clear()
        return left
