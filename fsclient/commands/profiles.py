"""`fsclient profiles`."""

from __future__ import annotations

import click

from fsclient.app import App
from fsclient.operations.profiles import Profiles, ProfileSummary
from fskit.text import time_text
from fsproto.errors import UsageError

EXAMPLES = """\b
Examples:
  fsclient --profile work enroll LINK    a second account
  fsclient --profile work ls             a command for it
  fsclient profiles default work         from now on without --profile
"""


@click.group(invoke_without_command=True, epilog=EXAMPLES)
@click.pass_context
def command(context: click.Context) -> None:
    """List your accounts on this machine, rename or remove one, or choose the default.

    A profile holds the keys and the session of one account. Commands use the one of --profile,
    else of FSCLIENT_PROFILE, else the default one, marked '*'.
    """
    if context.invoked_subcommand is None:
        _list(context.ensure_object(App))


@command.command("list", short_help="List profiles with account, server and session.")
@click.pass_obj
def list_(app: App) -> None:
    """List profiles with account, server and session. Nothing is sent."""
    _list(app)


@command.command("default", short_help="Choose the profile for commands without --profile.")
@click.argument("name")
@click.pass_obj
def default(app: App, name: str) -> None:
    """Choose the profile for commands without --profile and FSCLIENT_PROFILE.

    Programs that run already keep theirs.
    """
    Profiles(app.home).choose(name)
    app.ui.say(f"'{name}' is the default now.")
    app.ui.result_of(default=name)


@command.command("rename", short_help="Give a profile another name.")
@click.argument("name")
@click.argument("new", metavar="NEW")
@click.pass_obj
def rename(app: App, name: str, new: str) -> None:
    """Give a profile another name. No gateway, mount, watch or shell may use it.

    Units and configurations that name the profile or its files need the new name.
    """
    Profiles(app.home).rename(name, new)
    app.ui.say(
        f"The profile '{name}' is '{new}' now. Change units of 'print-unit', and lines of "
        "'gateway' in other programs, that have the old name."
    )
    app.ui.result_of(name=new, before=name)


@command.command("remove", short_help="Delete a profile with its keys.")
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(app: App, name: str, *, yes: bool) -> None:
    """Delete a profile with its keys from this machine; files at the server stay.

    Shows what is lost and asks. Without 'fsclient keys backup' or 'keys export', your files
    cannot be opened again. A running session stays valid at the server until it ends; 'fsclient
    logout' ends it before.
    """
    profiles = Profiles(app.home)
    summary, state = profiles.summary(name), profiles.local_state(name)
    with profiles.unused(name):
        for line in [f"This deletes the profile '{name}' from this machine:", *(
            f"  - {one}" for one in [_keys(summary), *state.lines]
        )]:  # fmt: skip
            app.ui.say(line)
        if summary.session_ends_ms is not None:
            app.ui.say(
                f"Its session is valid until {time_text(summary.session_ends_ms)}; 'fsclient "
                f"--profile {name} logout' ends it."
            )
        app.ui.confirm(f"Remove the profile '{name}'?", yes=yes)
        profiles.remove(name)
    app.ui.say(f"The profile '{name}' is removed.")
    app.ui.result_of(
        removed=name,
        trashed_files=state.trashed_files,
        unfinished_uploads=state.unfinished_uploads,
        synced_pairs=state.synced_pairs,
    )


def _keys(summary: ProfileSummary) -> str:
    if summary.user is None:
        return "the keys in it"
    return (
        f"the keys of {summary.user} at {summary.server}; without a copy ('keys backup', 'keys "
        "export'), the files there cannot be opened again"
    )


def _list(app: App) -> None:
    if app.is_shell:
        raise UsageError("'profiles' cannot be used inside the shell.")
    profiles = Profiles(app.home)
    chosen, found = profiles.default, profiles.summaries()
    data = [
        {
            "name": one.name,
            "user": one.user,
            "server": one.server,
            "default": one.name == chosen,
            "state": one.state,
            "session_ends_ms": one.session_ends_ms,
            "in_use": one.used,
            "folder": str(one.folder),
        }
        for one in found
    ]
    app.ui.result(data, _lines(found, chosen))
    if not any(one.name == chosen for one in found) and found:
        app.ui.say(f"There is no profile '{chosen}'; 'fsclient profiles default NAME' chooses one.")


def _lines(found: list[ProfileSummary], chosen: str) -> list[str]:
    if not found:
        return ["There is no profile yet. Ask your administrator for a link: fsclient enroll LINK"]
    cells = [(one.name, one.user or "-", one.server or "-", _state(one)) for one in found]
    widths = [max(len(cell[at]) for cell in cells) for at in range(3)]
    return [
        f"{'*' if one.name == chosen else ' '} "
        + "  ".join(f"{word:<{width}}" for word, width in zip(cell, widths, strict=False))
        + f"  {cell[3]}"
        for one, cell in zip(found, cells, strict=True)
    ]


def _state(one: ProfileSummary) -> str:
    if one.state == "session" and one.session_ends_ms is not None:
        state = f"until {time_text(one.session_ends_ms)}"
    else:
        state = {"enrolling": "enrolment not finished"}.get(one.state, one.state)
    return state + (", in use" if one.used else "")
