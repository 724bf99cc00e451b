"""The chain as pure functions: the hash of an entry, the proof of the head, the findings.

    hash n = SHA-256("fs/2 audit entry" ‖ hash n-1 ‖ packed entry n), hash 0 = 32 random bytes
    proof  = HMAC-SHA256(audit key, "fs/2 audit head" ‖ u64 base number ‖ base hash
                                    ‖ u64 last number ‖ last hash)

Anyone can verify the hashes; only a holder of the audit key can prove where the chain ends. An
attacker with write access to the database but without the key cannot alter, remove, add or reorder
entries, or cut off the last ones, without a mismatch with the head. The attacker can restore an
older copy of everything, including the head; only a party that has seen a later head detects this
(`Home.seen_audit`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fsproto import crypto, labels
from fsproto.packing import Record, pack

NO_HASH = bytes(crypto.HASH_SIZE)
"""Where there is no log."""


class ChainEntry(Record, frozen=True):
    """One event."""

    seq: int
    """Its number; the first is 1, and none is left out."""
    at_ms: int
    """Unix time in milliseconds, by the clock of the node that recorded it."""
    event: str
    actor: str
    """Who did it or tried to: a user's name, or `fsadmin:` and a name on the server's machine."""
    subject: str
    """Whose account it is about; empty where it is about none."""
    address: str
    """The client's address; empty for an action at the server itself."""
    detail: str
    """Further details, as text."""

    def hash(self, previous: bytes) -> bytes:
        """Return the hash of this entry on top of the one before (32 bytes)."""
        return crypto.sha256(labels.SERVER_AUDIT_ENTRY, previous, pack(self))


@dataclass(frozen=True)
class Span:
    """A part of the chain, after entry `base` up to entry `last`, with the hashes of both."""

    base: int
    base_hash: bytes
    last: int
    last_hash: bytes

    def proof(self, key: bytes, label: bytes = labels.SERVER_AUDIT_HEAD) -> bytes:
        """Return a proof of the span (32 bytes), which needs the audit key (32 bytes)."""
        return crypto.hmac_sha256(
            key,
            label,
            self.base.to_bytes(8, "big"),
            self.base_hash,
            self.last.to_bytes(8, "big"),
            self.last_hash,
        )

    def proved(self, key: bytes, proof: bytes, label: bytes = labels.SERVER_AUDIT_HEAD) -> bool:
        """Return whether `proof` is the proof of this span."""
        return crypto.equal(self.proof(key, label), proof)


@dataclass(frozen=True)
class ChainFinding:
    """Something that is wrong with the chain."""

    seq: int
    """The entry at which it shows."""
    sentence: str


def faults(span: Span, entries: Iterable[tuple[ChainEntry, bytes]]) -> Iterator[ChainFinding]:
    """Yield all faults in entries and their stored hashes, given in ascending order.

    Each entry is verified against the stored hash of the entry before it, so that an altered entry
    is reported alone and not with all later entries.
    """
    before, hash_before = span.base, span.base_hash
    for entry, stored in entries:
        if entry.seq > before + 1:
            yield ChainFinding(before + 1, _missing(before + 1, entry.seq - 1))
        elif entry.seq <= before:
            yield ChainFinding(
                entry.seq, f"Entry {entry.seq} is there although it was rotated away."
            )
        elif entry.hash(hash_before) != stored:
            yield ChainFinding(
                entry.seq, f"Entry {entry.seq} was altered, or put in another's place."
            )
        before, hash_before = entry.seq, stored
    if before < span.last:
        yield ChainFinding(before + 1, _missing(before + 1, span.last))
    elif before > span.last:
        yield ChainFinding(
            span.last + 1, f"Entries after {span.last} were not added by the server."
        )
    elif hash_before != span.last_hash:
        yield ChainFinding(
            span.last, f"Entry {span.last} is not the last entry that the log recorded."
        )


def _missing(first: int, last: int) -> str:
    if first == last:
        return f"Entry {first} was removed."
    return f"Entries {first} to {last} were removed."
