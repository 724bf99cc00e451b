"""What `fsclient keys file` shows is enough for another implementation to open a stored blob."""

from __future__ import annotations

import hashlib
import io
import sqlite3
from contextlib import closing

import pytest

from tests.support import reference
from tests.support.client_processes import NOT_FOUND, USAGE, Client
from tests.support.fixed_keys import stretch

MIB = 1 << 20
SIZES = [0, 1, 65_480, 65_481, MIB - 56, MIB - 55, 3 * MIB + 5]


def stored_blob(client: Client, root: str) -> bytes:
    """Return the server's blob: small ones are in its database, large ones in a folder."""
    home = client.server.home
    with closing(sqlite3.connect(home / "fsd.db")) as db:
        found = db.execute("SELECT data, place FROM blobs WHERE root = ?", [bytes.fromhex(root)])
        data, place = found.fetchone()
    return (home / "blobs" / place).read_bytes() if data is None else bytes(data)


def opened_by_tink(file_key: bytes, associated_data: bytes, stored: bytes) -> bytes:
    """Decrypt a stream with Tink, Google's own implementation."""
    tink = pytest.importorskip("tink", reason="TINK IS NOT INSTALLED: nothing was compared with it")
    from tink import secret_key_access, streaming_aead
    from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

    streaming_aead.register()
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        params=aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
            ciphertext_segment_size=MIB, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256
        ),
        key_value=file_key,
    )
    keyset = tink_pb2.Keyset(primary_key_id=1)
    keyset.key.add(
        key_data=tink_pb2.KeyData(
            type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
            value=key.SerializeToString(),
            key_material_type=tink_pb2.KeyData.SYMMETRIC,
        ),
        status=tink_pb2.ENABLED,
        key_id=1,
        output_prefix_type=tink_pb2.RAW,
    )
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    primitive = handle.primitive(streaming_aead.StreamingAead)
    with primitive.new_decrypting_stream(io.BytesIO(stored), associated_data) as stream:
        plain: bytes = stream.read()
    return plain


@pytest.mark.cases(1)
@pytest.mark.parametrize("size", SIZES)
def test_tink_opens_the_stored_blob_with_the_key_that_is_shown(client, size):
    content = stretch(f"keys {size}", size)
    client.write("x", content)
    client.quick("put", "x", f"{client.room}/").ok()
    shown = client.quick("keys", "file", "--json", f"{client.room}/x").ok().json()
    key, bound_to, salt = (
        bytes.fromhex(shown[name]) for name in ("file_key", "associated_data", "salt")
    )
    stored = stored_blob(client, shown["blob"])
    assert opened_by_tink(key, bound_to, stored) == content
    assert reference.blob_root(salt, stored).hex() == shown["root"] == shown["blob"]


def test_each_version_has_a_key_of_its_own_that_opens_no_other(client):
    shown = []
    for content in (b"first", b"other"):
        client.write("x", content)
        client.quick("put", "x", f"{client.room}/").ok()
        shown.append(client.quick("keys", "file", "--json", f"{client.room}/x").ok().json())
    first, second = shown
    assert all(first[name] != second[name] for name in first)
    stored = stored_blob(client, second["blob"])
    bound_to = bytes.fromhex(second["associated_data"])
    assert opened_by_tink(bytes.fromhex(second["file_key"]), bound_to, stored) == b"other"
    with pytest.raises(Exception, match="No matching key found"):
        opened_by_tink(bytes.fromhex(first["file_key"]), bound_to, stored)


def test_a_move_keeps_the_file_key_because_content_is_not_sealed_again(client):
    client.write("x", b"content")
    client.quick("put", "x", f"{client.room}/").ok()
    before = client.quick("keys", "file", "--json", f"{client.room}/x").ok().json()
    client.quick("mv", f"{client.room}/x", f"{client.room}/y").ok()
    assert client.quick("keys", "file", "--json", f"{client.room}/y").ok().json() == before


def test_it_warns_and_shows_people_the_same(client):
    client.write("x", b"content")
    client.quick("put", "x", f"{client.room}/").ok()
    as_json = client.quick("keys", "file", "--json", f"{client.room}/x").ok().json()
    for_people = client.quick("keys", "file", f"{client.room}/x").ok()
    assert dict(line.split() for line in for_people.lines) == as_json
    assert "it is enough to read this version" in for_people.err
    assert hashlib.sha256(b"content").hexdigest() not in for_people.text


def test_a_folder_has_no_such_key(client):
    client.quick("mkdir", client.room).ok()
    client.quick("keys", "file", client.room).fails(USAGE, "is a folder")
    client.quick("keys", "file", f"{client.room}/no").fails(NOT_FOUND)
