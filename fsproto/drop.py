"""Drops: what somebody without our client uploads, sealed to a person by the server as it comes.

    wrapped  = sealed to the person's keys (`keys.wrapping`): secret 32, under the info
               "fs/1 wrap drop to person" ‖ drop 16 ‖ the person's name, UTF-8
    file key = HKDF-Expand(secret, "fs/1 drop file key", 32)
    note key = HKDF-Expand(secret, "fs/1 drop note key", 32)
    content  = a stream (`stream`) whose associated data is "fs/1 drop content" ‖ drop
    note     = nonce 12 ‖ AES-256-GCM(note key, nonce, u16 length ‖ packed DropNote ‖ zeros,
               associated data = "fs/1 drop note" ‖ drop ‖ salt ‖ root ‖ u64 sealed size)

Two keys, so that who uploads can still change the name while the key of the content is forgotten:
the note key alone opens nothing else. Nobody signs a drop. That it opens says that whoever made it
knew the person's public keys, which the server does: the plaintext was in its hands once, and it
can make drops of its own. What it cannot do later is read one, or alter a part of one.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import IntegrityError, InvalidNameError, RemoteProtocolError
from fsproto.keys.wrapping import open_sealed, seal_to
from fsproto.limits import MAX_DROP_TEXT, METADATA_BLOCK
from fsproto.names import drop_parts
from fsproto.packing import Record, pack, unpack
from fsproto.sealed import stream
from fsproto.types import DropId, FileKey, Hash, Root, Salt
from fsproto.values import Value

if TYPE_CHECKING:
    from fsproto.keys.identity import Identity, VerifiedBundle
    from fsproto.types import Random

DROP_ID_SIZE = 16
_FILLED = struct.Struct(">H")
_SIZE = struct.Struct(">Q")


class DropContent(Record, frozen=True):
    """What a drop's sealed content is known by."""

    salt: Salt
    root: Root
    sealed_size: int


class Drop(Record, frozen=True):
    """A drop as the server keeps it and hands it out; its content is asked for apart."""

    drop: DropId
    bundle: Hash
    """Hash of the bundle that it is sealed to."""
    wrapped: bytes
    note: bytes
    content: DropContent


class DropNote(Record, frozen=True):
    """What only the person learns of a drop."""

    name: str
    """One or several names joined by `/`, as whoever uploaded it called it."""
    size: int
    """Bytes of plaintext."""
    mtime_ns: int
    arrived_ms: int
    """When all of it had come, by the server's clock."""
    key: str
    """Fingerprint of the SSH key that logged in for it; empty for a one-time password."""
    label: str
    """What the administrator calls that key."""
    address: str
    """Where it came from."""


class DropKeys(Value, frozen=True):
    """What follows from the secret of a drop."""

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
    """Seal what is said of a drop; a note key seals one note a name, with a random nonce each."""
    packed = pack(note)
    filled = _FILLED.pack(len(packed)) + packed
    filled += bytes(-len(filled) % METADATA_BLOCK)
    nonce = random(crypto.NONCE_SIZE)
    return nonce + crypto.Aead(note_key).seal(nonce, filled, _bound_to(drop, content))


class OpenedDrop(Value, frozen=True):
    """A drop whose parts were found to belong together; made only by `open_drop`."""

    drop: DropId
    content: DropContent
    file_key: FileKey
    note: DropNote
    parts: tuple[str, ...]
    """The names that its name is made of: safe ones, of which a path can be built."""


def open_drop(sent: Drop, identity: Identity) -> OpenedDrop:
    """Open a drop with the keys that it is sealed to, or a `SecurityError`.

    That may be former ones of the person. Its name comes from whoever uploaded it, or from a
    server that lies, and is held to what a name may be.
    """
    content = sent.content
    sizes = len(sent.drop), len(content.salt), len(content.root)
    if sizes != (DROP_ID_SIZE, crypto.HASH_SIZE, crypto.HASH_SIZE):
        raise RemoteProtocolError("A drop from the server is malformed.")
    if not 0 < content.sealed_size < 1 << 63:
        raise RemoteProtocolError("A drop from the server has a size that none has.")
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
    if note.size < 0 or stream.sealed_size(note.size) != content.sealed_size:
        raise IntegrityError("A drop has another size than is said of it.")
    return OpenedDrop(sent.drop, content, keys_of.file_key, note, _parts(note.name))


def _note(filled: bytes) -> DropNote:
    if len(filled) < _FILLED.size:
        raise IntegrityError("What is said of a drop is empty.")
    length = _FILLED.unpack_from(filled)[0]
    note = unpack(filled[_FILLED.size : _FILLED.size + length], DropNote)
    if any(len(text) > MAX_DROP_TEXT for text in (note.key, note.label, note.address)):
        raise RemoteProtocolError("What is said of a drop is too long.")
    if not (abs(note.mtime_ns) < 1 << 63 and 0 <= note.arrived_ms < 1 << 53):
        raise RemoteProtocolError("A drop has a time that none has.")
    return note


def _parts(name: str) -> tuple[str, ...]:
    # A bad name is the server's fault here, not that of the person who types a command.
    try:
        parts = drop_parts(name)
    except InvalidNameError as error:
        raise RemoteProtocolError(f"A drop has a name that is refused: {error}") from None
    if "/".join(parts) != name:
        raise RemoteProtocolError("A drop has a name that is not in its normal form.")
    return parts
