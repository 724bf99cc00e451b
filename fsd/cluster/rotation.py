"""Rotation of the host key over all nodes, in two steps, so that no client has an alarm.

First the new key and the statement of the old one are stored in the database, and each node that
is alive confirms that it has them. Then the new key becomes the host key. In between, and until
every node has noticed the change, some nodes show the old key and some the new one; all of them
hold both, and a client asks for the key that it expects (see `fsproto.host_key_moves`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fsd.cluster.keys import NEXT_HOST_KEY
from fsd.home.home import HOST_KEY, HOST_MOVES
from fsd.home.host_keys import HostKeys
from fsd.store.repos import cluster as rows
from fskit import clock
from fsproto import crypto
from fsproto.errors import ConflictError
from fsproto.host_key_moves import Move, Moves, sign_move, verify_move
from fsproto.packing import pack

if TYPE_CHECKING:
    from fsd.auth.vault import Vault
    from fsd.cluster.keys import ServerKeys
    from fsd.home.home import Home
    from fsd.store.engine import Database

_LOOK_S = 0.1
_LONGEST_S = 2 * rows.DEAD_S


def rotate_host_key(
    home: Home,
    database: Database,
    keys: ServerKeys,
    vault: Vault,
    now_ms: Callable[[], int],
    *,
    stolen: bool = False,
    record: Callable[[str, str], None] = lambda _before, _after: None,
    wait: Callable[[float], object] = time.sleep,
) -> tuple[str, str]:
    """Make a new key that the current one vouches for; return both fingerprints.

    `record` is called with both before any change; if it raises, nothing is changed. Of a key that
    was `stolen` no statement is made, and those of former keys are dropped: what leads to the
    stolen key would lead to the thief. `ConflictError` if a node does not confirm the new key.
    """
    keys.renew()
    own = HostKeys(home)
    old, new = own.current(), crypto.RsaKey.generate()
    before, after = crypto.fingerprint(old.public), crypto.fingerprint(new.public)
    moves = [] if stolen else [*_kept(own.moves(), before), sign_move(old, new.public, now_ms())]
    statements = pack(Moves(moves))
    record(before, after)
    store = _Store(database, vault, old)
    if not stolen:
        _await_nodes(database, store({HOST_MOVES: statements, NEXT_HOST_KEY: new.der}), wait)
    store({HOST_MOVES: statements, HOST_KEY: new.der}, last=True)
    keys.renew()
    return before, after


def _kept(moves: list[Move], current: str) -> list[Move]:
    """Leave out what leads away from the current key: it is of a rotation that was interrupted."""
    return [move for move in moves if crypto.fingerprint(verify_move(move).old) != current]


class _Store:
    """Stores keys while the host key is still the old one."""

    def __init__(self, database: Database, vault: Vault, old: crypto.RsaKey) -> None:
        self._database = database
        self._vault = vault
        self._old = old.der

    def __call__(self, new: dict[str, bytes], *, last: bool = False) -> int:
        """Store keys; return their version."""
        with self._database.write() as db:
            rows.hold_keys(db)
            if self._vault.open_key(HOST_KEY, rows.keys(db)[HOST_KEY]) != self._old:
                raise ConflictError("The host key was changed by another command at the same time.")
            for name, key in new.items():
                rows.put_key(db, name, self._vault.seal_key(name, key))
            if last:
                rows.remove_key(db, NEXT_HOST_KEY)
            return rows.keys_version(db)


def _await_nodes(database: Database, version: int, wait: Callable[[float], object]) -> None:
    """Wait until each node has confirmed a version of the keys, or is not seen any longer."""
    ends = time.monotonic() + _LONGEST_S
    while late := _late(database, version):
        if time.monotonic() > ends:
            raise ConflictError(
                f"A node has not loaded the new host key: {late}.",
                hint="The old host key stays. See the log of that node, then rotate again.",
            )
        wait(_LOOK_S)


def _late(database: Database, version: int) -> str:
    """Return the names of the nodes that have not confirmed a version."""
    with database.read() as db:
        nodes = rows.alive(db, clock.now_ms())
    return ", ".join(f"{one.name} ({one.address})" for one in nodes if one.keys_version < version)
