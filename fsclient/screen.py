"""The last lines of a terminal, drawn again and again, and what is said beside them.

Only colourless text, movements of the cursor, and erasing. The cursor stays visible and lines are
never wrapped, so that a program that is stopped or killed leaves nothing to be repaired.
"""

from __future__ import annotations

import contextlib
import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from threading import RLock
from typing import TextIO

_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
_REST_OF_LINE, _REST_OF_SCREEN = "\x1b[K", "\x1b[J"
_EMOJI_STYLE = "\ufe0f"
"""Makes of the letter before it a picture, which is two columns wide."""


class Screen:
    """The terminal that stderr is: a few lines that change, below everything else that is said."""

    def __init__(self) -> None:
        """Begin with no lines."""
        self._lines: list[str] = []
        self._lock = RLock()
        self.erased = False
        """Whether the last thing that happened here is that the lines were taken away."""

    def can_draw(self) -> bool:
        """Tell whether stderr is a terminal that obeys."""
        return is_terminal(sys.stderr) and (os.name != "nt" or _windows_obeys())

    def shows(self, text: str) -> bool:
        """Tell whether the terminal's encoding has every letter of a text."""
        try:
            text.encode(sys.stderr.encoding or "ascii")
        except UnicodeError:
            return False
        return True

    def size(self) -> os.terminal_size:
        """Return columns and rows, as they are now."""
        with contextlib.suppress(OSError, ValueError):
            found = os.get_terminal_size(sys.stderr.fileno())
            if found.columns > 0 and found.lines > 0:
                return found
        return os.terminal_size((80, 24))

    def draw(self, lines: Sequence[str]) -> None:
        """Show lines in place of those before, unless another program has the terminal now."""
        with self._lock:
            if not _in_foreground():
                self._lines = []
                return
            self._show(lines)

    def clear(self) -> None:
        """Take the lines away."""
        with self._lock:
            self._erase()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Let something be said or asked where the lines are; they are drawn again below it."""
        with self._lock:
            lines = self._lines
            self._erase()
            self.erased = False
            yield
            if lines:
                self._show(lines)

    def _show(self, lines: Sequence[str]) -> None:
        drawn = "\n".join(line + _REST_OF_LINE for line in lines)
        # From the beginning of the last line, `^C` does not go over its end onto another one.
        _put(f"{self._home()}{_NO_WRAP}{drawn}{_REST_OF_SCREEN}{_WRAP}\r")
        self._lines = list(lines)
        self.erased = False

    def _erase(self) -> None:
        if self._lines:
            _put(self._home() + _REST_OF_SCREEN)
            self._lines = []
            self.erased = True

    def _home(self) -> str:
        """Return what leads from the last line to the beginning of the first."""
        above = len(self._lines) - 1
        return "\r" + (f"\x1b[{above}A" if above > 0 else "")


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a stream is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it was closed
        return False


def write(stream: TextIO | None, text: str) -> None:
    """Write what the stream's encoding can hold; the rest is written as escapes."""
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def columns_of(text: str) -> int:
    """Return how many columns a text takes; where terminals differ, the larger number."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def fit(text: str, columns: int, *, gap: str = "…") -> str:
    """Return a text filled up or, in its middle, cut down to so many columns, at least one."""
    room = columns_of(text)
    if room > columns:
        left = max(columns - columns_of(gap), 0)
        head = _taken(text, left // 2)
        tail = _taken(text[::-1], left - columns_of(head))[::-1]
        text = f"{head}{gap}{tail}"
        room = columns_of(text)
    return text + " " * (columns - room)


def _taken(text: str, columns: int) -> str:
    """Return as much of the beginning of a text as so many columns hold."""
    for at, letter in enumerate(text):
        columns -= _columns(letter)
        if columns < 0:
            return text[:at]
    return text


def _columns(letter: str) -> int:
    if letter == _EMOJI_STYLE:
        return 1
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _put(text: str) -> None:
    """Write to stderr; a terminal that has gone is nothing to fail for."""
    with contextlib.suppress(OSError, ValueError):
        write(sys.stderr, text)


def _in_foreground() -> bool:
    """Tell whether the terminal is this program's, and not one's that it runs in the back of."""
    owner, own = getattr(os, "tcgetpgrp", None), getattr(os, "getpgrp", None)
    if owner is None or own is None:
        return True
    try:
        return bool(owner(sys.stderr.fileno()) == own())
    except (OSError, ValueError):  # a terminal, but not the one that it was started from
        return True


def _windows_obeys() -> bool:
    """Have the console of Windows obey movements of the cursor; tell whether it does."""
    import ctypes

    stderr, obey = -12, 0x4
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - other systems lack it
    handle, mode = kernel.GetStdHandle(stderr), ctypes.c_ulong()
    if not kernel.GetConsoleMode(handle, ctypes.byref(mode)):
        return False
    return bool(kernel.SetConsoleMode(handle, mode.value | obey))
