"""The passphrase of a backup, from a file, the environment or the terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from fskit.files import others_may_read
from fskit.os_errors import file_error
from fsproto.errors import NotAllowedError, UsageError

VARIABLE = "FSADMIN_PASSPHRASE"
_LONGEST = 4096


def new(file: Path | None = None, what: str = "backup") -> str:
    """Return a passphrase to seal with, asked for twice; `UsageError` for an empty one.

    `what` is what it seals.
    """
    first = _given(file)
    if first is None:
        first = _ask(f"Passphrase for the {what}: ")
        if first and _ask("The same again: ") != first:
            raise UsageError("The two passphrases differ; nothing was done.")
    if not first:
        raise UsageError(f"The {what} is never made without a passphrase: all keys are in it.")
    return first


def existing(file: Path | None = None, what: str = "backup") -> str:
    """Return the passphrase of an existing file of the kind `what`."""
    given = _given(file)
    return _ask(f"Passphrase of the {what}: ") if given is None else given


def _given(file: Path | None) -> str | None:
    """Return the passphrase in the first line of a file, or in the environment; None if neither."""
    # Removed from the environment, so that child processes do not inherit it.
    inherited = os.environ.pop(VARIABLE, None)
    return inherited if file is None else _first_line(file)


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            line = file.readline(_LONGEST)
            is_open = others_may_read(file)
    except OSError as error:
        raise file_error(f"{path} cannot be read", error) from None
    if is_open:
        raise NotAllowedError(
            f"Other users may read {path}, which has the passphrase.", hint=f"chmod 600 {path}"
        )
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a file with a passphrase in UTF-8.") from None


def _ask(question: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            "There is no terminal to ask for the passphrase.",
            hint=f"Set {VARIABLE}, or give --passphrase-file.",
        )
    answer: str = click.prompt(
        question, prompt_suffix="", default="", show_default=False, hide_input=True, err=True
    )
    return answer
