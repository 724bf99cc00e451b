"""Restore of a backup into a new data directory and an empty database.

Everything is written to a folder next to the new data directory, and one rename moves it there when
the whole backup is read and verified. If this fails or is interrupted, no data directory is made,
and the written data is deleted.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec
from sqlalchemy import inspect

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditBrokenError, AuditLog
from fsd.backup import layout, rows
from fsd.backup.encrypt import BackupDecryptor
from fsd.backup.layout import BackupHeader, BackupPart, BackupTrailer
from fsd.blobs.local import explained
from fsd.blobs.opening import check_unused, open_store
from fsd.blobs.stream import BlobStream
from fsd.home.home import SETTINGS_FILE, Home, HomeError
from fsd.master_key import open_vault
from fsd.policies import BlobPolicy
from fsd.store import schema
from fsd.store.engine import Database
from fsd.store.repos import blobs as blob_rows
from fskit.files import make_folders
from fsproto.errors import BadSettingError, ConflictError, FsError, IntegrityError, UsageError
from fsproto.limits import SEGMENT_SIZE

if TYPE_CHECKING:
    from sqlalchemy import Connection

SET_ASIDE = "fsd.toml.from-backup"
"""The name for a configuration that names another database or store than the restored ones."""
_LARGEST_PART = 64 << 20
"""Most bytes of a part that is read into memory."""


@dataclass(frozen=True)
class RestoreSummary:
    """The result of a restore."""

    head: BackupHeader
    end: BackupTrailer
    rows: int
    set_aside: bool
    """Whether the configuration was, because it names another database or store."""
    recorded: bool
    """Whether the audit log records the restore; False only if the backup's log was altered."""


def test(file: BinaryIO, passphrase: str) -> tuple[BackupHeader, BackupTrailer]:
    """Read a backup to its end and verify it; write nothing."""
    head = end = None
    for member in layout.members(BackupDecryptor(file, passphrase)):
        if member.name == layout.HEAD:
            head = _read(member, BackupHeader)
        elif member.name == layout.END:
            end = _read(member, BackupTrailer)
        else:
            while member.file.read(SEGMENT_SIZE):
                pass
    if head is None or end is None:
        raise _incomplete()
    return head, end


def restore(
    file: BinaryIO,
    passphrase: str,
    home: Home,
    url: str | None,
    now_ms: int,
    *,
    actor: str = "fsadmin",
    blobs: BlobPolicy | None = None,
) -> RestoreSummary:
    """Put a backup back into `home`, and into the database `url` (None: one in the home).

    Blobs go into the store of `blobs` (None: the folder in the home). The restored audit log gets
    an entry about the restore, by `actor`.

    `ConflictError` for a home, a database or a store that is in use or holds anything.
    """
    check_free(home)
    source = BackupDecryptor(file, passphrase)
    make_folders(home.path.parent)
    staged = Path(tempfile.mkdtemp(prefix=f".{home.path.name}.restoring-", dir=home.path.parent))
    try:
        with explained():
            restoring = _Restoring(Home(staged), url, now_ms, actor, blobs or BlobPolicy())
            try:
                made = restoring.put(source)
                check_free(home)  # again: it took a while
                staged.replace(home.path)
            except BaseException:
                restoring.undo()
                raise
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return made


def check_free(home: Home) -> None:
    """Raise `ConflictError` unless the place of the new data directory is empty."""
    try:
        found = next(home.path.iterdir(), None)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HomeError(f"{home.path} cannot be used as a home: {error.strerror}.") from None
    if found is not None:
        raise ConflictError(
            f"{home.path} is not empty; nothing was put back.",
            hint="Stop its fsd and move it away, or give another place with --home.",
        )


