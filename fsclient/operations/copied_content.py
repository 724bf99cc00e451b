"""The content of files to copy: small ones in memory, large ones through a pipe between threads."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from fsclient.session.session import Session
from fsclient.transfer.down.files import Downloader, DownloadJob
from fsclient.transfer.down.write_behind import Writable
from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.movers import Movers
from fsclient.transfer.report.progress import Progress
from fsclient.tree.nodes import TreeNode
from fsproto.errors import ConflictError, FsError
from fsproto.types import NodeId

if TYPE_CHECKING:
    from concurrent.futures import Future


def facts_of(file: TreeNode) -> LocalStat:
    """Return size, time and mode of a remote file, as a source of an upload has them."""
    return LocalStat(file.metadata.size, file.metadata.mtime_ns, file.metadata.mode)


class MemorySource:
    """Content in memory, as a source of an upload."""

    def __init__(self, file: TreeNode, plain: bytes) -> None:
        """`plain` is the whole content of `file`."""
        self.facts = facts_of(file)
        self._left = memoryview(plain)

    def read_into(self, room: memoryview) -> int:
        """Read the next bytes into `room`."""
        piece, self._left = self._left[: len(room)], self._left[len(room) :]
        room[: len(piece)] = piece
        return len(piece)

    def check_unchanged(self, size: int) -> None:
        """Do nothing: the content was verified before."""


def get_small(
    session: Session,
    files: Sequence[TreeNode],
    progress: Progress,
    failed: Callable[[FsError], None],
) -> dict[NodeId, bytes]:
    """Return the verified contents of files, by node; pass errors of single files to `failed`."""
    whole: dict[NodeId, bytes] = {}

    def job(file: TreeNode) -> DownloadJob:
        node = file.keyed.node

        @contextmanager
        def target() -> Iterator[Writable]:
            room = io.BytesIO()
            yield room
            whole[node] = room.getvalue()  # all of it was verified

        return DownloadJob(file, target, at_once=partial(whole.__setitem__, node))

    downloader = Downloader(session, progress)
    try:
        downloader.get_all([job(file) for file in files], failed)
    finally:
        downloader.close()
    return whole


class PipedSource:
    """The content of a large file that another thread receives, as a source of an upload.

    Reading raises the error of that thread, also one at the end of the file: nothing is committed
    whose source was not verified completely.
    """

    def __init__(self, file: TreeNode, pipe: BinaryIO, receiving: Future[None]) -> None:
        """`pipe` gives the plaintext, and `receiving` ends after its last byte."""
        self.facts = facts_of(file)
        self._file = file
        self._pipe = pipe
        self._receiving = receiving

    def read_into(self, room: memoryview) -> int:
        """Read the next bytes into `room`, fewer than it has only at the end."""
        have = 0
        while have < len(room):
            count = self._pipe.readinto(room[have:])  # type: ignore[attr-defined]
            if not count:
                self._receiving.result()
                break
            have += count
        return have

    def check_unchanged(self, size: int) -> None:
        """Raise the error of the other thread, or `ConflictError` for another size."""
        self._receiving.result()
        if size != self.facts.size:
            raise ConflictError(f"'{self._file.path}' has another size than its author signed.")


class LargeReader:
    """A thread with a session of its own that receives large files, one after the other."""

    def __init__(self, second: Callable[[], Session], progress: Progress) -> None:
        """`second` opens the session; it is called in the thread, when it is needed."""
        self._progress = progress
        self._thread = Movers(1, second)

    @contextmanager
    def opened(self, file: TreeNode) -> Iterator[PipedSource]:
        """Yield the content of a file while the thread receives it."""
        out, into = os.pipe()
        with os.fdopen(out, "rb", buffering=0) as pipe:
            end = os.fdopen(into, "wb", buffering=0)
            receiving = self._thread.start(partial(self._receive, file=file, into=end))
            # Also if it never started, because it got no session: else reading would wait forever.
            receiving.add_done_callback(lambda _: end.close())
            yield PipedSource(file, pipe, receiving)
        # If the block ended early, the thread cannot write any more, and ends by itself.

    def close(self) -> None:
        """Close the session and stop the thread."""
        self._thread.close()

    def _receive(self, session: Session, *, file: TreeNode, into: BinaryIO) -> None:
        downloader = Downloader(session, self._progress)
        try:
            found = session.tree.find(file.path)
            if found.manifest.hash != file.manifest.hash:
                raise ConflictError(f"'{file.path}' was changed during the copy.")
            job = DownloadJob(found, partial(_written, into), may_wait=True)
            downloader.get_all([job], _raise)
        except BaseException:
            session.connection.close()  # the rest of an answer may still arrive
            raise
        finally:
            downloader.close()


@contextmanager
def _written(pipe: BinaryIO) -> Iterator[Writable]:
    yield _Whole(pipe)


class _Whole:
    """A pipe that takes all of the data."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def write(self, data: bytes | memoryview, /) -> None:
        view = memoryview(data)
        while view:
            view = view[self._pipe.write(view) :]


def _raise(error: FsError) -> None:
    raise error
