"""Small files of a folder that are received before a program opens them.

A program that copies a folder opens its files one after the other, each after the last one was
read. So once it reads a folder's files in the order of the listing, one request asks for the next
ones as well; their number doubles while it continues. The received content stays sealed, in bounded
memory and for a short time. A file is opened from it only in the version that the lookup returns,
after the same checks as any other content.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fsclient.gateway.content import SealedContent
from fsclient.gateway.fetching import contents_of, sealed_blobs
from fsclient.gateway.lookup import PathLookup
from fsclient.gateway.nodes import GatewayNode
from fsclient.gateway.paths import SHARED, GatewayPath
from fsclient.session.session import Session
from fsclient.tree.nodes import TreeNode
from fsproto.errors import ConflictError, FsError, Unreachable
from fsproto.types import Hash

MOST_BYTES = 8 << 20
"""Memory of the content that was received and not opened yet."""
KEPT_S = 5.0
"""Seconds after which it is no longer used."""
MOST_FILES = 64
"""The most files of one request."""
REQUEST_BYTES = 256 << 10
"""Sealed bytes of one request: other requests wait while it is answered."""
_NEAR = 16
"""Files that a program may skip, or several of its threads open in any order."""
_MOST_FOLDERS = 16
"""Folders that are read in order at the same time."""


@dataclass(frozen=True)
class Received:
    """A file's content with a verified author, and its sealed bytes if they were received."""

    contents: SealedContent
    sealed: bytes | None = None
    received_s: float = 0.0


@dataclass
class _Reading:
    """The files that a program is expected to open next in a folder."""

    names: frozenset[str]
    files: int
    """The number of files in the last request."""


class ReadAhead:
    """The small files that are received ahead, for all clients of a gateway."""

    def __init__(self, walker: PathLookup, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._walker = walker
        self._clock = clock
        self._lock = threading.Lock()
        self._received: OrderedDict[Hash, Received] = OrderedDict()
        self._size = 0
        self._folders: OrderedDict[GatewayPath, _Reading] = OrderedDict()
        """Only the session's thread uses it."""

    @property
    def size(self) -> int:
        """The sealed bytes that are kept."""
        with self._lock:
            return self._size

    def take(self, node: GatewayNode | None) -> Received | None:
        """Return what was received of this version of a file, once; any thread may call."""
        if node is None or node.found is None:
            return None
        with self._lock:
            found = self._pop(node.found.manifest.hash)
        return found if found is not None and self._is_new(found) else None

    # --- in the session's thread

    def receive(self, session: Session, node: GatewayNode, file: TreeNode) -> Received:
        """Return the content of a file that is opened, which is at `node`.

        If it is small, and a program reads its folder in order, receive it and the next ones.
        Raises `ConflictError` if it was replaced concurrently.
        """
        first = contents_of(session, file)
        if not first.is_small or node.place.parts[:1] == (SHARED,):
            return Received(first)  # whether a sharer's authors still count is asked each time
        following = self._walker.following(node.place, MOST_FILES + _NEAR)
        files = self._expect(node.place, [one.place.name for one in following])
        if not files:
            return Received(first)
        wanted = [(file.manifest.hash, first)]
        wanted += self._next_ones(session, following, files - 1, first.content.sealed_size)
        blobs = sealed_blobs(session, [contents for _, contents in wanted])
        if blobs[0] is None:
            raise ConflictError("The file was replaced or removed while it was read.")
        now_s = self._clock()
        for (version, contents), blob in zip(wanted[1:], blobs[1:], strict=True):
            if blob is not None and len(blob) == contents.content.sealed_size:
                self._keep(version, blob, Received(contents, blob, now_s))
        return Received(first, blobs[0], now_s)

    def _expect(self, place: GatewayPath, following: list[str]) -> int:
        """Return how many files to request when one is opened; 0 if it is not opened in order.

        `following` are the names after it in the listing, which are expected next.
        """
        before = self._folders.pop(place.parent, None)
        is_next = before is not None and place.name in before.names
        files = min(2 * before.files, MOST_FILES) if is_next and before is not None else 1
        self._folders[place.parent] = _Reading(frozenset(following[: files + _NEAR]), files)
        while len(self._folders) > _MOST_FOLDERS:
            self._folders.popitem(last=False)
        return files if is_next else 0

    def _next_ones(
        self, session: Session, following: list[GatewayNode], most: int, size: int
    ) -> Iterator[tuple[Hash, SealedContent]]:
        """Yield the next small files that can be opened; `size` bytes are requested already."""
        for node in following:
            found = node.found
            if not most:
                return
            if found is None or node.kind != "file" or self._has(found):
                continue
            try:
                contents = contents_of(session, found)
            except Unreachable:
                raise
            except FsError:
                continue  # it is checked again, with its error, when a program opens it
            size += contents.content.sealed_size
            if size > REQUEST_BYTES:
                return
            if contents.is_small:
                most -= 1
                yield found.manifest.hash, contents

    # --- the received content

    def _is_new(self, received: Received) -> bool:
        return self._clock() - received.received_s < KEPT_S

    def _has(self, file: TreeNode) -> bool:
        with self._lock:
            found = self._received.get(file.manifest.hash)
            return found is not None and self._is_new(found)

    def _pop(self, version: Hash) -> Received | None:
        found = self._received.pop(version, None)
        if found is not None and found.sealed is not None:
            self._size -= len(found.sealed)
        return found

    def _keep(self, version: Hash, sealed: bytes, received: Received) -> None:
        with self._lock:
            self._pop(version)
            while self._received:
                oldest = next(iter(self._received))
                has_room = self._size + len(sealed) <= MOST_BYTES
                if has_room and self._is_new(self._received[oldest]):
                    break
                self._pop(oldest)
            self._received[version] = received
            self._size += len(sealed)
