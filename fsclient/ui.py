"""Output to the user, and questions.

Results go to stdout. Progress, questions, warnings and errors go to stderr, so that a pipe gets
only the result. An error is one sentence and a hint. `for_terminal` makes foreign text safe to
print. With `--json`, stdout holds only JSON; with `--quiet`, messages and progress are left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from threading import RLock
from typing import BinaryIO, Protocol, TextIO

from fsclient.local_errors import local_errors
from fskit.console import confirm
from fskit.json_times import with_utc_times
from fsproto.errors import FsError, Interrupted, UsageError
from fsproto.names import for_terminal

STDOUT = "Standard output"
"""The name of stdout in errors."""

_NAME = "fsclient: "
_INDENT = " " * len(_NAME)
_NARROWEST = 40
"""Columns; in a terminal that has fewer, lines are left as they are."""


class LiveDisplay(Protocol):
    """A display that is redrawn below all other messages, such as progress bars."""

    def say(self, text: str) -> None:
        """Write a text above the display."""

    def hide(self) -> None:
        """Erase the display until it is drawn again."""


class Screen:
    """Stderr, with or without a terminal; one program writes all its messages through one screen.

    A live display holds `lock` while it draws, and sets `shown` to itself.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.shown: LiveDisplay | None = None
        self.erased = False
        """Whether the display was just erased, and no message was written since."""

    def say(self, text: str) -> None:
        """Write whole lines to stderr; ignore failures, because no other output is left."""
        with self.lock, contextlib.suppress(OSError, ValueError):
            if self.shown is not None:
                self.shown.say(text)
                return
            self.erased = False
            write(sys.stderr, text)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Hide the live display during a question."""
        with self.lock:
            if self.shown is not None:
                self.shown.hide()
            self.erased = False
            yield


class Ui:
    """Results, messages and questions of one program."""

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        screen: Screen | None = None,
        asks: bool = True,
        defer: Callable[[str], None] | None = None,
    ) -> None:
        """Use `--json` and `--quiet` as given; `screen` is shared with live displays.

        Without `asks`, nothing is asked, even on a terminal. `defer` keeps warnings for later.
        """
        self._defer = defer
        self._asks = asks
        self.as_json = as_json
        self.quiet = quiet
        self.screen = screen or Screen()

    @property
    def defers(self) -> bool:
        """Whether warnings are kept for the next command."""
        return self._defer is not None

    @property
    def is_silent(self) -> bool:
        """Whether `say` writes nothing."""
        return self.quiet or self.as_json

    # --- messages

    def result(self, data: object, text: str | Sequence[str]) -> None:
        """Write a result: `data` as JSON, or `text` for people, each string a line."""
        if self.as_json:
            write_out(json.dumps(with_utc_times(data), ensure_ascii=False) + "\n")
        else:
            lines = [text] if isinstance(text, str) else text
            write_out("".join(for_terminal(line) + "\n" for line in lines))

    def result_of(self, **data: object) -> None:
        """Write a result only with `--json`; `say` has informed people."""
        if self.as_json:
            self.result(data, "")

    def say(self, sentence: str) -> None:
        """Write a message for people only: nothing with `--quiet` or `--json`."""
        if not self.is_silent:
            self._tell("", sentence)

    def warn(self, sentence: str) -> None:
        """Write a warning."""
        if self._defer is not None:
            self._defer(sentence)
            return
        self._tell(_NAME, sentence)

    def show(self, sentence: str) -> None:
        """Write what the user needs for the next step, with any options; it is not a result."""
        self._tell("", sentence)

    def draw(self, lines: list[str]) -> None:
        """Draw a QR code in half blocks, where the terminal can show it."""
        encoding = getattr(sys.stderr, "encoding", None) or "ascii"
        with contextlib.suppress(UnicodeEncodeError, OSError, ValueError):
            "".join(lines).encode(encoding)
            if len(lines[0]) <= os.get_terminal_size(sys.stderr.fileno()).columns:
                # White on black, both set: the code looks the same on dark and light backgrounds.
                said = (f"\x1b[38;5;231;48;5;16m{line}\x1b[0m\n" for line in lines)
                self.screen.say("".join(said))

    def complain(self, error: FsError) -> None:
        """Write an error and its hint."""
        self.warn(error.sentence)
        if error.hint:
            self._tell(_INDENT, error.hint)

    def announce_typing(self) -> None:
        """Say that standard input is read, if it is a terminal."""
        if is_terminal(sys.stdin):
            end = "Ctrl-Z and Return" if os.name == "nt" else "Ctrl-D"
            self.say(f"Reading what is typed; {end} at the beginning of a line ends it.")

    def end_line(self) -> None:
        """Start a new line after a terminal has shown `^C`, unless a display was just erased."""
        if is_terminal(sys.stderr) and not self.screen.erased:
            self._tell("", "")

    def _tell(self, start: str, sentence: str) -> None:
        self.screen.say(_fitted(start + for_terminal(sentence)) + "\n")

    # --- progress

    def progress_kind(self, wished: str) -> str:
        """Return how to show progress: `bar`, `plain`, `json`, or `none`.

        `wished` is one of these or `auto`. Bars need a terminal that is not `dumb` or `unknown`.
        """
        if self.quiet:
            return "none"
        if wished == "plain" and self.as_json:
            return "json"
        if wished == "auto":
            wished = "none" if self.as_json else "bar"
        dumb = os.environ.get("TERM") in ("dumb", "unknown")
        return "none" if wished == "bar" and (dumb or not is_terminal(sys.stderr)) else wished

    def say_progress(self, line: str) -> None:
        """Write a line about progress, without wrapping."""
        self.screen.say(for_terminal(line) + "\n")

    # --- questions

    def can_ask(self) -> bool:
        """Return whether there is a terminal for questions."""
        if not self._asks:
            return False
        with _terminal() as terminal:
            return terminal is not None

    def ask(self, question: str) -> str:
        """Ask for input that may be visible; `Interrupted` at the end of input."""
        with self.screen.aside(), _terminal() as terminal:
            _prompt(question)
            line = (terminal or sys.stdin).readline()
        if not line:
            raise _unanswered()
        return line.strip()

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something is done, unless the answer was given with `--yes`.

        `UsageError` if there is no terminal; `NotConfirmedError` for any answer except yes.
        """
        confirm(
            question,
            yes=yes,
            can_ask=self.can_ask,
            ask=lambda question: self.ask(f"{question} [y/N] ").lower() in ("y", "yes"),
        )

    def ask_secret(self, question: str) -> str:
        """Ask for input that must stay hidden; `Interrupted` at the end of input."""
        import getpass

        try:
            with self.screen.aside():
                return getpass.getpass(question)
        except EOFError:
            raise _unanswered() from None


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # the stream is closed
        return False


