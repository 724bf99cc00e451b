"""Manifests: what a writer signs for each version of a node, and the metadata sealed in it.

The server sees a manifest whole; names, sizes, times and file keys are inside `metadata`:

    metadata = nonce 12 ‖ AES-256-GCM(metadata key of the node, u16 length ‖ packed ‖ zeros,
               associated data = "fs/1 metadata" ‖ node ‖ u64 version ‖ u32 generation)

The zeros fill it to a multiple of 128 bytes, so that its size does not tell a name's.
The nonce is random: a node's key seals one metadata a version, far fewer than 2^32.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fsproto import crypto, labels
from fsproto.errors import (
    IntegrityError,
    InvalidNameError,
    RemoteProtocolError,
    SignatureError,
)
from fsproto.limits import (
    LOG_HEAD_SIZE,
    MAX_FORMER,
    MAX_GENERATION,
    MAX_METADATA,
    METADATA_BLOCK,
)
from fsproto.names import clean_name
from fsproto.packing import Record, pack, unpack
from fsproto.signed import Signed, Verifier, payload_hash, sign, sign_many
from fsproto.types import NO_NODE, DropId, FileKey, Hash, NodeId, Root, Salt, Token
from fsproto.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fsproto.types import Random

FORMAT = 1
_BINDING = struct.Struct(">QI")
_FILLED = struct.Struct(">H")
_SIX = b"\x96"
"""How msgpack begins an array of six."""


class NodeKind(enum.IntEnum):
    """What a node is."""

    FILE = 1
    FOLDER = 2


class Mode(enum.IntEnum):
    """What a file's content is to be on a disk; the server cannot tell one from the other."""

    REGULAR = 0
    EXECUTABLE = 1
    SYMLINK = 2
    """A symbolic link: the content is where it leads, as the file system it comes from has it."""


class Content(Record, frozen=True):
    """What ties a manifest to one sealed blob."""

    version: int
    """The node's version that this content was sealed for; a move keeps the content's."""
    salt: Salt
    root: Root
    sealed_size: int
    commitment: bytes
    """32 bytes that commit to the file key."""


class Manifest(Record, frozen=True):
    """One version of one node, as its author signed it."""

    format: int
    node: NodeId
    parent: NodeId
    """The folder it lies in; 16 zero bytes for a root."""
    kind: NodeKind
    version: int
    """1, 2, 3 … without a gap."""
    previous: Hash
    """Hash of the version before; 32 zero bytes for the first."""
    token: Token
    """What the server looks its name up by; 32 zero bytes for a root."""
    link: bytes
    """Its node key, sealed to the parent; empty for a root, whose key comes in a grant."""
    link_generation: int
    """Generation of the parent's key that sealed the link."""
    generation: int
    """Generation of its own node key, from 1."""
    names_since: int
    """The oldest generation of its key under which something in it may have its token."""
    former: bytes
    """Its keys of the generations before, sealed under this one; empty in the first."""
    metadata: bytes
    content: Content | None
    """None for a folder."""
    author: str
    author_key: bytes
    """The author's Ed25519 public key, 32 bytes."""
    time_ms: int
    """When the author signed it, by the author's clock: Unix time in milliseconds."""
    log_head: bytes
    """Size and root of the key log the author had seen: u64 ‖ 32 bytes; empty if none."""


class Metadata(Record, frozen=True):
    """What only people with the node's key know of it."""

    name: str
    size: int
    """Bytes of plaintext; 0 for a folder."""
    mtime_ns: int
    mode: Mode
    """`REGULAR` for a folder."""
    file_key: FileKey | None
    """32 bytes; None for a folder."""


class Dropped(Record, frozen=True):
    """Where a file came from that its author accepted from the drop box.

    Its author had it from the server, which saw it as it came; nobody vouches for more.
    """

    drop: DropId
    arrived_ms: int
    key: str
    """Fingerprint of the SSH key that logged in for it; empty for a one-time password."""
    label: str
    """What the administrator called that key."""
    address: str


