"""Options that `put`, `get` and `sync` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from fsclient.transfer.options import Excludes
from fsclient.transfer.report.actions import Actions
from fsclient.ui import Ui

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Choices:
    """The values of the options below."""

    dry_run: bool
    verbose: bool
    exclude: tuple[str, ...]
    exclude_from: tuple[Path, ...]

    def excludes(self) -> Excludes:
        """Return the patterns; `FsError` for an invalid pattern."""
        return Excludes(self.exclude, self.exclude_from)

    def actions(self, ui: Ui) -> Actions:
        """Return the reporter of actions."""
        return Actions(ui, dry_run=self.dry_run, verbose=self.verbose)


_OPTIONS = [
    click.option("-n", "--dry-run", is_flag=True, help="Only show what would be done."),
    click.option("-v", "--verbose", is_flag=True, help="Tell each thing that is done."),
    click.option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="Leave out what matches, as in a .gitignore; may be repeated.",
    ),
    click.option(
        "--exclude-from",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Leave out what matches a line of this local file.",
    ),
]
resuming = click.option(
    "--no-resume", is_flag=True, help="Start over, and stop when the connection is lost."
)
update = click.option(
    "-u", "--update", is_flag=True, help="Skip files of the same size, time and mode."
)
progress_option = click.option(
    "--progress",
    "progress_wanted",
    type=click.Choice(["auto", "bar", "plain", "json", "none"]),
    default="auto",
    metavar="HOW",
    help="How to show progress, on stderr: auto (bars on a terminal), bar, plain (lines of words), "
    "json (a line of JSON each) or none. With --json, auto is none and plain is json.",
)
"""The option `--progress`; the command gets it as `progress_wanted`, for `Progress`."""


def choosing(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options to a command, which gets them as `choices`."""

    @wraps(command)
    def with_choices(*args: P.args, **given: P.kwargs) -> R:
        names = "dry_run", "verbose", "exclude", "exclude_from"
        given["choices"] = Choices(**{name: given.pop(name) for name in names})  # type: ignore[arg-type]
        return command(*args, **given)

    for option in reversed(_OPTIONS):
        with_choices = option(with_choices)
    return with_choices


older = click.option(
    "--version",
    type=click.IntRange(min=1),
    metavar="N",
    help="That version of a file, as 'fsclient history' numbers them.",
)
