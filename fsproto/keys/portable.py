"""What another machine needs to be the same person: an identity, where it belongs, what it knows.

    portable = packed [format 1, link: text, root: 16, keys, parts]
    keys     = packed private keys with their bundle (see `private`)
    parts    = a map of text to bytes: what else is worth taking along

A part is known by its name and packed as it likes; whoever does not know a name passes over it, so
new ones can come. It travels sealed: in an export under a passphrase (`exported`), in a backup
under a recovery phrase (`recovery`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fsproto import crypto
from fsproto.errors import FsError
from fsproto.keys.private import pack_identity, unpack_identity
from fsproto.link import EnrollLink, parse_link
from fsproto.packing import Record, pack, unpack
from fsproto.signed import Signed
from fsproto.types import NO_NODE, NodeId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fsproto.keys.identity import Identity

FORMAT = 1
_MAX_WHAT, _MAX_VERSION = 255, (1 << 63) - 1
PART_SEEN = "seen"
"""The newest versions seen of folders and files, against rollback: `pack_seen`."""


PART_PEOPLE = "people"
"""Other people's keys: `pack_people`."""


class Pinned(Record, frozen=True):
    """The keys of somebody that were used, and whether they were compared with the person's own."""

    user: str
    bundle: bytes
    """Hash of the bundle, 32 bytes."""
    ed25519: bytes
    """32 bytes."""
    compared: bool


class KnownPeople(Record, frozen=True):
    """What is known of other people's keys: the key log as far as it was read, and the pins."""

    head: Signed | None
    """The newest head of the log; None if none of it was read."""
    entries: list[bytes]
    pins: list[Pinned]

    @property
    def possible(self) -> bool:
        """Tell whether all pins can be ones; the log is checked by whoever reads it."""
        return all(
            len(pin.bundle) == crypto.HASH_SIZE and len(pin.ed25519) == crypto.ED25519_SIZE
            for pin in self.pins
        )


class Seen(Record, frozen=True):
    """The newest version seen of a folder's state, of a node's manifest, or what else may come."""

    node: bytes
    what: int
    """1: a folder's state, 2: a node's manifest; others, up to 255, may come."""
    version: int
    hash: bytes
    """32 bytes."""

    @property
    def possible(self) -> bool:
        """Tell whether there can be such a version."""
        sizes = len(self.node) == len(NO_NODE) and len(self.hash) == crypto.HASH_SIZE
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
    """An identity with what belongs to it."""

    identity: Identity
    link: EnrollLink
    """Account and server of the profile that it was made from."""
    root: NodeId
    """The root of the person's own tree."""
    parts: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def pack_portable(portable: Portable) -> bytes:
    """Return all of it as plain bytes; they are for sealing."""
    keys = pack_identity(portable.identity)
    link, parts = str(portable.link), dict(portable.parts)
    return pack(_Portable(FORMAT, link, portable.root, keys, parts))


def unpack_portable(data: bytes) -> Portable:
    """Return what was packed; `ValueError` if the bytes are not one person's, or of this format."""
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
    """Return what was packed; `ValueError` for anything else."""
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
    """Return what was packed; `ValueError` for anything else."""
    try:
        seen = unpack(data, _Seen).all
    except FsError:
        raise ValueError("not what was seen") from None
    if not all(one.possible for one in seen):
        raise ValueError("what was seen is malformed")
    return seen