class DroppedMetadata(Metadata, frozen=True):
    """Metadata of a file that came through the drop box: one field more at the end."""

    dropped: Dropped


def dropped_of(metadata: Metadata) -> Dropped | None:
    """Return where a file came from, if it came through the drop box."""
    return metadata.dropped if isinstance(metadata, DroppedMetadata) else None


def renamed(was: Metadata, name: str) -> Metadata:
    """Return what metadata says, under another name."""
    return replace(was, name=name)


def described(was: Metadata, mtime_ns: int, mode: Mode) -> Metadata:
    """Return what metadata says of the same content, with another time and mode."""
    return replace(was, mtime_ns=mtime_ns, mode=mode)


def seal_metadata(
    key: bytes, node: NodeId, version: int, generation: int, metadata: Metadata, *, random: Random
) -> bytes:
    """Seal under a node's metadata key (32 bytes)."""
    packed = pack(metadata)
    filled = _FILLED.pack(len(packed)) + packed
    filled += bytes(-len(filled) % METADATA_BLOCK)
    nonce = random(crypto.NONCE_SIZE)
    binding = labels.METADATA + node + _BINDING.pack(version, generation)
    return nonce + crypto.Aead(key).seal(nonce, filled, binding)


def open_metadata(key: bytes, manifest: Manifest) -> Metadata:
    """Open the metadata of a manifest; `IntegrityError` if it was not sealed for just this one.

    The name comes from whoever wrote it, so it is checked like one typed by a stranger.
    """
    sealed = manifest.metadata
    binding = labels.METADATA + manifest.node + _BINDING.pack(manifest.version, manifest.generation)
    try:
        filled = crypto.Aead(key).open(
            sealed[: crypto.NONCE_SIZE], sealed[crypto.NONCE_SIZE :], binding
        )
    except (crypto.CryptoError, ValueError):
        raise IntegrityError("The sealed metadata of a file or folder was changed.") from None
    if len(filled) < _FILLED.size:
        raise IntegrityError("The sealed metadata of a file or folder is empty.")
    length = _FILLED.unpack_from(filled)[0]
    packed = filled[_FILLED.size : _FILLED.size + length]
    # An array of six is of a file that was dropped, and one of five of any other.
    metadata = unpack(packed, DroppedMetadata if packed[:1] == _SIX else Metadata)
    if manifest.parent != NO_NODE:
        _check_name(metadata.name)
    is_folder = manifest.content is None
    if (metadata.file_key is None) != is_folder or (
        is_folder and (metadata.mode or dropped_of(metadata))
    ):
        raise RemoteProtocolError("A manifest and its metadata disagree about what they describe.")
    return metadata


def _check_name(name: str) -> None:
    # A bad name is the writer's fault here, not that of the person who types a command.
    try:
        normal = clean_name(name)
    except InvalidNameError as error:
        raise RemoteProtocolError(f"A file or folder has a name that is refused: {error}") from None
    if normal != name:
        raise RemoteProtocolError("A file or folder has a name that is not in its normal form.")


class VerifiedManifest(Value, frozen=True):
    """A manifest that something trusted vouches for; made only by the functions below."""

    body: Manifest
    hash: Hash
    signed: Signed


def manifest_hash(signed: Signed) -> Hash:
    """Return the hash by which folder states and next versions refer to a manifest."""
    return payload_hash(labels.HASH_MANIFEST, signed.payload)


def sign_manifest(key: crypto.SigningKey, body: Manifest) -> VerifiedManifest:
    """Sign one's own."""
    signed = sign(key, labels.SIGN_MANIFEST, body)
    return VerifiedManifest(body, manifest_hash(signed), signed)


class DraftManifest(Value, frozen=True):
    """A manifest that is packed, so that its hash is known, and not yet signed."""

    body: Manifest
    payload: bytes
    hash: Hash


def draft_manifest(body: Manifest) -> DraftManifest:
    """Pack a manifest."""
    payload = pack(body)
    return DraftManifest(body, payload, payload_hash(labels.HASH_MANIFEST, payload))


