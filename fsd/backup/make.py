"""Makes a backup of a data directory and its database; the server may run.

The backup is consistent: first all stored blobs are pinned (see `blobs.pin`), then one snapshot of
the database is taken, and newer blobs that it names are pinned as well. So the backup has the blob
of each of its rows, even if blobs are replaced or removed while it is written.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from sqlalchemy import func, select

from fsd.backup import layout, rows
from fsd.backup.encrypt import BackupEncryptor
from fsd.backup.layout import BackupHeader, BackupTrailer
from fsd.blobs.base import BlobStore
from fsd.blobs.check import Hashed
from fsd.blobs.local import LocalBlobs
from fsd.blobs.pin import BlobPin, let_go_of_leftovers
from fsd.cluster.alone import maintenance
from fsd.home.home import (
    HOOK_KEY,
    HOST_KEY,
    HOST_MOVES,
    LOG_KEY,
    MASTER_KEY,
    SETTINGS_FILE,
    SSH_KEYS,
)
from fsd.store.models import Blob, User
from fsd.store.repos import users
from fsd.store.schema import revision_of
from fsproto import __version__, crypto
from fsproto.errors import ConflictError
from fsproto.limits import SEGMENT_SIZE
from fsproto.types import Salt

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as Db

    from fsd.home.home import Home
    from fsd.store.engine import Database
    from fsproto.types import Random

_ATTEMPTS = 5
_MODE = 0o600


@dataclass(frozen=True)
class BackupSummary:
    """The result of a backup."""

    head: BackupHeader
    end: BackupTrailer
    size: int
    """Bytes of the whole backup."""


class Overtaken(Exception):
    """A blob was stored and deleted around the time of the snapshot; a new one is needed."""


def make(
    home: Home,
    database: Database,
    out: BinaryIO,
    passphrase: str,
    *,
    now_ms: Callable[[], int],
    random: Random,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
    blobs: BlobStore | None = None,
) -> BackupSummary:
    """Write a sealed backup to `out`, which need not be seekable.

    `blobs` is the blob store; None: the one in the data directory. `progress` is called with the
    bytes of blobs that are written, and of all blobs.
    `HomeBusyError` while another backup runs.
    """
    with maintenance(home, database):
        let_go_of_leftovers(home.path)
        sealed = BackupEncryptor(out, passphrase, random)
        for attempt in range(_ATTEMPTS):
            with BlobPin(home.path, blobs or LocalBlobs(home.blobs)) as hold:
                hold.all()
                try:
                    made = _Backup(home, database, hold, sealed, progress).write(now_ms())
                except Overtaken:
                    if attempt + 1 == _ATTEMPTS:
                        raise ConflictError(
                            "Files change too quickly for a consistent backup; try again."
                        ) from None
                    continue
            return made
    raise AssertionError("the loop returns or raises")


class _Backup:
    def __init__(
        self,
        home: Home,
        database: Database,
        hold: BlobPin,
        sealed: BackupEncryptor,
        progress: Callable[[int, int], object],
    ) -> None:
        self._progress = progress
        self._home = home
        self._database = database
        self._hold = hold
        self._sealed = sealed
        self._wanted = hold.folder / "wanted"
        self._missing: list[str] = []
        self._damaged: list[str] = []

    def write(self, now_ms: int) -> BackupSummary:
        with self._database.read() as db:
            count, size = self._find_wanted(db)
            # Nothing was written before here, so that an attempt can be made again.
            with _tar(self._sealed) as tar:
                head = self._head(db, now_ms, count, size)
                _add(tar, layout.HEAD, layout.as_json(head))
                self._add_files(tar)
                self._add_rows(tar, db)
                db.close()  # blobs are pinned, and take longer than a snapshot should last
                self._add_blobs(tar, size)
                end = BackupTrailer(self._missing, self._damaged)
                _add(tar, layout.END, layout.as_json(end))
        self._sealed.finish()
        return BackupSummary(head, end, self._sealed.size)

    def _find_wanted(self, db: Db) -> tuple[int, int]:
        """Pin every blob of the snapshot; list them in a file, because there may be many."""
        count = size = 0
        ask = select(Blob.root, Blob.salt, Blob.size, Blob.place).where(Blob.place.is_not(None))
        with self._wanted.open("w", encoding="ascii") as wanted:
            for root, salt, length, place in db.execute(ask.execution_options(yield_per=1000)):
                if self._hold.one(place or ""):
                    wanted.write(f"{root.hex()} {salt.hex()} {place}\n")
                    count, size = count + 1, size + length
                elif self._still_there(root):
                    self._missing.append(root.hex())
                else:
                    raise Overtaken
        return count, size

    def _still_there(self, root: bytes) -> bool:
        """Return whether a row still exists; if so, its blob was lost and not just replaced."""
        with self._database.read() as later:
            return later.scalar(select(Blob.root).where(Blob.root == root)) is not None

    def _head(self, db: Db, now_ms: int, count: int, size: int) -> BackupHeader:
        return BackupHeader(
            format=layout.FORMAT,
            made_ms=now_ms,
            version=__version__,
            revision=revision_of(db.connection()) or "",
            host_key=crypto.fingerprint(self._home.host_key().public),
            elsewhere=self._database.url != self._home.database_url,
            people=db.scalar(select(func.count()).select_from(User)) or 0,
            files=users.count_files(db),
            blobs=count,
            blob_bytes=size,
        )

    def _add_files(self, tar: tarfile.TarFile) -> None:
        for name in (HOST_KEY, MASTER_KEY, LOG_KEY, HOST_MOVES, HOOK_KEY, *SSH_KEYS):
            path = self._home.path / name
            if path.exists():
                _add(tar, f"keys/{name}", path.read_bytes())
        settings = self._home.path / SETTINGS_FILE
        if settings.exists():
            _add(tar, SETTINGS_FILE, settings.read_bytes())

    def _add_rows(self, tar: tarfile.TarFile, db: Db) -> None:
        connection = db.connection()
        known = rows.tables(connection)
        for number, (table, data) in enumerate(rows.dump(connection, known)):
            _add(tar, f"rows/{table}/{number:08}", data)
        _add(tar, layout.NUMBERS, layout.as_json(rows.numbers(connection, known)))

    def _add_blobs(self, tar: tarfile.TarFile, total: int) -> None:
        done = 0
        for root, salt, place in _records(self._wanted):
            with self._hold.open(place) as source:
                hashed = Hashed(source, Salt(salt))
                info = _info(f"blobs/{root.hex()}", self._hold.size(place))
                _put(tar, info, hashed)
            done += info.size
            self._progress(done, total)
            if hashed.root != root:
                self._damaged.append(root.hex())


@contextmanager
def _tar(out: BackupEncryptor) -> Iterator[tarfile.TarFile]:
    tar = tarfile.open(fileobj=cast("Any", out), mode="w|", bufsize=SEGMENT_SIZE)  # noqa: SIM115
    # Blobs are then read in the segments that their roots are made of.
    cast("Any", tar).copybufsize = SEGMENT_SIZE
    try:
        yield tar
        tar.close()
    except BaseException:
        cast(
            "Any", tar
        ).fileobj.closed = True  # else it writes its end when it is garbage collected
        raise


def _records(path: Path) -> Iterator[tuple[bytes, bytes, str]]:
    with path.open(encoding="ascii") as file:
        for line in file:
            root, salt, place = line.split()
            yield bytes.fromhex(root), bytes.fromhex(salt), place


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, _MODE
    return info


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    _put(tar, _info(name, len(data)), io.BytesIO(data))


def _put(tar: tarfile.TarFile, info: tarfile.TarInfo, source: object) -> None:
    tar.addfile(info, cast("Any", source))
    cast("Any", tar).members.clear()  # else it keeps all of them in memory
