"""The vectors of public links, against `fsproto` and against the plain reference."""

from __future__ import annotations

import unicodedata

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from fsproto.errors import FsError
from fsproto.keys.tree import KeyedNode
from fsproto.links.description import Description, OpenedDescription, open_description
from fsproto.links.record import LinkRecord, open_record
from fsproto.links.secret import LinkSecret
from fsproto.links.url import parse_url
from fsproto.packing import pack
from fsproto.types import LinkId, NodeId, NodeKey
from tests.support import reference
from tests.vectors import Vector
from tests.vectors.cases import bad, good, named_error, octets
from tests.vectors.fields import from_json


def _opened(vector: Vector) -> OpenedDescription:
    keys = LinkSecret(octets(vector, "secret")).keys(vector["password"] or "")
    return open_description(keys, octets(vector, "sealed"))


@good("publiclink")
def test_a_description_opens(vector: Vector):
    assert _opened(vector).body == from_json(Description, vector["fields"])


@bad("publiclink")
def test_a_faulty_description_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _opened(vector)
    assert type(refused.value) is named_error(vector)


@good("publiclink")
def test_keys_and_description_are_made_as_the_protocol_says(vector: Vector):
    secret, password, base = octets(vector, "secret"), vector["password"], b""
    assert (secret[0] >= 128) == (password is not None)
    if password is None:
        base = secret
    else:
        salt = reference.expand(secret, b"fs/2 public link salt", 16)
        kdf = Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=65536)
        cleaned = unicodedata.normalize("NFC", password).strip(" \t\r\n")
        base = reference.hkdf(
            secret + kdf.derive(cleaned.encode()), b"", b"fs/2 public link password"
        )
    link = reference.expand(secret, b"fs/2 public link id", 16)
    access = reference.expand(secret, b"fs/2 public link access", 16)
    proof = reference.expand(base, b"fs/2 public link proof", 32)
    both = reference.expand(base, b"fs/2 public link key", 64)
    assert (link.hex(), access.hex(), proof.hex()) == (
        *(vector["link"], vector["access"], vector["proof"]),
    )
    assert both.hex() == vector["key"] + vector["commitment"]
    hashed = reference.sha256(b"fs/2 stored link access" + link + access)
    assert hashed == octets(vector, "access_hash")
    assert reference.sha256(b"fs/2 stored link proof" + link + proof) == octets(
        vector, "proof_hash"
    )
    sealed = octets(vector, "sealed")
    assert sealed[:32] == both[32:]
    filled = AESGCM(both[:32]).decrypt(
        bytes(12), sealed[32:], b"fs/2 public link description" + link
    )
    packed = pack(from_json(Description, vector["fields"]))
    assert filled == (reference.u32(len(packed)) + packed).ljust(len(filled), b"\0")
    assert len(filled) % 128 == 0


def _record(vector: Vector) -> LinkRecord:
    newest, *former = (NodeKey(bytes.fromhex(key)) for key in vector["keys"])
    root = KeyedNode(NodeId(octets(vector, "root")), 1 + len(former), newest, tuple(former))
    return open_record(
        root,
        vector["generation"],
        LinkId(octets(vector, "link")),
        NodeId(octets(vector, "node")),
        octets(vector, "record"),
    )


@good("linkrecord")
def test_a_record_opens(vector: Vector):
    fields = from_json(LinkRecord, vector["fields"])
    assert _record(vector) == fields
    root_key = bytes.fromhex(vector["keys"][2 - vector["generation"]])
    key, sealed = reference.expand(root_key, b"fs/2 node public link key"), octets(vector, "record")
    binding = b"fs/2 public link record" + octets(vector, "link") + octets(vector, "node")
    filled = AESGCM(key).decrypt(sealed[:12], sealed[12:], binding)
    packed = pack(fields)
    assert filled == (reference.u16(len(packed)) + packed).ljust(128, b"\0")


@bad("linkrecord")
def test_a_faulty_record_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _record(vector)
    assert type(refused.value) is named_error(vector)


@good("linkurl")
def test_a_url_is_read(vector: Vector):
    read = parse_url(vector["text"])
    assert (read.base, read.secret.secret.hex()) == (vector["base"], vector["secret"])
    assert parse_url(str(read)) == read


@bad("linkurl")
def test_a_faulty_url_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        parse_url(vector["text"])
    assert type(refused.value) is named_error(vector)
