"""Manifests: the signed description of each version of a node, and the metadata sealed in it.

The server can read every field of a manifest; names, sizes, times and file keys are inside
`metadata`:

    metadata = nonce 12 ‖ AES-256-GCM(metadata key of the node, u16 length ‖ packed ‖ zeros,
               associated data = "fs/2 metadata" ‖ node ‖ u64 version ‖ u32 generation)

The zeros pad the plaintext to a multiple of 128 bytes, so that its size does not show the length of
the name. The nonce is random: a node's key seals one metadata block per version, far fewer than
2^32.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fsproto import crypto, labels
from fsproto.errors import (
    IntegrityError,
    RemoteProtocolError,
    SignatureError,
)
from fsproto.limits import (
    LINK_SIZE,
    LOG_HEAD_SIZE,
    MAX_GENERATION,
    MAX_METADATA,
)
from fsproto.names import check_received_name
from fsproto.packing import Record, decoder_of, pack, unpack
from fsproto.proofs.lineage import LineagePoint
from fsproto.ranges import Generation, Int64, Uint63, Version
from fsproto.sealed.padding import fill, unfill
from fsproto.sealed.stream import sealed_size
from fsproto.signed import Signed, Verifier, payload_hash, sign, sign_many
from fsproto.types import NO_NODE, DropId, FileKey, Hash, NodeId, Root, Salt, Token
from fsproto.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fsproto.types import Random

FORMAT = 1
_BINDING = struct.Struct(">QI")
_SIX = b"\x96"
"""The first byte of a msgpack array of six."""


class NodeKind(enum.IntEnum):
    """The kinds of a node."""

    FILE = 1
    FOLDER = 2


class Mode(enum.IntEnum):
    """How a client creates the file on disk; the mode is sealed, so the server cannot see it."""

    REGULAR = 0
    EXECUTABLE = 1
    SYMLINK = 2
    """A symbolic link: the content is its target, as the original file system stored it."""


class Content(Record, frozen=True):
    """The part of a manifest that binds it to one sealed blob."""

    version: Version
    """The version of the node for which this content was sealed; a move does not change it."""
    salt: Salt
    root: Root
    sealed_size: Uint63
    commitment: bytes
    """32 bytes that commit to the file key."""


class Manifest(Record, frozen=True):
    """One version of one node, as its author signed it."""

    format: int
    node: NodeId
    parent: NodeId
    """The folder that contains the node; 16 zero bytes for a root."""
    kind: NodeKind
    version: Version
    """1, 2, 3 … without a gap."""
    lineage: Hash
    """Commits to all versions before (`proofs.lineage`); 32 zero bytes for the first."""
    token: Token
    """The token by which the server looks up the name; 32 zero bytes for a root."""
    link: bytes
    """The node key, sealed to the parent; empty for a root, whose key is in a grant."""
    link_generation: Uint63
    """Generation of the parent's key that sealed the link, from 1; 0 for a root."""
    generation: Generation
    """Generation of the node's own key, from 1."""
    names_since: Generation
    """The oldest generation of the node's key under which an entry in it may have its token."""
    former: bytes
    """The node's keys of earlier generations, sealed under this one; empty in the first."""
    key_commitment: Hash
    """Commits to the node's key of this generation (`KeyedNode.key_commitment`)."""
    former_commitment: Hash
    """Commits to all earlier keys (`KeyedNode.former_commitment`); 32 zero bytes if none."""
    metadata: bytes
    content: Content | None
    """None for a folder."""
    author: str
    author_key: bytes
    """The author's Ed25519 public key, 32 bytes."""
    time_ms: Uint63
    """When the author signed it, by the author's clock: Unix time in milliseconds."""
    log_head: bytes
    """Size and root of the key log the author had seen: u64 ‖ 32 bytes; empty if none."""


class Metadata(Record, frozen=True):
    """The fields that can be read only with the node's key."""

    name: str
    size: Uint63
    """Bytes of plaintext; 0 for a folder."""
    mtime_ns: Int64
    mode: Mode
    """`REGULAR` for a folder."""
    file_key: FileKey | None
    """32 bytes; None for a folder."""


REQUEST = "request"
"""In place of a key's fingerprint in a `Dropped`: the file was sent with a request link."""


class Dropped(Record, frozen=True):
    """The origin of a file that its author accepted from the drop box, or from a request link.

    The author copies these facts from the server, which recorded them at the upload. There is no
    other evidence for them. Of a file that was sent with a request link, `label` is the note of
    the request link, and `address` how the uploader signed.
    """

    drop: DropId
    arrived_ms: Uint63
    key: str
    """Fingerprint of the SSH key used for the upload; empty for a one-time password; `REQUEST`."""
    label: str
    """The administrator's label for that key."""
    address: str


class DroppedMetadata(Metadata, frozen=True):
    """Metadata of a file from the drop box: one more field at the end."""

    dropped: Dropped


