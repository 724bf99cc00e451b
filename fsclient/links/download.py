"""Download of the files of a public link; a file gets its name only after full verification."""

from __future__ import annotations

from pathlib import Path

from fsclient.connection.retry import WORTH_KEEPING, NoRetry
from fsclient.links.http import LinkServer
from fsclient.transfer.down.decrypt import FileDecryption
from fsclient.transfer.down.partial import Partial
from fsclient.transfer.down.write_behind import Writable, WriteBehind
from fsclient.transfer.local.files import LocalStat, OutputFile, written_whole
from fsclient.transfer.report.progress import FileProgress, Progress
from fsclient.transfer.segments import Buffers
from fsclient.transfer.workers import WorkerPool
from fsproto.errors import IntegrityError, Unreachable
from fsproto.limits import SEGMENT_SIZE
from fsproto.links.description import LinkedFile
from fsproto.sealed import stream
from fsproto.sealed.manifest import Content, Mode

_AHEAD = 4
_THREADS = 2


class LinkDownloader:
    """A downloader of files, one after the other."""

    def __init__(self, server: LinkServer, progress: Progress, retry: NoRetry) -> None:
        """`retry` opens a new connection when the present one is lost."""
        self._server = server
        self._progress = progress
        self._retry = retry
        self._threads = WorkerPool(_THREADS, "open")
        self._writer = WorkerPool(1, "write")
        self._buffers = Buffers()

    def close(self) -> None:
        """Stop the threads."""
        self._threads.close()
        self._writer.close()

    def get(self, file: LinkedFile, path: Path, *, follow: bool) -> None:
        """Download a file to a path; a partial file from before is continued."""
        facts = LocalStat(file.size, file.mtime_ns, Mode(file.mode))
        if file.size < WORTH_KEEPING or not self._retry.resumes:
            with written_whole(path, facts, follow=follow) as opened:
                self._receive(file, OutputFile(opened, path), 0)
        else:
            kept = self._get_large(file, path, facts, follow=follow)
            if kept:  # the kept segments were changed, and are deleted now
                self._get_large(file, path, facts, follow=follow)
        self._progress.file_done()

    def _get_large(self, file: LinkedFile, path: Path, facts: LocalStat, *, follow: bool) -> bool:
        """Download a large file; return whether it failed only because of kept segments."""
        partial = Partial(path, facts, file.root, self._retry, follow=follow)
        kept = partial.segments()
        try:
            with partial:
                self._receive(file, partial, kept)
        except IntegrityError:
            if not kept:
                raise
            return True
        return False

    def write_to(self, file: LinkedFile, target: Writable) -> None:
        """Download a file to a pipe; its end is verified last."""
        self._receive(file, target, 0, beside=False)
        self._progress.file_done()

    def _receive(
        self, file: LinkedFile, target: Writable, kept: int, *, beside: bool = True
    ) -> None:
        opening = _decryption(file)
        opening.go_on_behind(kept)
        with self._progress.begin_file(file.path, file.size) as moving:
            if kept and isinstance(target, Partial):
                self._take_kept(opening, target, moving)
            while opening.next < opening.segments:
                writer = self._writer if beside else None
                writing = WriteBehind(target, moving, self._buffers, writer)
                try:
                    self._open_into(file, opening, writing)
                except Unreachable as lost:
                    self._retry.recover(lost)
            opening.check()

    def _take_kept(self, opening: FileDecryption, kept: Partial, moving: FileProgress) -> None:
        """Compute the leaves of the kept segments of a file."""
        buffer = self._buffers.take()
        for index in range(opening.kept):
            plain = kept.read(index, buffer.plain)
            opening.hash(index, plain, buffer.sealed)
            moving.advance(len(plain))
        self._buffers.give_back(buffer)
        kept.go_to(opening.kept)

    def _open_into(self, file: LinkedFile, opening: FileDecryption, writing: WriteBehind) -> None:
        """Receive the missing segments; if the connection is lost, write all received ones."""
        size = opening.content.sealed_size
        try:
            incoming = self._server.content(file.root, opening.next * SEGMENT_SIZE, size)
            for index in range(opening.next, opening.segments):
                buffer = self._buffers.take()
                segment = buffer.sealed[: opening.segment_size(index)]
                incoming.read_into(segment)
                self._retry.progressed()
                writing.add(
                    buffer, self._threads.submit(opening.open, index, segment, buffer.plain)
                )
                opening.next = index + 1
                if index == 0:  # it contains the header, which the other segments need
                    writing.see_to_first()
                if len(writing) > _AHEAD:
                    writing.see_to_first()
            writing.finish()
        except Unreachable:
            writing.finish()
            raise
        finally:
            writing.stop()


def _decryption(file: LinkedFile) -> FileDecryption:
    content = Content(
        file.version,
        file.salt,
        file.root,
        stream.sealed_size(file.size),
        stream.key_commitment(file.key, file.salt),
    )
    bound_to = stream.content_ad(file.node, file.version)
    return FileDecryption(file.path, content, file.key, bound_to)
