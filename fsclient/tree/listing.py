"""A listing as it arrives: proved as a whole, and kept in memory only as far as it is short.

Only the root of a folder's state proves a listing, and that comes last. A dishonest server could
fill the memory before that. So a long listing is first stored in a temporary database, and read
from there after its root was verified.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from fsclient.spill import spill_errors, temporary_database
from fsproto.errors import IntegrityError, RemoteProtocolError
from fsproto.limits import MAX_ENTRIES, MAX_LISTING, MAX_MANIFEST
from fsproto.packing import decoder_of
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree, place_of, root_of
from fsproto.sealed.manifest import VerifiedManifest, manifest_hash, unproved_manifest
from fsproto.signed import Signed
from fsproto.types import Hash, NodeId, Token

_IN_MEMORY = 10 << 20
"""Bytes of manifests, about 13,000; those that were read take about three times as much."""
_SCHEMA = (
    "CREATE TABLE listed (payload BLOB NOT NULL, signature BLOB NOT NULL);"
    "CREATE TABLE leaves (place BLOB NOT NULL, leaf BLOB NOT NULL)"
)


class _Start(msgspec.Struct, frozen=True, array_like=True):
    """The first fields of a manifest; the others are skipped."""

    format: int
    node: NodeId
    parent: NodeId
    kind: int
    version: int
    lineage: Hash
    token: Token


class AskedListing(NamedTuple):
    """A request for a listing, and the memory's mark from before it was sent."""

    request: int
    mark: int
    stored: bool
    """Whether only the state was asked for, because a listing is stored."""


class Listing:
    """The manifests of one folder, before and after they are proved."""

    def __init__(self, most: int = MAX_ENTRIES, most_bytes: int = MAX_LISTING) -> None:
        """`most` entries with `most_bytes` bytes are accepted."""
        self._most, self._most_bytes = most, most_bytes
        self._count = self._bytes = 0
        self._short: list[Signed] = []
        self._long: sqlite3.Connection | None = None

    def add(self, part: Sequence[Signed]) -> None:
        """Add a part; `SecurityError` if it is empty, or more than a folder can have."""
        if not part:
            raise RemoteProtocolError("The server sent a part of a listing with nothing in it.")
        self._count += len(part)
        self._bytes += sum(len(one.payload) + len(one.signature) for one in part)
        if self._count > self._most or self._bytes > self._most_bytes:
            raise RemoteProtocolError("The server lists more than a folder can have.")
        if any(len(one.payload) > MAX_MANIFEST for one in part):
            raise IntegrityError("The server sent a manifest that is too long.")
        if self._long is not None:
            _store(self._long, part)
            return
        self._short += part
        if self._bytes > _IN_MEMORY:
            self._long = temporary_database(_SCHEMA)
            _store(self._long, self._short)
            self._short = []

    def proved(self, root: Hash) -> tuple[list[VerifiedManifest], PrefixTree]:
        """Return all manifests, and the tree over their entries.

        Raises `IntegrityError` unless the tree has this root.
        """
        listed: Iterable[Signed] = self._short
        if self._long is not None:
            with spill_errors():
                _check(root_of(self._long.execute("SELECT * FROM leaves ORDER BY place")), root)
            listed = _stored(self._long)
        manifests = [unproved_manifest(one) for one in listed]
        bodies = ((one.body, one.hash) for one in manifests)
        tree = PrefixTree.build(FolderEntry(body.token, body.node, of) for body, of in bodies)
        _check(tree.root, root)
        return manifests, tree

    def close(self) -> None:
        """Forget everything."""
        if self._long is not None:
            self._long.close()


def _store(db: sqlite3.Connection, part: Sequence[Signed]) -> None:
    with spill_errors():
        rows = ((one.payload, one.signature) for one in part)
        db.executemany("INSERT INTO listed VALUES (?, ?)", rows)
        db.executemany("INSERT INTO leaves VALUES (?, ?)", map(_leaf, part))


def _stored(db: sqlite3.Connection) -> Iterator[Signed]:
    with spill_errors():
        for payload, signature in db.execute("SELECT * FROM listed ORDER BY rowid"):
            yield Signed(payload, signature)


def _leaf(signed: Signed) -> tuple[bytes, Hash]:
    """Return the place and the root of the entry that names a manifest, which is not verified."""
    try:
        start: _Start = decoder_of(_Start).decode(signed.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RemoteProtocolError("The server sent a Manifest that cannot be read.") from None
    return place_of(start.token), FolderEntry(start.token, start.node, manifest_hash(signed)).root


def _check(found: Hash, root: Hash) -> None:
    if found != root:
        raise IntegrityError("The server hid, added or changed something in a folder.")
