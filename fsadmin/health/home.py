"""Checks of the data directory: permissions, keys, disk space, and age of the last backup."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fsadmin import output
from fsadmin.health.report import CheckResult, bad, fine, note
from fsd.home.home import HOST_KEY, MASTER_KEY, SETTINGS_FILE
from fsd.home.host_keys import HostKeys
from fsd.home.ssh_host_keys import ssh_host_keys
from fsd.master_key import NEXT
from fsd.store import schema
from fsd.store.repos import cluster
from fskit.text import binary_size_text
from fsproto.errors import FsError

if TYPE_CHECKING:
    from fsd.home.home import Home
    from fsd.store.engine import Database

_DAY_MS = 86400 * 1000
OLD_KEY_DAYS = 3 * 365
OLD_BACKUP_DAYS = 7
_FULL = 256 << 20
_NEARLY_FULL = 0.05
_OTHERS = 0o077


def permissions(home: Home) -> Iterator[CheckResult]:
    """Find files that other users can access, and files that the owner cannot."""
    top = home.path.stat()
    open_to_others, foreign = [], []
    for path in (home.path, *_inside(home.path)):
        try:
            stat = path.lstat()
        except FileNotFoundError:  # deleted concurrently
            continue
        # A folder that is closed to others closes everything in it.
        if top.st_mode & _OTHERS and stat.st_mode & _OTHERS and not path.is_symlink():
            open_to_others.append(path)
        if stat.st_uid != top.st_uid and not _may_be_foreign(home, path, stat):
            foreign.append(path)
    commands = [f"chown -R --reference={home.path} {home.path}"] if foreign else []
    if open_to_others:  # after the change of owner, or the owner could not read the files
        commands.append(f"chmod -R go-rwx {home.path}")
    advice = " && ".join(commands)
    if open_to_others:
        yield bad("permissions", f"{_first(open_to_others)} can be reached by other users.", advice)
    if foreign:
        sentence = f"{_first(foreign)} belongs to another user than the home."
        yield bad("permissions", sentence, advice)
    if not commands:
        yield fine("permissions", "No other user can access the data directory.")


def _may_be_foreign(home: Home, path: Path, stat: os.stat_result) -> bool:
    """Return whether this is a configuration file of root that the owner can read."""
    in_place = path.parent == home.path and path.name == SETTINGS_FILE
    return in_place and stat.st_uid == 0 and bool(stat.st_mode & 0o004)


def _inside(folder: Path) -> Iterator[Path]:
    for above, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(above, name)


def _first(paths: list[Path]) -> str:
    more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
    return f"{paths[0]}{more}"


def keys(home: Home, now_ms: int) -> Iterator[CheckResult]:
    """Check that the keys can be read, and how old they are."""
    try:
        keys = HostKeys(home)
        keys.current()
        keys.moves()
        home.master_key()
        ssh_host_keys(home)
    except FsError as error:
        yield bad("keys", error.sentence, error.hint or "Restore it from a backup.")
        return
    young = True
    for name, command in ((HOST_KEY, "rotate-host-key"), (MASTER_KEY, "rotate-master-key")):
        days = _age_days(home.path / name, now_ms)
        if days > OLD_KEY_DAYS:
            young = False
            yield note("keys", f"{name} is {days} days old.", f"fsadmin {command}")
    if (home.path / NEXT).exists():
        young = False
        yield note(
            "keys",
            "A rotation of the master key was interrupted; the valid key was found.",
            "fsadmin rotate-master-key, with fsd stopped, to complete it",
        )
    if young:
        yield fine("keys", "The keys are whole, and none is old.")


def _age_days(path: Path, now_ms: int) -> int:
    return int((now_ms / 1000 - path.stat().st_mtime) // 86400)


def disk(home: Home) -> Iterator[CheckResult]:
    """Check the free disk space."""
    usage = shutil.disk_usage(home.path)
    left = binary_size_text(usage.free)
    advice = "make room, or move the home to a larger disk"
    if usage.free < _FULL:
        yield bad("disk", f"Only {left} are left for {home.path}.", advice)
    elif usage.free < usage.total * _NEARLY_FULL:
        yield note("disk", f"{left} are left for {home.path}.", advice)
    else:
        yield fine("disk", f"{left} are left.")
    if home.blobs.exists() and home.blobs.stat().st_dev != home.path.stat().st_dev:
        yield bad(
            "disk",
            "The blobs are on another file system than the rest of the data directory.",
            "move the whole home instead: 'fsadmin backup' needs them on one",
        )


def backup(home: Home, database: Database, now_ms: int) -> Iterator[CheckResult]:
    """Check the age of the last backup, of any node."""
    last = home.last_backup_ms()
    with suppress(FsError):  # the check of the database reports it
        if schema.current(database) == schema.head():
            with database.read() as db:
                last = cluster.last_backup_ms(db) or last
    if last is None:
        yield note("backup", "There was never a backup.", "fsadmin backup FILE, every day")
        return
    days = (now_ms - last) // _DAY_MS
    said = f"The last backup is of {output.day(last)}."
    if days >= OLD_BACKUP_DAYS:
        yield note("backup", said, "fsadmin backup FILE, every day")
    else:
        yield fine("backup", said)
