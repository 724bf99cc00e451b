"""Commands to read, verify, export and rotate the audit log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsadmin import output
from fsadmin.context import Admin, common_options
from fsd.audit.events import AuditEvent
from fskit.json_times import with_utc_times
from fskit.local_paths import LocalPath
from fskit.text import count_text
from fsproto.errors import IntegrityError, UsageError
from fsproto.names import for_terminal

if TYPE_CHECKING:
    from fsd.audit.admin import Verified
    from fsd.audit.archive import Archive
    from fsd.audit.chain import ChainEntry

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

_EVENT = max(map(len, AuditEvent))
"""Width of the column with the event."""

_new_file = LocalPath(dir_okay=False)


@click.group(
    invoke_without_command=True,
    short_help="Show logins, refusals and administrative actions.",
)
@click.option("-f", "--follow", is_flag=True, help="Continue to show new entries.")
@click.option(
    "--since",
    metavar="WHEN",
    help="Start time: 2026-11-25, '2026-11-25 14:30' (UTC), or the time until now: 90m, 12h, 7d.",
)
@click.option("--user", metavar="NAME", help="Only entries by or about this user.")
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="EVENT",
    type=click.Choice([event.value for event in AuditEvent]),
    help="Only entries of this event, for example login-refused; may be given several times.",
)
@click.option(
    "-n", "newest", metavar="N", type=click.IntRange(1), help="Only the newest N entries."
)
@common_options
@click.pass_context
def audit(
    context: click.Context,
    *,
    follow: bool,
    since: str | None,
    user: str | None,
    events: tuple[str, ...],
    newest: int | None,
) -> None:
    """Show the audit log, the oldest entry first.

    It records every login, refusal, enrolment, new secret and ended session, and every change
    made with fsadmin: time, actor, address and account. An act and its entry are stored
    together or not at all. The log contains no secret.

    With --json: an array of entries; with --follow: one entry a line while it runs. 'verify'
    checks that nothing was changed afterwards.
    """
    if context.invoked_subcommand is not None:
        if follow or since or user or events or newest:
            raise UsageError(
                "--follow, --since, --user, --event and -n are for showing the log alone."
            )
        return
    admin = context.find_object(Admin)
    if admin is None:
        raise AssertionError("it is made before any command")
    from fsd.audit.rows import EntryFilter

    with admin.audit() as keeper:
        since_ms = None if since is None else _moment(since, keeper.now_ms())
        which = EntryFilter(since_ms, user, events)
        if follow:
            for entry in keeper.follow(which, newest=newest):
                told = json.dumps(with_utc_times(_as_json(entry))) if admin.json else _line(entry)
                click.echo(told)
        else:
            entries = iter(keeper.entries(which, newest=newest))
            first = next(entries, None)
            if first is not None:
                entries = chain([first], entries)
            elif user is not None and not admin.json:
                _check_is_there(admin, user)
            _show(admin, entries)


def _check_is_there(admin: Admin, user: str) -> None:
    """Raise `NotFoundError`, with a near name, if the name without entries is that of no user."""
    with admin.people() as people:
        people.show(user)


def _show(admin: Admin, entries: Iterable[ChainEntry]) -> None:
    if admin.json:
        click.echo(output.as_json([_as_json(entry) for entry in entries]))
        return
    for entry in entries:
        click.echo(_line(entry))


@audit.command(short_help="Verify that no entry of the log was changed.")
@click.argument("archives", nargs=-1, metavar="[ARCHIVE]...", type=_new_file)
@click.option(
    "--restored",
    is_flag=True,
    help="The database was restored from a backup: forget the newer log that was verified here.",
)
@common_options
@click.pass_obj
def verify(admin: Admin, *, archives: tuple[Path, ...], restored: bool) -> None:
    """Verify the hash chain of the log, and of ARCHIVEs made by rotate and export.

    It finds every entry that was altered, removed, added or moved, also at the end, by an
    attacker with write access to the database and without the master key. It also finds an
    older copy of the whole database, if a newer log was verified with this data directory
    before. Run it every day and store the end that it shows somewhere else: an attacker with
    the master key can rewrite the log, and only that record reveals it.

    The exit status is 7 if anything is wrong; each finding is one line.
    """
    with admin.audit() as keeper:
        found = keeper.verify(list(archives), restored=restored)
    admin.answer(_verified_json(found), lambda: _verified_text(found))
    if found.findings:
        told = count_text(len(found.findings), "finding")
        raise IntegrityError(f"The audit log was altered: {told}.")


@audit.command(short_help="Copy the log into a file.")
@click.argument("file", type=_new_file)
@common_options
@click.pass_obj
def export(admin: Admin, *, file: Path) -> None:
    """Copy the log with its hash chain into a new FILE, as one line of JSON for each entry.

    'fsadmin audit verify FILE' verifies later that the copy is complete and unchanged.
    """
    with admin.audit() as keeper:
        written = keeper.export(file)
    _written(admin, written, "copied to")


@audit.command(short_help="Move the log into a file.")
@click.argument("file", type=_new_file)
@click.option(
    "--broken",
    is_flag=True,
    help="Move an altered log unchanged, and start a new log that records this.",
)
@common_options
@click.pass_obj
def rotate(admin: Admin, *, file: Path, broken: bool) -> None:
    """Move the log into a new FILE, in the format of export, and continue the log from there.

    The next entry refers to the last moved entry, so the chain can be verified through all
    archives: 'fsadmin audit verify ARCHIVE...'. Nothing is moved before the file is on disk.
    An altered log is moved only with --broken.
    """
    with admin.audit(moves=True) as keeper:
        written = keeper.put_aside(file) if broken else keeper.rotate(file)
    _written(admin, written, "put aside in" if broken else "moved to")


# --- how it looks


def _moment(text: str, now_ms: int) -> int:
    """Return a typed time in Unix milliseconds."""
    if ago := _AGO.fullmatch(text):
        return now_ms - int(ago[1]) * _SECONDS[ago[2]] * 1000
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"'{for_terminal(text[:80])}' is no time.",
            hint="Write 2026-11-25, '2026-11-25 14:30', or how long ago: 90m, 12h, 7d.",
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _as_json(entry: ChainEntry) -> dict[str, object]:
    from fsd.audit.archive import as_fields

    return as_fields(entry)


def _line(entry: ChainEntry) -> str:
    at = output.second(entry.at_ms)
    who = entry.actor if entry.actor == entry.subject else f"{entry.actor} {entry.subject}".strip()
    where = f" from {entry.address}" if entry.address else ""
    detail = f": {entry.detail}" if entry.detail else ""
    return for_terminal(f"{entry.seq:6} {at} {entry.event:{_EVENT}} {who}{where}{detail}")


def _verified_json(found: Verified) -> dict[str, object]:
    span = found.log.span
    return {
        "right": not found.findings,
        "first": span.base + 1,
        "last": span.last,
        "end": span.last_hash.hex(),
        "entries": found.log.entries,
        "archives": [
            {"file": str(one.path), "first": one.span.base + 1, "last": one.span.last}
            for one in found.archives
        ],
        "findings": found.findings,
    }


def _verified_text(found: Verified) -> str:
    if found.findings:
        return "\n".join(for_terminal(sentence) for sentence in found.findings)
    span = found.log.span
    if not span.last:
        return "The audit log is empty."
    lines = [
        f"{one.path}: entries {one.span.base + 1} to {one.span.last}" for one in found.archives
    ]
    shown = f"entries {span.base + 1} to {span.last}" if found.log.entries else "no entries"
    return "\n".join(
        [
            *map(for_terminal, lines),
            f"The audit log is as it was written: {shown}.",
            f"It ends with {span.last_hash.hex()}.",
        ]
    )


def _written(admin: Admin, written: Archive, done: str) -> None:
    admin.answer(
        {
            "file": str(written.path),
            "first": written.span.base + 1,
            "last": written.span.last,
            "entries": written.entries,
        },
        lambda: for_terminal(
            f"{count_text(written.entries, 'entry', 'entries')} {done} {written.path}."
        ),
    )
