"""The host key on disk, and the statements by which former host keys name their successors.

    host.key     the current host key
    host.moves   statements of former keys (see `fsproto.host_key_moves`), packed [[Move, …]]

Both are copies of what is in the database; `fsd.cluster.rotation` changes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsd.home.home import HOST_MOVES
from fsproto import crypto
from fsproto.errors import FsError, IntegrityError
from fsproto.host_key_moves import Move, Moves, verify_move
from fsproto.packing import unpack

if TYPE_CHECKING:
    from fsd.home.home import Home


class HostKeys:
    """The host keys of a data directory."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def current(self) -> crypto.RsaKey:
        """Return the current host key."""
        return self._home.host_key()

    def moves(self) -> list[Move]:
        """Return the statements of former keys, oldest first; `IntegrityError` if damaged."""
        path = self._home.path / HOST_MOVES
        if not path.exists():
            return []
        try:
            moves = unpack(self._home.read(HOST_MOVES), Moves).moves
            for move in moves:
                verify_move(move)
        except FsError:
            raise IntegrityError(
                f"{path} is damaged.",
                hint="Restore it from a backup; without it, clients that trust only an older key "
                "refuse the current one.",
            ) from None
        return moves
