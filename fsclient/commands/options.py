"""Options that several commands have in common."""

from __future__ import annotations

import click

progress_option = click.option(
    "--progress",
    "progress_wanted",
    type=click.Choice(["auto", "bar", "plain", "json", "none"]),
    default="auto",
    metavar="HOW",
    help="How progress is told, on stderr: auto (bars on a terminal), bar, plain (lines of words), "
    "json (a line of JSON each) or none. With --json, auto is none and plain is json.",
)
"""A command takes it as `progress_wanted`, for `Progress`."""
