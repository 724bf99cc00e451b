"""The server's data directory: keys, database and blobs, readable only by the server's user."""

from __future__ import annotations

import errno
import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fskit import files
from fskit.json_data import parsed
from fskit.os_errors import NO_SPACE
from fsproto import crypto
from fsproto.errors import FsError, IntegrityError, NotAllowedError, OutOfSpaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL

SETTINGS_FILE = "fsd.toml"
HOST_KEY = "host.key"
MASTER_KEY = "master.key"
LOG_KEY = "log.key"
HOOK_KEY = "hook.key"
"""The secret that signs requests to a webhook (see `fsd.hooks.payload`)."""
SSH_KEYS = ("ssh_host_ed25519_key", "ssh_host_rsa_key")
"""Host keys of the SSH listener (see `fsd.home.ssh_host_keys`)."""
HOST_MOVES = "host.moves"
"""Statements of former host keys (see `fsproto.host_key_moves`)."""
JOINS = "joins.json"
"""In the data directory of an imported node until it has the keys of its server (`fsd.cluster`)."""


class HomeError(FsError):
    """The home folder cannot be used."""

    code = "home"
    default_hint = "Give another one with --home or FSD_HOME, or mend its permissions."


class HomeBusyError(HomeError):
    """Another fsd is running on this home."""

    code = "home-busy"
    default_hint = "Stop it first; a second fsd needs a home of its own, given with --home."


class HomeClosedError(HomeError):
    """The home folder may not be used."""

    code = "home-closed"
    exit_status = NotAllowedError.exit_status


_TAKEN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
"""Errors of a lock that another process holds; Windows has the last two."""
WAIT_FOR_IT = "Wait until it ends, and run this command again."


