"""Entries: what the key log says of people's keys, and what may follow what.

    Entry = [format 1, index, user, event (1 enrolled, 2 rotated, 3 reset), bundle hash,
             Ed25519 key, signature, time_ms]

- `enrolled`: a person who has no keys gets their first ones. Their own client sees to it that
  these are theirs.
- `rotated`: new keys in place of old ones, and the old key says so:
  signature = Ed25519(old key, "fs/1 key rotation" ‖ old bundle hash ‖ new bundle hash).
- `reset`: the administrator took the keys away. Bundle hash, key and signature are empty. Whoever
  enrols under the name afterwards is somebody else until people have convinced themselves.

An index counts from 0. Whatever does not follow is refused: `SecurityError`.
"""

from __future__ import annotations

import enum

from fsproto import crypto, labels
from fsproto.errors import RemoteProtocolError, SecurityError, SignatureError
from fsproto.packing import Record, pack, unpack
from fsproto.types import Hash
from fsproto.values import Value

FORMAT = 1


class KeyEvent(enum.IntEnum):
    """What became of somebody's keys."""

    ENROLLED = 1
    ROTATED = 2
    RESET = 3


class KeyLogEntry(Record, frozen=True):
    """One entry of the log."""

    format: int
    index: int
    user: str
    event: KeyEvent
    bundle: Hash
    """Hash of the bundle; empty for a reset."""
    ed25519: bytes
    """The identity key in it, 32 bytes; empty for a reset."""
    signature: bytes
    """By the key before it, 64 bytes; empty but for a rotation."""
    time_ms: int
    """When, by the server's clock."""


class Keys(Value, frozen=True):
    """The keys that the log names for a person."""

    user: str
    index: int
    """Of the entry that names them."""
    bundle: Hash
    ed25519: bytes


def sign_rotation(old: crypto.SigningKey, before: Hash, after: Hash) -> bytes:
    """Return the old key's word for the bundle that follows its own (64 bytes)."""
    return old.sign(labels.SIGN_ROTATION, before, after)


def verify_rotation(old: bytes, signature: bytes, before: Hash, after: Hash) -> None:
    """Raise `CryptoError` unless that is the old key's (32 bytes) word for the bundle after."""
    crypto.verify(old, signature, labels.SIGN_ROTATION, before, after)


def entry_bytes(entry: KeyLogEntry) -> bytes:
    """Return an entry as it is hashed, stored and sent."""
    return pack(entry)


def read_entry(data: bytes, index: int) -> KeyLogEntry:
    """Read entry number `index`; `RemoteProtocolError` if it is malformed or another one."""
    entry = unpack(data, KeyLogEntry)
    keyed, signed = entry.event is not KeyEvent.RESET, entry.event is KeyEvent.ROTATED
    fits = (
        entry.format == FORMAT
        and entry.index == index
        and len(entry.bundle) == len(entry.ed25519) == (crypto.HASH_SIZE if keyed else 0)
        and len(entry.signature) == (crypto.SIGNATURE_SIZE if signed else 0)
    )
    if not fits:
        raise RemoteProtocolError("An entry of the key log is malformed.")
    return entry


def check_follows(entry: KeyLogEntry, before: Keys | None) -> Keys | None:
    """Return the keys a person has after an entry, if it may follow those from before it."""
    if entry.event is KeyEvent.RESET:
        if before is None:
            raise SecurityError("The key log takes keys away that nobody had.")
        return None
    if entry.event is KeyEvent.ENROLLED and before is not None:
        raise SecurityError(
            f"THE KEY LOG GIVES {entry.user} OTHER KEYS without a word from the old."
        )
    if entry.event is KeyEvent.ROTATED:
        if before is None:
            raise SecurityError("The key log replaces keys that nobody had.")
        try:
            verify_rotation(before.ed25519, entry.signature, before.bundle, entry.bundle)
        except crypto.CryptoError:
            raise SignatureError(
                f"THE KEY LOG GIVES {entry.user} OTHER KEYS that the old key has not signed."
            ) from None
    return Keys(entry.user, entry.index, entry.bundle, entry.ed25519)