def dropped_of(metadata: Metadata) -> Dropped | None:
    """Return the origin of a file from the drop box; None for any other node."""
    return metadata.dropped if isinstance(metadata, DroppedMetadata) else None


def renamed(was: Metadata, name: str) -> Metadata:
    """Return the same metadata with another name."""
    return replace(was, name=name)


def described(was: Metadata, mtime_ns: int, mode: Mode) -> Metadata:
    """Return metadata of the same content with another time and mode."""
    return replace(was, mtime_ns=mtime_ns, mode=mode)


def seal_metadata(
    key: bytes, node: NodeId, version: int, generation: int, metadata: Metadata, *, random: Random
) -> bytes:
    """Seal metadata under a node's metadata key (32 bytes)."""
    filled = fill(pack(metadata))
    nonce = random(crypto.NONCE_SIZE)
    binding = labels.METADATA + node + _BINDING.pack(version, generation)
    return nonce + crypto.Aead(key).seal(nonce, filled, binding)


def open_name(key: bytes, manifest: Manifest) -> str:
    """Return the name from a manifest's metadata; of a manifest whose content is not known."""
    name = _opened(key, manifest).name
    check_received_name(name)
    return name


def _opened(key: bytes, manifest: Manifest) -> Metadata:
    sealed = manifest.metadata
    binding = labels.METADATA + manifest.node + _BINDING.pack(manifest.version, manifest.generation)
    try:
        filled = crypto.Aead(key).open(
            sealed[: crypto.NONCE_SIZE], sealed[crypto.NONCE_SIZE :], binding
        )
    except (crypto.CryptoError, ValueError):
        raise IntegrityError("The sealed metadata of a file or folder was changed.") from None
    packed = unfill(filled)
    if packed is None:
        raise IntegrityError("The sealed metadata of a file or folder has a wrong padding.")
    return unpack(packed, _kind_of(packed))


def _kind_of(packed: bytes) -> type[Metadata]:
    """An array of six belongs to a file from the drop box; all other nodes have five fields."""
    return DroppedMetadata if packed[:1] == _SIX else Metadata


def stored_metadata(packed: bytes) -> Metadata:
    """Read metadata that this device has opened, and then stored under a seal."""
    read: Metadata = decoder_of(_kind_of(packed)).decode(packed)
    return read


def open_metadata(key: bytes, manifest: Manifest) -> Metadata:
    """Open the metadata of a manifest; `IntegrityError` if it was not sealed for it.

    Another person may have chosen the name, so it is checked like untrusted input.
    """
    metadata = _opened(key, manifest)
    if manifest.parent != NO_NODE:
        check_received_name(metadata.name)
    content = manifest.content
    if content is None:
        fits = metadata.file_key is None and not (metadata.mode or metadata.size)
        fits = fits and dropped_of(metadata) is None
    else:
        fits = metadata.file_key is not None and len(metadata.file_key) == crypto.KEY_SIZE
        fits = fits and sealed_size(metadata.size) == content.sealed_size
    if not fits:
        raise RemoteProtocolError("A manifest and its metadata disagree about what they describe.")
    return metadata


class VerifiedManifest(Value, frozen=True):
    """A manifest that was verified by hash or signature; made only by the functions below."""

    body: Manifest
    hash: Hash
    signed: Signed

    @property
    def point(self) -> LineagePoint:
        """This version, as lineages name it."""
        return LineagePoint(self.body.version, self.body.lineage, self.hash)


def manifest_hash(signed: Signed) -> Hash:
    """Return the hash by which folder states and next versions refer to a manifest."""
    return payload_hash(labels.HASH_MANIFEST, signed.payload)


def sign_manifest(key: crypto.SigningKey, body: Manifest) -> VerifiedManifest:
    """Sign a manifest with its author's key."""
    signed = sign(key, labels.SIGN_MANIFEST, body)
    return VerifiedManifest(body, manifest_hash(signed), signed)


class DraftManifest(Value, frozen=True):
    """A packed manifest before its signature; its hash is already known."""

    body: Manifest
    payload: bytes
    hash: Hash


def draft_manifest(body: Manifest) -> DraftManifest:
    """Pack a manifest and compute its hash."""
    payload = pack(body)
    return DraftManifest(body, payload, payload_hash(labels.HASH_MANIFEST, payload))


def sign_manifests(
    key: crypto.SigningKey, drafts: Sequence[DraftManifest]
) -> list[VerifiedManifest]:
    """Sign many manifests of one author at once."""
    payloads = [draft.payload for draft in drafts]
    signed = sign_many(key, labels.SIGN_MANIFEST, labels.SIGN_MANIFESTS, payloads)
    return [VerifiedManifest(d.body, d.hash, s) for d, s in zip(drafts, signed, strict=True)]


