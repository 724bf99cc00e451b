"""The vectors of drops, against `fsproto` and against the plain reference."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fsproto.drop import Drop, DropContent, DropNote, OpenedDrop, content_ad, open_drop
from fsproto.errors import FsError
from fsproto.packing import pack
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.stream import HEADER_SIZE, StreamOpener
from fsproto.types import DropId, Hash
from tests.support import reference
from tests.support.fixed_keys import person
from tests.vectors import Vector
from tests.vectors.cases import bad, good, named_error, octets
from tests.vectors.fields import from_json


def _open(vector: Vector) -> OpenedDrop:
    drop = Drop(
        DropId(octets(vector, "drop")),
        Hash(octets(vector, "bundle")),
        octets(vector, "wrapped"),
        octets(vector, "note"),
        from_json(DropContent, vector["content"]),
        None,
    )
    return open_drop(drop, person(vector["to"]))


@good("drop")
def test_a_drop_is_opened_with_its_content(vector: Vector):
    opened = _open(vector)
    note = from_json(DropNote, vector["fields"])
    assert opened.note == note
    assert "/".join(opened.parts) == note.name
    secret = octets(vector, "secret")
    assert octets(vector, "file_key") == reference.expand(secret, b"fs/2 drop file key")
    assert octets(vector, "note_key") == reference.expand(secret, b"fs/2 drop note key")
    assert opened.file_key == octets(vector, "file_key")
    blob = octets(vector, "blob")
    assert blob_root(opened.content.salt, blob) == opened.content.root
    opener = StreamOpener(opened.file_key, content_ad(opened.drop), blob[:HEADER_SIZE])
    assert opener.open(0, blob, last=True) == octets(vector, "plaintext")


@good("drop")
def test_a_note_is_packed_and_filled_as_the_protocol_says(vector: Vector):
    content, sealed = vector["content"], octets(vector, "note")
    binding = b"fs/2 drop note" + octets(vector, "drop") + octets(content, "salt")
    binding += octets(content, "root") + content["sealed_size"].to_bytes(8, "big")
    filled = AESGCM(octets(vector, "note_key")).decrypt(sealed[:12], sealed[12:], binding)
    packed = pack(from_json(DropNote, vector["fields"]))
    assert filled == (len(packed).to_bytes(2, "big") + packed).ljust(len(filled), b"\0")
    assert len(filled) % 128 == 0


@bad("drop")
def test_a_faulty_drop_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        _open(vector)
    assert type(refused.value) is named_error(vector)
