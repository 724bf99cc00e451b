"""The passphrase of a backup, from the environment or from the terminal."""

from __future__ import annotations

import os
import sys

import click

from fsproto.errors import UsageError

VARIABLE = "FSADMIN_PASSPHRASE"


def new() -> str:
    """Return a passphrase to seal with, asked for twice; `UsageError` for an empty one."""
    first = _given()
    if first is None:
        first = _ask("Passphrase for the backup: ")
        if first and _ask("The same again: ") != first:
            raise UsageError("The two passphrases differ; nothing was done.")
    if not first:
        raise UsageError("A backup is never made without a passphrase: all keys are in it.")
    return first


def existing() -> str:
    """Return the passphrase of an existing backup."""
    given = _given()
    return _ask("Passphrase of the backup: ") if given is None else given


def _given() -> str | None:
    # Removed from the environment, so that child processes do not inherit it.
    return os.environ.pop(VARIABLE, None)


def _ask(question: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("There is no terminal to ask for the passphrase.", hint=f"Set {VARIABLE}.")
    answer: str = click.prompt(
        question, prompt_suffix="", default="", show_default=False, hide_input=True, err=True
    )
    return answer
