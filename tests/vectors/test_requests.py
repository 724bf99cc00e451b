"""The vectors of request links, against `fsproto` and against the plain reference."""

from __future__ import annotations

import unicodedata

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from fsproto.drop import Drop, DropContent, RequestedDrop, content_ad
from fsproto.errors import FsError
from fsproto.keys.identity import Bundle
from fsproto.keys.tree import KeyedNode
from fsproto.packing import Record, pack, unpack
from fsproto.requests.description import OpenedRequest, RequestDescription, open_request
from fsproto.requests.drop import OpenedRequestDrop, RequestNote, open_request_drop
from fsproto.requests.record import RequestRecord, open_record
from fsproto.requests.secret import RequestSecret
from fsproto.requests.upload import FinishUpload, StartUpload, UploadState
from fsproto.requests.url import parse_url
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.stream import HEADER_SIZE, StreamOpener
from fsproto.types import DropId, Hash, NodeId, NodeKey, RequestId
from tests.support import reference
from tests.support.fixed_keys import person
from tests.vectors import Vector
from tests.vectors.cases import bad, good, named_error, octets
from tests.vectors.fields import from_json


def _opened(vector: Vector) -> OpenedRequest:
    keys = RequestSecret(octets(vector, "secret")).keys(vector["password"] or "")
    return open_request(keys, Hash(octets(vector, "bundle")), octets(vector, "sealed"))


@good("requestlink")
def test_a_description_opens(vector: Vector):
    opened = _opened(vector)
    assert opened.body == from_json(RequestDescription, vector["fields"])
    assert opened.owner.body == from_json(Bundle, vector["owner"])


@bad("requestlink")
def test_a_faulty_description_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _opened(vector)
    assert type(refused.value) is named_error(vector)


@good("requestlink")
def test_keys_and_description_are_made_as_the_protocol_says(vector: Vector):
    secret, password, base = octets(vector, "secret"), vector["password"], b""
    assert (secret[0] >= 128) == (password is not None)
    if password is None:
        base = secret
    else:
        salt = reference.expand(secret, b"fs/2 request link salt", 16)
        kdf = Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=65536)
        cleaned = unicodedata.normalize("NFC", password).strip(" \t\r\n")
        base = reference.hkdf(
            secret + kdf.derive(cleaned.encode()), b"", b"fs/2 request link password"
        )
    request = reference.expand(secret, b"fs/2 request link id", 16)
    access = reference.expand(secret, b"fs/2 request link access", 16)
    proof = reference.expand(base, b"fs/2 request link proof", 32)
    mark = reference.expand(base, b"fs/2 request link mark", 32)
    both = reference.expand(base, b"fs/2 request link key", 64)
    derived = [value.hex() for value in (request, access, proof, mark)]
    assert derived == [vector[field] for field in ("request", "access", "proof", "mark")]
    assert both.hex() == vector["key"] + vector["commitment"]
    hashed = reference.sha256(b"fs/2 stored request link access" + request + access)
    assert hashed == octets(vector, "access_hash")
    hashed = reference.sha256(b"fs/2 stored request link proof" + request + proof)
    assert hashed == octets(vector, "proof_hash")
    payload = bytes.fromhex(vector["fields"]["bundle"])
    assert reference.sha256(b"fs/2 bundle hash" + payload) == octets(vector, "bundle")
    sealed = octets(vector, "sealed")
    assert sealed[:32] == both[32:]
    binding = b"fs/2 request link description" + request + octets(vector, "bundle")
    filled = AESGCM(both[:32]).decrypt(bytes(12), sealed[32:], binding)
    packed = pack(from_json(RequestDescription, vector["fields"]))
    assert filled == (reference.u16(len(packed)) + packed).ljust(len(filled), b"\0")
    assert len(filled) % 128 == 0