class _Restoring:
    """The restore of one backup into a new data directory."""

    def __init__(
        self, home: Home, url: str | None, now_ms: int, actor: str, blobs: BlobPolicy
    ) -> None:
        os.umask(0o077)  # also for what SQLite makes
        self._home = home
        self._policy = blobs
        self._bucket = open_store(home.blobs, blobs) if blobs.store else None
        self._stored: list[str] = []
        self._url = url
        self._now_ms = now_ms
        self._actor = actor
        self._rows = 0
        self._set_aside = False
        self._blobs = 0
        home.blobs.mkdir(mode=0o700, exist_ok=True)

    def undo(self) -> None:
        """Delete the blobs that were stored in a bucket."""
        if self._bucket is None or not self._stored:
            return
        with suppress(FsError):  # the first error says what is wrong
            self._bucket.delete(self._stored)

    def put(self, source: BackupDecryptor) -> RestoreSummary:
        """Restore everything; `IntegrityError` if anything differs from the data backed up."""
        if self._bucket is not None:
            check_unused(self._bucket)
        members = layout.members(source)
        head = _read(next(members), BackupHeader, layout.HEAD)
        if head.format != layout.FORMAT:
            raise ConflictError(
                f"This backup is of another format, made by fsd {head.version}.",
                hint="Restore it with that version, then update.",
            )
        if head.elsewhere and self._url is None:
            raise UsageError(
                "This backup is of a server whose database is not in its home.",
                hint="Give the URL of an empty one with --database, or sqlite:// for one in the "
                "home.",
            )
        with closing(Database(self._place or self._home.database_url)) as db:
            with emptied_if_it_fails(db, head.revision):
                end = self._put_members(members, db)
                if end is None or self._blobs != head.blobs:
                    raise _incomplete()
                schema.upgrade(db)
                with db.write() as all_restored:
                    blob_rows.name_by_root(all_restored)
                recorded = self._record(db, head)
            if self._place is not None:  # so that fsadmin knows
                self._home.note_run("", db.url.render_as_string(hide_password=True))
        return RestoreSummary(head, end, self._rows, self._set_aside, recorded)

    def _record(self, database: Database, head: BackupHeader) -> bool:
        """Record the restore in the audit log; False if the log was altered before."""
        made = datetime.fromtimestamp(head.made_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        try:
            audit = AuditLog(open_vault(self._home, database), lambda: self._now_ms)
            with database.write() as db:
                audit.record(db, AuditEvent.RESTORED, actor=self._actor, detail=f"as of {made}")
        except (AuditBrokenError, IntegrityError):
            return False
        return True

    @property
    def _place(self) -> str | None:
        """The URL of a database outside the data directory; None for the file in it."""
        return None if self._url == "sqlite://" else self._url

    def _put_members(
        self, members: Iterator[BackupPart], database: Database
    ) -> BackupTrailer | None:
        end = None
        with database.connect() as connection, connection.begin():
            known = rows.tables(connection)
            put_rows = rows.fill(connection, known)
            for member in members:
                kind, _, name = member.name.partition("/")
                match kind:
                    case "keys":
                        self._write(self._home.path / name, member)
                    case "rows":
                        self._rows += put_rows(name.partition("/")[0], _whole(member))
                    case "blobs":
                        self._blobs += 1
                        self._put_blob(name, member)
                    case "fsd.toml":
                        self._put_settings(_whole(member))
                    case "numbers.json":
                        rows.go_on_from(connection, _read(member, dict[str, int]), known)
                    case "end.json":
                        end = _read(member, BackupTrailer)
            rows.use_up_codes(connection, self._now_ms, known)
        return end

    def _put_blob(self, name: str, member: BackupPart) -> None:
        if self._bucket is None:
            self._write(self._home.blobs / name[:2] / name, member)
            return
        place = f"{name[:2]}/{name}"
        self._stored.append(place)
        stream = BlobStream(self._bucket, place)
        try:
            for piece in member.pieces():
                if stream.needs_part:
                    stream.end_part()
                stream.write(piece)
            stream.finish()
        except BaseException:
            stream.abort()
            raise

    def _put_settings(self, text: bytes) -> None:
        """Restore the configuration, under another name if it names another database."""
        from fsd.settings.load import Wanted, load

        path = self._home.path / SETTINGS_FILE
        path.write_bytes(text)
        try:
            settings = load(Wanted(home=self._home.path)).settings
            named, blobs = settings.database, settings.blobs
        except BadSettingError:
            named, blobs = None, self._policy
        # The first server may still run, and use the database and the store that it names.
        if named != self._place or blobs.fallback or blobs.store != self._policy.store:
            path.rename(self._home.path / SET_ASIDE)
            self._set_aside = True

    def _write(self, path: Path, member: BackupPart) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with path.open("xb") as file:
            for piece in member.pieces():
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def emptied_if_it_fails(database: Database, revision: str) -> Iterator[None]:
    """Bring an empty database to a revision; take everything away again if the block raises."""
    with database.connect() as connection:
        _check_empty(connection)
    schema.upgrade(database, revision)
    try:
        yield
    except BaseException:
        schema.downgrade(database, "base")
        raise


def _check_empty(connection: Connection) -> None:
    found = set(inspect(connection).get_table_names()) - {"alembic_version"}
    if found:
        raise ConflictError(
            "The database has tables already; nothing was changed.",
            hint="Create a new database for it.",
        )


def _whole(member: BackupPart) -> bytes:
    if member.size > _LARGEST_PART:
        raise IntegrityError("A part of the backup is too large for its kind.")
    return member.whole()


def _read(member: BackupPart, kind: type[layout.T], name: str | None = None) -> layout.T:
    if name is not None and member.name != name:
        raise _incomplete()
    try:
        return msgspec.json.decode(_whole(member), type=kind)
    except (msgspec.MsgspecError, RecursionError):
        raise _incomplete() from None


def _incomplete() -> FsError:
    return IntegrityError("The backup lacks a required part.")
