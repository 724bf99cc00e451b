"""A portable profile: an identity, its server, and what it knows, for use on another machine.

    portable = packed [format 1, link: text, root: 16, keys, parts]
    keys     = packed private keys with their bundle (see `private`)
    parts    = a map of text to bytes: further data of the profile

Each part has a name and an encoding of its own. A reader ignores names that it does not know, so
that later versions can add parts. A portable profile is always sealed: in an export under a
passphrase (`export`), or in a backup under a recovery phrase (`recovery`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fsproto import crypto
from fsproto.errors import FsError
from fsproto.keys.private import pack_identity, unpack_identity
from fsproto.link import EnrollLink, parse_link
from fsproto.packing import Record, pack, unpack
from fsproto.ranges import Uint63
from fsproto.signed import Signed
from fsproto.types import NO_NODE, NodeId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fsproto.keys.identity import Identity

FORMAT = 1
_MAX_WHAT, _MAX_VERSION = 255, (1 << 63) - 1
PART_SEEN = "seen"
"""The part with the seen versions of folders and files, against rollback: `pack_seen`."""


PART_PEOPLE = "people"
"""The part with other people's keys: `pack_people`."""


class Pinned(Record, frozen=True):
    """The pinned keys of another person, and whether the user compared their fingerprint."""

    user: str
    bundle: bytes
    """Hash of the bundle, 32 bytes."""
    ed25519: bytes
    """32 bytes."""
    compared: bool


class KnownPeople(Record, frozen=True):
    """Other people's keys: the key log as far as the client has read it, and the pins."""

    head: Signed | None
    """The newest head of the log; None if none of it was read."""
    entries: list[bytes]
    pins: list[Pinned]

    @property
    def possible(self) -> bool:
        """Whether all pins have valid sizes; the client verifies the log when it reads it."""
        return all(
            len(pin.bundle) == crypto.HASH_SIZE and len(pin.ed25519) == crypto.ED25519_SIZE
            for pin in self.pins
        )


class Seen(Record, frozen=True):
    """The newest seen version of a folder's state, of a node's manifest, or of a later kind."""

    node: bytes
    what: Uint63
    """1: a folder's state, 2: a node's manifest; 3 to 255 are reserved."""
    version: Uint63
    lineage: bytes
    """The lineage of that version (`proofs.lineage`)."""
    hash: bytes
    """32 bytes."""

    @property
    def possible(self) -> bool:
        """Whether all fields have valid sizes and ranges."""
        sizes = len(self.node) == len(NO_NODE) and len(self.hash) == crypto.HASH_SIZE
        sizes &= len(self.lineage) == crypto.HASH_SIZE
        return sizes and 0 < self.what <= _MAX_WHAT and 0 < self.version <= _MAX_VERSION


class _Seen(Record, frozen=True):
    all: list[Seen]


class _Portable(Record, frozen=True):
    format: int
    link: str
    root: bytes
    keys: bytes
    parts: dict[str, bytes]


@dataclass(frozen=True)
class Portable:
    """An identity with the other data of its profile."""

    identity: Identity
    link: EnrollLink
    """Account and server of the original profile."""
    root: NodeId
    """The root of the person's own tree."""
    parts: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def pack_portable(portable: Portable) -> bytes:
    """Return the whole profile as plaintext bytes; the caller seals them."""
    keys = pack_identity(portable.identity)
    link, parts = str(portable.link), dict(portable.parts)
    return pack(_Portable(FORMAT, link, portable.root, keys, parts))


def unpack_portable(data: bytes) -> Portable:
    """Return the profile; `ValueError` if it is malformed or its parts do not fit together."""
    try:
        body = unpack(data, _Portable)
        link = parse_link(body.link)
    except FsError:
        raise ValueError("not a portable profile") from None
    identity = unpack_identity(body.keys)
    if body.format != FORMAT or len(body.root) != len(NO_NODE) or link.user != identity.user:
        raise ValueError("a portable profile whose parts do not fit together")
    return Portable(identity, link, NodeId(body.root), body.parts)


def pack_people(people: KnownPeople) -> bytes:
    """Return the bytes of the part `PART_PEOPLE`."""
    return pack(people)


def unpack_people(data: bytes) -> KnownPeople:
    """Return the content of the part `PART_PEOPLE`; `ValueError` if it is malformed."""
    try:
        people = unpack(data, KnownPeople)
    except FsError:
        raise ValueError("not other people's keys") from None
    if not people.possible:
        raise ValueError("a pin is malformed")
    return people


def pack_seen(seen: Iterable[Seen]) -> bytes:
    """Return the bytes of the part `PART_SEEN`."""
    return pack(_Seen(list(seen)))


def unpack_seen(data: bytes) -> list[Seen]:
    """Return the content of the part `PART_SEEN`; `ValueError` if it is malformed."""
    try:
        seen = unpack(data, _Seen).all
    except FsError:
        raise ValueError("not what was seen") from None
    if not all(one.possible for one in seen):
        raise ValueError("what was seen is malformed")
    return seen
