"""What a person sees and is asked.

Results go to stdout; everything said beside them (progress, questions, warnings, errors) goes to
stderr, so that a pipe gets the result alone. Errors are one sentence, and a line of what to do.
Whatever came from somewhere else passes `for_terminal`. With `--json` stdout holds JSON and
nothing else; with `--quiet` only results, questions and errors are left.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO, TextIO

from fsclient.errors import local_errors
from fsproto.errors import FsError, Interrupted, UsageError
from fsproto.names import for_terminal

STDOUT = "Standard output"
"""What errors call it."""

_NAME = "fsclient: "
_INDENT = " " * len(_NAME)
_NARROWEST = 40
"""Columns; in a terminal that has fewer, lines are left as they are."""
_UNIT = 1000.0
_ROUNDS_UP = 999.95
"""From here on a size would be written as 1000.0 of its unit."""


class Ui:
    """One program's way of talking to the person in front of it."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        """Take the two switches that change what is said."""
        self.as_json = as_json
        self.quiet = quiet

    # --- telling

    def result(self, data: object, text: str | Sequence[str]) -> None:
        """Give a result: `data` as JSON, or `text` for people, each string a line."""
        if self.as_json:
            write_out(json.dumps(data, ensure_ascii=False) + "\n")
        else:
            lines = [text] if isinstance(text, str) else text
            write_out("".join(for_terminal(line) + "\n" for line in lines))

    def result_of(self, **data: object) -> None:
        """Give a result that only programs need; people were told by `say`."""
        if self.as_json:
            self.result(data, "")

    def say(self, sentence: str) -> None:
        """Tell what was done; nothing that a program would need."""
        if not self.quiet and not self.as_json:
            _tell("", sentence)

    def warn(self, sentence: str) -> None:
        """Tell something that the person should not overlook."""
        _tell(_NAME, sentence)

    def complain(self, error: FsError) -> None:
        """Tell an error and what can be done about it."""
        self.warn(error.sentence)
        if error.hint:
            _tell(_INDENT, error.hint)

    def announce_typing(self) -> None:
        """Tell that standard input is read, where it is a person who types."""
        if _is_terminal(sys.stdin):
            end = "Ctrl-Z and Return" if os.name == "nt" else "Ctrl-D"
            self.say(f"Reading what is typed; {end} at the beginning of a line ends it.")

    def end_line(self) -> None:
        """Go to a new line where a terminal has shown `^C`."""
        if _is_terminal(sys.stderr):
            _tell("", "")

    def wants_progress(self) -> bool:
        """Tell whether a person is watching."""
        return not self.quiet and not self.as_json and _is_terminal(sys.stderr)

    # --- asking

    def can_ask(self) -> bool:
        """Tell whether there is a person to ask."""
        with _terminal() as terminal:
            return terminal is not None

    def ask(self, question: str) -> str:
        """Ask for something that may be seen while it is typed; `Interrupted` at its end."""
        with _terminal() as terminal:
            _prompt(question)
            line = (terminal or sys.stdin).readline()
        if not line:
            raise _unanswered()
        return line.strip()

    def ask_secret(self, question: str) -> str:
        """Ask for something that must not be seen; `Interrupted` at the end of input."""
        import getpass

        try:
            return getpass.getpass(question)
        except EOFError:
            raise _unanswered() from None


def write_out(text: str) -> None:
    """Write a result to stdout."""
    if sys.stdout is None:
        raise _closed("output")
    with local_errors(STDOUT):
        _write(sys.stdout, text)


def binary_stdout() -> BinaryIO:
    """Return stdout for bytes."""
    if sys.stdout is None:
        raise _closed("output")
    return sys.stdout.buffer


def binary_stdin() -> BinaryIO:
    """Return stdin for bytes."""
    if sys.stdin is None:
        raise _closed("input")
    return sys.stdin.buffer


def _tell(start: str, sentence: str) -> None:
    """Write to stderr; nobody is left to be told where that is impossible."""
    with contextlib.suppress(OSError, ValueError):
        _write(sys.stderr, _fitted(start + for_terminal(sentence)) + "\n")


def _fitted(line: str) -> str:
    """Return a line broken between words where the terminal would break it anywhere."""
    columns = 0
    if _is_terminal(sys.stderr):
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


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it was closed
        return False


def _unanswered() -> Interrupted:
    return Interrupted("The question was not answered; nothing was done.")


def _closed(which: str) -> UsageError:
    return UsageError(f"Standard {which} is closed.")


@contextlib.contextmanager
def _terminal() -> Iterator[TextIO | None]:
    """Give the terminal to read answers from, even if stdin is a file or a pipe."""
    if _is_terminal(sys.stdin):
        yield sys.stdin
        return
    opened = None
    if _is_terminal(sys.stderr):
        with contextlib.suppress(OSError):
            opened = open("CONIN$" if os.name == "nt" else "/dev/tty")  # noqa: PTH123, SIM115
    try:
        yield opened
    finally:
        if opened is not None:
            opened.close()


def _prompt(question: str) -> None:
    """Show a question where the person sees it, even if stderr goes to a file."""
    if not _is_terminal(sys.stderr):
        with (
            contextlib.suppress(OSError),
            open("CONOUT$" if os.name == "nt" else "/dev/tty", "w") as terminal,  # noqa: PTH123
        ):
            _write(terminal, question)
            return
    _write(sys.stderr, question)


def _write(stream: TextIO | None, text: str) -> None:
    """Write what the stream's encoding can hold; the rest is written as escapes."""
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def size_text(size: float) -> str:
    """Return a size as people read it: `0 B`, `4.1 kB`, `50.0 MB`."""
    if size < _UNIT:
        return f"{int(size)} B"
    units = ["TB", "GB", "MB", "kB"]
    while (size := size / _UNIT) >= _ROUNDS_UP and len(units) > 1:
        units.pop()
    return f"{size:.1f} {units[-1]}"


def time_text(time_ms: float) -> str:
    """Return a time of day as people read it, in their own time zone."""
    import time

    return time.strftime("%Y-%m-%d %H:%M", time.localtime(time_ms / 1000))


def count_text(count: int, thing: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{count} {thing}{'' if count == 1 else 's'}"
