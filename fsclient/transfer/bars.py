"""Bars on a terminal: what fits into its columns and rows, as text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from fsclient.screen import columns_of, fit
from fsclient.transfer.standing import FileStanding, Standing
from fsclient.ui import Ui, count_text, duration_text, size_text
from fsproto.names import for_terminal

FINE, ASCII = ("━", "─", "…"), ("#", "-", "~")
"""What is there of a bar, what is not yet, and what stands for the middle of a long name."""
_GAP = 2
_LONGEST_BAR, _SHORTEST_LABEL = 40, 13
_FIELDS = {"bar": 8, "percent": 4, "size": 8, "rate": 10, "left": 13, "short": 8}
"""What may stand behind a label, and its columns: what it ever needs, or for bars the least."""
_SIZED = (
    ("bar", "percent", "size", "rate", "left"),
    ("bar", "percent", "rate", "left"),
    ("bar", "percent", "rate", "short"),
    ("bar", "percent", "short"),
    ("percent", "short"),
    ("percent",),
    (),
)
"""Layouts, from wide to narrow."""
_UNSIZED = (("size", "rate"), ("size",), ())
"""The same where no size is known."""


class Bars:
    """A bar for each large file and one for everything, drawn again and again."""

    every_s = 0.1

    def __init__(self, ui: Ui) -> None:
        """Take whose screen to draw on."""
        self._screen = ui.screen
        self._style = FINE if self._screen.shows("".join(FINE)) else ASCII

    def tell(self, now: Standing) -> None:
        """Draw how far everything is."""
        columns, rows = self._screen.size()
        self._screen.draw(bar_lines(now, columns - 1, rows - 1, self._style))

    def moved(self, file: FileStanding, seconds: float) -> None:
        """Do nothing: its bar is gone with the next drawing."""

    def end(self, last: Standing | None) -> None:
        """Take the bars away."""
        self._screen.clear()


@dataclass(frozen=True)
class _Row:
    label: str
    brief: str
    """What stands where the label has no room."""
    bytes: int
    size: int | None
    rate: float | None = None
    seconds_left: float | None = None

    def field(self, name: str) -> str:
        match name:
            case "percent" if self.size is not None:
                return f"{_share(self.bytes, self.size, 100)}%"
            case "size":
                return size_text(self.bytes)
            case "rate" if self.rate is not None:
                return f"{size_text(self.rate)}/s"
            case "left" if self.seconds_left is not None:
                return f"{duration_text(ceil(self.seconds_left))} left"
            case "short" if self.seconds_left is not None:
                return duration_text(ceil(self.seconds_left))
        return ""


def bar_lines(
    now: Standing, columns: int, rows: int, style: tuple[str, str, str] = FINE
) -> list[str]:
    """Return the lines to show in so many columns and rows: large files, then everything."""
    table = _table(now)
    if len(table) > rows:
        table = [*table[: max(rows - 1, 0)], table[-1]]
    widths = _widths(columns, table)
    if any(columns_of(row.label) > widths["label"] for row in table):
        table = [
            replace(row, label=row.brief) if columns_of(row.label) > widths["label"] else row
            for row in table
        ]
        widths = _widths(columns, table)
    return [_line(row, widths, style) for row in table]


def _widths(columns: int, table: list[_Row]) -> dict[str, int]:
    """Return how wide what fits into a line is, from left to right; the label always does."""
    longest = max(columns_of(row.label) for row in table)
    sized = any(row.size is not None for row in table)
    wanted = min(longest, _SHORTEST_LABEL)
    for fields in _SIZED if sized else _UNSIZED:
        room = columns - sum(_GAP + _FIELDS[field] for field in fields)
        if room >= wanted:
            break
    widths = {"label": max(min(room, longest), 1), **{name: _FIELDS[name] for name in fields}}
    if "bar" in widths:  # it gives to the label, and takes what the label does not need
        room += _FIELDS["bar"]
        label = min(longest, max(wanted, room * 3 // 5))
        widths["bar"] = min(room - label, _LONGEST_BAR)
        widths["label"] = min(longest, room - widths["bar"])
    return widths


def _table(now: Standing) -> list[_Row]:
    label = brief = count_text(now.files, "file")
    if now.files_expected is not None:
        label = f"{now.files} of {count_text(now.files_expected, 'file')}"
        brief = f"{now.files}/{now.files_expected}"
    whole = _Row(label, brief, now.bytes, now.bytes_expected, now.rate, now.seconds_left)
    files = [_file_row(file) for file in now.under_way]
    if len(files) == 1 and now.files_expected == 1:  # it is everything
        return [replace(whole, label=files[0].label, brief=files[0].brief)]
    return [*files, whole]


def _file_row(file: FileStanding) -> _Row:
    path = for_terminal(file.name)
    return _Row(path, path.rsplit("/", 1)[-1], file.bytes, file.size)


def _line(row: _Row, widths: dict[str, int], style: tuple[str, str, str]) -> str:
    done, rest, gap = style
    cells = []
    for name, width in widths.items():
        match name:
            case "label":
                cells.append(fit(row.label, width, gap=gap))
            case "bar" if row.size is not None:
                full = _share(row.bytes, row.size, width)
                cells.append(done * full + rest * (width - full))
            case _:
                cells.append(row.field(name).rjust(width))
    return (" " * _GAP).join(cells).rstrip()


def _share(part: int, whole: int, of: int) -> int:
    """Return how much of `of` a part of a whole is; all of it only when the whole is there."""
    return min(part * of // whole, of) if whole else of