def pinned_manifest(signed: Signed, expected: Hash) -> VerifiedManifest:
    """Read a manifest whose hash a verified folder state names; `IntegrityError` otherwise.

    The hash proves that the state's author signed for this manifest. Its own author is known only
    after `verify_author`.
    """
    if not crypto.equal(manifest_hash(signed), expected):
        raise IntegrityError("A manifest is not the one that the folder's signature names.")
    return VerifiedManifest(_checked(unpack(signed.payload, Manifest)), expected, signed)


def unproved_manifest(signed: Signed) -> VerifiedManifest:
    """Read a manifest before it is known whether a verified folder state names its hash.

    It counts as verified only after the caller has proved that, for example for a whole listing at
    once, or has checked its author. `IntegrityError` if it breaks the rules of the format.
    """
    return VerifiedManifest(
        _checked(unpack(signed.payload, Manifest)), manifest_hash(signed), signed
    )


def stored_manifest(signed: Signed, verified: Hash) -> VerifiedManifest:
    """Read a manifest that this device has verified, and then stored under a seal with its hash."""
    body: Manifest = decoder_of(Manifest).decode(signed.payload)
    return VerifiedManifest(body, verified, signed)


def older_manifest(
    signed: Signed, newer: VerifiedManifest, reached: Hash | None = None
) -> VerifiedManifest:
    """Read an ancestor of `newer`; `IntegrityError` if the lineage of `newer` names another.

    `reached` is the lineage to which the versions between the two lead from the older one; None if
    there are none. The lineage proves the ancestor, as the hash in a state proves a
    `pinned_manifest`.
    """
    older, after = unproved_manifest(signed), newer.body
    body = older.body
    if reached is None and body.version + 1 == after.version:
        reached = older.point.next_lineage
    if reached is None or not crypto.equal(reached, after.lineage):
        raise IntegrityError("The server changed, swapped or made up an older version.")
    if (body.node, body.kind) != (after.node, after.kind):
        raise IntegrityError("An older version belongs to another file or folder.")
    return older


def verify_author(signed: Signed, author: str, public: bytes | Verifier) -> VerifiedManifest:
    """Check the author's own signature; `SignatureError` unless `author` made it with `public`.

    To check many manifests of one author, pass a `Verifier`: it checks a shared signature only
    once.
    """
    key = public if isinstance(public, Verifier) else Verifier(public)
    _check_signature(signed, key)
    manifest = unproved_manifest(signed)
    _check_names(manifest.body, author, key)
    return manifest


def check_author(manifest: VerifiedManifest, author: str, key: Verifier) -> None:
    """Check the author of a manifest that a hash already proves; `SignatureError` as above."""
    _check_signature(manifest.signed, key)
    _check_names(manifest.body, author, key)


def _check_signature(signed: Signed, key: Verifier) -> None:
    try:
        key.verify(signed, labels.SIGN_MANIFEST, labels.SIGN_MANIFESTS)
    except crypto.CryptoError:
        raise SignatureError("The signature on a manifest does not verify.") from None


def _check_names(body: Manifest, author: str, key: Verifier) -> None:
    if body.author != author or body.author_key != key.public:
        raise SignatureError("A manifest does not have the signature of its named author.")


def former_size(generation: int) -> int:
    """Return the size in bytes of a node's sealed former keys at a generation of its key."""
    former = (generation - 1) * crypto.KEY_SIZE
    return crypto.NONCE_SIZE + former + crypto.TAG_SIZE if former else 0


def is_first_root(body: Manifest) -> bool:
    """Return whether this is the first version of a root, which is signed to enrol."""
    return body.parent == NO_NODE and body.version == 1


def _checked(body: Manifest) -> Manifest:
    """Return `body` if all its fields have valid sizes and ranges."""
    shapes = [
        body.format == FORMAT,
        len(body.node) == len(body.parent) == len(NO_NODE),
        len(body.lineage) == len(body.token) == crypto.HASH_SIZE,
        len(body.metadata) <= MAX_METADATA,
        (body.content is not None) == (body.kind is NodeKind.FILE),
        1 <= body.names_since <= body.generation <= MAX_GENERATION,
        body.link_generation <= MAX_GENERATION,
        len(body.link) == (0 if body.parent == NO_NODE else LINK_SIZE),
        (body.link_generation == 0) == (body.parent == NO_NODE),
        len(body.former) == former_size(body.generation),
        len(body.key_commitment) == len(body.former_commitment) == crypto.HASH_SIZE,
        len(body.log_head) == (0 if is_first_root(body) else LOG_HEAD_SIZE),
    ]
    if body.content is not None:
        content = body.content
        shapes.append(
            len(content.salt) == len(content.root) == len(content.commitment) == crypto.HASH_SIZE
            and content.version <= body.version
            and content.sealed_size > 0
        )
    if not all(shapes):
        raise RemoteProtocolError("A manifest is malformed.")
    return body
