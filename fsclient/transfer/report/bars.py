"""Progress bars on a terminal, drawn by rich."""

from __future__ import annotations

import contextlib
from math import ceil
from typing import TYPE_CHECKING

from fsclient.transfer.report.rate import FileSnapshot, Snapshot
from fsclient.ui import Ui, in_foreground
from fskit.text import count_text, duration_text, size_text
from fsproto.names import for_terminal

if TYPE_CHECKING:  # rich is imported only when bars are drawn, in the progress thread
    from rich.console import RenderableType
    from rich.live import Live
    from rich.table import Table

_MOST_FILES = 4
_SPARE = 2
"""Free columns at the end of a line, so that an echoed `^C` does not wrap."""
_WIDTHS = {"percent": 4, "size": 8, "rate": 10, "left": 14, "short": 9}
_WIDE = (64, "bar percent size rate left")
_SIZED = (_WIDE, (50, "bar percent rate short"), (30, "bar percent short"), (0, "percent"))
_UNSIZED = (_WIDE, (30, "size rate"), (0, "size"))
"""Fields after a label, by least terminal width; `_UNSIZED` is for an unknown total size."""


class Bars:
    """A reporter with a bar for each large file and one for the whole transfer."""

    every_s = 0.25

    def __init__(self, ui: Ui) -> None:
        self._screen = ui.screen
        self._live: Live | None = None
        self._said: list[str] = []
        self._over = False

    def tell(self, now: Snapshot) -> None:
        """Draw the bars, below the texts that were printed since the last drawing."""
        from rich.text import Text

        with self._screen.lock, contextlib.suppress(OSError, ValueError):
            if self._over or not in_foreground():
                self.hide()
                return
            live = self._live = self._live or _begun()
            self._screen.shown = self
            (columns, rows), fine = live.console.size, not live.console.options.ascii_only
            if self._said:
                said, self._said = "".join(self._said), []
                live.console.print(Text(said), end="", soft_wrap=True)
            live.update(bars(now, max(columns - _SPARE, 1), rows, fine=fine), refresh=True)

    def say(self, text: str) -> None:
        """Queue a text to print above the bars at their next drawing; do not wait."""
        self._said.append(text)

    def hide(self) -> None:
        """Remove the bars."""
        live, self._live = self._live, None
        if live is not None:
            self._screen.shown, self._screen.erased = None, True
            live.console.quiet = (
                not in_foreground()
            )  # in the background, the lines there are not bars
            with contextlib.suppress(OSError, ValueError):
                live.stop()
            said, self._said = self._said, []
            for text in said:
                self._screen.say(text)

    def moved(self, file: FileSnapshot, seconds: float) -> None:
        """Do nothing: the next drawing omits the file's bar."""

    def end(self, last: Snapshot | None) -> None:
        """Remove the bars; they are not drawn again."""
        with self._screen.lock:
            self._over = True
            self.hide()


def _begun() -> Live:
    from rich.console import Console
    from rich.live import Live

    class Steady(Console):
        def show_cursor(self, show: bool = True) -> bool:  # noqa: FBT001, FBT002 - as rich has it
            """Do not change the cursor, so that an abrupt end leaves nothing to repair."""
            return False

    console = Steady(stderr=True, force_terminal=True, force_interactive=True, force_jupyter=False)
    live = Live(
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    live.start()
    return live


def bars(now: Snapshot, columns: int, rows: int, *, fine: bool = True) -> Table:
    """Return the bars for a terminal size: large files, then the whole transfer.

    With `fine`, characters are used that not all terminals can show.
    """
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    layouts = _UNSIZED if now.bytes_expected is None else _SIZED
    fields = next(fields for least, fields in layouts if columns >= least).split()
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.width = columns
    table.add_column(ratio=3, no_wrap=True, overflow="ellipsis" if fine else "crop")
    for field in fields:
        width = _WIDTHS.get(field)
        table.add_column(width=width, ratio=None if width else 2, no_wrap=True, justify="right")
    for label, moved, size, known in _rows(now, columns // 4)[-rows:]:
        cells: dict[str, RenderableType] = {name: Text(text) for name, text in known.items()}
        cells["size"] = Text(size_text(moved))
        if size is not None:
            whole, there = (size, min(moved, size)) if size else (1, 1)
            cells["bar"] = ProgressBar(total=whole, completed=there)
            cells["percent"] = Text(f"{there * 100 // whole}%")
        table.add_row(Text(label), *(cells.get(field, "") for field in fields))
    return table


def _rows(now: Snapshot, room: int) -> list[tuple[str, int, int | None, dict[str, str]]]:
    """Return label, moved bytes, size and other fields of each line; the total is last."""
    known = {}
    if now.rate is not None:
        known["rate"] = f"{size_text(now.rate)}/s"
    if now.seconds_left is not None:
        known["short"] = duration_text(ceil(now.seconds_left))
        known["left"] = f"{known['short']} left"
    label = count_text(now.files, "file")
    if now.files_expected is not None:
        label = f"{now.files} of {count_text(now.files_expected, 'file')}"
        label = label if len(label) <= room else f"{now.files}/{now.files_expected}"
    files = [(_name(file.name, room), file.bytes, file.size) for file in now.under_way]
    if len(files) == 1 and now.files_expected == 1:  # it is everything
        return [(files[0][0], now.bytes, now.bytes_expected, known)]
    whole = (label, now.bytes, now.bytes_expected, known)
    return [*((*file, {}) for file in files[:_MOST_FILES]), whole]


def _name(path: str, room: int) -> str:
    shown = for_terminal(path)
    return shown if len(shown) <= room else shown.rsplit("/", 1)[-1]
