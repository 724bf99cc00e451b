"""Output formats: JSON for programs; tables, times, sizes and QR codes for people."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from fskit.json_times import with_utc_times
from fsproto.names import for_terminal
from fsproto.qr import drawn

_GAP = "  "
_BLACK_ON_WHITE = "\x1b[38;5;231;48;5;16m{}\x1b[0m"
"""White blocks on black, with both colours set, for dark and for light terminals."""


def as_json(value: object) -> str:
    """Return one JSON value, in ASCII so that it survives any terminal's encoding."""
    return json.dumps(with_utc_times(value), indent=2)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str]) -> str:
    """Return rows under headers; the columns whose headers are in `right` are aligned there."""
    cells = [[for_terminal(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        _GAP.join(
            cell.rjust(width) if header in right else cell.ljust(width)
            for cell, width, header in zip(row, widths, headers, strict=True)
        ).rstrip()
        for row in cells
    )


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a line for each name and value, the values aligned."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name.ljust(width)}{_GAP}{for_terminal(value)}" for name, value in pairs)


def day(ms: int) -> str:
    """Return the day and minute of a Unix time in milliseconds, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def second(ms: int) -> str:
    """Return the second of a Unix time in milliseconds, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def qr(text: str) -> str | None:
    """Return a QR code as half blocks, two modules per character; None if it cannot be shown.

    It cannot be shown if stdout's encoding has no blocks, or if the terminal is too narrow.
    """
    lines = drawn(text)
    try:
        "".join(lines).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return None
    if not sys.stdout.isatty():
        return "\n".join(lines)
    if len(lines[0]) > shutil.get_terminal_size().columns:
        return None
    return "\n".join(_BLACK_ON_WHITE.format(line) for line in lines)
