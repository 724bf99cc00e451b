"""The host key on disk, and the statements by which former host keys name their successors.

    host.key     the current host key
    host.moves   statements of former keys (see `fsproto.host_key_moves`), packed [[Move, …]]

A rotation writes the statement first and the key after it. If it is interrupted in between, the old
key stays, and the statement names a key that does not exist; the next rotation replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsd.home.home import HOST_KEY, HOST_MOVES
from fsproto import crypto
from fsproto.errors import FsError, IntegrityError
from fsproto.host_key_moves import Move, Moves, sign_move, verify_move
from fsproto.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def rotate(
        self,
        now_ms: int,
        *,
        stolen: bool = False,
        record: Callable[[str, str], None] = lambda _before, _after: None,
    ) -> tuple[str, str]:
        """Make a new key that the current one vouches for; return both fingerprints.

        `record` is called with both before any change; if it raises, nothing is changed.

        Of a key that was `stolen` no statement is made, and those of former keys are dropped: what
        leads to the stolen key would lead to the thief.
        """
        old, new = self.current(), crypto.RsaKey.generate()
        moves = [] if stolen else self.moves()
        before = crypto.fingerprint(old.public)
        # One that leads away from the current key is of a rotation that was interrupted.
        kept = [m for m in moves if crypto.fingerprint(verify_move(m).old) != before]
        said = [] if stolen else [sign_move(old, new.public, now_ms)]
        after = crypto.fingerprint(new.public)
        record(before, after)
        self._home.replace(HOST_MOVES, pack(Moves([*kept, *said])))
        self._home.replace(HOST_KEY, new.der)
        return before, after
