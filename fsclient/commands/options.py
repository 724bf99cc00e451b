"""Options of transfers, which several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from fsclient.commands.filtering import LIMITS, PATTERNS, filters_of, with_options
from fsclient.connection.bandwidth import ALLOWED_RATES, Bandwidth, parse_timetable
from fsclient.transfer.filters import Filters
from fsclient.transfer.report.actions import Actions
from fsclient.ui import Ui

if TYPE_CHECKING:
    from fsclient.transfer.report.failures import Failures
    from fsclient.transfer.report.progress import Progress

P = ParamSpec("P")
R = TypeVar("R")


class RateType(click.ParamType["Bandwidth"]):
    """A limit of bandwidth as typed: `10M`, or a timetable."""

    name = "rate"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Bandwidth:
        """Return the limit; a usage error for another text."""
        try:
            return Bandwidth(parse_timetable(str(value)))
        except ValueError:
            self.fail(f"'{value}' is not {ALLOWED_RATES}.", param, ctx)


@dataclass(frozen=True)
class Choices:
    """The values of the options of `choosing`."""

    dry_run: bool
    verbose: bool
    filters: Filters
    bandwidth: Bandwidth | None = None
    """The limit of `--bwlimit`."""

    def actions(self, ui: Ui, *, both_sides: bool = False) -> Actions:
        """Return the reporter of actions; `both_sides`: they may change either side."""
        return Actions(ui, dry_run=self.dry_run, verbose=self.verbose, both_sides=both_sides)

    def tell(
        self, ui: Ui, progress: Progress, actions: Actions, failures: Failures, where: str
    ) -> None:
        """Print the totals and the result of a transfer; raise if anything failed."""
        if not self.dry_run:
            progress.tell(where, failed=len(failures))
        actions.tell()
        ui.result_of(
            **progress.totals(),
            **actions.result(),
            left_out=failures.left_out,
            failed=failures.data,
        )
        failures.raise_if_any()


resuming = click.option(
    "--no-resume", is_flag=True, help="Start over, and stop when the connection is lost."
)
jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1, 16),
    default=1,
    metavar="N",
    help="Transfer up to N files of 4 MiB or more at the same time, each over a connection of its "
    "own; default 1.",
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
    help="Form of the progress on stderr: auto (bars on a terminal), bar, plain (lines of text), "
    "json (lines of JSON) or none. With --json, auto is none and plain is json.",
)
"""The option `--progress`; the command gets it as `progress_wanted`, for `Progress`."""


def choosing(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options of a transfer to a command, which gets them as `choices`."""

    @wraps(command)
    def with_choices(*args: P.args, **given: P.kwargs) -> R:
        dry_run, verbose = bool(given.pop("dry_run")), bool(given.pop("verbose"))
        bandwidth = given.pop("bwlimit")
        given["choices"] = Choices(dry_run, verbose, filters_of(given), bandwidth)  # type: ignore[arg-type]
        return command(*args, **given)

    return with_options(
        with_choices,
        click.option("-n", "--dry-run", is_flag=True, help="Only show what would be done."),
        click.option("-v", "--verbose", is_flag=True, help="Print each action."),
        *PATTERNS.values(),
        *LIMITS.values(),
        click.option(
            "--bwlimit",
            type=RateType(),
            metavar="RATE",
            help="Bytes a second, as 512K or 10M:1M (up:down); or a timetable, as '08:00,512K "
            "18:00,off' or 'Mon-08:00,1M Fri-18:00,off'.",
        ),
    )


older = click.option(
    "--version",
    type=click.IntRange(min=1),
    metavar="N",
    help="That version of a file, as 'fsclient history' numbers them.",
)
