"""`fsclient requests`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from fsclient.app import App
from fsclient.commands.own_urls import show
from fsclient.requests.own import KnownRequest, requests_of
from fskit.text import count_text, size_text, time_text
from fsproto.names import for_terminal


@click.command()
@click.pass_obj
def command(app: App) -> None:
    """List your request links: id, folder, note, files so far, when they end.

    Files and bytes are as the server counts them; files that are being sent count, too. One that
    has ended is listed while files of it wait in your inbox. The URLs are not listed: no device
    and no server keeps them.
    """
    with app.session() as session:
        known = requests_of(session)
    data = [_data(one) for one in known]
    show(app, known, data, list(_lines(known)), "You have no request links.")


def _data(one: KnownRequest) -> dict[str, object]:
    request, record = one.request, one.record
    return {
        "id": request.request.hex(),
        "folder": record.folder if record else None,
        "note": record.note if record else None,
        "made_ms": request.made_ms,
        "expires_ms": request.expires_ms,
        "max_files": request.max_files,
        "max_bytes": request.max_bytes,
        "files": request.files,
        "bytes": request.size,
        "waiting": request.waiting,
        "used_ms": request.used_ms,
        "password": request.password,
        "locked": request.locked,
        "open": one.why_closed is None,
    }


def _lines(known: list[KnownRequest]) -> Iterator[str]:
    for one in known:
        asked = one.request
        until = asked.expires_ms
        ends = "does not end" if until is None else f"until {time_text(until)}"
        of_files = f" of {asked.max_files}" if asked.max_files else ""
        of_size = f" of {size_text(asked.max_bytes)}" if asked.max_bytes else ""
        parts = [one.why_closed or ends, f"{asked.files}{of_files} sent"]
        parts += [f"{size_text(asked.size)}{of_size}"] if asked.size or of_size else []
        parts += [f"{count_text(asked.waiting, 'file')} in the inbox"] if asked.waiting else []
        parts += ["password"] if asked.password else []
        record = one.record
        shown = "(the record of this request link does not open)"
        if record:
            note = f"  '{for_terminal(record.note)}'" if record.note else ""
            shown = f"{for_terminal(record.folder)}/{note}"
        yield f"{one.id}  {shown}  ({', '.join(parts)})"
