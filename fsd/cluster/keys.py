"""The keys that all nodes of a server use, and their copies in each data directory.

The database has them, sealed under the master key (`server_keys`). A data directory has a copy of
each as a file. An opening of the database renews the copies; keys that the database does not have
yet are stored there. So a new node needs nothing but the master key.

    keys.seen   {name: SHA-256, …} of the copies as they were renewed last

If a copy differs, the database decides. An administrator may replace the copy of a key in
`EDITABLE`: one that was changed since it was renewed is stored in the database.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from fsd.home.home import (
    HOOK_KEY,
    HOST_KEY,
    HOST_MOVES,
    LOG_KEY,
    SSH_KEYS,
    HomeError,
)
from fsd.home.host_keys import HostKeys
from fsd.store.repos import cluster as rows
from fskit.json_data import parsed
from fsproto import crypto
from fsproto.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fsd.auth.vault import Vault
    from fsd.home.home import Home
    from fsd.store.engine import Database

log = logging.getLogger(__name__)

NAMES = (LOG_KEY, HOST_KEY, HOST_MOVES, HOOK_KEY, *SSH_KEYS)
EDITABLE = frozenset({HOOK_KEY, *SSH_KEYS})
NEXT_HOST_KEY = "host.key.next"
"""The host key to which the nodes are about to change; only in the database."""
_SEEN = "keys.seen"


class ServerKeys:
    """The keys of one server, from one of its data directories."""

    def __init__(self, home: Home, database: Database, vault: Callable[[], Vault]) -> None:
        """Take the parts; `vault` opens the vault if it is needed."""
        self._home = home
        self._database = database
        self._vault = vault
        self.next_host_key: bytes | None = None
        """The host key to which the nodes are about to change, as of the last `renew`."""

    def renew(self) -> int:
        """Make the copies and the database agree; return the version of the newest key.

        `IntegrityError` if the data directory is of another server than the database; then nothing
        is changed.
        """
        with self._database.read() as db:
            version, sealed = rows.keys_version(db), rows.keys(db)
        vault = self._vault()
        stored = {name: vault.open_key(name, one) for name, one in sealed.items()}
        if self._missing(stored, self._copies()):
            version, stored = self._store(vault)
        self._write(stored)
        self.next_host_key = stored.get(NEXT_HOST_KEY)
        return version

    def _store(self, vault: Vault) -> tuple[int, dict[str, bytes]]:
        """Store what the database does not have; return all, with the newest version."""
        with self._database.write() as db:
            rows.hold_keys(db)  # another data directory may be the first one at the same time
            stored = {name: vault.open_key(name, one) for name, one in rows.keys(db).items()}
            missing = self._missing(stored, self._copies())
            for name, key in missing.items():
                rows.put_key(db, name, vault.seal_key(name, key))
            version = rows.keys_version(db)
        if missing:
            log.info("stored keys in the database: %s", ", ".join(missing))
        return version, stored | missing

    def _missing(
        self, stored: Mapping[str, bytes], copies: Mapping[str, bytes]
    ) -> dict[str, bytes]:
        """Return the copies that belong in the database; check them before."""
        own = copies.get(LOG_KEY)
        if own is not None and stored.get(LOG_KEY, own) != own:
            raise IntegrityError(
                f"The log key of {self._home.path} is not the one of its database.",
                hint="They belong to different servers: name the right data directory with --home, "
                "or the right database with --database.",
            )
        if not stored and HOST_KEY not in copies:
            raise HomeError(
                "The database has no keys of this server.",
                hint="Give the URL of the server's own database with --database; another node "
                "must have started on it before.",
            )
        seen = self._seen()
        missing = {}
        for name, key in copies.items():
            edited = name in EDITABLE and seen.get(name, _hash(key)) != _hash(key)
            if name not in stored or (stored[name] != key and edited):
                missing[name] = key
        if HOST_KEY in missing:
            self._home.host_key()
        if HOST_MOVES in missing:
            HostKeys(self._home).moves()
        if LOG_KEY in missing:
            self._home.log_key()
        return missing

    def _copies(self) -> dict[str, bytes]:
        with self._home.explained():
            there = [name for name in NAMES if (self._home.path / name).exists()]
        return {name: self._home.read(name) for name in there}

    def _write(self, stored: Mapping[str, bytes]) -> None:
        """Renew the copies."""
        seen, copies = self._seen(), self._copies()
        for name, key in stored.items():
            own = copies.get(name)
            if name not in NAMES or own == key:
                continue
            if own is not None and seen.get(name) != _hash(own):
                log.warning("replaced %s, which differed from the database", self._home.path / name)
            self._home.replace(name, key)
        now = {name: _hash(key) for name, key in stored.items() if name in NAMES}
        if now != seen:
            self._home.replace(_SEEN, json.dumps(now).encode())

    def _seen(self) -> dict[str, str]:
        try:
            found = parsed((self._home.path / _SEEN).read_bytes())
        except (OSError, ValueError):
            return {}
        pairs = found.items() if isinstance(found, dict) else ()
        return {name: value for name, value in pairs if isinstance(value, str)}


def _hash(key: bytes) -> str:
    return crypto.sha256(key).hex()
