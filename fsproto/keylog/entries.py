"""Entries of the key log, and the rules for which entry may follow another.

    Entry = [format 1, index, user, event (1 enrolled, 2 rotated, 3 reset), bundle hash,
             Ed25519 key, signature, time_ms]

- `enrolled`: a person without keys gets the first ones. The person's own client checks that they
are
  correct.
- `rotated`: new keys replace the old ones, and the old key signs the change:
  signature = Ed25519(old key, "fs/2 key rotation" ‖ old bundle hash ‖ new bundle hash).
- `reset`: the administrator deleted the keys. Bundle hash, key and signature are empty. A person
who
  enrols under the name later counts as another person until others have compared the new keys.

The index counts from 0. An entry that may not follow raises `SecurityError`.
"""

from __future__ import annotations

import enum

from fsproto import crypto, labels
from fsproto.errors import RemoteProtocolError, SecurityError, SignatureError
from fsproto.packing import Record, pack, unpack
from fsproto.ranges import Uint63
from fsproto.types import Hash
from fsproto.values import Value

FORMAT = 1


class KeyEvent(enum.IntEnum):
    """The kinds of change to a person's keys."""

    ENROLLED = 1
    ROTATED = 2
    RESET = 3


class KeyLogEntry(Record, frozen=True):
    """One entry of the log."""

    format: int
    index: Uint63
    user: str
    event: KeyEvent
    bundle: Hash
    """Hash of the bundle; empty for a reset."""
    ed25519: bytes
    """The identity key in the bundle, 32 bytes; empty for a reset."""
    signature: bytes
    """Signature by the previous key, 64 bytes; empty except for a rotation."""
    time_ms: Uint63
    """The time of the entry by the server's clock, Unix time in milliseconds."""


class Keys(Value, frozen=True):
    """The keys that the log names for a person."""

    user: str
    index: Uint63
    """Index of the entry that names them."""
    bundle: Hash
    ed25519: bytes


def sign_rotation(old: crypto.SigningKey, before: Hash, after: Hash) -> bytes:
    """Return the old key's signature over the change to the next bundle (64 bytes)."""
    return old.sign(labels.SIGN_ROTATION, before, after)


def verify_rotation(old: bytes, signature: bytes, before: Hash, after: Hash) -> None:
    """Raise `CryptoError` unless the old key (32 bytes) has signed the change to the bundle."""
    crypto.verify(old, signature, labels.SIGN_ROTATION, before, after)


def entry_bytes(entry: KeyLogEntry) -> bytes:
    """Return the bytes of an entry, as they are hashed, stored and sent."""
    return pack(entry)


def read_entry(data: bytes, index: int) -> KeyLogEntry:
    """Read entry number `index`; `RemoteProtocolError` if it is malformed or not that one."""
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
    if keyed and not crypto.is_signing_key(entry.ed25519):
        raise RemoteProtocolError("The key log has an invalid Ed25519 public key.")
    return entry


def check_follows(entry: KeyLogEntry, before: Keys | None) -> Keys | None:
    """Return a person's keys after an entry; `SecurityError` if it may not follow `before`."""
    if entry.event is KeyEvent.RESET:
        if before is None:
            raise SecurityError("The key log ends keys that it never named.")
        return None
    if entry.event is KeyEvent.ENROLLED and before is not None:
        raise SecurityError(
            f"THE KEY LOG GIVES {entry.user} OTHER KEYS without a signature of the old."
        )
    if entry.event is KeyEvent.ROTATED:
        if before is None:
            raise SecurityError("The key log replaces keys that it never named.")
        try:
            verify_rotation(before.ed25519, entry.signature, before.bundle, entry.bundle)
        except crypto.CryptoError:
            raise SignatureError(
                f"THE KEY LOG GIVES {entry.user} OTHER KEYS that the old key has not signed."
            ) from None
    return Keys(entry.user, entry.index, entry.bundle, entry.ed25519)
