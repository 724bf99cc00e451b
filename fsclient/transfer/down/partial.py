"""Partial downloads of large files, kept in the target's folder until they are complete.

The name is `.NAME.ROOT.fs-part`, where ROOT is the start of the content's root, so that another
version of the file is never mistaken for this one. The file holds plaintext that was verified
segment by segment. A resumed download does not rely on that: it seals the kept plaintext again and
compares the root over all leaves before the file gets its name.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from fsclient.connection.retry import NoRetry, can_go_on
from fsclient.local_errors import local_errors
from fsclient.transfer.local.files import LocalStat, LocalTarget, fill, raise_if_refused
from fsclient.transfer.local.locks import lock, remove_unless_held
from fsproto import crypto
from fsproto.errors import FsError
from fsproto.sealed import stream
from fsproto.types import Root

_SUFFIX = ".fs-part"
_ROOT_DIGITS = 16
_LONGEST_NAME = 255
"""Bytes; the longest file name that all common file systems allow."""


class Partial:
    """A resumable download target; gets its final name only if the block succeeds."""

    def __init__(
        self, path: Path, facts: LocalStat, root: Root, retry: NoRetry, *, follow: bool
    ) -> None:
        """Create a target at `path` with the size, time and mode of `facts`.

        `root` is the root of the sealed content. `follow` is as for a `LocalTarget`.
        """
        self._path = path
        self._follow = follow
        self._facts = facts
        self._root = root
        self._retry = retry
        self._fd: int | None = None
        self._place: Path | None = None
        self._target: LocalTarget | None = None
        self._file: BinaryIO | None = None

    def segments(self) -> int:
        """Open the partial file and return its number of whole segments; 0 if it is unusable.

        The file stays locked, so that no other process changes it after the rest is requested.
        """
        if self._fd is None and self._retry.resumes:
            with suppress(OSError, FsError):
                target = LocalTarget(self._path, follow=self._follow)
                self._place = _place(target.final, self._root)
                self._fd = lock(self._place, make=False)
        if self._fd is None:
            return 0
        size = os.fstat(self._fd).st_size
        return 0 if size > self._facts.size else stream.whole_segments(size, self._facts.size)

    def forget(self) -> None:
        """Delete the partial file, because its content is wrong."""
        if self._fd is not None and self._place is not None:
            with local_errors(self._path):
                self._place.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        """Open the file for writing after the kept segments."""
        self._target = target = LocalTarget(self._path, follow=self._follow)
        there = self.segments()
        with local_errors(target.final.parent):
            if self._fd is None and self._retry.resumes:
                self._place = _place(target.final, self._root)
                _remove_others(self._place)
                try:
                    self._fd = lock(self._place, make=True)
                except OSError as error:
                    raise_if_refused(error, self._path)
                    raise
            if self._fd is None:  # for example, another process downloads the same file
                self._place = None
                self._file = target.begin()
            else:
                self._file = os.fdopen(self._fd, "r+b", buffering=0)
                self._file.truncate(stream.plain_end(there, self._facts.size))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Rename the file after success, keep it after an interruption, else delete it."""
        if self._target is None or self._file is None:
            raise RuntimeError("it was never entered")
        written = self._place or self._target.temporary
        keep = self._place is not None and kind is not None and _is_interruption(error)
        try:
            if self._place is None:
                self._file.close()  # Windows cannot rename an open file
            if kind is None:
                self._target.complete(written, self._facts)
            elif keep and os.fstat(self._file.fileno()).st_size:
                self._retry.unfinished = True
            else:
                keep = False
        finally:
            if not keep:
                with suppress(OSError):
                    written.unlink(missing_ok=True)
            self._file.close()
            self._fd = self._file = None

    def write(self, data: bytes | memoryview, /) -> None:
        """Write data at the current position."""
        view = memoryview(data)
        with local_errors(self._path):
            while view:
                view = view[self._opened.write(view) :]

    def read(self, index: int, room: memoryview) -> memoryview:
        """Read the plaintext of a kept segment into `room` and return it."""
        start = stream.plain_start(index)
        end = stream.plain_end(index + 1, self._facts.size)
        with local_errors(self._path):
            self._opened.seek(start)
            return room[: fill(room[: end - start], self._opened)]

    def go_to(self, index: int) -> None:
        """Write segment `index` next."""
        with local_errors(self._path):
            self._opened.seek(stream.plain_start(index))

    @property
    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise RuntimeError("it is not open")
        return self._file


def drop_partials(path: Path, *, follow: bool) -> None:
    """Delete every partial file of this target path, of whatever version."""
    with suppress(OSError, FsError):
        final = LocalTarget(path, follow=follow).final
        _remove_others(_place(final, Root(bytes(crypto.HASH_SIZE))), all_of_them=True)


def _is_interruption(error: BaseException | None) -> bool:
    """Return whether the download was interrupted and can be resumed."""
    if isinstance(error, FsError):
        return can_go_on(error)
    return isinstance(error, KeyboardInterrupt | SystemExit)


def _place(final: Path, root: Root) -> Path:
    end = f".{root.hex()[:_ROOT_DIGITS]}{_SUFFIX}"
    longest = _LONGEST_NAME - len(end) - 1
    name = os.fsencode(final.name)[:longest].decode("utf-8", "ignore")
    return final.parent / f".{name}{end}"


def _remove_others(place: Path, *, all_of_them: bool = False) -> None:
    """Delete unlocked partial files of other versions of the same file."""
    beginning = place.name.removesuffix(_SUFFIX).rpartition(".")[0]
    pattern = re.compile(re.escape(beginning) + rf"\.[0-9a-f]{{{_ROOT_DIGITS}}}\{_SUFFIX}")
    with os.scandir(place.parent) as entries:
        found = [entry.name for entry in entries if pattern.fullmatch(entry.name)]
    for name in found:
        if all_of_them or name != place.name:
            with suppress(OSError):
                remove_unless_held(place.parent / name)
