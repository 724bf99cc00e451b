"""Vectors of drops: the server seals them to a person, and that person's client opens them."""

from __future__ import annotations

import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fsproto import labels
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
from fsproto.errors import FsError, IntegrityError, RemoteProtocolError
from fsproto.packing import pack
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.stream import StreamSealer
from fsproto.types import DropId, Root, Salt
from tests.support.fixed_keys import TIME_MS, Seeded, person, stretch
from tests.vectors import Vector
from tests.vectors.fields import to_json
from tests.vectors.makers import Files, Kept
from tests.vectors.makers.content import replaced
from tests.vectors.makers.padding import padded, wrong_paddings

PLAIN = b"page 1\n"
ID, SECRET = DropId(stretch("drop id", 16)), stretch("drop secret", 32)
SALT = Salt(stretch("drop salt", 32))
NOTE = DropNote(
    "scans/seite 1 ü.pdf", len(PLAIN), 1_699_999_999_123_456_789, TIME_MS,
    "SHA256:" + "k" * 43, "scanner", "192.0.2.7",
)  # fmt: skip


def make(kept: Kept) -> Files:
    """Return the file of drops."""
    return {"drop": _drops(kept)}


def _drops(kept: Kept) -> list[Vector]:
    alice, bob, keys = person("alice"), person("bob"), DropKeys.of(SECRET)
    blob = StreamSealer(keys.file_key, content_ad(ID), SALT).seal(0, PLAIN, last=True)
    content = DropContent(SALT, blob_root(SALT, blob), len(blob))
    sealed = seal_note(keys.note_key, ID, content, NOTE, Seeded("drop note"))

    def opens(wrapped: bytes) -> bool:
        return bool(open_drop(Drop(ID, alice.bundle.hash, wrapped, sealed, content, None), alice))

    wrapped = kept.get("drop", "drop", "wrapped", good=opens) or wrap_drop(
        ID, SECRET, alice.bundle, Seeded("drop wrap")
    )
    drop = Drop(ID, alice.bundle.hash, wrapped, sealed, content, None)

    def vector(name: str, made: Drop, error: type[FsError] | None, **fields: object) -> Vector:
        return {
            "name": name,
            "to": "alice",
            "drop": made.drop.hex(),
            "bundle": made.bundle.hex(),
            "wrapped": made.wrapped.hex(),
            "note": made.note.hex(),
            "content": to_json(made.content),
            **fields,
            "error": error.code if error else None,
        }

    def refused(name: str, error: type[FsError] = IntegrityError, **changes: object) -> Vector:
        return vector(name, replaced(drop, **changes), error)

    def noted(vector: str, error: type[FsError], **changes: object) -> Vector:
        note = replaced(NOTE, **changes)
        sealed = seal_note(keys.note_key, ID, content, note, Seeded(vector))
        return refused(vector, error, note=sealed)

    def filled(name: str, inside: bytes, error: type[FsError]) -> Vector:
        binding = labels.DROP_NOTE + ID + SALT + content.root
        binding += struct.pack(">Q", content.sealed_size)
        note = bytes(12) + AESGCM(keys.note_key).encrypt(bytes(12), inside, binding)
        return refused(name, error, note=note)

    def changed(data: bytes, at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    packed = pack(NOTE)
    return [
        vector(
            "drop",
            drop,
            None,
            secret=SECRET.hex(),
            file_key=keys.file_key.hex(),
            note_key=keys.note_key.hex(),
            fields=to_json(NOTE),
            blob=blob.hex(),
            plaintext=PLAIN.hex(),
        ),
        refused("drop_other_id", drop=DropId(bytes(16))),
        refused("drop_id_short", RemoteProtocolError, drop=DropId(ID[:-1])),
        refused("drop_to_another_person", bundle=bob.bundle.hash),
        refused("drop_rsa_part_changed", wrapped=changed(wrapped, 100)),
        refused("drop_kem_part_changed", wrapped=changed(wrapped, 500)),
        refused("drop_secret_changed", wrapped=changed(wrapped, 384 + 1088)),
        refused("drop_wrapped_cut", wrapped=wrapped[:-1]),
        refused("drop_no_wrapped", wrapped=b""),
        refused("drop_note_changed", note=changed(sealed, 20)),
        refused("drop_note_cut", note=sealed[:-1]),
        refused("drop_no_note", note=b""),
        refused(
            "drop_note_under_the_file_key",
            note=seal_note(keys.file_key, ID, content, NOTE, Seeded("wrong key")),
        ),
        refused("drop_other_salt", content=replaced(content, salt=Salt(bytes(32)))),
        refused("drop_other_root", content=replaced(content, root=Root(bytes(32)))),
        refused("drop_other_size", content=replaced(content, sealed_size=len(blob) + 1)),
        refused("drop_no_size", RemoteProtocolError, content=replaced(content, sealed_size=0)),
        refused(
            "drop_salt_short", RemoteProtocolError, content=replaced(content, salt=Salt(SALT[:-1]))
        ),
        noted("drop_note_of_another_size", IntegrityError, size=len(PLAIN) + 1),
        noted("drop_note_of_a_size_below_zero", RemoteProtocolError, size=-1),
        noted("drop_note_of_no_time", RemoteProtocolError, arrived_ms=-1),
        noted("drop_note_too_long", RemoteProtocolError, address="x" * 256),
        *(
            noted(f"drop_name_{what}", RemoteProtocolError, name=name)
            for what, name in (
                ("empty", ""),
                ("dot_dot", "../up"),
                ("absolute", "/etc/passwd"),
                ("ends_in_slash", "a/"),
                ("empty_part", "a//b"),
                ("control_character", "a\x1b[2J"),
                ("not_nfc", "u\u0308"),
                ("33_parts", "/".join(["x"] * 33)),
                ("too_long", "/".join(["x" * 200] * 6)),
            )
        ),
        *(
            filled(f"drop_note_{what}", inside, IntegrityError)
            for what, inside in wrong_paddings(packed).items()
        ),
        filled("drop_note_field_missing", padded(b"\x96\0"), RemoteProtocolError),
        filled("drop_note_bytes_behind_end", padded(packed + b"\0"), RemoteProtocolError),
    ]
