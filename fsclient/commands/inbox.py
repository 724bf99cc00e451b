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
from fsproto.errors import FsError, UsageError
from fsproto.names import for_terminal

_RECEIPT = 16
"""Digits of a receipt in the list; JSON has all of them."""


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List the files that wait for you: name, size, time and origin.

    A drop is a file that a scanner, a build server or a person with a stock SFTP client
    uploaded for you. The server saw its content on arrival and then sealed it to your keys.
    A file from one of your request links was sealed by its uploader; the
    server did not see its content. Compare its receipt with that of the uploader. None of them
    is signed. When you accept one, it becomes your file in 'inbox/', or in the folder of the
    request link, marked as dropped.
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
    """Move files into 'inbox/', or the folder of their request link, under your signature.

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
                    "receipt": one.opened.content.root.hex(),
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
    note, origin, sent = one.opened.note, one.origin, one.sent
    return {
        "id": one.drop.hex(),
        "name": note.name,
        "size": note.size,
        "mtime_ns": note.mtime_ns,
        "arrived_ms": origin.arrived_ms,
        "address": None if sent else origin.address,
        "key": None if sent else origin.key or None,
        "label": None if sent else origin.label or None,
        "request": sent.request.hex() if sent else None,
        "note": sent.record.note if sent else None,
        "sender": sent.sender or None if sent else None,
        "folder": str(one.folder),
        "receipt": one.opened.content.root.hex(),
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
            f"{one.id}  {size:>{width}}  {time_column(one.origin.arrived_ms)}  "
            f"{for_terminal(note.name)}  {_origin(one)}{again}"
        )
    return lines


def _origin(one: PendingDrop) -> str:
    """Return in words where a drop comes from."""
    origin, sent = one.origin, one.sent
    if sent is not None:
        label = f" '{for_terminal(sent.record.note)}'" if sent.record.note else ""
        sender = f" by {for_terminal(sent.sender)}" if sent.sender else ""
        receipt = one.opened.content.root.hex()[:_RECEIPT]
        return f"with request link{label}{sender}, receipt {receipt}…"
    by = "by one-time password"
    if origin.key:
        by = f"by key {for_terminal(origin.label or origin.key)}"
    return f"from {for_terminal(origin.address)}, {by}"
