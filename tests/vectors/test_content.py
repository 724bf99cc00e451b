"""The vectors of stored content, against `fsproto` and against the plain reference."""

from __future__ import annotations

import hashlib

import pytest

from fsproto.errors import FsError
from fsproto.packing import pack
from fsproto.sealed.integrity import blob_root, leaf, root
from fsproto.sealed.manifest import (
    DroppedMetadata,
    Manifest,
    Metadata,
    manifest_hash,
    open_metadata,
    pinned_manifest,
    verify_author,
)
from fsproto.sealed.stream import content_ad, key_commitment
from fsproto.signed import Signed
from fsproto.types import FileKey, NodeId, Salt
from tests.support import reference
from tests.support.fixed_keys import stretch
from tests.support.sealed_streams import open_stream, seal_stream
from tests.vectors import Vector, load, named
from tests.vectors.cases import bad, good, named_error, octets
from tests.vectors.edits import edited
from tests.vectors.fields import from_json, to_json


def _same(vector: Vector, field: str, data: bytes) -> bool:
    if field in vector:
        return bool(data.hex() == vector[field])
    return (len(data), hashlib.sha256(data).hexdigest()) == (
        vector[f"{field}_size"],
        vector[f"{field}_sha256"],
    )


def _plaintext(vector: Vector) -> bytes:
    size = vector.get("plaintext_size", len(vector.get("plaintext", "")) // 2)
    return stretch(vector["plaintext_seed"], size)


def _stored(vector: Vector) -> bytes:
    """Return the stored stream of a good vector, by the reference."""
    return reference.sealed_stream(
        octets(vector, "file_key"),
        octets(vector, "associated_data"),
        octets(vector, "salt"),
        octets(vector, "prefix"),
        _plaintext(vector),
    )


@good("stream")
def test_a_stream_is_sealed_and_opened(vector: Vector):
    key, ad = FileKey(octets(vector, "file_key")), octets(vector, "associated_data")
    plaintext = _plaintext(vector)
    stored = seal_stream(key, ad, plaintext, lambda _: octets(vector, "commitment_salt"))
    assert _same(vector, "plaintext", plaintext)
    assert _same(vector, "stored", stored)
    assert stored == _stored(vector)
    assert open_stream(key, ad, stored) == plaintext


@good("stream")
def test_a_stream_is_bound_to_its_node_version_and_key(vector: Vector):
    node = octets(vector, "node")
    key, salt = octets(vector, "file_key"), octets(vector, "commitment_salt")
    ad = b"fs/2 content" + node + vector["version"].to_bytes(8, "big")
    assert content_ad(NodeId(node), vector["version"]) == ad == octets(vector, "associated_data")
    commitment = reference.hkdf(key, salt, b"fs/2 key commitment")
    assert key_commitment(FileKey(key), salt) == commitment == octets(vector, "commitment")
    header = reference.hkdf(key, salt, b"fs/2 stream header", 39)
    assert header == octets(vector, "salt") + octets(vector, "prefix")


@bad("stream")
def test_a_faulty_stream_is_refused(vector: Vector):
    stored = _stored(named("stream", vector["of"]))
    stored = edited(stored, vector["edit"]) if vector["edit"] else stored
    assert _same(vector, "stored", stored)
    with pytest.raises(FsError) as refused:
        open_stream(FileKey(octets(vector, "file_key")), octets(vector, "associated_data"), stored)
    assert type(refused.value) is named_error(vector)


@good("integrity")
def test_leaves_and_root_of_a_blob(vector: Vector):
    salt, blob = Salt(octets(vector, "salt")), stretch(vector["blob_seed"], vector["blob_size"])
    segments = [blob[at : at + 2**20] for at in range(0, len(blob), 2**20)]
    leaves = [leaf(salt, index, segment) for index, segment in enumerate(segments)]
    assert [each.hex() for each in leaves] == vector["leaves"]
    assert leaves == reference.leaves(salt, blob)
    assert root(salt, leaves, len(blob)) == blob_root(salt, blob) == octets(vector, "root")
    assert blob_root(salt, blob) == reference.blob_root(salt, blob)


# --- manifests


def _signed(vector: Vector) -> Signed:
    return Signed(octets(vector, "payload"), octets(vector, "signature"))


@good("manifest", lambda vector: "fields" in vector)
def test_a_manifest_is_packed_verified_and_opened(vector: Vector):
    signed, public = _signed(vector), octets(vector, "public")
    body = from_json(Manifest, vector["fields"])
    assert pack(body) == signed.payload
    verified = verify_author(signed, vector["author"], public)
    assert verified.body == body
    assert to_json(verified.body) == vector["fields"]
    assert verified.hash == manifest_hash(signed) == octets(vector, "hash")
    assert verified.hash == reference.sha256(b"fs/2 manifest hash" + signed.payload)
    assert pinned_manifest(signed, verified.hash).body == body
    metadata = open_metadata(octets(vector, "metadata_key"), verified.body)
    kind = DroppedMetadata if "dropped" in vector["metadata"] else Metadata
    assert metadata == from_json(kind, vector["metadata"])


@bad("manifest")
def test_a_faulty_manifest_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        verify_author(_signed(vector), vector["author"], octets(vector, "public"))
    assert type(refused.value) is named_error(vector)


MALFORMED = [vector for vector in load("manifest") if vector["error"] == "protocol"]


@pytest.mark.parametrize("vector", MALFORMED, ids=lambda vector: vector["name"])
def test_a_malformed_manifest_is_refused_even_where_a_folder_names_its_hash(vector: Vector):
    signed = _signed(vector)
    with pytest.raises(FsError) as refused:
        pinned_manifest(signed, manifest_hash(signed))
    assert type(refused.value) is named_error(vector)


@good("manifest", lambda vector: "metadata_error" in vector)
def test_faulty_metadata_is_refused(vector: Vector):
    verified = verify_author(_signed(vector), vector["author"], octets(vector, "public"))
    with pytest.raises(FsError) as refused:
        open_metadata(octets(vector, "metadata_key"), verified.body)
    assert type(refused.value) is named_error(vector, "metadata_error")
