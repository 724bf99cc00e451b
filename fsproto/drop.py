"""Drops: uploads by people without fsclient, which the server seals to the recipient.

    wrapped  = sealed to the person's keys (`keys.wrapping`): secret 32, under the info
               "fs/2 wrap drop to person" ‖ drop 16 ‖ the person's name, UTF-8
    file key = HKDF-Expand(secret, "fs/2 drop file key", 32)
    note key = HKDF-Expand(secret, "fs/2 drop note key", 32)
    content  = a stream (`stream`) whose associated data is "fs/2 drop content" ‖ drop
    note     = nonce 12 ‖ AES-256-GCM(note key, nonce, u16 length ‖ packed DropNote ‖ zeros,
               associated data = "fs/2 drop note" ‖ drop ‖ salt ‖ root ‖ u64 sealed size)

There are two keys so that the uploader can still change the name after the server has discarded the
key of the content: the note key opens only the note. A drop is not signed. If it opens, this proves
only that its author knew the recipient's public keys. The server knows them too: it had the
plaintext during the upload, and it can make drops itself. Later it can neither read a drop nor
change a part of it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import IntegrityError, InvalidNameError, RemoteProtocolError
from fsproto.keys.wrapping import open_sealed, seal_to
from fsproto.limits import MAX_DROP_TEXT
from fsproto.names import drop_parts
from fsproto.packing import Record, pack, unpack
from fsproto.ranges import Int64, Uint63
from fsproto.sealed import stream
from fsproto.sealed.padding import fill, unfill
from fsproto.types import DropId, FileKey, Hash, RequestId, Root, Salt
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.keys.identity import Identity, VerifiedBundle
    from fsproto.types import Random

DROP_ID_SIZE = 16
_SIZE = struct.Struct(">Q")


class DropContent(Record, frozen=True):
    """The salt, root and size that identify a drop's sealed content."""

    salt: Salt
    root: Root
    sealed_size: Uint63


class RequestedDrop(Record, frozen=True):
    """The request link with which a drop was sent, and the time by the server's clock."""

    request: RequestId
    arrived_ms: Uint63


class Drop(Record, frozen=True):
    """A drop as the server stores and sends it; the content is downloaded separately."""

    drop: DropId
    bundle: Hash
    """Hash of the bundle to which it is sealed."""
    wrapped: bytes
    note: bytes
    content: DropContent
    arrived: RequestedDrop | None
    """How it arrived; None for a drop that the server sealed itself."""


class DropNote(Record, frozen=True):
    """The facts about a drop that only the recipient can read."""

    name: str
    """One or several names joined by `/`, as chosen by the uploader."""
    size: Uint63
    """Bytes of plaintext."""
    mtime_ns: Int64
    arrived_ms: Uint63
    """When the upload was complete, by the server's clock."""
    key: str
    """Fingerprint of the SSH key used for the upload; empty for a one-time password."""
    label: str
    """The administrator's label for that key."""
    address: str
    """The address of the uploader."""


class DropKeys(Value, frozen=True):
    """The keys that are derived from the secret of a drop."""

    file_key: FileKey
    note_key: bytes

    @classmethod
    def of(cls, secret: bytes) -> DropKeys:
        """Derive both keys (32 bytes each) from a secret of 32 bytes."""
        file_key = FileKey(crypto.hkdf_expand(secret, labels.DROP_FILE_KEY))
        return cls(file_key, crypto.hkdf_expand(secret, labels.DROP_NOTE_KEY))


def content_ad(drop: DropId) -> bytes:
    """Return the associated data of a drop's content."""
    return labels.DROP_CONTENT + drop


def _info(drop: DropId, user: str) -> bytes:
    return labels.DROP_WRAP + drop + user.encode()


def wrap_drop(drop: DropId, secret: bytes, to: VerifiedBundle, random: Random) -> bytes:
    """Seal a drop's secret (32 bytes) to a person; `RemoteProtocolError` for unusable keys."""
    return seal_to(to, _info(drop, to.body.user), secret, random)


def _bound_to(drop: DropId, content: DropContent) -> bytes:
    size = _SIZE.pack(content.sealed_size)
    return labels.DROP_NOTE + drop + content.salt + content.root + size


def seal_note(
    note_key: bytes, drop: DropId, content: DropContent, note: DropNote, random: Random
) -> bytes:
    """Seal a drop's note; a note key seals one note per name, each with a random nonce."""
    nonce = random(crypto.NONCE_SIZE)
    return nonce + crypto.Aead(note_key).seal(nonce, fill(pack(note)), _bound_to(drop, content))


class OpenedDrop(Value, frozen=True):
    """A drop whose parts were verified to belong together; made only by `open_drop`."""

    drop: DropId
    content: DropContent
    file_key: FileKey
    note: DropNote
    parts: tuple[str, ...]
    """The parts of its name, checked to be safe in a path."""


def open_drop(sent: Drop, identity: Identity) -> OpenedDrop:
    """Open a drop with the keys to which it is sealed; `SecurityError` if that fails.

    They may be former keys of the person. The name comes from the uploader or from a dishonest
    server, so it is checked like untrusted input.
    """
    content = sent.content
    check_drop(sent)
    keys = identity.holding(sent.bundle)
    try:
        keys_of = DropKeys.of(open_sealed(sent.wrapped, _info(sent.drop, identity.user), keys))
        nonce, sealed = sent.note[: crypto.NONCE_SIZE], sent.note[crypto.NONCE_SIZE :]
        filled = crypto.Aead(keys_of.note_key).open(nonce, sealed, _bound_to(sent.drop, content))
    except (crypto.CryptoError, ValueError):
        raise IntegrityError(
            "A drop was changed, swapped with another, or is not for you."
        ) from None
    note = _note(filled)
    if stream.sealed_size(note.size) != content.sealed_size:
        raise IntegrityError("The size of a drop differs from the stated size.")
    return OpenedDrop(sent.drop, content, keys_of.file_key, note, received_parts(note.name))


def check_drop(sent: Drop) -> None:
    """Raise `RemoteProtocolError` if the id, salt, root or size of a drop is impossible."""
    content = sent.content
    sizes = len(sent.drop), len(content.salt), len(content.root)
    if sizes != (DROP_ID_SIZE, crypto.HASH_SIZE, crypto.HASH_SIZE):
        raise RemoteProtocolError("A drop is malformed.")
    if not 0 < content.sealed_size < 1 << 63:
        raise RemoteProtocolError("A drop has an impossible size.")


def _note(filled: bytes) -> DropNote:
    packed = unfill(filled)
    if packed is None:
        raise IntegrityError("The note of a drop has a wrong padding.")
    note = unpack(packed, DropNote)
    if any(len(text) > MAX_DROP_TEXT for text in (note.key, note.label, note.address)):
        raise RemoteProtocolError("The note of a drop is too long.")
    if not (abs(note.mtime_ns) < 1 << 63 and 0 <= note.arrived_ms < 1 << 53):
        raise RemoteProtocolError("A drop has an impossible time.")
    return note


def received_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a name in a note; `RemoteProtocolError` for an invalid name."""
    # Here the server sent the bad name; the person who runs the command did not type it.
    try:
        parts = drop_parts(name)
    except InvalidNameError as error:
        raise RemoteProtocolError(f"A drop has an invalid name: {error}") from None
    if "/".join(parts) != name:
        raise RemoteProtocolError("A drop has a name outside its normal form.")
    return parts
