"""`fsclient doctor`."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from fsclient.app import App
from fsclient.operations.doctor import Difference, differences
from fsclient.operations.doctor import accept as accept_shown
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import LIST, MANIFEST, STATE, Sighting
from fskit.text import time_text
from fsproto.errors import RollbackError
from fsproto.names import for_terminal


@click.command()
@click.argument("path", default="/", metavar="[REMOTE]")
@click.option("--accept", is_flag=True, help="Accept what the server shows at REMOTE and below.")
@click.option(
    "--accept-key-log", is_flag=True, help="Accept a key log that is older than the one seen."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before accepting.")
@click.pass_obj
def command(app: App, path: str, *, accept: bool, accept_key_log: bool, yes: bool) -> None:
    """Compare what the server shows with what this machine has seen before.

    Lists folders and files, at REMOTE and below (default: your whole tree), of which the server
    shows an older version, or a version that does not follow from the last seen one. This happens
    after the restore of a backup. It also happens if the server hides or undoes changes: ask your
    administrator which of the two it is.

    With --accept, this machine forgets the versions that differ and continues from those that
    the server shows. Then put the files again that are newer on this machine.
    """
    place = app.path(path)
    if accept_key_log:
        app.ui.confirm("Accept the server's key log in place of the one you have seen?", yes=yes)
    with (
        closing(app.keeper().open_to_compare(accept_key_log=accept_key_log)) as session,
        closing(SeenVersions(app.profile.memory)) as memory,
    ):
        differing = differences(session, memory, place)
        _show(app, differing)
        if not differing:
            app.ui.say("The server shows nothing that differs from what this machine has seen.")
            return
        if not accept:
            raise RollbackError(
                f"The server shows {len(differing)} versions that do not follow from what this "
                "machine has seen.",
                hint="If your administrator has restored a backup: fsclient doctor "
                f"{place.argument} --accept",
            )
        app.ui.confirm(f"Accept what the server shows at '{place}' and below?", yes=yes)
        taken = accept_shown(memory, differing)
        session.people.forget_renewed()  # a restored server may have older lists of the shares
    app.ui.say(
        f"Accepted {taken} versions. Then put again each file that is newer on this machine."
    )
    left = len(differing) - taken
    if left:
        raise RollbackError(
            f"{left} versions above '{place}' still differ.",
            hint="To accept your whole tree: fsclient doctor / --accept",
        )


def _show(app: App, differing: list[Difference]) -> None:
    app.ui.result(
        [
            {
                "path": str(one.path),
                "node": one.seen.node.hex(),
                "what": _KINDS[one.seen.what],
                "seen": _data(one.seen),
                "shown": _data(one.shown),
            }
            for one in differing
        ],
        [line for one in differing for line in _lines(one)],
    )


def _data(one: Sighting | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {"version": one.point.version, "author": one.author, "time_ms": one.time_ms}


def _lines(one: Difference) -> list[str]:
    if one.shown is None:
        what = "missing" if one.named else f"entry {one.seen.node.hex()[:8]} is missing"
        if one.seen.what == LIST:
            what = "the member list is missing"
        return [f"{one.path}: {what}", _line("seen", one.seen)]
    return [
        f"{one.path}: {_KINDS[one.seen.what]}",
        _line("seen", one.seen),
        _line("shown", one.shown),
    ]


def _line(which: str, one: Sighting) -> str:
    by = f" by {for_terminal(one.author)}, {time_text(one.time_ms)}" if one.author else ""
    return f"    {which:5} version {one.point.version}{by}"


_KINDS = {STATE: "the folder's entries", MANIFEST: "the file or folder", LIST: "the member list"}