class Home:
    """The paths and the secrets of a data directory."""

    LOCK = "fsd.lock"
    """The file that a running fsd keeps open."""

    def __init__(self, path: Path) -> None:
        """Store the path; read and write nothing yet."""
        self.path = path
        self.blobs = path / "blobs"
        self._run = path / "run.json"
        self._backup = path / "backup.json"
        self._audit = path / "audit-seen.json"

    @property
    def database_url(self) -> URL:
        """The URL of the SQLite file here; built from parts, because a path may contain `?`."""
        from sqlalchemy import URL

        return URL.create("sqlite", database=str((self.path / "fsd.db").absolute()))

    @property
    def is_there(self) -> bool:
        """Whether a server has started with this data directory, even if files are missing now."""
        with self.explained():
            return any((self.path / name).exists() for name in (HOST_KEY, MASTER_KEY))

    @property
    def may_be_there(self) -> bool:
        """Whether `is_there`, or the folder is closed to this user, as other users' servers are."""
        try:
            return self.is_there
        except HomeError:
            return True

    def prepare(self) -> None:
        """Create missing folders and keys; `HomeError` if that is impossible."""
        os.umask(0o077)  # also for the files that SQLite creates
        with self.explained():
            self._take_folder()
            self.blobs.mkdir(mode=0o700, exist_ok=True)
        if (self.path / JOINS).exists():
            return  # the keys are in the database
        if (self.path / MASTER_KEY).exists() and not (self.path / HOST_KEY).exists():
            raise HomeError(  # a new one would look like an attack to every client
                f"The host key is missing from {self.path}.",
                hint=f"Restore {HOST_KEY} from a copy: clients refuse any other key. If it is "
                "lost, start with a new data directory and enrol all users again.",
            )
        self._make_once(HOST_KEY, lambda: crypto.RsaKey.generate().der)
        self._make_once(MASTER_KEY, lambda: os.urandom(crypto.KEY_SIZE))
        self._make_once(LOG_KEY, lambda: os.urandom(crypto.ED25519_SIZE))

    def prepare_import(self) -> None:
        """Create the folders of an imported node."""
        os.umask(0o077)
        with self.explained():
            self._take_folder()
            self.blobs.mkdir(mode=0o700, exist_ok=True)

    def prepare_ssh(self) -> None:
        """Create missing host keys of the SSH listener; call `prepare` first."""
        for name, make in zip(SSH_KEYS, (crypto.new_ssh_ed25519, crypto.new_ssh_rsa), strict=True):
            self._make_once(name, make)

    def prepare_hooks(self, secret: bytes) -> None:
        """Store the secret of the webhook if there is none; call `prepare` first."""
        self._make_once(HOOK_KEY, lambda: secret)

    def _take_folder(self) -> None:
        """Create the folder; close an existing data directory or empty folder to other users."""
        files.make_folders(self.path, 0o700)
        if os.name == "nt" or not self.path.stat().st_mode & 0o077:
            return
        others = {path.name for path in self.path.iterdir()} - {SETTINGS_FILE}
        if not (self.path / HOST_KEY).exists() and others:
            raise HomeError(
                f"{self.path} holds other things and is open to others.",
                hint="Give a folder of its own with --home; if this is it, chmod 700 it first.",
            )
        self.path.chmod(0o700)

    def host_key(self) -> crypto.RsaKey:
        """Return the host key; `IntegrityError` if its file is damaged."""
        try:
            return crypto.RsaKey(self.read(HOST_KEY))
        except crypto.CryptoError:
            raise IntegrityError(f"{self.path / HOST_KEY} is not a host key.") from None

    def master_key(self) -> bytes:
        """Return the master key, 32 bytes; `IntegrityError` if its file is damaged."""
        key = self.read(MASTER_KEY)
        if len(key) != crypto.KEY_SIZE:
            raise IntegrityError(f"{self.path / MASTER_KEY} is not a master key.")
        return key

    def log_key(self) -> crypto.SigningKey:
        """Return the key that signs the key log; `IntegrityError` if its file is damaged."""
        seed = self.read(LOG_KEY)
        if len(seed) != crypto.ED25519_SIZE:
            raise IntegrityError(f"{self.path / LOG_KEY} is not the key of a key log.")
        return crypto.SigningKey(seed)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the data directory for one server; `HomeBusyError` if another one has the lock."""
        with self._locked(self.LOCK, HomeBusyError(f"Another fsd is running on {self.path}.")):
            yield

    @contextmanager
    def maintenance(self) -> Iterator[None]:
        """Lock the data directory for one maintenance command; fsd may run concurrently.

        `HomeBusyError` while another such command runs.
        """
        busy = HomeBusyError(
            f"Another maintenance command is running on {self.path}.", hint=WAIT_FOR_IT
        )
        with self._locked("maintenance.lock", busy):
            yield

    @contextmanager
    def keys(self, *, exclusive: bool = False) -> Iterator[None]:
        """Lock the keys against changes while secrets are sealed; several users may share the lock.

        `exclusive` is for changing the keys. `HomeBusyError` if the lock is not available.
        """
        busy = HomeBusyError(
            f"The keys in {self.path} are in use by another command.", hint=WAIT_FOR_IT
        )
        with self._locked("keys.lock", busy, shared=not exclusive):
            yield

    @contextmanager
    def _locked(self, name: str, busy: HomeBusyError, *, shared: bool = False) -> Iterator[None]:
        with self.explained():
            file = (self.path / name).open("ab")
        with file:
            try:
                files.lock(file.fileno(), shared=shared)
            except OSError as error:
                if error.errno in _TAKEN:
                    raise busy from None
                raise HomeError(
                    f"{self.path} is on a file system that cannot lock files.",
                    hint="Move the data directory to a local disk, and name it with --home or "
                    "FSD_HOME.",
                ) from None
            yield

    def note_run(self, address: str, database: str | None, ssh: str | None = None) -> None:
        """Store for fsadmin the server's addresses and its database (no secret).

        `database` None is the SQLite file in the data directory, even if that is moved; `ssh` None
        is no SSH listener.
        """
        noted = {"address": address, "database": database, "ssh": ssh}
        with self.explained():
            files.write_private(self._run, json.dumps(noted).encode())

    @property
    def has_run(self) -> bool:
        """Whether a server has started completely with this data directory."""
        with self.explained():
            return self._run.exists()

    def last_run(self) -> dict[str, str]:
        """Return the values of `note_run`; empty if there are none."""
        try:
            found = parsed(self._run.read_text())
        except (OSError, ValueError):
            return {}
        noted = found.items() if isinstance(found, dict) else ()
        return {key: value for key, value in noted if isinstance(value, str)}

    def last_backup_ms(self) -> int | None:
        """Return the time of the last backup by an earlier release, in Unix milliseconds.

        None if there was none. Later backups are noted in the database (`repos.cluster`).
        """
        try:
            return int(parsed(self._backup.read_text())["at_ms"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note_audit(self, last: int, last_hash: bytes) -> None:
        """Store the last entry of the audit log at a successful verification."""
        noted = {"last": last, "hash": last_hash.hex()}
        with self.explained():
            files.write_private(self._audit, json.dumps(noted).encode())

    def seen_audit(self) -> tuple[int, bytes] | None:
        """Return the values of `note_audit`, if any; `IntegrityError` if the file is damaged."""
        try:
            with self.explained():
                if not self._audit.exists():
                    return None
                found = parsed(self._audit.read_bytes())
            return int(found["last"]), bytes.fromhex(found["hash"])
        except (ValueError, KeyError, TypeError):
            raise IntegrityError(
                f"{self._audit} is damaged.",
                hint="Restore it from a copy, or delete it: the last seen entry is then forgotten.",
            ) from None

    def read(self, name: str) -> bytes:
        """Return the content of a file of the data directory."""
        with self.explained():
            return (self.path / name).read_bytes()

    def replace(self, name: str, data: bytes) -> None:
        """Replace a file of the data directory (0600) atomically."""
        with self.explained():
            files.write_private(self.path / name, data)

    def _make_once(self, name: str, make: Callable[[], bytes]) -> None:
        path = self.path / name
        with self.explained():
            if not path.exists():
                with suppress(FileExistsError):  # of two concurrent processes, the first one wins
                    files.write_private(path, make(), replace=False)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn an `OSError` of the block into a `HomeError` that names the file."""
        try:
            yield
        except OSError as error:
            named = Path(os.fsdecode(error.filename)) if error.filename else self.path
            words = "cannot be used as a home" if named == self.path else "cannot be used"
            sentence = f"{named} {words}: {error.strerror}."
            if error.errno in NO_SPACE:
                hint = f"Free some space for {self.path}, and give the same command again."
                raise OutOfSpaceError(sentence, hint=hint) from None
            closed = isinstance(error, PermissionError) or error.errno == errno.EROFS
            kind = HomeClosedError if closed else HomeError
            raise kind(sentence, hint=self._advice(error)) from None

    def _advice(self, error: OSError) -> str | None:
        """Return what to do about missing permissions; None for other errors."""
        if error.errno == errno.EROFS:
            return "Mount its file system for writing, or give another one with --home or FSD_HOME."
        if os.name == "nt" or not isinstance(error, PermissionError) or not _exists(self.path):
            return None
        import pwd

        owner = self.path.stat().st_uid
        if owner == os.geteuid():
            return f"As root: chown -R --reference={self.path} {self.path}"
        with suppress(KeyError):
            return f"Run it as the owner of {self.path}: sudo -u {pwd.getpwuid(owner).pw_name} …"
        return f"Run it as the owner of {self.path}, the user {owner}."


def _exists(path: Path) -> bool:
    """Return whether a path exists and can be reached; unlike `Path.exists`, never raise."""
    return os.path.exists(path)  # noqa: PTH110
