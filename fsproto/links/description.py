"""The sealed description of a public link: what its files are, and what opens and verifies them.

    sealed = commitment 32 ‖ AES-256-GCM(key, twelve zero bytes, u32 length ‖ packed ‖ zeros,
             associated data = "fs/2 public link description" ‖ link id)

`url_secret` says why the nonce may be zero, and what the commitment is for.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from fsproto import crypto, labels
from fsproto.errors import IntegrityError, OutOfSpaceError, RemoteProtocolError
from fsproto.limits import (
    MAX_PATH_PARTS,
    MAX_PUBLIC_LINK_DESCRIPTION,
    MAX_PUBLIC_LINK_FILES,
    MAX_PUBLIC_LINK_NOTE,
)
from fsproto.names import check_received_name
from fsproto.packing import Record, pack, unpack
from fsproto.ranges import Int64, Version
from fsproto.sealed.manifest import NodeKind
from fsproto.sealed.padding import LONG, fill, unfill
from fsproto.sealed.stream import MAX_PLAIN
from fsproto.types import FileKey, NodeId, Root, Salt
from fsproto.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fsproto.links.secret import LinkKeys

_NODE_SIZE = 16


class LinkedFile(Record, frozen=True):
    """One file of a public link, in the version that was linked."""

    path: str
    """Its name, or in a folder the names below it, joined by `/`."""
    size: Annotated[int, Meta(ge=0, le=MAX_PLAIN)]
    """Bytes of plaintext."""
    mtime_ns: Int64
    mode: Literal[0, 1]
    """`Mode.REGULAR` or `Mode.EXECUTABLE`."""
    node: NodeId
    version: Version
    """The node and version for which the content was sealed."""
    salt: Salt
    root: Root
    key: FileKey

    @property
    def parts(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(self.path.split("/"))


class Description(Record, frozen=True):
    """What a public link opens."""

    format: Literal[1]
    kind: NodeKind
    name: str
    note: Annotated[str, Meta(max_length=MAX_PUBLIC_LINK_NOTE)]
    """A text of the owner for the receiver; may be empty."""
    files: Annotated[list[LinkedFile], Meta(max_length=MAX_PUBLIC_LINK_FILES)]
    folders: Annotated[list[str], Meta(max_length=MAX_PUBLIC_LINK_FILES)]
    """The paths of the folders without files."""

    @property
    def size(self) -> int:
        """The bytes of plaintext of all files."""
        return sum(file.size for file in self.files)


class OpenedDescription(Value, frozen=True):
    """A description that was opened and checked; made only by `open_description`."""

    body: Description


def describe(
    kind: NodeKind, name: str, note: str, files: Iterable[LinkedFile], folders: Iterable[str]
) -> Description:
    """Return a description with its files and folders in their order."""
    in_order = sorted(files, key=lambda file: file.path.encode())
    return Description(1, kind, name, note, in_order, sorted(folders, key=str.encode))


def seal_description(keys: LinkKeys, body: Description) -> bytes:
    """Seal the description of a link; the keys must never seal another one.

    `OutOfSpaceError` if it is too large.
    """
    if max(len(body.files), len(body.folders)) > MAX_PUBLIC_LINK_FILES:
        raise _too_large()
    sealed = keys.seal(fill(pack(body), LONG), labels.PUBLIC_LINK + keys.link)
    if len(sealed) > MAX_PUBLIC_LINK_DESCRIPTION:
        raise _too_large()
    return sealed


def open_description(keys: LinkKeys, sealed: bytes) -> OpenedDescription:
    """Open and check the description of a link; `SecurityError` if it is not that of this link."""
    if len(sealed) > MAX_PUBLIC_LINK_DESCRIPTION:
        raise RemoteProtocolError("The server sent a description of the link that is too long.")
    try:
        filled = keys.open(sealed, labels.PUBLIC_LINK + keys.link)
    except crypto.CryptoError:
        raise IntegrityError(
            "The server sent something else than what this link was made for."
        ) from None
    packed = unfill(filled, LONG)
    if packed is None:
        raise RemoteProtocolError("The description of the link has a wrong padding.")
    body = unpack(packed, Description)
    _check(body)
    return OpenedDescription(body)


def _check(body: Description) -> None:
    """Check what the maker of the link may have chosen: `RemoteProtocolError`."""
    check_received_name(body.name)
    for file in body.files:
        sizes = len(file.node), len(file.salt), len(file.root), len(file.key)
        if sizes != (_NODE_SIZE, *[crypto.HASH_SIZE] * 3):
            raise RemoteProtocolError("The description of the link is malformed.")
    paths = [file.path for file in body.files]
    if body.kind is NodeKind.FILE:
        if paths != [body.name] or body.folders:
            raise RemoteProtocolError("The link of a file describes something else than one file.")
        return
    for some in (paths, body.folders):
        if any(a.encode() >= b.encode() for a, b in itertools.pairwise(some)):
            raise RemoteProtocolError("The description of the link names a file twice.")
    known: set[str] = set()
    for path in (*paths, *body.folders):
        known |= _folders_above(path)
    if not known.isdisjoint(paths) or not known.isdisjoint(body.folders):
        raise RemoteProtocolError("The description of the link has a file that is also a folder.")
    if not set(paths).isdisjoint(body.folders):
        raise RemoteProtocolError("The description of the link has a file that is also a folder.")


def _folders_above(path: str) -> set[str]:
    """Return the folders that a path names above its last name, after a check of all names."""
    parts = path.split("/")
    if len(parts) > MAX_PATH_PARTS:
        raise RemoteProtocolError("The description of the link has a path that is too long.")
    for part in parts:
        check_received_name(part)
    return {"/".join(parts[:count]) for count in range(1, len(parts))}


def _too_large() -> OutOfSpaceError:
    return OutOfSpaceError(
        f"One link cannot open so many files; it holds about {MAX_PUBLIC_LINK_FILES:,}.",
        hint="Link folders further down, or link one archive of the files.",
    )
