"""How far a transfer is: a bar on a terminal, and a line of totals at the end."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fsclient.ui import Ui, count_text, size_text

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_PATIENCE_S = 0.4
"""What takes no longer needs no bar; most transfers do not pay for drawing one."""
_WORTH_TELLING_S = 1.0
"""A time below this says nothing of the rate."""


class Progress:
    """Counts files and bytes; shows them if somebody is watching."""

    def __init__(self, ui: Ui, verb: str, done: str) -> None:
        """Take whom to tell, and what is done to the files: `get`, and `got` when it was."""
        self._ui = ui
        self._verb = verb
        self._done = done
        self._watched = ui.wants_progress()
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._began = time.monotonic()
        self._expected = 0
        self._unknown = False
        self.files = 0
        self.folders = 0
        self.bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def expect(self, size: int) -> None:
        """Add to what is to be moved, in bytes; -1 for what nobody knows the size of."""
        self._unknown = self._unknown or size < 0
        self._expected += max(size, 0)
        self._show()

    def advance(self, size: int) -> None:
        """Note that some bytes have moved."""
        self.bytes += size
        self._show()

    def file_done(self) -> None:
        """Note that one more file is where it belongs."""
        self.files += 1

    def folder_done(self) -> None:
        """Note that a folder was made."""
        self.folders += 1

    def tell(self, where: str, *, failed: int) -> None:
        """Say what was done in all, and in words where it went; nothing if all has failed."""
        if failed and not self.files and not self.folders:
            return
        counts = [count_text(self.files, "file")] if self.files or not self.folders else []
        counts += [count_text(self.folders, "folder")] if self.folders else []
        parts = [" and ".join(counts), size_text(self.bytes), *([where] if where else [])]
        seconds = time.monotonic() - self._began
        if seconds >= _WORTH_TELLING_S:
            parts.append(f"in {seconds:.1f} s ({size_text(self.bytes / seconds)}/s)")
        if failed:
            parts.append(f"but {failed} failed")
        self._ui.say(f"{self._done} {', '.join(parts)}")

    def _show(self) -> None:
        if not self._watched:
            return
        if self._bars is None:
            if time.monotonic() - self._began < _PATIENCE_S:
                return
            self._bars = _bars(sized=not self._unknown)
            self._task = self._bars.add_task(self._verb, total=None)
            self._bars.start()
        if self._task is not None:
            total = None if self._unknown else self._expected
            self._bars.update(self._task, completed=self.bytes, total=total)


def _bars(*, sized: bool) -> Bars:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    columns = [BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]
    return Bars(
        TextColumn("{task.description}"),
        *(columns if sized else columns[:-1]),
        console=Console(stderr=True),
        transient=True,
    )