def sign_manifests(
    key: crypto.SigningKey, drafts: Sequence[DraftManifest]
) -> list[VerifiedManifest]:
    """Sign one's own, many at once."""
    payloads = [draft.payload for draft in drafts]
    signed = sign_many(key, labels.SIGN_MANIFEST, labels.SIGN_MANIFESTS, payloads)
    return [VerifiedManifest(d.body, d.hash, s) for d, s in zip(drafts, signed, strict=True)]


def pinned_manifest(signed: Signed, expected: Hash) -> VerifiedManifest:
    """Read a manifest whose hash a verified folder state names; `IntegrityError` otherwise.

    The state's author vouches for it. Who wrote it is known only after `verify_author`.
    """
    if not crypto.equal(manifest_hash(signed), expected):
        raise IntegrityError("The server sent another manifest than the folder's signature names.")
    return VerifiedManifest(_checked(unpack(signed.payload, Manifest)), expected, signed)


def older_manifest(signed: Signed, newer: VerifiedManifest) -> VerifiedManifest:
    """Read the version before `newer`, which names its hash; `IntegrityError` for any other.

    Whoever signed `newer` vouches for it, as for `pinned_manifest`.
    """
    after = newer.body
    if after.version == 1 or not crypto.equal(manifest_hash(signed), after.previous):
        raise IntegrityError("The server changed, swapped or made up an older version.")
    body = _checked(unpack(signed.payload, Manifest))
    if (body.node, body.version, body.kind) != (after.node, after.version - 1, after.kind):
        raise IntegrityError("A version names one before it that is of something else.")
    return VerifiedManifest(body, after.previous, signed)


def verify_author(signed: Signed, author: str, public: bytes | Verifier) -> VerifiedManifest:
    """Check the author's own signature; `SignatureError` unless `author` made it with `public`.

    Whoever checks many of one author gives a `Verifier`, which checks what they share once.
    """
    key = public if isinstance(public, Verifier) else Verifier(public)
    _check_signature(signed, key)
    body = unpack(signed.payload, Manifest)
    manifest = VerifiedManifest(_checked(body), manifest_hash(signed), signed)
    _check_names(body, author, key)
    return manifest


def check_author(manifest: VerifiedManifest, author: str, key: Verifier) -> None:
    """Check who signed a manifest that something else vouches for; `SignatureError` as above."""
    _check_signature(manifest.signed, key)
    _check_names(manifest.body, author, key)


def _check_signature(signed: Signed, key: Verifier) -> None:
    try:
        key.verify(signed, labels.SIGN_MANIFEST, labels.SIGN_MANIFESTS)
    except crypto.CryptoError:
        raise SignatureError("The signature on a manifest does not verify.") from None


def _check_names(body: Manifest, author: str, key: Verifier) -> None:
    if body.author != author or body.author_key != key.public:
        raise SignatureError("A manifest names another author than the one who signed it.")


def _checked(body: Manifest) -> Manifest:
    """Return `body` if its fields have the shapes their types promise."""
    shapes = [
        body.format == FORMAT,
        len(body.node) == len(body.parent) == len(NO_NODE),
        len(body.previous) == len(body.token) == crypto.HASH_SIZE,
        body.version >= 1,
        len(body.metadata) <= MAX_METADATA,
        (body.content is not None) == (body.kind is NodeKind.FILE),
        1 <= body.names_since <= body.generation <= MAX_GENERATION,
        0 <= body.link_generation <= MAX_GENERATION,
        len(body.former) <= MAX_FORMER,
        len(body.log_head) in (0, LOG_HEAD_SIZE),
        body.version < 1 << 63,
    ]
    if body.content is not None:
        content = body.content
        shapes.append(
            len(content.salt) == len(content.root) == len(content.commitment) == crypto.HASH_SIZE
            and 0 < content.version <= body.version
            and 0 < content.sealed_size < 1 << 63
        )
    if not all(shapes):
        raise RemoteProtocolError("A manifest from the server is malformed.")
    return body
