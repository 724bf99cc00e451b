"""The state of pairs of folders on disk: `sync/NAME` in the profile, one file for each pair.

NAME is a hash of both paths. The file contains:

    nonce 12 ‖ GCM(key, nonce, packed PairState, NAME)

The key is derived from the identity, like that of an upload journal, so that a thief of the disk
learns no names. After a key rotation, the former key still opens the file.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Protocol

from fsclient.local_errors import local_errors
from fsclient.profile_files import make_private_folder, write_private
from fsclient.session.session import Session
from fsclient.transfer.pairs.state import FORMAT, PairState
from fskit.files import lock
from fsproto import crypto, labels
from fsproto.errors import ConflictError, IntegrityError, RemoteProtocolError
from fsproto.names import RemotePath
from fsproto.packing import pack, unpack

_LENGTH = struct.Struct(">I")
SAVE_AFTER_S = 20.0
"""Store what is done after this many seconds, so that a crash loses little of a long sync."""


class HasState(Protocol):
    """What knows the state of both sides."""

    @property
    def state(self) -> PairState:
        """The state of both sides, as far as it is known."""


def pair_path(folder: Path, user: str, local: Path, remote: RemotePath) -> Path:
    """Return the path of the state of a user's pair; the local path may contain links."""
    owner = remote.owner or user
    told = os.fsencode(local.resolve()), owner.encode(), *(p.encode() for p in remote.parts)
    sized = b"".join(_LENGTH.pack(len(part)) + part for part in told)
    return folder / crypto.sha256(labels.SYNC_PAIR, sized).hex()


class PairStore:
    """The stored state of one pair, locked while it is open."""

    def __init__(self, folder: Path, session: Session, local: Path, remote: RemotePath) -> None:
        """Use the pair's file in `folder`; the local path may contain links."""
        self._path = pair_path(folder, session.identity.user, local, remote)
        self._identity = session.identity
        self._lock: int | None = None
        self._saved = time.monotonic()
        self._stored = b""
        """The packed state that the file has."""

    def lock(self) -> None:
        """Lock the pair until `close`; `ConflictError` if another sync of it is running."""
        with local_errors(self._path.parent):
            make_private_folder(self._path.parent)
            self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                lock(self._lock)
            except (BlockingIOError, PermissionError):
                raise ConflictError(
                    "Another sync of these two folders is running.",
                    hint="Wait until it has ended, then give the same command again.",
                ) from None

    def close(self) -> None:
        """Unlock the pair."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load(self) -> PairState:
        """Return what the last sync left, nothing before the first; `IntegrityError` if damaged."""
        with local_errors(self._path):
            try:
                data = self._path.read_bytes()
            except FileNotFoundError:
                return PairState(FORMAT, complete=False, files={})
        nonce, sealed = data[: crypto.NONCE_SIZE], data[crypto.NONCE_SIZE :]
        for identity in (self._identity, *self._identity.former):
            try:
                plain = _aead(identity.signing.seed).open(nonce, sealed, self._name)
                state = unpack(plain, PairState)
            except (crypto.CryptoError, RemoteProtocolError):
                continue
            if state.format == FORMAT:
                self._stored = plain if identity is self._identity else b""
                return state
        raise IntegrityError(
            f"'{self._path}', which remembers what the last sync of these folders left, is damaged "
            "or belongs to other keys.",
            hint="Delete it. The next sync then replaces files that differ only with --force.",
        )

    def save(self, state: PairState) -> None:
        """Store the state of both sides, unless it is stored already."""
        self._saved = time.monotonic()
        plain = pack(state)
        if plain == self._stored:
            return
        nonce = os.urandom(crypto.NONCE_SIZE)
        aead = _aead(self._identity.signing.seed)
        write_private(self._path, nonce + aead.seal(nonce, plain, self._name))
        self._stored = plain

    def save_if_due(self, guard: HasState) -> None:
        """Store the state of both sides if that was last done `SAVE_AFTER_S` ago."""
        if time.monotonic() - self._saved >= SAVE_AFTER_S:
            self.save(guard.state)

    @property
    def _name(self) -> bytes:
        return self._path.name.encode()


def _aead(seed: bytes) -> crypto.Aead:
    return crypto.Aead(crypto.hkdf(seed, salt=b"", info=labels.SYNC_STATE))