def _record(vector: Vector) -> RequestRecord:
    newest, *former = (NodeKey(bytes.fromhex(key)) for key in vector["keys"])
    root = KeyedNode(NodeId(octets(vector, "root")), 1 + len(former), newest, tuple(former))
    return open_record(
        root,
        vector["generation"],
        RequestId(octets(vector, "request")),
        Hash(octets(vector, "bundle")),
        octets(vector, "record"),
    )


@good("requestrecord")
def test_a_record_opens(vector: Vector):
    fields = from_json(RequestRecord, vector["fields"])
    assert _record(vector) == fields
    root_key = bytes.fromhex(vector["keys"][2 - vector["generation"]])
    key = reference.expand(root_key, b"fs/2 node request link key")
    sealed = octets(vector, "record")
    binding = b"fs/2 request link record" + octets(vector, "request") + octets(vector, "bundle")
    filled = AESGCM(key).decrypt(sealed[:12], sealed[12:], binding)
    packed = pack(fields)
    assert filled == (reference.u16(len(packed)) + packed).ljust(128, b"\0")


@bad("requestrecord")
def test_a_faulty_record_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _record(vector)
    assert type(refused.value) is named_error(vector)


@good("requesturl")
def test_a_url_is_read(vector: Vector):
    read = parse_url(vector["text"])
    found = read.base, read.secret.secret.hex(), read.bundle.hex()
    assert found == (vector["base"], vector["secret"], vector["bundle"])
    assert parse_url(str(read)) == read


@bad("requesturl")
def test_a_faulty_url_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        parse_url(vector["text"])
    assert type(refused.value) is named_error(vector)


def _dropped(vector: Vector) -> OpenedRequestDrop:
    request = RequestId(octets(vector, "request"))
    drop = Drop(
        DropId(octets(vector, "drop")),
        Hash(octets(vector, "bundle")),
        octets(vector, "wrapped"),
        octets(vector, "note"),
        from_json(DropContent, vector["content"]),
        RequestedDrop(request, 0),
    )
    return open_request_drop(drop, request, octets(vector, "mark"), person(vector["to"]))


@good("requestdrop")
def test_a_drop_is_opened_with_its_content(vector: Vector):
    opened = _dropped(vector)
    note = from_json(RequestNote, vector["fields"])
    assert opened.note == note
    assert "/".join(opened.parts) == note.name
    joined = octets(vector, "secret") + octets(vector, "mark")
    request = octets(vector, "request")
    both = reference.hkdf(joined, request, b"fs/2 requested drop keys", 64)
    assert both.hex() == vector["file_key"] + vector["note_key"]
    assert opened.file_key == both[:32]
    blob = octets(vector, "blob")
    assert blob_root(opened.content.salt, blob) == opened.content.root
    opener = StreamOpener(opened.file_key, content_ad(opened.drop), blob[:HEADER_SIZE])
    assert opener.open(0, blob, last=True) == octets(vector, "plaintext")
    content, sealed = vector["content"], octets(vector, "note")
    binding = b"fs/2 requested drop note" + request + octets(vector, "drop")
    binding += octets(content, "salt") + octets(content, "root")
    binding += reference.u64(content["sealed_size"])
    filled = AESGCM(both[32:]).decrypt(sealed[:12], sealed[12:], binding)
    packed = pack(note)
    assert filled == (reference.u16(len(packed)) + packed).ljust(len(filled), b"\0")
    assert len(filled) % 128 == 0


@bad("requestdrop")
def test_a_faulty_drop_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _dropped(vector)
    assert type(refused.value) is named_error(vector)


@good("requestupload")
def test_a_body_is_packed(vector: Vector):
    kinds: dict[str, type[Record]] = {
        kind.__name__: kind for kind in (StartUpload, UploadState, FinishUpload)
    }
    record = from_json(kinds[vector["kind"]], vector["fields"])
    assert pack(record) == octets(vector, "payload")
    assert unpack(octets(vector, "payload"), type(record)) == record
