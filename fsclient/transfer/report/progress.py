"""How far a transfer is: counted here, told now and then by a thread, and in all at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fsclient.transfer.report.rate import FileSnapshot, RateMeter, Snapshot
from fsclient.ui import Ui, count_text, size_text, took_text

if TYPE_CHECKING:
    from fsclient.transfer.report.lines import ProgressReporter

LARGE = 8 << 20
"""Bytes; a file of this size or more has a bar or a line of its own."""
_PATIENCE_S = 0.4
"""What takes no longer needs no bar; most transfers do not pay for drawing one."""


class Progress:
    """Counts files and bytes. Who moves them only adds; a thread looks, if somebody is told."""

    def __init__(
        self,
        ui: Ui,
        verb: str,
        done: str,
        wanted: str = "none",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take whom to tell, what is done to the files (`get`, and `got` when it was), and how.

        `wanted` is what `Ui.progress_kind` takes. `clock` gives seconds.
        """
        self._ui = ui
        self._verb = verb
        self._done = done
        self._clock = clock
        self._report = _report(ui, wanted)
        self._rate = RateMeter()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._under_way: dict[FileProgress, None] = {}
        self._ahead: Iterator[int] | None = None
        self._foreseen = _Expected()
        self._met = _Expected()
        self._spared = _Expected()
        self._began = clock()
        self._ended: float | None = None
        self.files = 0
        self.folders = 0
        self.bytes = 0

    def __enter__(self) -> Self:
        if self._report is not None:
            self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._ended = self._clock()
        self._over.set()
        try:
            if self._thread is not None:
                self._thread.join()
        finally:
            if self._report is not None:
                self._report.end(None if kind else self._standing())

    # --- what is to be done

    def look_ahead(self, sizes: Iterator[int]) -> None:
        """Take the sizes of all that will be expected; they are drawn only if somebody is told.

        That happens in another thread, while the first files are moved. -1 is a size that nobody
        knows.
        """
        if self._report is not None:
            self._ahead = sizes

    def expect(self, size: int) -> None:
        """Add a file to what is to be moved, by its bytes; -1 if nobody knows its size."""
        self._met.add(size)

    # --- what was done

    def advance(self, size: int) -> None:
        """Note that some bytes have moved."""
        self.bytes += size

    def begin_file(self, name: str, size: int) -> FileProgress:
        """Begin a file, as a context; its `advance` is called in place of one's own.

        A large one, or one whose size (-1) nobody knows, is told of by itself.
        """
        return FileProgress(self, name, size)

    def file_done(self) -> None:
        """Note that one more file is where it belongs."""
        self.files += 1

    def file_spared(self, size: int) -> None:
        """Note that a file need not be moved, in place of expecting it: it is there already."""
        self._spared.add(size)

    def folder_done(self) -> None:
        """Note that a folder was made."""
        self.folders += 1

    # --- in all

    @property
    def spared(self) -> int:
        """How many files were there already."""
        return self._spared.files

    @property
    def seconds(self) -> float:
        """How long it took, or takes up to now."""
        return (self._clock() if self._ended is None else self._ended) - self._began

    def totals(self) -> dict[str, object]:
        """Return what was done in all, as programs are told of it."""
        seconds = self.seconds
        return {
            "files": self.files,
            "folders": self.folders,
            "bytes": self.bytes,
            "seconds": round(seconds, 3),
            "bytes_per_second": round(self.bytes / seconds) if seconds > 0 else None,
        }

    def tell(self, where: str, *, failed: int) -> None:
        """Say what was done in all, and in words where it went; nothing if all has failed."""
        if failed and not self.files and not self.folders and not self.spared:
            return
        counts = [count_text(self.files, "file")] if self.files or not self.folders else []
        counts += [count_text(self.folders, "folder")] if self.folders else []
        parts = [" and ".join(counts), size_text(self.bytes), where]
        parts.append(took_text(self.bytes, self.seconds))
        if failed:
            parts.append(f"but {failed} failed")
        self._ui.say(f"{self._done} {', '.join(filter(None, parts))}")

    # --- how far it is

    def look(self) -> None:
        """Tell how far it is, once what lies ahead is counted; until then, its parts as known."""
        if self._report is None:
            return
        if self._ahead is not None:
            due = self._clock() + self._report.every_s
            for size in self._ahead:
                self._foreseen.add(size)
                if self._over.is_set() or self._clock() >= due:
                    break
            else:
                self._ahead = None
        now = self._standing()
        if now.bytes or now.bytes_expected or now.under_way:  # else nobody knows anything yet
            self._report.tell(now)

    def _watch(self) -> None:
        wait_s = max(_PATIENCE_S, self._report.every_s) if self._report else 0
        while self._report is not None and not self._over.wait(wait_s):
            self.look()
            wait_s = 0 if self._ahead is not None else self._report.every_s

    def _standing(self) -> Snapshot:
        seconds, moved = self.seconds, self.bytes
        files = bytes_expected = None
        if self._ahead is None:
            foreseen, met, spared = self._foreseen, self._met, self._spared
            files = max(foreseen.files - spared.files, met.files)
            if not (foreseen.unknown or met.unknown):
                bytes_expected = max(foreseen.bytes - spared.bytes, met.bytes)
        return Snapshot(
            verb=self._verb,
            files=self.files,
            files_expected=files,
            bytes=moved,
            bytes_expected=bytes_expected,
            seconds=seconds,
            rate=self._rate.at(seconds, moved),
            under_way=tuple(moving.standing for moving in list(self._under_way)),
        )

    def _begun(self, moving: FileProgress) -> None:
        self._under_way[moving] = None

    def _left(self, moving: FileProgress, *, seconds: float | None) -> None:
        """Note that a file is no longer under way; `seconds` is None if it failed."""
        del self._under_way[moving]
        file = moving.standing
        if seconds is not None and file.bytes >= LARGE and self._report is not None:
            self._report.moved(file, seconds)


class FileProgress:
    """One file while it is moved."""

    def __init__(self, progress: Progress, name: str, size: int) -> None:
        self._progress = progress
        self._name = name
        self._size = size
        self._bytes = 0
        self._large = not 0 <= size < LARGE
        self._began = 0.0

    def __enter__(self) -> Self:
        if self._large:
            self._began = self._progress.seconds
            self._progress._begun(self)  # noqa: SLF001 - a part of it
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._large:
            seconds = None if kind else self._progress.seconds - self._began
            self._progress._left(self, seconds=seconds)  # noqa: SLF001 - a part of it

    def advance(self, size: int) -> None:
        """Note that some of its bytes have moved."""
        self._bytes += size
        self._progress.bytes += size

    @property
    def standing(self) -> FileSnapshot:
        """How far it is."""
        return FileSnapshot(self._name, self._bytes, self._size if self._size >= 0 else None)


class _Expected:
    """A number of files and their bytes."""

    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0
        self.unknown = False

    def add(self, size: int) -> None:
        self.files += 1
        if size < 0:
            self.unknown = True
        else:
            self.bytes += size


def _report(ui: Ui, wanted: str) -> ProgressReporter | None:
    kind = ui.progress_kind(wanted)
    if kind == "none":
        return None
    from fsclient.transfer.report.lines import report_of

    return report_of(kind, ui)
