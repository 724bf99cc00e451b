"""Options that choose files, which many commands share; and the types of their values."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from fsclient.transfer.filters import Filters, Limits, Patterns
from fskit.local_paths import LocalPath
from fskit.text import (
    ALLOWED_BYTES,
    ALLOWED_MOMENTS,
    ALLOWED_SPANS,
    parse_moment,
    parse_size,
    parse_span,
)

P = ParamSpec("P")
R = TypeVar("R")


class SizeType(click.ParamType[int]):
    """A size as typed: `500M`."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return bytes; a usage error for another text."""
        try:
            return value if isinstance(value, int) else parse_size(str(value))
        except ValueError:
            self.fail(f"'{value}' is not {ALLOWED_BYTES}.", param, ctx)


class MomentType(click.ParamType[float]):
    """A date, or a span of time before now, as typed: `7d`."""

    name = "moment"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds since the epoch; a usage error for another text."""
        try:
            return value if isinstance(value, float) else parse_moment(str(value), time.time())
        except ValueError:
            self.fail(f"'{value}' is not {ALLOWED_MOMENTS}.", param, ctx)


class LifetimeType(click.ParamType["int | None"]):
    """A span of time from now on, as typed: `7d`, or `never`."""

    name = "lifetime"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Return seconds, None for `never`; a usage error for another text."""
        if value == "never":
            return None
        try:
            return value if isinstance(value, int) else parse_span(str(value))
        except ValueError:
            self.fail(f"'{value}' is not {ALLOWED_SPANS}, or never.", param, ctx)


_file = LocalPath()
PATTERNS = {
    "exclude": click.option(
        "--exclude", multiple=True, metavar="PATTERN",
        help="Skip files and folders that match, as in a .gitignore; repeatable.",
    ),
    "exclude_from": click.option(
        "--exclude-from", multiple=True, metavar="FILE", type=_file,
        help="Skip files and folders that match a line of this local file.",
    ),
    "include": click.option(
        "--include", multiple=True, metavar="PATTERN",
        help="Only files that match, or that are in a folder that matches; repeatable.",
    ),
    "filter_from": click.option(
        "--filter-from", multiple=True, metavar="FILE", type=_file,
        help="Lines '+ PATTERN' or '- PATTERN' of this local file; the first that matches decides.",
    ),
}  # fmt: skip
LIMITS = {
    "min_size": click.option(
        "--min-size", type=SizeType(), metavar="SIZE", help="Files of this size or larger."
    ),
    "max_size": click.option(
        "--max-size", type=SizeType(), metavar="SIZE", help="Files of this size or smaller."
    ),
    "newer_s": click.option(
        "--newer-than", "newer_s", type=MomentType(), metavar="WHEN",
        help="Changed after a date, or within a time: 90s, 15m, 8h, 7d, 2w.",
    ),
    "older_s": click.option(
        "--older-than", "older_s", type=MomentType(), metavar="WHEN", help="Changed before that."
    ),
}  # fmt: skip


def filters_of(given: dict[str, Any]) -> Filters:
    """Take the options out of `given` and return their filters; `FsError` for a bad pattern."""
    patterns = _patterns_of(given)
    return Filters(patterns, Limits(**{name: given.pop(name) for name in LIMITS}))


def _patterns_of(given: dict[str, Any]) -> Patterns:
    return Patterns(**{name: given.pop(name) for name in PATTERNS})


def with_options(command: Callable[P, R], *options: Callable[..., Any]) -> Callable[P, R]:
    """Add options to a command, the first one first in the help."""
    for option in reversed(options):
        command = option(command)
    return command


def filtering(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options that choose files to a command, which gets them as `filters`."""

    @wraps(command)
    def with_filters(*args: P.args, **given: P.kwargs) -> R:
        given["filters"] = filters_of(given)
        return command(*args, **given)

    return with_options(with_filters, *PATTERNS.values(), *LIMITS.values())


def matching(command: Callable[P, R]) -> Callable[P, R]:
    """Add only those options of `filtering` that are about paths."""

    @wraps(command)
    def with_filters(*args: P.args, **given: P.kwargs) -> R:
        given["filters"] = Filters(_patterns_of(given))
        return command(*args, **given)

    return with_options(with_filters, *PATTERNS.values())


def limiting(command: Callable[P, R]) -> Callable[P, R]:
    """Add only those options of `filtering` that are about size and time, as four values."""
    return with_options(command, *LIMITS.values())
