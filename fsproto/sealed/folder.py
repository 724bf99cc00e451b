"""Folder states: one signature over all entries of a folder.

A state names the root of a Merkle prefix tree over the folder's entries. The server therefore
cannot hide, add, swap or bring back an entry without breaking the signature or the chain of
versions.
"""

from __future__ import annotations

from fsproto import crypto, labels
from fsproto.errors import RemoteProtocolError, SignatureError
from fsproto.limits import LOG_HEAD_SIZE
from fsproto.packing import Record
from fsproto.proofs.lineage import LineagePoint
from fsproto.ranges import Generation, Uint63, Version
from fsproto.signed import Signed, open_signed, payload_hash, sign
from fsproto.types import NO_NODE, Hash, NodeId
from fsproto.values import Value

FORMAT = 1


class FolderState(Record, frozen=True):
    """One version of a folder's entries, as its author signed it."""

    format: int
    folder: NodeId
    version: Version
    """1, 2, 3 … without a gap."""
    lineage: Hash
    """Commits to all states before (`proofs.lineage`); 32 zero bytes for the first."""
    root: Hash
    """Root of the prefix tree over the entries."""
    generation: Generation
    """Generation of the folder's key when this was signed."""
    author: str
    author_key: bytes
    """The author's Ed25519 public key, 32 bytes."""
    time_ms: Uint63
    log_head: bytes
    """Size and root of the key log the author had seen: u64 ‖ 32 bytes; empty if none."""


class VerifiedState(Value, frozen=True):
    """A folder state whose signature was checked; made only by the two functions below."""

    body: FolderState
    hash: Hash
    signed: Signed

    @property
    def point(self) -> LineagePoint:
        """This version, as lineages name it."""
        return LineagePoint(self.body.version, self.body.lineage, self.hash)


def state_hash(signed: Signed) -> Hash:
    """Return the hash by which the next state refers to this one."""
    return payload_hash(labels.HASH_STATE, signed.payload)


def sign_state(key: crypto.SigningKey, body: FolderState) -> VerifiedState:
    """Sign a folder state with its author's key."""
    signed = sign(key, labels.SIGN_STATE, body)
    return VerifiedState(body, state_hash(signed), signed)


def verify_state(signed: Signed, folder: NodeId, author: str, public: bytes) -> VerifiedState:
    """Check that `author` signed this state of `folder` with `public`; `SignatureError` if not."""
    body = open_signed(signed, FolderState, labels.SIGN_STATE, public)
    if body.author != author or body.author_key != public or body.folder != folder:
        raise SignatureError("A folder state belongs to another folder, or to another author.")
    sizes = len(body.lineage) == len(body.root) == crypto.HASH_SIZE
    sizes &= len(body.log_head) == LOG_HEAD_SIZE or (not body.log_head and body.version == 1)
    if body.format != FORMAT or len(body.folder) != len(NO_NODE) or not sizes:
        raise RemoteProtocolError("A folder state is malformed.")
    return VerifiedState(body, state_hash(signed), signed)
