"""`fsclient status`."""

from __future__ import annotations

import click

from fsclient.app import App


@click.command()
@click.pass_obj
def command(app: App) -> None:
    """Show how long the session lasts, which server answers, and what is stored there."""
    from fsclient.ui import count_text, size_text, time_text
    from fsproto.messages.account import GetStatus, Status

    with app.session() as session:
        status = session.connection.call(GetStatus(), Status)
    link = session.facts.link
    ends = app.profile.session_ends_ms() or status.expires_ms
    stored = (
        f"{count_text(status.files, 'file')} in {count_text(status.folders, 'folder')}, "
        f"{size_text(status.stored_bytes)} sealed"
    )
    app.ui.result(
        {
            "user": link.user,
            "server": str(link.address),
            "server_version": status.server_version,
            "session_ends_ms": ends,
            "files": status.files,
            "folders": status.folders,
            "stored_bytes": status.stored_bytes,
        },
        [
            f"user     {link.user}",
            f"server   {link.address} (fsd {status.server_version})",
            f"session  until {time_text(ends)}",
            f"stored   {stored}",
        ],
    )
