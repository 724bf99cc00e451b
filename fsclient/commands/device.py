"""The option `--device` of commands that start a session."""

from __future__ import annotations

import click

from fsproto.limits import MAX_DEVICE_NAME


def _checked(_context: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and (len(value) > MAX_DEVICE_NAME or not value.isprintable()):
        raise click.BadParameter(
            f"it has at most {MAX_DEVICE_NAME} characters and no control characters."
        )
    return value


device_option = click.option(
    "--device",
    metavar="NAME",
    callback=_checked,
    help="Name of this device in lists of sessions, which the server sees; default: the host "
    "name; '' gives none.",
)
