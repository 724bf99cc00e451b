"""The vectors of keys, against `fsproto` and against the plain reference."""

from __future__ import annotations

import hmac
import unicodedata

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fsproto import crypto
from fsproto.errors import FsError
from fsproto.keys.grants import RootGrant, open_root_grant
from fsproto.keys.identity import Bundle, verify_bundle
from fsproto.keys.key_file import needs_passphrase, open_identity
from fsproto.keys.tree import KeyedNode
from fsproto.link import parse_link
from fsproto.packing import pack
from fsproto.signed import Signed
from fsproto.types import NodeId, NodeKey
from tests.support import reference
from tests.support.fixed_keys import person, rsa_key
from tests.vectors import Vector
from tests.vectors.cases import bad, good, named_error, octets
from tests.vectors.fields import from_json, to_json
from tests.vectors.makers.content import file_manifest, replaced


def _signed(vector: Vector) -> Signed:
    return Signed(octets(vector, "payload"), octets(vector, "signature"))


@good("keys")
def test_a_kept_rsa_key_has_3072_bits_and_this_public_half(vector: Vector):
    key = crypto.RsaKey(octets(vector, "pkcs8"))
    assert key.public == octets(vector, "spki")
    assert key.open(crypto.rsa_seal(key.public, b"secret")) == b"secret"


@good("node", lambda vector: "tokens" in vector)
def test_a_name_is_looked_up_under_every_key_in_use(vector: Vector):
    keys = [octets(vector, "node_key"), *map(bytes.fromhex, vector["former"])]
    former = tuple(NodeKey(key) for key in keys[1:])
    generation, since = vector["generation"], vector["names_since"]
    node = KeyedNode(NodeId(bytes(16)), generation, NodeKey(keys[0]), former, since)
    in_use = keys[: generation - since + 1]
    tokens = [
        hmac.digest(
            reference.expand(key, b"fs/2 node name key"), vector["file_name"].encode(), "sha256"
        )
        for key in in_use
    ]
    assert node.tokens(vector["file_name"]) == tokens
    assert [token.hex() for token in tokens] == vector["tokens"]


@good("node", lambda vector: "token" in vector)
def test_keys_and_tokens_follow_from_a_node_key(vector: Vector):
    key = octets(vector, "node_key")
    node = KeyedNode(NodeId(bytes(16)), 1, NodeKey(key))
    assert node.metadata_key == octets(vector, "metadata_key")
    assert node.metadata_key == reference.expand(key, b"fs/2 node metadata key")
    name = unicodedata.normalize("NFC", vector["file_name"]).encode()
    token = hmac.digest(reference.expand(key, b"fs/2 node name key"), name, "sha256")
    assert node.token(vector["file_name"]) == token == octets(vector, "token")


# --- links


def _open_link(vector: Vector) -> KeyedNode:
    parent = KeyedNode(
        NodeId(octets(vector, "parent")),
        vector["parent_generation"],
        NodeKey(octets(vector, "parent_key")),
        tuple(NodeKey(bytes.fromhex(key)) for key in vector["parent_former"]),
    )
    manifest = replaced(
        file_manifest(),
        node=octets(vector, "child"),
        parent=parent.node,
        generation=vector["child_generation"],
        link=octets(vector, "link"),
        link_generation=vector["link_generation"],
        former=octets(vector, "former"),
        key_commitment=octets(vector, "key_commitment"),
        former_commitment=octets(vector, "former_commitment"),
    )
    return parent.open_link(manifest)


@good("link")
def test_a_link_gives_the_key_of_the_child(vector: Vector):
    opened = _open_link(vector)
    assert opened.key == octets(vector, "child_key")
    assert (opened.node.hex(), opened.generation) == (vector["child"], vector["child_generation"])


@bad("link")
def test_a_faulty_link_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _open_link(vector)
    assert type(refused.value) is named_error(vector)


# --- grants


@good("grant")
def test_a_root_grant_gives_the_key_of_the_root(vector: Vector):
    signed, owner = _signed(vector), person(vector["to"])
    body = from_json(RootGrant, vector["fields"])
    assert pack(body) == signed.payload
    assert body.sealed == octets(vector, "sealed")
    root = open_root_grant(signed, owner)
    assert (root.node, root.generation) == (body.node, body.generation)
    assert root.key == octets(vector, "node_key") == _opened_by_hand(body)


def _opened_by_hand(body: RootGrant) -> bytes:
    alice = person("alice")
    secret = alice.rsa.open(body.sealed[:384])
    shared = alice.kem.decapsulate(body.sealed[384 : 384 + 1088])
    info = b"fs/2 wrap to person" + body.node + reference.u32(body.generation) + b"\x01alice"
    salt = reference.sha256(b"fs/2 bundle hash" + alice.bundle.signed.payload)
    key = reference.hkdf(secret + shared, salt, info)
    return AESGCM(key).decrypt(bytes(12), body.sealed[384 + 1088 :], b"")


@bad("grant")
def test_a_faulty_root_grant_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        open_root_grant(_signed(vector), person(vector["to"]))
    assert type(refused.value) is named_error(vector)


# --- bundles


@good("bundle")
def test_a_bundle_is_packed_and_verified(vector: Vector):
    signed, private = _signed(vector), vector["private"]
    body = from_json(Bundle, vector["fields"])
    verified = verify_bundle(signed, vector["user"])
    assert pack(body) == signed.payload
    assert verified.body == body
    assert to_json(verified.body) == vector["fields"]
    assert verified.hash == octets(vector, "hash")
    assert verified.hash == reference.sha256(b"fs/2 bundle hash" + signed.payload)
    assert verified.fingerprint == vector["fingerprint"]
    assert body.ed25519 == crypto.SigningKey(octets(private, "ed25519")).public
    assert body.rsa == rsa_key(private["rsa"]).public
    assert body.kem == crypto.KemKey(octets(private, "kem")).public


@bad("bundle")
def test_a_faulty_bundle_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        verify_bundle(_signed(vector), vector["user"])
    assert type(refused.value) is named_error(vector)


# --- keyfiles


@good("keyfile")
def test_a_keyfile_gives_the_identity(vector: Vector):
    data = octets(vector, "keyfile")
    assert needs_passphrase(data) == (vector["passphrase"] is not None)
    opened, expected = open_identity(data, vector["passphrase"]), person(vector["user"])
    assert opened.bundle == expected.bundle
    assert (opened.signing.seed, opened.rsa.der, opened.kem.seed) == (
        expected.signing.seed,
        expected.rsa.der,
        expected.kem.seed,
    )


@bad("keyfile")
def test_a_faulty_keyfile_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        open_identity(octets(vector, "keyfile"), vector["passphrase"])
    assert type(refused.value) is named_error(vector)


# --- enrolment links


@good("enroll")
def test_an_enrolment_link_is_read(vector: Vector):
    link = parse_link(vector["link"])
    assert (link.user, link.address.host, link.address.port, link.host_key) == (
        vector["user"],
        vector["host"],
        vector["port"],
        vector["host_key"],
    )


@bad("enroll")
def test_a_faulty_enrolment_link_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        parse_link(vector["link"])
    assert type(refused.value) is named_error(vector)
