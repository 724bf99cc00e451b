"""`fsclient inbox`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from fsclient.app import App
from fsclient.commands.options import progress_option
from fsclient.inbox.accept import InboxAccept, alone
from fsclient.inbox.listing import PendingDrop, RefusedDrop, Waiting, chosen, remove, waiting
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fskit.text import time_column
from fsproto.drop import DropNote
from fsproto.errors import FsError, UsageError
from fsproto.names import for_terminal


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List the files in your drop box: name, size, time, origin and how the sender logged in.

    A drop is a file that a scanner, a build server or a person with a stock SFTP client
    uploaded for you. The server saw its content on arrival and then sealed it to your keys.
    Drops are not signed. When you accept one, it becomes your file in 'inbox/', marked as
    dropped.
    """
    if context.invoked_subcommand is None:
        app: App = context.obj
        _show(app)


def _show(app: App) -> None:
    failures = Failures(app.ui)
    with app.session() as session:
        found = waiting(session)
    _note_refused(found, failures)
    waits = [one for one in found if isinstance(one, PendingDrop)]
    app.ui.result([_data(one) for one in found], _lines(waits) or ["Nothing waits for you."])
    failures.raise_if_any()


@command.command("accept", short_help="Move dropped files into 'inbox/'.")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option("--all", "everything", is_flag=True, help="Accept all waiting drops.")
@progress_option
@click.pass_obj
def accept(app: App, names: tuple[str, ...], *, everything: bool, progress_wanted: str) -> None:
    """Move dropped files into 'inbox/', under your own signature.

    Each drop is verified first: it must be for you, have a valid name, and have exactly the
    content that its note states. No existing file is replaced: if a name is taken, the new file
    gets a number. Accepted drops are deleted from the drop box. A drop that the server shows a
    second time is recognised and only deleted.
    """
    if bool(names) == everything:
        raise UsageError("Give the names of drops, or --all.")
    failures, done = Failures(app.ui), []
    with (
        app.transfer() as session,
        alone(app.profile.folder),
        Progress(app.ui, "accept", "accepted", progress_wanted) as progress,
    ):
        found = session.retry.run(partial(waiting, session))
        accepting = InboxAccept(session, progress, app.profile.folder)
        for one in found if everything else chosen(found, names):
            if isinstance(one, RefusedDrop):
                failures.note(one.error)
                continue
            try:
                result = accepting.accept(one)
            except FsError as error:
                failures.note(error)
                continue
            done.append(
                {
                    "id": one.drop.hex(),
                    "name": result.name,
                    "path": None if result.path is None else str(result.path),
                    "size": result.size,
                }
            )
            app.ui.say(_said(one, str(result.path) if result.path else ""))
    app.ui.result_of(accepted=done, failed=failures.data)
    failures.raise_if_any()


@command.command("reject", short_help="Delete dropped files.")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@click.pass_obj
def reject(app: App, names: tuple[str, ...]) -> None:
    """Delete dropped files without opening them.

    Name a drop that could not be verified, or one of several with the same name, by the id that
    'fsclient inbox' shows.
    """
    with app.session() as session:
        picked = chosen(waiting(session), names)
        remove(session, [one.drop for one in picked])
    told = []
    for one in picked:
        name = one.name if isinstance(one, PendingDrop) else None
        told.append({"id": one.drop.hex(), "name": name})
        app.ui.say(f"rejected {for_terminal(name or one.id)}")
    app.ui.result_of(rejected=told)


def _said(one: PendingDrop, path: str) -> str:
    name = for_terminal(one.name)
    if path:
        return f"accepted {name} as {path}"
    return f"{name} had been accepted before; it was only deleted from the drop box"


def _note_refused(found: list[Waiting], failures: Failures) -> None:
    for one in found:
        if isinstance(one, RefusedDrop):
            failures.note(one.error)


def _data(one: Waiting) -> dict[str, Any]:
    if isinstance(one, RefusedDrop):
        return {"id": one.drop.hex(), "refused": one.error.sentence}
    note = one.opened.note
    return {
        "id": one.drop.hex(),
        "name": note.name,
        "size": note.size,
        "mtime_ns": note.mtime_ns,
        "arrived_ms": note.arrived_ms,
        "address": note.address,
        "key": note.key or None,
        "label": note.label or None,
        "accepted_before": one.known,
        "refused": None,
    }


def _lines(found: list[PendingDrop]) -> list[str]:
    sizes = [f"{one.opened.note.size:,}" for one in found]
    width = max(map(len, sizes), default=0)
    lines = []
    for one, size in zip(found, sizes, strict=True):
        note = one.opened.note
        again = "  (accepted before)" if one.known else ""
        lines.append(
            f"{one.id}  {size:>{width}}  {time_column(note.arrived_ms)}  {for_terminal(note.name)}"
            f"  from {for_terminal(note.address)}, {how(note)}{again}"
        )
    return lines


def how(note: DropNote) -> str:
    """Return in words how the sender of a drop logged in."""
    if not note.key:
        return "by one-time password"
    return f"by key {for_terminal(note.label or note.key)}"
