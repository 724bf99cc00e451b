"""Vectors of identities that move to another machine: exports and backups."""

from __future__ import annotations

import msgspec

from fsproto import crypto, labels
from fsproto.errors import FsError, IntegrityError, WrongPassphraseError
from fsproto.keys.export import MAGIC, seal_export
from fsproto.keys.portable import PART_SEEN, Portable, Seen, pack_portable, pack_seen
from fsproto.keys.recovery import MAGIC as BACKUP_MAGIC
from fsproto.keys.recovery import RecoverySecret
from fsproto.link import Address, EnrollLink
from tests.support.fixed_keys import Seeded, keyed_node, person, rsa_key, stretch
from tests.vectors import Vector
from tests.vectors.makers import Files, Kept

PASSPHRASE = "correct horse b\u00e4ttery staple"
PHRASES = {
    "recovery_zeros": ("00" * 16, "abandon " * 11 + "about"),
    "recovery_words": (
        "7f" * 16,
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
    ),
}
"""From the vectors of BIP-39, independent of this project's code."""


def make(kept: Kept) -> Files:
    """Return the files of exports and backups."""
    return {"export": _exports(), "recovery": _recoveries()}


def _link(user: str = "alice") -> EnrollLink:
    key = crypto.fingerprint(rsa_key("host").public)
    return EnrollLink(user, Address("files.example.org", 2222), key)


def _portable(user: str = "alice", parts: dict[str, bytes] | None = None) -> Portable:
    return Portable(person(user), _link(user), keyed_node("root").node, parts or {})


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


# --- exports


def _exports() -> list[Vector]:
    root = keyed_node("root").node
    seen = pack_seen([Seen(root, 1, 7, stretch("lineage", 32), stretch("state", 32))])
    parts = {PART_SEEN: seen, "of a later version": b"passed over"}
    plain, full = _portable(), _portable(parts=parts)
    good = seal_export(plain, PASSPHRASE, Seeded("export"))

    def vector(
        name: str,
        data: bytes,
        error: type[FsError] | None,
        inside: Portable = plain,
        passphrase: str = PASSPHRASE,
    ) -> Vector:
        return {
            "name": name,
            "passphrase": passphrase,
            "export": data.hex(),
            "user": None if error else inside.identity.user,
            "link": None if error else str(inside.link),
            "root": None if error else inside.root.hex(),
            "parts": None if error else {name: part.hex() for name, part in inside.parts.items()},
            "error": error.code if error else None,
        }

    def cost(place: int, value: int) -> bytes:
        kdf, nonce, body, _ = msgspec.msgpack.decode(good[len(MAGIC) :])
        kdf[place] = value
        check = crypto.sha256(labels.EXPORT, msgspec.msgpack.encode(kdf), nonce, body)
        return MAGIC + msgspec.msgpack.encode([kdf, nonce, body, check])

    damaged = IntegrityError
    return [
        vector("export", good, None),
        vector("export_parts", seal_export(full, PASSPHRASE, Seeded("parts")), None, full),
        vector("export_wrong_passphrase", good, WrongPassphraseError, passphrase="correct horse"),
        vector("export_passphrase_empty", good, WrongPassphraseError, passphrase=""),
        vector("export_byte_changed", _flipped(good, len(good) // 2), damaged),
        vector("export_check_changed", _flipped(good, len(good) - 1), damaged),
        vector("export_cut", good[:-1], damaged),
        vector("export_bytes_behind_end", good + b"\n", damaged),
        vector("export_too_many_passes", cost(1, 17), damaged),
        vector("export_too_much_memory", cost(3, (1 << 20) + 1), damaged),
        vector("export_other_magic", b"FSEXP2\n" + good[len(MAGIC) :], damaged),
        vector("export_empty", b"", damaged),
    ]


# --- backups


def _recoveries() -> list[Vector]:
    channel = stretch("channel id", 32)

    def vector(
        name: str,
        backup: bytes,
        error: type[FsError] | None = None,
        secret: str = "7f" * 16,
        phrase: str = PHRASES["recovery_words"][1],
    ) -> Vector:
        key = RecoverySecret("alice", bytes.fromhex(secret)).signing
        return {
            "name": name,
            "user": "alice",
            "phrase": phrase,
            "secret": secret,
            "public": key.public.hex(),
            "channel_id": channel.hex(),
            "signature": key.sign(labels.SIGN_RECOVER, channel, b"alice").hex(),
            "backup": backup.hex(),
            "link": None if error else str(_link()),
            "root": None if error else keyed_node("root").node.hex(),
            "error": error.code if error else None,
        }

    goods = [
        vector(
            name,
            RecoverySecret("alice", bytes.fromhex(secret)).seal(_portable(), Seeded(name)),
            None,
            secret,
            phrase,
        )
        for name, (secret, phrase) in PHRASES.items()
    ]
    return goods + [
        vector(f"recovery_{name}", backup, IntegrityError)
        for name, backup in _refused(bytes.fromhex(goods[0]["backup"])).items()
    ]


def _refused(of_zeros: bytes) -> dict[str, bytes]:
    """Return backups that the phrase `recovery_words` must not open as alice's."""
    mine = RecoverySecret("alice", b"\x7f" * 16)
    good = mine.seal(_portable(), Seeded("recovery"))
    salt = stretch("recovery salt", 32)

    def by_hand(plain: bytes, user: bytes = b"alice") -> bytes:
        key = crypto.hkdf(mine.secret, salt=salt, info=labels.RECOVERY_KEY + user)
        sealed = crypto.Aead(key).seal(bytes(12), plain)
        return BACKUP_MAGIC + msgspec.msgpack.encode([salt, sealed])

    packed = pack_portable(_portable())
    format_2 = b"\x95\x02" + packed[2:]
    return {
        "of_another_phrase": of_zeros,
        "of_another_person": RecoverySecret("bob", mine.secret).seal(
            _portable("bob"), Seeded("recovery")
        ),
        "another_persons_identity_inside": by_hand(pack_portable(_portable("bob"))),
        "sealed_for_another_person": by_hand(packed, b"bob"),
        "format_2": by_hand(format_2),
        "nothing_inside": by_hand(b""),
        "byte_changed": _flipped(good, len(good) // 2),
        "salt_changed": _flipped(good, len(BACKUP_MAGIC) + 10),
        "cut": good[:-1],
        "bytes_behind_end": good + b"\0",
        "other_magic": b"FSBAK2\n" + good[len(BACKUP_MAGIC) :],
        "empty": b"",
    }
