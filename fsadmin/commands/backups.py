"""Commands to make, test and restore backups."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from fsadmin import output, passphrase
from fsadmin.context import Admin, common_options
from fsadmin.owner import give_to_owner_of
from fskit.os_errors import file_error
from fskit.text import binary_size_text
from fsproto.errors import ExistsError, FsError, IntegrityError, UsageError

if TYPE_CHECKING:
    from fsd.backup.layout import BackupHeader, BackupTrailer
    from fsd.backup.restore import RestoreSummary

_STREAM = "-"
_ROLLBACK = (
    "Clients that have seen newer states report a rollback (exit status 7): see "
    "docs/operations.md. Users who were disabled since the backup are enabled again."
)


@click.command(short_help="Back up all data, sealed under a passphrase.")
@click.argument("file")
@common_options
@click.pass_obj
def backup(admin: Admin, *, file: str) -> None:
    """Write a backup of the whole server into FILE, sealed under a passphrase.

    The backup contains the database, all blobs, the host key, the master key and fsd.toml, as
    of one moment; fsd may keep running. FILE must not exist; '-' is standard output. The
    passphrase is asked for twice, or taken from FSADMIN_PASSPHRASE. Without it, the backup can
    neither be read nor restored.

    Every blob is compared with its root. Missing or damaged blobs are reported with exit status
    7; the rest of the backup is complete. Sessions are not included.
    """
    from fsd.audit.events import AuditEvent
    from fsd.backup.make import make
    from fsd.factory import audit_keeper
    from fskit.clock import now_ms

    phrase = passphrase.new()
    home = admin.home
    with admin.database_at_head() as database, _new_file(file) as out:
        made = make(home, database, out, phrase, now_ms=now_ms, random=os.urandom)
        with home.keys():  # the file has no name yet: without a record there is no backup
            audit_keeper(home, database, admin.actor).note(
                AuditEvent.BACKED_UP, _audited(made.head)
            )
    home.note_backup(made.head.made_ms)
    told = {**_as_json(made.head, made.end), "size": made.size}
    text = f"{_described(made.head)} is in {file} ({binary_size_text(made.size)})."
    _answer(admin, told, text, to_stderr=file == _STREAM)
    _fail_for(made.end)


@click.command(short_help="Restore a backup, or test one.")
@click.argument("file")
@click.option("--test", is_flag=True, help="Only verify the backup; write nothing.")
@common_options
@click.pass_obj
def restore(admin: Admin, *, file: str, test: bool) -> None:
    """Restore the backup in FILE into the data directory that --home names.

    That directory must be missing or empty, and so must the database given with --database. The
    restored data appears at once, or not at all if FILE was cut short or changed. FILE may be
    '-', standard input. A backup of one kind of database can be restored into another:
    --database sqlite:// is a file in the data directory.

    Everybody has to log in again, with a new code. Recovery codes become invalid, as they may
    have been used since. Clients that have seen newer states than those of the backup report a
    rollback (exit status 7): this is the attack they guard against. docs/operations.md has the
    next steps.
    """
    from fsd.backup import restore as work
    from fskit.clock import now_ms

    if test:
        with _old_file(file) as source:
            head, end = work.test(source, passphrase.existing())
        admin.answer(_as_json(head, end), lambda: f"{_described(head)} is whole in {file}.")
        _fail_for(end)
        return
    place, url = admin.place, admin.database_url
    owner = place.path.stat() if place.path.is_dir() else None
    with _old_file(file) as source:
        work.check_free(place)
        phrase = passphrase.existing()
        done = work.restore(source, phrase, place, url, now_ms(), actor=admin.actor)
    if owner is not None and hasattr(os, "geteuid") and os.geteuid() == 0:
        give_to_owner_of(owner, place.path)  # the empty folder was made for the user of fsd
    told = {**_as_json(done.head, done.end), "home": str(place.path), "rows": done.rows}
    admin.answer(told, lambda: _restored(done, place.path))
    _fail_for(done.end)
    if not done.recorded:
        raise IntegrityError(
            "Everything was restored, but the audit log in the backup was altered, and it does not "
            "record that.",
            hint="'fsadmin audit verify' says what is wrong; 'fsadmin audit rotate --broken FILE' "
            "starts a new log.",
        )


def _restored(done: RestoreSummary, place: Path) -> str:
    from fsd.backup.restore import SET_ASIDE

    lines = [f"{_described(done.head)} is put back in {place}.", "", _ROLLBACK]
    if done.set_aside:
        lines += ["", f"Its configuration names another database and is now {SET_ASIDE}."]
    return "\n".join(lines)


def _described(head: BackupHeader) -> str:
    blobs = "1 blob" if head.blobs == 1 else f"{head.blobs} blobs"
    people = "1 person" if head.people == 1 else f"{head.people} people"
    return f"The backup of {output.day(head.made_ms)} with {people} and {blobs}"


def _audited(head: BackupHeader) -> str:
    """Return the audit log's detail of a backup."""
    return f"people: {head.people}, blobs: {head.blobs} with {head.blob_bytes} bytes"


def _as_json(head: BackupHeader, end: BackupTrailer) -> dict[str, object]:
    return {
        "made_ms": head.made_ms,
        "version": head.version,
        "revision": head.revision,
        "host_key": head.host_key,
        "people": head.people,
        "blobs": head.blobs,
        "blob_bytes": head.blob_bytes,
        "missing": end.missing,
        "damaged": end.damaged,
    }


def _answer(admin: Admin, value: object, text: str, *, to_stderr: bool) -> None:
    if to_stderr:
        click.echo(output.as_json(value) if admin.json else text, err=True)
    else:
        admin.answer(value, lambda: text)


def _fail_for(end: BackupTrailer) -> None:
    lost = len(end.missing) + len(end.damaged)
    if lost:
        raise IntegrityError(
            f"{lost} of the blobs in it {'was' if lost == 1 else 'were'} missing or damaged.",
            hint="'fsadmin check' tells whose; an older backup may have them whole.",
        )


@contextmanager
def _new_file(name: str) -> Iterator[BinaryIO]:
    """Yield a file that gets its name only when it is complete and on disk."""
    if name == _STREAM:
        if sys.stdout.isatty():
            raise UsageError("A backup does not go to a terminal.", hint="Redirect it to a file.")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    if os.path.lexists(path):
        raise ExistsError(f"{path} exists already; nothing was done.", hint="Give another name.")
    from fsd.blobs.local import explained
    from fskit.files import whole_file

    try:
        with explained(), ExitStack() as stack:
            try:
                file = stack.enter_context(whole_file(path, replace=False))
            except OSError as error:
                raise file_error(f"{path} cannot be written", error) from None
            yield file
    except FileExistsError:
        raise ExistsError(f"{path} exists by now; nothing was done.") from None


@contextmanager
def _old_file(name: str) -> Iterator[BinaryIO]:
    if name == _STREAM:
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise _unreadable(name, error) from None
    with file:
        yield file


def _unreadable(name: str, error: OSError) -> FsError:
    return file_error(f"{name} cannot be read", error)
