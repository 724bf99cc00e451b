"""The sealed description of a request link: whose keys to seal to, and what the owner asks for.

    sealed = commitment 32 ‖ AES-256-GCM(key, twelve zero bytes, u16 length ‖ packed ‖ zeros,
             associated data = "fs/2 request link description" ‖ request id ‖ hash of the bundle)

The hash of the bundle is in the URL. So another person with the URL cannot help a server to give
other keys: the hash is checked again when the description is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from fsproto import crypto, labels
from fsproto.errors import IntegrityError, RemoteProtocolError, UsageError
from fsproto.keys.identity import NamedBundle, named_bundle
from fsproto.limits import MAX_REQUEST_DESCRIPTION, MAX_REQUEST_FILES, MAX_REQUEST_NOTE
from fsproto.packing import Record, pack, unpack
from fsproto.ranges import Uint63
from fsproto.sealed.padding import fill, unfill
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.requests.secret import RequestKeys
    from fsproto.types import Hash


class RequestDescription(Record, frozen=True):
    """What an uploader sees of a request link."""

    format: Literal[1]
    note: Annotated[str, Meta(max_length=MAX_REQUEST_NOTE)]
    """A text of the owner for the uploader; may be empty."""
    bundle: bytes
    """The payload of the owner's bundle."""
    expires_ms: Uint63 | None
    max_files: Annotated[int, Meta(ge=1, le=MAX_REQUEST_FILES)] | None
    max_bytes: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)] | None
    """Bytes of plaintext, for all files together."""


class OpenedRequest(Value, frozen=True):
    """A description that was opened and checked; made only by `open_request`."""

    body: RequestDescription
    owner: NamedBundle


def seal_request(keys: RequestKeys, bundle: Hash, body: RequestDescription) -> bytes:
    """Seal the description of a request link; the keys must never seal another one."""
    sealed = keys.seal(fill(pack(body)), _binding(keys, bundle))
    if len(sealed) > MAX_REQUEST_DESCRIPTION:
        raise UsageError("The note of the request link is too long.")
    return sealed


def open_request(keys: RequestKeys, bundle: Hash, sealed: bytes) -> OpenedRequest:
    """Open and check a description; `SecurityError` if it is not that of this URL.

    `bundle` is the hash in the URL.
    """
    if len(sealed) > MAX_REQUEST_DESCRIPTION:
        raise RemoteProtocolError("The server sent a description that is too long.")
    try:
        filled = keys.open(sealed, _binding(keys, bundle))
    except crypto.CryptoError:
        raise IntegrityError(
            "The server sent something else than what this request link was made for."
        ) from None
    packed = unfill(filled)
    if packed is None:
        raise RemoteProtocolError("The description of the request link has a wrong padding.")
    body = unpack(packed, RequestDescription)
    return OpenedRequest(body, named_bundle(body.bundle, bundle))


def _binding(keys: RequestKeys, bundle: Hash) -> bytes:
    return labels.REQUEST + keys.request + bundle
