"""The owner's record of a request link: what the owner's devices need to open its drops.

    record = nonce 12 ‖ AES-256-GCM(record key, nonce, u16 length ‖ packed ‖ zeros,
             associated data = "fs/2 request link record" ‖ request id ‖ hash of the bundle)

The record key follows from the key of the owner's root node, which no member and no server has. So
the server can neither read a record nor make one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from fsproto import crypto, labels
from fsproto.errors import IntegrityError, RemoteProtocolError
from fsproto.limits import MAX_REQUEST_NOTE
from fsproto.packing import Record, pack, unpack
from fsproto.requests.secret import MARK_SIZE
from fsproto.sealed.padding import fill, unfill

if TYPE_CHECKING:
    from fsproto.keys.tree import KeyedNode
    from fsproto.types import Hash, Random, RequestId


class RequestRecord(Record, frozen=True):
    """What the owner knows of a request link."""

    format: Literal[1]
    folder: str
    """The path of the folder into which accepted files go: names joined by `/`."""
    note: Annotated[str, Meta(max_length=MAX_REQUEST_NOTE)]
    """The note that uploaders see."""
    mark: bytes
    """The mark of the request link (32 bytes), which opens its drops."""

    def __repr__(self) -> str:
        return f"RequestRecord(folder={self.folder!r})"


def seal_record(
    root: KeyedNode, request: RequestId, bundle: Hash, record: RequestRecord, random: Random
) -> bytes:
    """Seal a record under the current key of the owner's root node."""
    filled = fill(pack(record))
    nonce = random(crypto.NONCE_SIZE)
    return nonce + _cipher(root).seal(nonce, filled, labels.REQUEST_RECORD + request + bundle)


def open_record(
    root: KeyedNode, generation: int, request: RequestId, bundle: Hash, sealed: bytes
) -> RequestRecord:
    """Open a record; `IntegrityError` if it is not the owner's record of this request link.

    `generation` is that of the root's key with which the record was sealed, `bundle` the hash of
    the bundle that the drops are sealed to.
    """
    nonce, rest = sealed[: crypto.NONCE_SIZE], sealed[crypto.NONCE_SIZE :]
    binding = labels.REQUEST_RECORD + request + bundle
    try:
        filled = _cipher(root.at(generation)).open(nonce, rest, binding)
    except (crypto.CryptoError, ValueError):
        raise _not_ours() from None
    packed = unfill(filled)
    if packed is None:
        raise _not_ours()
    record = unpack(packed, RequestRecord)
    if len(record.mark) != MARK_SIZE:
        raise RemoteProtocolError("The record of a request link is malformed.")
    return record


def _cipher(root: KeyedNode) -> crypto.Aead:
    return crypto.Aead(crypto.hkdf_expand(root.key, labels.NODE_REQUEST_KEY))


def _not_ours() -> IntegrityError:
    return IntegrityError(
        "A request link in the server's list was not made by you, or was changed."
    )
