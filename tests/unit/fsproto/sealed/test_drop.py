"""Drops: they follow the protocol, and only their recipient can open them."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fsproto import crypto
from fsproto.drop import (
    Drop,
    DropContent,
    DropKeys,
    DropNote,
    content_ad,
    open_drop,
    seal_note,
    wrap_drop,
)
from fsproto.errors import IntegrityError, RemoteProtocolError, SecurityError
from fsproto.keys.wrapping import OVERHEAD, open_sealed
from fsproto.packing import pack, unpack
from fsproto.sealed.manifest import (
    Dropped,
    DroppedMetadata,
    Metadata,
    Mode,
    described,
    dropped_of,
    renamed,
)
from fsproto.sealed.stream import sealed_size
from fsproto.types import DropId, FileKey, Hash, Root, Salt
from tests.support import reference
from tests.support.fixed_keys import TIME_MS, Seeded, person, stretch

ALICE = person("alice")
ID, SECRET = DropId(stretch("drop", 16)), stretch("secret", 32)
CONTENT = DropContent(Salt(stretch("salt", 32)), Root(stretch("root", 32)), sealed_size(5))
NOTE = DropNote("scans/a.pdf", 5, 7, TIME_MS, "SHA256:k", "scanner", "192.0.2.7")
KEYS = DropKeys.of(SECRET)


def made(note: DropNote = NOTE, drop: DropId = ID, content: DropContent = CONTENT) -> Drop:
    wrapped = wrap_drop(drop, SECRET, ALICE.bundle, Seeded("wrap"))
    sealed = seal_note(KEYS.note_key, drop, content, note, Seeded("note"))
    return Drop(drop, ALICE.bundle.hash, wrapped, sealed, content, None)


def test_a_drop_opens_for_whom_it_is():
    opened = open_drop(made(), ALICE)
    assert (opened.note, opened.file_key, opened.content) == (NOTE, KEYS.file_key, CONTENT)
    assert opened.parts == ("scans", "a.pdf")


def test_everything_is_as_the_protocol_says():
    sent = made()
    assert len(sent.wrapped) == OVERHEAD + 32 == 384 + 1088 + 48
    info = b"fs/2 wrap drop to person" + ID + b"alice"
    assert open_sealed(sent.wrapped, info, ALICE) == SECRET
    assert reference.expand(SECRET, b"fs/2 drop file key") == KEYS.file_key
    note_key = reference.expand(SECRET, b"fs/2 drop note key")
    binding = b"fs/2 drop note" + ID + CONTENT.salt + CONTENT.root
    binding += CONTENT.sealed_size.to_bytes(8, "big")
    filled = AESGCM(note_key).decrypt(sent.note[:12], sent.note[12:], binding)
    assert len(filled) % 128 == 0
    size = int.from_bytes(filled[:2], "big")
    assert msgspec.msgpack.decode(filled[2 : 2 + size]) == [
        "scans/a.pdf",
        5,
        7,
        TIME_MS,
        "SHA256:k",
        "scanner",
        "192.0.2.7",
    ]
    assert filled[2 + size :].strip(b"\0") == b""
    assert content_ad(ID) == b"fs/2 drop content" + ID


def test_the_secret_is_bound_to_drop_and_person():
    sent = made()
    for info in (
        b"fs/2 wrap drop to person" + bytes(16) + b"alice",
        b"fs/2 wrap drop to person" + ID + b"bob",
        b"fs/2 wrap to person" + ID + b"alice",
    ):
        with pytest.raises(crypto.CryptoError):
            open_sealed(sent.wrapped, info, ALICE)


def test_another_person_cannot_open_it():
    with pytest.raises(IntegrityError):
        open_drop(made(), person("bob"))


def test_the_note_key_opens_no_content_and_the_file_key_no_note():
    assert len({SECRET, KEYS.file_key, KEYS.note_key}) == 3
    with pytest.raises(IntegrityError):
        open_drop(
            msgspec.structs.replace(
                made(), note=seal_note(KEYS.file_key, ID, CONTENT, NOTE, Seeded("note"))
            ),
            ALICE,
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"drop": DropId(bytes(16))},
        {"drop": DropId(b"short")},
        {"bundle": Hash(bytes(32))},
        {"wrapped": b""},
        {"note": b""},
        {"note": bytes(11)},
        {"content": DropContent(CONTENT.salt, CONTENT.root, 0)},
        {"content": DropContent(Salt(b""), CONTENT.root, CONTENT.sealed_size)},
    ],
    ids=str,
)
def test_anything_else_is_refused(changes):
    with pytest.raises(SecurityError):
        open_drop(msgspec.structs.replace(made(), **changes), ALICE)


def test_an_invalid_note_is_refused():
    binding = b"fs/2 drop note" + ID + CONTENT.salt + CONTENT.root
    binding += CONTENT.sealed_size.to_bytes(8, "big")
    for filled in (b"", b"\0", b"\0\5hello", b"\xff\xff" + bytes(126)):
        sealed = bytes(12) + AESGCM(KEYS.note_key).encrypt(bytes(12), filled, binding)
        with pytest.raises(SecurityError):
            open_drop(msgspec.structs.replace(made(), note=sealed), ALICE)


# --- metadata of accepted drops


DROPPED = Dropped(ID, TIME_MS, "SHA256:k", "scanner", "192.0.2.7")
PLAIN = Metadata("a.pdf", 5, 7, Mode.REGULAR, FileKey(bytes(32)))
MARKED = DroppedMetadata("a.pdf", 5, 7, Mode.REGULAR, FileKey(bytes(32)), DROPPED)


def test_only_a_file_that_was_dropped_has_one_field_more():
    assert pack(PLAIN)[0] == 0x95
    assert pack(MARKED)[0] == 0x96
    assert (dropped_of(PLAIN), dropped_of(MARKED)) == (None, DROPPED)


def test_the_mark_stays_where_the_content_stays():
    for changed in (renamed(MARKED, "b"), described(MARKED, 8, Mode.EXECUTABLE)):
        assert dropped_of(changed) == DROPPED
    assert described(PLAIN, 8, Mode.EXECUTABLE).mtime_ns == 8


def test_the_mark_cannot_be_added_to_what_is_read_strictly():
    with pytest.raises(RemoteProtocolError):
        unpack(pack(MARKED), Metadata)
