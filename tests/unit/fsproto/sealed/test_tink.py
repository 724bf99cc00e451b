"""Sealed content against Google's Tink: each implementation opens the other's streams."""

from __future__ import annotations

import io

import pytest

from fsproto.errors import IntegrityError
from fsproto.sealed.stream import FIRST_PLAIN, OTHER_PLAIN, content_ad, sealed_size
from fsproto.types import FileKey, NodeId
from tests.support.fixed_keys import Seeded, stretch
from tests.support.sealed_streams import open_stream, seal_stream

tink = pytest.importorskip(
    "tink", reason="TINK IS NOT INSTALLED: that others can open sealed content goes unchecked here"
)
from tink import cleartext_keyset_handle, streaming_aead  # noqa: E402 - after the skip
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2  # noqa: E402

KEY = FileKey(stretch("file key", 32))
AD = content_ad(NodeId(stretch("node", 16)), 5)

TWO = FIRST_PLAIN + OTHER_PLAIN
THREE = TWO + OTHER_PLAIN
SIZES = [
    *(0, 1, 1000),
    *(FIRST_PLAIN - 1, FIRST_PLAIN, FIRST_PLAIN + 1),
    *(TWO - 1, TWO, TWO + 1),
    *(THREE - 1, THREE, THREE + 1),
    5 * OTHER_PLAIN,
]


@pytest.fixture(scope="module")
def theirs() -> streaming_aead.StreamingAead:
    """Tink's AES256_GCM_HKDF_1MB with our file key as its only key."""
    streaming_aead.register()
    template = streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB
    params = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKeyFormat.FromString(template.value)
    assert params.key_size == len(KEY)
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0, params=params.params, key_value=KEY
    )
    assert key.params.hkdf_hash_type == common_pb2.SHA256
    keyset = tink_pb2.Keyset(
        primary_key_id=1,
        key=[
            tink_pb2.Keyset.Key(
                key_id=1,
                status=tink_pb2.ENABLED,
                output_prefix_type=tink_pb2.RAW,
                key_data=tink_pb2.KeyData(
                    type_url=template.type_url,
                    value=key.SerializeToString(),
                    key_material_type=tink_pb2.KeyData.SYMMETRIC,
                ),
            )
        ],
    )
    handle = cleartext_keyset_handle.from_keyset(keyset)
    return handle.primitive(streaming_aead.StreamingAead)


class _Kept(io.BytesIO):
    """A stream that keeps its bytes after it is closed."""

    written = b""

    def close(self) -> None:
        self.written = self.getvalue()
        super().close()


def _seal_with(theirs: streaming_aead.StreamingAead, plaintext: bytes, ad: bytes) -> bytes:
    stored = _Kept()
    with theirs.new_encrypting_stream(stored, ad) as stream:
        stream.write(plaintext)
    return stored.written


def _open_with(theirs: streaming_aead.StreamingAead, stored: bytes, ad: bytes) -> bytes:
    with theirs.new_decrypting_stream(io.BytesIO(stored), ad) as stream:
        plaintext: bytes = stream.read()
        return plaintext


@pytest.mark.parametrize("size", SIZES)
def test_tink_opens_what_we_seal(theirs: streaming_aead.StreamingAead, size: int):
    plaintext = stretch("for tink", size)
    stored = seal_stream(KEY, AD, plaintext, Seeded("for tink"))
    assert _open_with(theirs, stored, AD) == plaintext


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_tink_seals(theirs: streaming_aead.StreamingAead, size: int):
    plaintext = stretch("by tink", size)
    stored = _seal_with(theirs, plaintext, AD)
    assert len(stored) == sealed_size(size)
    assert open_stream(KEY, AD, stored) == plaintext


@pytest.mark.parametrize("size", [1, FIRST_PLAIN + 1])
def test_neither_opens_what_the_other_sealed_for_another_file(
    theirs: streaming_aead.StreamingAead, size: int
):
    plaintext, other = stretch("another", size), content_ad(NodeId(stretch("another", 16)), 5)
    with pytest.raises(tink.TinkError):
        _open_with(theirs, seal_stream(KEY, other, plaintext, Seeded("another")), AD)
    with pytest.raises(IntegrityError):
        open_stream(KEY, AD, _seal_with(theirs, plaintext, other))


@pytest.mark.parametrize("cut", [1, OTHER_PLAIN // 2, FIRST_PLAIN + OTHER_PLAIN])
def test_tink_too_refuses_a_stream_without_its_end(theirs: streaming_aead.StreamingAead, cut: int):
    stored = seal_stream(KEY, AD, stretch("cut", TWO + 100), Seeded("cut"))
    with pytest.raises(tink.TinkError):
        _open_with(theirs, stored[:-cut], AD)
