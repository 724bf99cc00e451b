"""The option `--replace` of commands that create a profile."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

import click

from fsclient.app import App
from fsclient.profile_use import used_alone
from fsproto.names import for_terminal

P = ParamSpec("P")


def replacing(
    command: Callable[Concatenate[App, P], None],
) -> Callable[Concatenate[App, P], None]:
    """Add `--replace` to a command that creates a profile, and carry it out."""

    @wraps(command)
    def with_replace(app: App, /, *args: P.args, **given: P.kwargs) -> None:
        if not given.pop("replace") or not app.profile.exists():
            command(app, *args, **given)
            return
        app.options.replaces = True
        before = app.profile.folder
        inode = before.stat().st_ino
        with used_alone(before):
            command(app, *args, **given)
        kept = next((one for one in before.parent.iterdir() if one.stat().st_ino == inode), before)
        if kept != before:
            app.ui.say(
                f"The former profile is '{for_terminal(kept.name)}' now; 'fsclient "
                f"profiles remove {for_terminal(kept.name)}' deletes it."
            )

    return click.option(
        "--replace",
        is_flag=True,
        help="Set a profile of this name aside, under another name.",
    )(with_replace)
