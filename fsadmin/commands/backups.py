"""Commands to make, test and restore backups."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from fsadmin import backup_folder, output, passphrase
from fsadmin.context import Admin, common_options
from fsd.home.owner import give_to_owner_of
from fsd.home.places import give_new_to_user
from fsd.policies import LOCAL_BLOBS
from fskit.local_paths import LocalPath
from fskit.os_errors import file_error
from fskit.text import binary_size_text, count_text
from fsproto.errors import ExistsError, FsError, IntegrityError, UsageError

if TYPE_CHECKING:
    from fsd.backup.layout import BackupHeader, BackupTrailer
    from fsd.backup.restore import RestoreSummary

_STREAM = "-"
_ROLLBACK = (
    "Clients that have seen newer states report a rollback (exit status 7): see "
    "docs/operations.md. Users that you disabled since the backup are enabled again."
)


phrase_option = click.option(
    "--passphrase-file",
    "phrase_file",
    metavar="FILE",
    type=LocalPath(dir_okay=False),
    help="Read the passphrase from the first line of FILE (mode 600).",
)


@click.command(short_help="Back up all data, sealed under a passphrase.")
@click.argument("file", type=LocalPath(path_type=str))
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(1),
    help="Delete all but the newest N backups in the folder FILE.",
)
@phrase_option
@common_options
@click.pass_obj
def backup(admin: Admin, *, file: str, keep: int | None, phrase_file: Path | None) -> None:
    """Write a backup of the whole server into FILE, sealed under a passphrase.

    The backup contains the database, all blobs, the host key, the master key and fsd.toml, as
    of one moment; fsd may keep running. FILE must not exist; '-' is standard output. If FILE is
    a folder, the backup gets a name in it: fsd-, the time in UTC, and .backup. The passphrase is
    asked for twice, or taken from FSADMIN_PASSPHRASE. Without it, the backup can neither be read
    nor restored.

    Every blob is compared with its root. Missing or damaged blobs are reported with exit status
    7; the rest of the backup is complete, and no older one is deleted. Sessions are not
    included.

    'fsadmin print-unit fsd-backup.timer' makes a backup every night.
    """
    from fsd.audit.events import AuditEvent
    from fsd.backup.make import make
    from fsd.factory import audit_keeper
    from fsd.store.repos import cluster as rows
    from fskit.clock import now_ms

    folder = Path(file) if file != _STREAM and Path(file).is_dir() else None
    if keep is not None and folder is None:
        raise UsageError(
            f"--keep needs a folder of backups, and {file} is none.", hint="Make it first."
        )
    target = file if folder is None else str(folder / backup_folder.name(now_ms()))
    phrase = passphrase.new(phrase_file)
    home = admin.home
    with (
        admin.database_at_head() as database,
        _new_file(target) as out,
        _progress_bar() as progress,
    ):
        made = make(
            home,
            database,
            out,
            phrase,
            now_ms=now_ms,
            random=os.urandom,
            progress=progress,
            blobs=admin.blobs(),
        )
        with home.keys():  # the file has no name yet: without a record there is no backup
            audit_keeper(home, database, admin.actor).note(
                AuditEvent.BACKED_UP, _audited(made.head)
            )
    with admin.database_at_head() as database, database.write() as db:
        rows.note_backup(db, made.head.made_ms)
    whole = not made.end.missing and not made.end.damaged
    gone = backup_folder.prune(folder, keep) if folder and keep and whole else []
    told = {
        **_as_json(made.head, made.end),
        "file": target,
        "size": made.size,
        "deleted": [str(path) for path in gone],
    }
    text = f"{_described(made.head)} is in {target} ({binary_size_text(made.size)})."
    if gone:
        text += f"\nDeleted {count_text(len(gone), 'older backup')}."
    _answer(admin, told, text, to_stderr=file == _STREAM)
    _fail_for(made.end)


@click.command(short_help="Restore a backup, or test one.")
@click.argument("file", type=LocalPath(path_type=str))
@click.option("--test", is_flag=True, help="Only verify the backup; write nothing.")
@phrase_option
@common_options
@click.pass_obj
def restore(admin: Admin, *, file: str, test: bool, phrase_file: Path | None) -> None:
    """Restore the backup in FILE into the data directory that --home names.

    That directory must be missing or empty, and so must the database given with --database. The
    restored data appears at once, or not at all if FILE was cut short or changed. FILE may be
    '-', standard input. A backup of one kind of database can be restored into another:
    --database sqlite:// is a file in the data directory. Blobs are restored into that directory,
    or into the bucket that --config or FSD_BLOBS_STORE names, under a prefix without objects.

    All users have to log in again, with a new code. Recovery codes become invalid, as they may
    have been used since. Clients that have seen newer states than those of the backup report a
    rollback (exit status 7): this is the attack they guard against. docs/operations.md has the
    next steps.
    """
    from fsd.backup import restore as work
    from fskit.clock import now_ms

    if test:
        with _old_file(file) as source:
            head, end = work.test(source, passphrase.existing(phrase_file))
        admin.answer(_as_json(head, end), lambda: f"{_described(head)} is whole in {file}.")
        _fail_for(end)
        return
    place, url = admin.place, admin.database_url
    blobs = admin.checked("blobs.").blobs
    if not admin.has_chosen_home and not place.is_there:
        admin.check_first(remedy="--home with a new folder")
    give_new_to_user(place.path)
    owner = place.path.stat() if place.path.is_dir() else None
    with _old_file(file) as source:
        work.check_free(place)
        phrase = passphrase.existing(phrase_file)
        done = work.restore(source, phrase, place, url, now_ms(), actor=admin.actor, blobs=blobs)
    if owner is not None and hasattr(os, "geteuid") and os.geteuid() == 0:
        give_to_owner_of(owner, place.path)  # the empty folder was made for the user of fsd
    told = {
        **_as_json(done.head, done.end),
        "home": str(place.path),
        "rows": done.rows,
        "store": blobs.store or LOCAL_BLOBS,
    }
    admin.answer(told, lambda: _restored(done, place.path, blobs.store))
    _fail_for(done.end)
    if not done.recorded:
        raise IntegrityError(
            "Everything was restored, but the audit log in the backup was altered, and it does not "
            "record that.",
            hint="'fsadmin audit verify' says what is wrong; 'fsadmin audit rotate --broken FILE' "
            "starts a new log.",
        )


def _restored(done: RestoreSummary, place: Path, store: str) -> str:
    from fsd.backup.restore import SET_ASIDE

    lines = [f"{_described(done.head)} is put back in {place}.", "", _ROLLBACK]
    if store:
        lines += ["", f"Its blobs are in {store}: start fsd with the same settings of [blobs]."]
    if done.set_aside:
        lines += ["", f"Its configuration names another database or store and is now {SET_ASIDE}."]
    return "\n".join(lines)


def _described(head: BackupHeader) -> str:
    people = count_text(head.people, "person", "people")
    files = count_text(head.files, "file")
    return f"The backup of {output.day(head.made_ms)} with {people} and {files}"


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
        "files": head.files,
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
def _progress_bar() -> Iterator[Callable[[int, int], object]]:
    """Yield a function that shows the progress in bytes on a terminal."""
    with ExitStack() as stack:
        bars: list[Any] = []

        def show(done: int, total: int) -> None:
            if not bars and total and sys.stderr.isatty():
                bar = click.progressbar(length=total, label="Backing up", file=sys.stderr)
                bars.append(stack.enter_context(bar))
            for bar in bars:
                bar.update(done - bar.pos)

        yield show


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
