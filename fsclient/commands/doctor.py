"""`fsclient doctor`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from fsclient.app import App
from fsclient.operations.doctor import Difference, differences
from fsclient.operations.doctor import accept as accept_shown
from fsclient.operations.put_back import local_copy, put_back
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import GONE, LIST, MANIFEST, STATE, Sighting
from fskit.local_paths import LocalPath
from fskit.text import count_text, time_text
from fsproto.errors import RollbackError
from fsproto.names import for_terminal


@click.command()
@click.argument("path", default="/", metavar="[REMOTE]")
@click.option("--accept", is_flag=True, help="Accept what the server shows at REMOTE and below.")
@click.option(
    "--accept-key-log", is_flag=True, help="Accept a key log that is older than the one seen."
)
@click.option(
    "--local",
    type=LocalPath(exists=True, file_okay=False),
    metavar="FOLDER",
    help="The local copy of REMOTE; with --accept, put back what it has.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before accepting.")
@click.pass_obj
def command(
    app: App,
    path: str,
    *,
    accept: bool,
    accept_key_log: bool,
    local: Path | None,
    yes: bool,
) -> None:
    """Compare what the server shows with what this machine has seen before.

    Lists folders and files, at REMOTE and below (default: your whole tree), of which the server
    shows an older version, or a version that does not follow from the last seen one. This happens
    after the restore of a backup. It also happens if the server hides or undoes changes: ask your
    administrator which of the two it is. The list names files that are lost, files that this
    machine had removed and that come back, and files that have another version.

    With --accept, this machine forgets the versions that differ and continues from those that
    the server shows. Then put the files again that are newer on this machine. With --local, the
    list also says which files FOLDER has, and --accept offers to put them back.
    """
    place = app.path(path)
    if accept_key_log:
        app.ui.confirm("Accept the server's key log in place of the one you have seen?", yes=yes)
    with (
        closing(app.keeper().open_to_compare(accept_key_log=accept_key_log)) as session,
        closing(SeenVersions(app.profile.memory)) as memory,
    ):
        differing = differences(session, memory, place)
        copies = [local and local_copy(one, place, local) for one in differing]
        _show(app, differing, copies)
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
    back = [(copy, one.path) for one, copy in zip(differing, copies, strict=True) if copy]
    app.ui.say(f"Accepted {taken} versions.")
    if back:
        what = count_text(len(back), "file or folder", "files and folders")
        app.ui.confirm(f"Put back {what} of '{local}'?", yes=yes)
        put_back(app, back)
    elif local is None:
        app.ui.say("Next: put again each file that is newer on this machine.")
    left = len(differing) - taken
    if left:
        raise RollbackError(
            f"{left} versions above '{place}' still differ.",
            hint="To accept your whole tree: fsclient doctor / --accept",
        )


def _show(app: App, differing: list[Difference], copies: list[Path | None]) -> None:
    app.ui.result(
        [
            {
                "path": str(one.path),
                "node": one.seen.node.hex(),
                "what": _KINDS[one.seen.what],
                "seen": _data(one.seen),
                "shown": _data(one.shown),
                "effect": one.effect,
                "local": str(copy) if copy else None,
            }
            for one, copy in zip(differing, copies, strict=True)
        ],
        [
            line
            for one, copy in zip(differing, copies, strict=True)
            for line in (*_lines(one), *([f"    local copy: {copy}"] if copy else []))
        ],
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
    if one.effect == "back":
        return [f"{one.path}: comes back; this machine had removed it", _line("shown", one.shown)]
    return [
        f"{one.path}: {_KINDS[one.seen.what]}",
        _line("seen", one.seen),
        _line("shown", one.shown),
    ]


def _line(which: str, one: Sighting) -> str:
    by = f" by {for_terminal(one.author)}, {time_text(one.time_ms)}" if one.author else ""
    return f"    {which:5} version {one.point.version}{by}"


_KINDS = {
    STATE: "the folder's entries",
    MANIFEST: "the file or folder",
    LIST: "the member list",
    GONE: "the file or folder",
}
