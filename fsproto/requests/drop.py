"""Drops that uploaders seal to the owner of a request link, before the server gets them.

    wrapped  = sealed to the owner's keys (`keys.wrapping`): secret 32, under the info
               "fs/2 wrap requested drop to person" ‖ request id ‖ drop 16 ‖ the owner's name, UTF-8
    file key ‖ note key = HKDF(secret ‖ mark, salt = request id, "fs/2 requested drop keys", 64)
    content  = a stream (`stream`) whose associated data is "fs/2 drop content" ‖ drop
    note     = nonce 12 ‖ AES-256-GCM(note key, nonce, u16 length ‖ packed RequestNote ‖ zeros,
               associated data = "fs/2 requested drop note" ‖ request id ‖ drop ‖ salt ‖ root ‖
               u64 sealed size)

The request id and the mark of the request link are in the keys. So a drop opens only as one of the
request link with whose URL it was sealed, and only a person with the URL (and the password) can
make it. It is not signed: anyone with the URL can.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from fsproto import crypto, labels
from fsproto.drop import DROP_ID_SIZE, check_drop, received_parts
from fsproto.errors import IntegrityError
from fsproto.keys.wrapping import open_sealed, seal_to
from fsproto.limits import MAX_DROP_TEXT
from fsproto.packing import Record, pack, unpack
from fsproto.ranges import Int64
from fsproto.sealed import integrity, stream
from fsproto.sealed.padding import fill, unfill
from fsproto.types import DropId, FileKey, RequestId, Salt
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.drop import Drop, DropContent
    from fsproto.keys.identity import Identity, NamedBundle
    from fsproto.types import Random

_SIZE = struct.Struct(">Q")


class RequestNote(Record, frozen=True):
    """What the uploader says about a file; only the owner can read it."""

    format: Literal[1]
    name: str
    """One or several names joined by `/`."""
    size: Annotated[int, Meta(ge=0, le=stream.MAX_PLAIN)]
    """Bytes of plaintext."""
    mtime_ns: Int64
    sender: Annotated[str, Meta(max_length=MAX_DROP_TEXT)]
    """How the uploader signs; may be empty. Nothing proves it."""


class RequestDropKeys(Value, frozen=True):
    """The keys of one drop of a request link."""

    file_key: FileKey
    note_key: bytes

    def __repr__(self) -> str:
        return "RequestDropKeys(…)"

    @classmethod
    def of(cls, request: RequestId, secret: bytes, mark: bytes) -> RequestDropKeys:
        """Derive both keys (32 bytes each) from the secret of a drop and a mark (32 bytes each)."""
        both = crypto.hkdf(
            secret + mark,
            salt=request,
            info=labels.REQUEST_DROP_KEYS,
            length=2 * crypto.KEY_SIZE,
        )
        return cls(FileKey(both[: crypto.KEY_SIZE]), both[crypto.KEY_SIZE :])


class NewDrop(Value, frozen=True):
    """A drop that is being sealed; its keys seal one content and one note."""

    request: RequestId
    drop: DropId
    salt: Salt
    keys: RequestDropKeys
    secret: bytes
    """The secret of the drop (32 bytes), from which its keys follow."""
    wrapped: bytes

    def __repr__(self) -> str:
        return f"NewDrop(drop={self.drop!r})"

    @classmethod
    def to(cls, owner: NamedBundle, request: RequestId, mark: bytes, random: Random) -> NewDrop:
        """Draw the id and the keys of a drop; `RemoteProtocolError` for unusable public keys."""
        drop, secret = DropId(random(DROP_ID_SIZE)), random(crypto.KEY_SIZE)
        return cls(
            request,
            drop,
            Salt(random(integrity.SALT_SIZE)),
            RequestDropKeys.of(request, secret, mark),
            secret,
            seal_to(owner, _info(request, drop, owner.body.user), secret, random),
        )

    def seal_note(self, content: DropContent, note: RequestNote, random: Random) -> bytes:
        """Seal the note, when the content is complete."""
        nonce = random(crypto.NONCE_SIZE)
        cipher = crypto.Aead(self.keys.note_key)
        binding = _binding(self.request, self.drop, content)
        return nonce + cipher.seal(nonce, fill(pack(note)), binding)


class OpenedRequestDrop(Value, frozen=True):
    """A drop of a request link whose parts belong together; made only by `open_request_drop`."""

    drop: DropId
    content: DropContent
    file_key: FileKey
    note: RequestNote
    parts: tuple[str, ...]
    """The parts of its name, checked to be safe in a path."""
    request: RequestId


def open_request_drop(
    sent: Drop, request: RequestId, mark: bytes, identity: Identity
) -> OpenedRequestDrop:
    """Open a drop of a request link, with its mark; `SecurityError` if that fails.

    The name comes from the uploader, so it is checked like untrusted input.
    """
    check_drop(sent)
    keys = identity.holding(sent.bundle)
    info = _info(request, sent.drop, identity.user)
    try:
        of_drop = RequestDropKeys.of(request, open_sealed(sent.wrapped, info, keys), mark)
        nonce, sealed = sent.note[: crypto.NONCE_SIZE], sent.note[crypto.NONCE_SIZE :]
        binding = _binding(request, sent.drop, sent.content)
        filled = crypto.Aead(of_drop.note_key).open(nonce, sealed, binding)
    except (crypto.CryptoError, ValueError):
        raise IntegrityError(
            "A drop was changed, swapped with another, or not sent with this request link."
        ) from None
    packed = unfill(filled)
    if packed is None:
        raise IntegrityError("The note of a drop has a wrong padding.")
    note = unpack(packed, RequestNote)
    if stream.sealed_size(note.size) != sent.content.sealed_size:
        raise IntegrityError("The size of a drop differs from the stated size.")
    parts = received_parts(note.name)
    return OpenedRequestDrop(sent.drop, sent.content, of_drop.file_key, note, parts, request)


def _info(request: RequestId, drop: DropId, user: str) -> bytes:
    return labels.REQUEST_DROP_WRAP + request + drop + user.encode()


def _binding(request: RequestId, drop: DropId, content: DropContent) -> bytes:
    size = _SIZE.pack(content.sealed_size)
    return labels.REQUEST_DROP_NOTE + request + drop + content.salt + content.root + size
