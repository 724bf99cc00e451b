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
from typing import TextIO

from fsproto.errors import FsError
from fsproto.names import for_terminal

_UNIT = 1000.0


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
            write(sys.stdout, json.dumps(data, ensure_ascii=False) + "\n")
        else:
            lines = [text] if isinstance(text, str) else text
            write(sys.stdout, "".join(for_terminal(line) + "\n" for line in lines))

    def result_of(self, **data: object) -> None:
        """Give a result that only programs need; people were told by `say`."""
        if self.as_json:
            self.result(data, "")

    def say(self, sentence: str) -> None:
        """Tell what was done; nothing that a program would need."""
        if not self.quiet and not self.as_json:
            write(sys.stderr, for_terminal(sentence) + "\n")

    def warn(self, sentence: str) -> None:
        """Tell something that the person should not overlook."""
        write(sys.stderr, for_terminal(f"fsclient: {sentence}") + "\n")

    def complain(self, error: FsError) -> None:
        """Tell an error and what can be done about it."""
        self.warn(error.sentence)
        if error.hint:
            write(sys.stderr, "          " + for_terminal(error.hint) + "\n")

    def wants_progress(self) -> bool:
        """Tell whether a person is watching."""
        return not self.quiet and not self.as_json and sys.stderr.isatty()

    # --- asking

    def can_ask(self) -> bool:
        """Tell whether there is a person to ask."""
        with _terminal() as terminal:
            return terminal is not None

    def ask(self, question: str) -> str:
        """Ask for something that may be seen while it is typed; empty at the end of input."""
        with _terminal() as terminal:
            write(sys.stderr, question)
            return (terminal or sys.stdin).readline().rstrip("\n")

    def ask_secret(self, question: str) -> str:
        """Ask for something that must not be seen."""
        import getpass

        return getpass.getpass(question)


@contextlib.contextmanager
def _terminal() -> Iterator[TextIO | None]:
    """Give the terminal to read answers from, even if stdin is a file or a pipe."""
    if sys.stdin is not None and sys.stdin.isatty():
        yield sys.stdin
        return
    opened = None
    if sys.stderr is not None and sys.stderr.isatty():
        with contextlib.suppress(OSError):
            opened = open("CONIN$" if os.name == "nt" else "/dev/tty")  # noqa: PTH123, SIM115
    try:
        yield opened
    finally:
        if opened is not None:
            opened.close()


def write(stream: TextIO, text: str) -> None:
    """Write what the stream's encoding can hold; the rest is written as escapes."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def size_text(size: float) -> str:
    """Return a size as people read it: `0 B`, `4.1 kB`, `50.0 MB`."""
    if size < _UNIT:
        return f"{int(size)} B"
    units = ["TB", "GB", "MB", "kB"]
    while (size := size / _UNIT) >= _UNIT and len(units) > 1:
        units.pop()
    return f"{size:.1f} {units[-1]}"


def time_text(time_ms: float) -> str:
    """Return a time of day as people read it, in their own time zone."""
    import time

    return time.strftime("%Y-%m-%d %H:%M", time.localtime(time_ms / 1000))


def count_text(count: int, thing: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{count} {thing}{'' if count == 1 else 's'}"
