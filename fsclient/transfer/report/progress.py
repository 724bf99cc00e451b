"""Progress of a transfer: counters, periodic reports from a thread, and totals at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fsclient.transfer.report.rate import FileSnapshot, RateMeter, Snapshot
from fsclient.ui import Ui
from fskit.text import count_text, size_text, took_text

if TYPE_CHECKING:
    from fsclient.transfer.report.lines import ProgressReporter

LARGE = 8 << 20
"""Bytes; a file of this size or more has a bar or a line of its own."""
_PATIENCE_S = 0.4
"""Seconds before the first report, so that short transfers draw no bar."""


class Progress:
    """Counters of files and bytes; a thread reports them if progress is shown."""

    def __init__(
        self,
        ui: Ui,
        verb: str,
        done: str,
        wanted: str = "none",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create counters for an action.

        `verb` and `done` name it (`get` and `got`). `wanted` is the argument of
        `Ui.progress_kind`. `clock` returns seconds.
        """
        self._ui = ui
        self._verb = verb
        self._done = done
        self._clock = clock
        self._report = _report(ui, wanted)
        self._rate = RateMeter()
        self._lock = threading.Lock()
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
        """Take the sizes of the expected files; iterate over them only if progress is shown.

        The progress thread iterates while the first files are moved. A size of -1 is unknown.
        """
        if self._report is not None:
            self._ahead = sizes

    def expect(self, size: int) -> None:
        """Add a file to the expected total; `size` is in bytes, -1 if unknown."""
        self._met.add(size)

    # --- what was done

    def advance(self, size: int) -> None:
        """Note that some bytes have moved; any thread may call."""
        with self._lock:
            self.bytes += size

    def begin_file(self, name: str, size: int) -> FileProgress:
        """Return a context for one file; call its `advance` in place of this object's.

        A large file, or one of unknown size (-1), is reported separately.
        """
        return FileProgress(self, name, size)

    def file_done(self) -> None:
        """Count a completed file; any thread may call."""
        with self._lock:
            self.files += 1

    def file_spared(self, size: int) -> None:
        """Count a file that is already there; call this in place of `expect`."""
        self._spared.add(size)

    def folder_done(self) -> None:
        """Count a created folder."""
        self.folders += 1

    # --- in all

    @property
    def spared(self) -> int:
        """Number of files that were already there."""
        return self._spared.files

    @property
    def seconds(self) -> float:
        """Duration of the transfer, up to now if it is still running."""
        return (self._clock() if self._ended is None else self._ended) - self._began

    def totals(self) -> dict[str, object]:
        """Return the totals for the JSON result."""
        seconds = self.seconds
        return {
            "files": self.files,
            "folders": self.folders,
            "bytes": self.bytes,
            "seconds": round(seconds, 3),
            "bytes_per_second": round(self.bytes / seconds) if seconds > 0 else None,
        }

    def tell(self, where: str, *, failed: int) -> None:
        """Print the totals and the destination; print nothing if everything failed."""
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
        """Report the progress, without totals until all expected files are counted."""
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
        if now.bytes or now.bytes_expected or now.under_way:  # else there is nothing to report yet
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
        """Remove a file from those in transfer; `seconds` is None if it failed."""
        del self._under_way[moving]
        file = moving.standing
        if seconds is not None and file.bytes >= LARGE and self._report is not None:
            self._report.moved(file, seconds)


class FileProgress:
    """The progress of one file."""

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
        self._progress.advance(size)

    @property
    def standing(self) -> FileSnapshot:
        """The current state of the file."""
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
