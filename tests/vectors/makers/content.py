"""Vectors of a stored file: its sealed stream, the salted hash over the stream, its manifest."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import asdict

from fsproto import labels
from fsproto.errors import FsError, IntegrityError, RemoteProtocolError, SignatureError
from fsproto.keys.tree import KeyedNode
from fsproto.limits import SEGMENT_SIZE
from fsproto.packing import pack
from fsproto.sealed.integrity import blob_root, leaf
from fsproto.sealed.manifest import (
    Content,
    Dropped,
    DroppedMetadata,
    Manifest,
    Metadata,
    Mode,
    NodeKind,
    seal_metadata,
    sign_manifest,
)
from fsproto.sealed.stream import (
    FIRST_PLAIN,
    HEADER_SIZE,
    OTHER_PLAIN,
    content_ad,
    key_commitment,
)
from fsproto.signed import Signed
from fsproto.types import NO_HASH, NO_NODE, NO_TOKEN, DropId, FileKey, Hash, NodeId, Root, Salt
from tests.support import reference
from tests.support.fixed_keys import LOG_HEAD, TIME_MS, Seeded, keyed_node, person, stretch
from tests.support.sealed_streams import seal_stream
from tests.vectors import Vector
from tests.vectors.edits import edited
from tests.vectors.fields import to_json
from tests.vectors.makers import Files, Kept

WRITTEN_OUT = 1024
"""Longest plaintext, in bytes, that is written into a vector."""

SIZES = {
    "stream_empty_file": 0,
    "stream_one_byte": 1,
    "stream_small": 1000,
    "stream_first_segment_less_one": FIRST_PLAIN - 1,
    "stream_first_segment": FIRST_PLAIN,
    "stream_first_segment_and_one": FIRST_PLAIN + 1,
    "stream_two_segments_less_one": FIRST_PLAIN + OTHER_PLAIN - 1,
    "stream_two_segments": FIRST_PLAIN + OTHER_PLAIN,
    "stream_two_segments_and_one": FIRST_PLAIN + OTHER_PLAIN + 1,
    "stream_three_segments": FIRST_PLAIN + 2 * OTHER_PLAIN,
}


def make(kept: Kept) -> Files:
    """Return the three files of content."""
    return {"stream": _streams(), "integrity": _integrity(), "manifest": _manifests()}


# --- streams


def _streams() -> list[Vector]:
    node = NodeId(stretch("stream node", 16))
    key, other_key = FileKey(stretch("file key", 32)), FileKey(stretch("another file key", 32))
    ad = content_ad(node, 3)
    streams = {}
    vectors: list[Vector] = []
    for name, size in SIZES.items():
        plaintext, salt = stretch(name, size), stretch(f"{name} salt", 32)
        streams[name] = stored = seal_stream(key, ad, plaintext, Seeded(f"{name} salt"))
        vectors.append(
            {
                "name": name,
                "node": node.hex(),
                "version": 3,
                "file_key": key.hex(),
                "associated_data": ad.hex(),
                "salt": stored[1:33].hex(),
                "prefix": stored[33:HEADER_SIZE].hex(),
                "commitment_salt": salt.hex(),
                "commitment": key_commitment(key, salt).hex(),
                "plaintext_seed": name,
                **_long("plaintext", plaintext),
                **_long("stored", stored),
                "error": None,
            }
        )

    def refused(name: str, of: str, edit: Vector | None = None, **other: str) -> Vector:
        stored = edited(streams[of], edit) if edit else streams[of]
        return {
            "name": name,
            "file_key": key.hex(),
            "associated_data": ad.hex(),
            **other,
            "of": of,
            "edit": edit,
            **_long("stored", stored),
            "error": IntegrityError.code,
        }

    three = "stream_three_segments"
    return [
        *vectors,
        refused("stream_no_final", three, {"cut": 2 * SEGMENT_SIZE}),
        refused("stream_no_first", three, {"order": [1, 2]}),
        refused("stream_no_middle", three, {"order": [0, 2]}),
        refused("stream_swapped_segments", three, {"order": [1, 0, 2]}),
        refused("stream_final_before_end", three, {"order": [0, 2, 1]}),
        refused("stream_repeated_segment", three, {"order": [0, 1, 1, 2]}),
        refused("stream_repeated_final", three, {"order": [0, 1, 2, 2]}),
        refused("stream_cut_in_segment", three, {"cut": 2 * SEGMENT_SIZE + 500}),
        refused("stream_bit_changed", three, {"xor": [SEGMENT_SIZE + 77, 16]}),
        refused("stream_cut_in_header", "stream_small", {"cut": HEADER_SIZE - 1}),
        refused("stream_header_alone", "stream_small", {"cut": HEADER_SIZE}),
        refused("stream_no_bytes", "stream_small", {"cut": 0}),
        refused("stream_tag_cut", "stream_empty_file", {"cut": HEADER_SIZE + 15}),
        refused("stream_header_length_41", "stream_small", {"xor": [0, 1]}),
        refused("stream_salt_changed", "stream_small", {"xor": [1, 1]}),
        refused("stream_prefix_changed", "stream_small", {"xor": [39, 1]}),
        refused("stream_byte_behind_end", "stream_small", {"append": "00"}),
        refused("stream_other_key", "stream_small", file_key=other_key.hex()),
        refused("stream_other_version", "stream_small", associated_data=content_ad(node, 4).hex()),
        refused(
            "stream_other_node",
            "stream_small",
            associated_data=content_ad(NodeId(stretch("other node", 16)), 3).hex(),
        ),
    ]


def _long(field: str, data: bytes) -> Vector:
    """Return the bytes in hex, or their size and hash if they are too long for a vector."""
    if len(data) <= WRITTEN_OUT + HEADER_SIZE + 16:
        return {field: data.hex()}
    return {f"{field}_size": len(data), f"{field}_sha256": hashlib.sha256(data).hexdigest()}


# --- leaves and roots


def _integrity() -> list[Vector]:
    vectors: list[Vector] = []
    for name, size in (
        ("blob_smallest", HEADER_SIZE + 16),
        ("blob_small", 300),
        ("blob_one_segment_less_one", SEGMENT_SIZE - 1),
        ("blob_one_segment", SEGMENT_SIZE),
        ("blob_one_segment_and_one", SEGMENT_SIZE + 1),
        ("blob_three_segments", 3 * SEGMENT_SIZE),
    ):
        blob, salt = stretch(name, size), Salt(stretch(f"{name} salt", 32))
        segments = [blob[at : at + SEGMENT_SIZE] for at in range(0, size, SEGMENT_SIZE)]
        vectors.append(
            {
                "name": name,
                "salt": salt.hex(),
                "blob_seed": name,
                "blob_size": size,
                "leaves": [leaf(salt, i, segment).hex() for i, segment in enumerate(segments)],
                "root": blob_root(salt, blob).hex(),
                "error": None,
            }
        )
    return vectors


# --- manifests


def _manifests() -> list[Vector]:
    alice, bob = person("alice"), person("bob")
    file, folder, root = (keyed_node(name) for name in ("file", "folder", "root"))
    body = file_manifest()
    moved = replaced(body, version=3, lineage=sign_manifest(alice.signing, body).point.next_lineage)
    below = Manifest(
        format=1,
        node=folder.node,
        parent=root.node,
        kind=NodeKind.FOLDER,
        version=1,
        lineage=NO_HASH,
        token=root.token("reports"),
        link=root.seal_link(folder, Seeded("folder link")),
        link_generation=1,
        generation=1,
        names_since=1,
        former=b"",
        key_commitment=folder.key_commitment,
        former_commitment=folder.former_commitment,
        metadata=_metadata(folder, 1, Metadata("reports", 0, 0, Mode.REGULAR, None)),
        content=None,
        author="alice",
        author_key=alice.signing.public,
        time_ms=TIME_MS,
        log_head=LOG_HEAD,
    )
    top = replaced(
        below,
        node=root.node,
        parent=NO_NODE,
        token=NO_TOKEN,
        link=b"",
        link_generation=0,
        key_commitment=root.key_commitment,
        metadata=_metadata(root, 1, Metadata("", 0, 0, Mode.REGULAR, None)),
        log_head=b"",
    )

    def vector(
        name: str, signed: Signed, error: type[FsError] | None = None, **fields: object
    ) -> Vector:
        return {
            "name": name,
            "author": "alice",
            "public": alice.signing.public.hex(),
            "payload": signed.payload.hex(),
            "signature": signed.signature.hex(),
            **fields,
            "error": error.code if error else None,
        }

    def good(name: str, body: Manifest, node: KeyedNode, metadata: Metadata) -> Vector:
        made = sign_manifest(alice.signing, body)
        return vector(
            name,
            made.signed,
            fields=to_json(body),
            hash=made.hash.hex(),
            metadata_key=node.metadata_key.hex(),
            metadata=to_json(metadata),
        )

    def malformed(name: str, payload: bytes) -> Vector:
        signature = alice.signing.sign(labels.SIGN_MANIFEST, payload)
        return vector(name, Signed(payload, signature), RemoteProtocolError)

    def unlawful(name: str, **changes: object) -> Vector:
        return malformed(name, pack(replaced(body, **changes)))

    def sealed_as(
        name: str, metadata: bytes, error: type[FsError] = IntegrityError, **changes: object
    ) -> Vector:
        made = sign_manifest(alice.signing, replaced(body, metadata=metadata, **changes))
        key = file.metadata_key.hex()
        return vector(name, made.signed, metadata_key=key, metadata_error=error.code)

    def folder_as(name: str, metadata: Metadata) -> Vector:
        changed = replaced(below, metadata=_metadata(folder, 1, metadata))
        return vector(
            name,
            sign_manifest(alice.signing, changed).signed,
            metadata_key=folder.metadata_key.hex(),
            metadata_error=RemoteProtocolError.code,
        )

    def said_length(name: str, length: int) -> Vector:
        filled = (reference.u16(length) + pack(file_metadata())).ljust(128, b"\0")
        binding = labels.METADATA + file.node + reference.u64(2) + reference.u32(1)
        sealed = AESGCM(file.metadata_key).encrypt(bytes(12), filled, binding)
        return sealed_as(name, bytes(12) + sealed)

    packed = pack(body)
    signed = sign_manifest(alice.signing, body).signed
    flipped = bytes([signed.signature[0] ^ 1]) + signed.signature[1:]
    as_state = Signed(packed, alice.signing.sign(labels.SIGN_STATE, packed))
    by_bob = Signed(packed, bob.signing.sign(labels.SIGN_MANIFEST, packed))
    named_bob = sign_manifest(alice.signing, replaced(body, author="bob")).signed
    other_key = sign_manifest(alice.signing, replaced(body, author_key=bob.signing.public)).signed
    assert body.content is not None
    salt_cut = replaced(body.content, salt=Salt(bytes(31)))
    later = replaced(body.content, version=body.version + 1)
    nothing = replaced(body.content, sealed_size=0)
    described = file_metadata()
    link = replaced(described, mode=Mode.SYMLINK)
    came = Dropped(DropId(stretch("drop id", 16)), TIME_MS, "", "", "192.0.2.7")
    fields: dict[str, Any] = asdict(described)
    dropped = DroppedMetadata(**fields, dropped=came)
    return [
        good("manifest_file", body, file, described),
        good(
            "manifest_file_next_version",
            replaced(moved, metadata=_metadata(file, 3, described)),
            file,
            described,
        ),
        good(
            "manifest_symlink",
            replaced(body, metadata=_metadata(file, 2, link)),
            file,
            link,
        ),
        good(
            "manifest_of_a_dropped_file",
            replaced(body, metadata=_metadata(file, 2, dropped)),
            file,
            dropped,
        ),
        good("manifest_folder", below, folder, Metadata("reports", 0, 0, Mode.REGULAR, None)),
        good("manifest_root", top, root, Metadata("", 0, 0, Mode.REGULAR, None)),
        vector("manifest_signature_changed", Signed(packed, flipped), SignatureError),
        vector("manifest_signature_missing", Signed(packed, b""), SignatureError),
        vector("manifest_signed_as_state", as_state, SignatureError),
        vector("manifest_signed_by_another", by_bob, SignatureError),
        vector("manifest_names_another_author", named_bob, SignatureError),
        vector("manifest_names_another_key", other_key, SignatureError),
        malformed("manifest_field_missing", b"\xdc\x00\x13" + packed[3 : -2 - len(LOG_HEAD)]),
        malformed("manifest_bytes_behind_end", packed + b"\x00"),
        malformed("manifest_empty", b""),
        unlawful("manifest_format_2", format=2),
        unlawful("manifest_kind_unknown", kind=3),
        unlawful("manifest_version_0", version=0),
        unlawful("manifest_version_2_to_63", version=1 << 63),
        unlawful("manifest_node_short", node=body.node[:-1]),
        unlawful("manifest_parent_long", parent=body.parent + b"\0"),
        unlawful("manifest_lineage_short", lineage=bytes(31)),
        unlawful("manifest_token_short", token=bytes(31)),
        unlawful("manifest_generation_2_to_32", generation=1 << 32),
        unlawful("manifest_link_short", link=body.link[:-1]),
        unlawful("manifest_link_long", link=body.link + b"\0"),
        unlawful("manifest_link_missing", link=b""),
        unlawful("manifest_link_generation_0", link_generation=0),
        malformed("manifest_root_with_a_link", pack(replaced(top, link=body.link))),
        malformed("manifest_root_with_a_link_generation", pack(replaced(top, link_generation=1))),
        unlawful("manifest_former_in_the_first_generation", former=bytes(60)),
        unlawful("manifest_former_missing", generation=2),
        unlawful("manifest_former_long", generation=2, former=bytes(61)),
        unlawful("manifest_key_commitment_short", key_commitment=bytes(31)),
        unlawful("manifest_former_commitment_short", former_commitment=bytes(31)),
        unlawful("manifest_log_head_short", log_head=bytes(39)),
        unlawful("manifest_log_head_absent", version=1, log_head=b""),
        malformed("manifest_root_log_head_absent_later", pack(replaced(top, version=2))),
        malformed("manifest_root_first_with_a_log_head", pack(replaced(top, log_head=LOG_HEAD))),
        unlawful("manifest_time_below_zero", time_ms=-1),
        unlawful("manifest_time_2_to_63", time_ms=1 << 63),
        unlawful("manifest_metadata_too_long", metadata=bytes((16 << 10) + 1)),
        unlawful("manifest_file_without_content", content=None),
        unlawful("manifest_folder_with_content", kind=NodeKind.FOLDER),
        unlawful("manifest_content_salt_short", content=salt_cut),
        unlawful("manifest_content_of_later_version", content=later),
        unlawful("manifest_content_of_no_bytes", content=nothing),
        sealed_as("metadata_other_node", _metadata(keyed_node("folder"), 2, described)),
        sealed_as("metadata_other_version", _metadata(file, 1, described)),
        sealed_as("metadata_other_generation", _metadata(file, 2, described, generation=2)),
        sealed_as("metadata_byte_changed", body.metadata[:-1] + bytes([body.metadata[-1] ^ 1])),
        sealed_as("metadata_cut", body.metadata[:-1]),
        sealed_as("metadata_no_bytes", b""),
        said_length("metadata_length_0", 0),
        said_length("metadata_length_too_short", len(pack(described)) - 1),
        said_length("metadata_length_beyond_the_end", 1000),
        folder_as("metadata_folder_executable", Metadata("reports", 0, 0, Mode.EXECUTABLE, None)),
        folder_as("metadata_folder_with_file_key", replaced(described, name="reports")),
        folder_as(
            "metadata_folder_dropped",
            DroppedMetadata("reports", 0, 0, Mode.REGULAR, None, dropped=came),
        ),
        sealed_as("metadata_padding_not_zero", _filled(file, pack(described), last=1)),
        sealed_as("metadata_padding_of_a_block_more", _filled(file, pack(described), more=128)),
        sealed_as("metadata_longer_than_its_plaintext", _filled(file, pack(described), length=500)),
        *(
            sealed_as(
                name,
                _metadata(file, 2, replaced(described, **changes)),
                RemoteProtocolError,
            )
            for name, changes in (
                ("metadata_name_dot_dot", {"name": ".."}),
                ("metadata_name_slash", {"name": "a/b"}),
                ("metadata_name_control_character", {"name": "a\x1b[2J"}),
                ("metadata_name_empty", {"name": ""}),
                ("metadata_name_not_nfc", {"name": "u\u0308"}),
                ("metadata_no_file_key", {"file_key": None}),
                ("metadata_mode_unknown", {"mode": 3}),
                ("metadata_file_key_short", {"file_key": bytes(31)}),
                ("metadata_size_does_not_fit", {"size": 1001}),
                ("metadata_size_below_zero", {"size": -1}),
                ("metadata_size_2_to_64", {"size": (1 << 64) - 1}),
                ("metadata_mtime_2_to_63", {"mtime_ns": 1 << 63}),
            )
        ),
    ]


def file_metadata() -> Metadata:
    """Return the metadata of the sample file, which only holders of its key can read."""
    key = FileKey(stretch("file key", 32))
    return Metadata("q3 übersicht.pdf", 1000, 1_699_999_999_123_456_789, Mode.EXECUTABLE, key)


def file_manifest() -> Manifest:
    """Return version 2 of the sample file, in the sample folder."""
    file, folder = keyed_node("file"), keyed_node("folder")
    salt = Salt(stretch("file salt", 32))
    key = FileKey(stretch("file key", 32))
    metadata = file_metadata()
    return Manifest(
        format=1,
        node=file.node,
        parent=folder.node,
        kind=NodeKind.FILE,
        version=2,
        lineage=Hash(stretch("file version 1", 32)),
        token=folder.token(metadata.name),
        link=folder.seal_link(file, Seeded("file link")),
        link_generation=1,
        generation=1,
        names_since=1,
        former=b"",
        key_commitment=file.key_commitment,
        former_commitment=file.former_commitment,
        metadata=_metadata(file, 2, metadata),
        content=Content(2, salt, Root(stretch("file root", 32)), 1056, key_commitment(key, salt)),
        author="alice",
        author_key=person("alice").signing.public,
        time_ms=TIME_MS,
        log_head=LOG_HEAD,
    )


def _filled(
    node: KeyedNode, packed: bytes, *, length: int | None = None, more: int = 0, last: int = 0
) -> bytes:
    """Seal metadata of version 2 whose length or padding is otherwise than it should."""
    filled = reference.u16(len(packed) if length is None else length) + packed
    filled += bytes(-len(filled) % 128 + more)
    filled = filled[:-1] + bytes([last])
    cipher = AESGCM(reference.expand(node.key, b"fs/2 node metadata key"))
    binding = b"fs/2 metadata" + node.node + reference.u64(2) + reference.u32(1)
    return bytes(12) + cipher.encrypt(bytes(12), filled, binding)


def _metadata(node: KeyedNode, version: int, metadata: Metadata, generation: int = 1) -> bytes:
    draw = Seeded(f"metadata {version} {generation} {metadata.name}")
    return seal_metadata(node.metadata_key, node.node, version, generation, metadata, random=draw)


replaced = msgspec.structs.replace
