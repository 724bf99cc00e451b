"""How far a transfer is: a bar on a terminal, and a line of totals at the end."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fsclient.ui import Ui, count_text, size_text

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class Progress:
    """Counts files and bytes; shows them if somebody is watching."""

    def __init__(self, ui: Ui, verb: str) -> None:
        """Take whom to tell, and what is done to the files: `put`, `got`."""
        self._ui = ui
        self._verb = verb
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._began = time.monotonic()
        self.files = 0
        self.bytes = 0

    def __enter__(self) -> Self:
        if self._ui.wants_progress():
            self._bars, self._task = _bars(self._verb)
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def expect(self, size: int) -> None:
        """Add to what is to be moved, in bytes."""
        if self._bars is not None and self._task is not None:
            total = self._bars.tasks[0].total or 0
            self._bars.update(self._task, total=total + size)

    def advance(self, size: int) -> None:
        """Note that some bytes have moved."""
        self.bytes += size
        if self._bars is not None and self._task is not None:
            self._bars.advance(self._task, size)

    def file_done(self) -> None:
        """Note that one more file is where it belongs."""
        self.files += 1

    def tell(self) -> None:
        """Say what was done in all."""
        seconds = max(time.monotonic() - self._began, 0.001)
        rate = size_text(self.bytes / seconds)
        self._ui.say(
            f"{self._verb} {count_text(self.files, 'file')}, {size_text(self.bytes)} "
            f"in {seconds:.1f} s ({rate}/s)"
        )


def _bars(verb: str) -> tuple[Bars, TaskID]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    return bars, bars.add_task(verb, total=0)