def in_foreground() -> bool:
    """Return whether this program runs in the foreground of its terminal."""
    owner, own = getattr(os, "tcgetpgrp", None), getattr(os, "getpgrp", None)
    if owner is None or own is None:
        return True
    try:
        return bool(owner(sys.stderr.fileno()) == own())
    except (OSError, ValueError):  # not the controlling terminal of this program
        return True


def write(stream: TextIO | None, text: str) -> None:
    """Write text; replace characters that the stream's encoding lacks with escapes."""
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def write_out(text: str) -> None:
    """Write a result to stdout."""
    with local_errors(STDOUT):
        write(sys.stdout, text)


def binary_stdout() -> BinaryIO:
    """Return stdout for bytes."""
    return sys.stdout.buffer


def binary_stdin() -> BinaryIO:
    """Return stdin for bytes."""
    if sys.stdin is None:
        raise UsageError("Standard input is closed.")
    return sys.stdin.buffer


def _fitted(line: str) -> str:
    """Return a line wrapped between words to the width of the terminal."""
    columns = 0
    if is_terminal(sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            columns = os.get_terminal_size(sys.stderr.fileno()).columns
    if columns < _NARROWEST or len(line) < columns:
        return line
    import textwrap

    indent = _INDENT if line.startswith((_NAME, _INDENT)) else ""
    return textwrap.fill(
        line,
        columns - 1,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _unanswered() -> Interrupted:
    return Interrupted("There was no answer; nothing was done.")


@contextlib.contextmanager
def _terminal() -> Iterator[TextIO | None]:
    """Yield the terminal for answers, even if stdin is a file or a pipe; None without one."""
    if is_terminal(sys.stdin):
        yield sys.stdin
        return
    opened = None
    if is_terminal(sys.stderr):
        with contextlib.suppress(OSError):
            opened = open("CONIN$" if os.name == "nt" else "/dev/tty")  # noqa: PTH123, SIM115
    try:
        yield opened
    finally:
        if opened is not None:
            opened.close()


def _prompt(question: str) -> None:
    """Show a question on the terminal, even if stderr goes to a file."""
    if not is_terminal(sys.stderr):
        with (
            contextlib.suppress(OSError),
            open("CONOUT$" if os.name == "nt" else "/dev/tty", "w") as terminal,  # noqa: PTH123
        ):
            write(terminal, question)
            return
    write(sys.stderr, question)
