"""Open handles of a client: files that it reads, files that it writes, listings."""

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
from fsproto.errors import FsError
from fsproto.types import NodeId


class BadHandleError(FsError):
    """The handle is not open."""


class SerialQueue:
    """A queue of tasks that run one after the other, on any free thread of a pool."""

    def __init__(self) -> None:
        self._left: deque[Callable[[], None]] = deque()
        self._busy = False
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Return whether a task is running."""
        with self._lock:
            return self._busy

    def take(self, work: Callable[[], None], threads: Executor) -> None:
        """Add a task to the queue."""
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
    """A file open for reading: in the version of its open, and as its own client changes it."""

    place: GatewayPath | None
    """Where the file is now; None once its client has removed or replaced it."""
    content: ReadStream | OpenWrite
    """The version that was opened; since this client writes to the file, what it writes."""
    facts: FileAttributes
    node: NodeId | None = None
    """The file itself, if it was published when it was opened."""
    turns: SerialQueue = field(default_factory=SerialQueue)
    """Reads are answered in the order of their requests."""

    def has(self, offset: int, length: int) -> bool:
        """Return whether bytes are available without waiting for the server."""
        return isinstance(self.content, OpenWrite) or self.content.has(offset, length)


@dataclass(eq=False)
class WriteHandle:
    """A file open for writing."""

    writing: OpenWrite
    reads: bool
    appends: bool

    @property
    def place(self) -> GatewayPath:
        """Where the file is now; its last path if it was removed."""
        return self.writing.place

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write data; a handle opened for appending ignores the offset."""
        self.writing.write(None if self.appends else offset, data)


@dataclass(eq=False)
class Listing:
    """An open folder listing, with the entries that are not sent yet."""

    place: GatewayPath
    left: list[tuple[str, FileAttributes]] = field(repr=False)


Handle = ReadHandle | WriteHandle | Listing


class Handles:
    """All handles of one client, by their names in the protocol."""

    def __init__(self) -> None:
        self._open: dict[bytes, Handle] = {}
        self._last = 0
        self._lock = threading.Lock()

    def add(self, make: Callable[[], Handle]) -> bytes:
        """Open a handle, unless too many are open; return its name."""
        with self._lock:
            if len(self._open) >= MAX_HANDLES:
                raise FsError(f"More than {MAX_HANDLES} files are open.")
        handle = make()
        with self._lock:
            self._last += 1  # names are never reused: a closed handle stays closed
            name = self._last.to_bytes(8, "big")
            self._open[name] = handle
        return name

    def get(self, name: bytes) -> Handle:
        """Return the handle of a name; raise `BadHandleError` if it is not open."""
        with self._lock:
            found = self._open.get(name)
        if found is None:
            raise BadHandleError
        return found

    def remove(self, name: bytes) -> Handle:
        """Remove the handle of a name and return it."""
        with self._lock:
            found = self._open.pop(name, None)
        if found is None:
            raise BadHandleError
        return found

    def clear(self) -> list[Handle]:
        """Remove and return all open handles."""
        with self._lock:
            left = list(self._open.values())
            self._open.clear()
        return left
