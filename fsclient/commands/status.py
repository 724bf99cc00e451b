"""`fsclient status`."""

from __future__ import annotations

import click

from fsclient.app import App
from fskit.text import binary_size_text, count_text, size_text, time_text
from fsproto.messages.account import GetStatus, Status
from fsproto.messages.account import Status as Answer


@click.command()
@click.pass_obj
def command(app: App) -> None:
    """Show the session, the server, what your account stores, and what is still to do.

    A backup of your keys, and recovery codes, are to do until the server has them. Only the
    server knows: it could say that they exist although they do not.

    The quota counts the newest versions in your tree: their sealed size and their number. Older
    versions and removed files are stored for a while and do not count.
    """
    with app.session() as session:
        status = session.connection.call(GetStatus(), Answer)
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
            "used_bytes": status.used_bytes,
            "quota_bytes": status.quota_bytes,
            "quota_files": status.quota_files,
            "key_backup": status.key_backup,
            "recovery_codes": status.recovery_codes,
        },
        [
            f"user     {link.user}",
            f"server   {link.address} (fsd {status.server_version})",
            f"session  until {time_text(ends)}",
            f"stored   {stored}",
            f"quota    {_quota(status)}",
            *_to_do(status),
        ],
    )


def _to_do(status: Status) -> list[str]:
    """Return what protects the account against a loss and is not done yet."""
    steps = []
    if not status.key_backup:
        steps.append("fsclient keys backup      if this machine is lost, your files are not")
    if not status.recovery_codes:
        steps.append("fsclient recovery-codes   to log in when your phone is lost")
    return [f"{'to do' if at == 0 else '':7}  {step}" for at, step in enumerate(steps)]


def _quota(status: Status) -> str:
    """Return what is used of what is allowed; in powers of 1024, as it was agreed upon."""
    words = []
    if status.quota_bytes is not None:
        used, most = binary_size_text(status.used_bytes), binary_size_text(status.quota_bytes)
        words.append(f"{used} of {most} used")
    if status.quota_files is not None:
        words.append(f"{status.files} of {status.quota_files} files")
    return ", ".join(words) or f"none; {binary_size_text(status.used_bytes)} used"
