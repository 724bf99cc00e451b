"""A second implementation of the formats, written only from their descriptions and simply.

The tests compare the results of `fsproto` with it, so nothing here may import `fsproto`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

SEGMENT = 1 << 20
HEADER = 40
TAG = 16


def u16(number: int) -> bytes:
    """Return two bytes, big-endian."""
    return number.to_bytes(2, "big")


def u32(number: int) -> bytes:
    """Return four bytes, big-endian."""
    return number.to_bytes(4, "big")


def u64(number: int) -> bytes:
    """Return eight bytes, big-endian."""
    return number.to_bytes(8, "big")


def sha256(data: bytes) -> bytes:
    """Return SHA-256."""
    return hashlib.sha256(data).digest()


def expand(key: bytes, info: bytes, length: int = 32) -> bytes:
    """Return HKDF-Expand with SHA-256 (RFC 5869 section 2.3)."""
    out, block = b"", b""
    for number in range(1, 2 + length // 32):
        block = hmac.digest(key, block + info + bytes([number]), "sha256")
        out += block
    return out[:length]


def hkdf(ikm: bytes, salt: bytes, info: bytes, length: int = 32) -> bytes:
    """Return HKDF with SHA-256 (RFC 5869)."""
    return expand(hmac.digest(salt, ikm, "sha256"), info, length)


def key_schedule(secrets: bytes, hello: bytes, answer: bytes, sealed: bytes) -> dict[str, bytes]:
    """Return everything that is derived from a handshake's three secrets and its messages."""
    framed = b"".join(u32(len(part)) + part for part in (hello, answer, sealed))
    transcript = sha256(b"fs/2 transcript" + framed)
    prk = hkdf(secrets, transcript, b"fs/2 channel secret")
    return {
        "transcript": transcript,
        "prk": prk,
        "client_confirm": expand(prk, b"fs/2 client confirm"),
        "server_confirm": expand(prk, b"fs/2 server confirm"),
        "client_to_server": expand(prk, b"fs/2 client to server", 44),
        "server_to_client": expand(prk, b"fs/2 server to client", 44),
        "channel_id": expand(prk, b"fs/2 channel id"),
    }


def record(secret: bytes, number: int, plaintext: bytes) -> bytes:
    """Return record `number` (from 0) of a direction whose first secret is `secret` (44 bytes)."""
    for _ in range(number // 4096):
        secret = expand(secret[:32], b"fs/2 ratchet", 44)
    key, iv = secret[:32], secret[32:]
    nonce = iv[:4] + u64(int.from_bytes(iv[4:], "big") ^ (number % 4096))
    header = u32(len(plaintext) + TAG)
    return header + AESGCM(key).encrypt(nonce, plaintext, header)


def tree_hash(entries: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash of a non-empty list (RFC 9162 section 2.1.1)."""
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0])
    split = _largest_power_below(len(entries))
    return sha256(b"\x01" + tree_hash(entries[:split]) + tree_hash(entries[split:]))


def inclusion_path(index: int, entries: Sequence[bytes]) -> list[bytes]:
    """Return the inclusion proof of one entry (RFC 9162 section 2.1.3.1)."""
    if len(entries) == 1:
        return []
    split = _largest_power_below(len(entries))
    if index < split:
        return [*inclusion_path(index, entries[:split]), tree_hash(entries[split:])]
    return [*inclusion_path(index - split, entries[split:]), tree_hash(entries[:split])]


def root_of(payload: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes:
    """Return the root for an entry and its inclusion proof, which is read from the top down."""
    if count == 1:
        assert not path
        return sha256(b"\x00" + payload)
    split, top = _largest_power_below(count), path[-1]
    if index < split:
        return sha256(b"\x01" + root_of(payload, index, split, path[:-1]) + top)
    return sha256(b"\x01" + top + root_of(payload, index - split, count - split, path[:-1]))


def _largest_power_below(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def verify_one_of_many(public: bytes, label: bytes, payload: bytes, signature: bytes) -> None:
    """Verify a signature over many payloads for one of them; raise an exception if it is wrong."""
    head, place, rest = signature[:64], signature[64:72], signature[72:]
    index, count = int.from_bytes(place[:4], "big"), int.from_bytes(place[4:], "big")
    path = [rest[at : at + 32] for at in range(0, len(rest), 32)]
    message = label + u32(count) + root_of(payload, index, count, path)
    Ed25519PublicKey.from_public_bytes(public).verify(head, message)


def sealed_stream(key: bytes, ad: bytes, salt: bytes, prefix: bytes, plaintext: bytes) -> bytes:
    """Return the whole stored stream."""
    cipher = AESGCM(hkdf(key, salt, ad))
    first, other = SEGMENT - HEADER - TAG, SEGMENT - TAG
    rest = range(first, len(plaintext), other)
    pieces = [plaintext[:first], *(plaintext[at : at + other] for at in rest)]
    out = bytes([HEADER]) + salt + prefix
    for index, piece in enumerate(pieces):
        last = index == len(pieces) - 1
        out += cipher.encrypt(prefix + u32(index) + bytes([last]), piece, None)
    return out


def leaves(salt: bytes, blob: bytes) -> list[bytes]:
    """Return the leaves of a stored blob."""
    starts = range(0, max(1, len(blob)), SEGMENT)
    return [sha256(salt + u64(i) + blob[at : at + SEGMENT]) for i, at in enumerate(starts)]


def blob_root(salt: bytes, blob: bytes) -> bytes:
    """Return the root of a stored blob."""
    hashes = leaves(salt, blob)
    return sha256(salt + b"root" + u64(len(hashes)) + u64(len(blob)) + b"".join(hashes))


def tree_root(entries: Sequence[tuple[bytes, bytes, bytes]], depth: int = 0) -> bytes:
    """Return the prefix tree's root over (token, node, manifest hash) of different tokens."""
    if not entries:
        return bytes(32)
    if len(entries) == 1:
        return sha256(b"\x00" + b"".join(entries[0]))
    sides: tuple[list[tuple[bytes, bytes, bytes]], ...] = [], []
    for entry in entries:
        sides[place_of(entry[0]) >> (255 - depth) & 1].append(entry)
    zero, one = (tree_root(side, depth + 1) for side in sides)
    if not all(sides):
        return zero if sides[0] else one
    return sha256(b"\x01" + bytes([depth]) + zero + one)


def place_of(token: bytes) -> int:
    """Return the place of a token in a prefix tree."""
    return int.from_bytes(sha256(b"\x02" + token), "big")


def next_lineage(version: int, lineage: bytes, hash_of: bytes) -> bytes:
    """Return the lineage of version + 1."""
    return sha256(b"fs/2 lineage" + u64(version) + lineage + hash_of)


def descends(
    earlier: tuple[int, bytes, bytes], later: tuple[int, bytes, bytes], between: Sequence[bytes]
) -> bool:
    """Return whether one (version, lineage, hash) is an ancestor of another."""
    if later[0] - earlier[0] != len(between) + 1:
        return False
    version, lineage = earlier[0], earlier[1]
    for hash_of in (earlier[2], *between):
        version, lineage = version + 1, next_lineage(version, lineage, hash_of)
    return lineage == later[1]


def safety_half(user: str, bundle: bytes) -> str:
    """Return the half of a safety number that one person's bundle gives."""
    label = b"fs/2 safety number"
    salt = sha256(label + user.encode())[:16]
    argon2 = Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=64 * 1024)
    digest = argon2.derive(label + bundle)
    groups = [int.from_bytes(digest[5 * i : 5 * i + 5], "big") % 100000 for i in range(6)]
    return " ".join(f"{group:05d}" for group in groups)


def totp(secret: str, time_s: int, digits: int, period: int, algorithm: str) -> str:
    """Return the one-time password of a time (RFC 6238)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.digest(key, u64(time_s // period), algorithm.lower())
    at = mac[-1] & 15
    number = int.from_bytes(mac[at : at + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


@dataclass(frozen=True)
class Step:
    """One node on a way, as far as it matters for whose signature counts."""

    generation: int
    link_generation: int
    named: Sequence[tuple[str, bytes, int | None]]
    """Writers of the list: user, key, last generation (None: no end)."""


def signature_counts(
    way: Sequence[Step],
    author: str,
    key: bytes,
    *,
    is_owner: bool,
    same_person: Callable[[str, bytes, bytes], bool],
    ever: bool,
) -> bool:
    """Return whether a signature counts in the last folder of a way (from the top down)."""
    if is_owner:
        return True
    due, relevant = ever, 1
    for at in reversed(range(len(way))):
        step = way[at]
        if not due:
            relevant = step.generation
        for user, named, last in step.named:
            if (
                user == author
                and same_person(user, named, key)
                and (last is None or relevant <= last)
            ):
                return True
        if due:
            relevant = 1
        elif at > 0 and step.link_generation < way[at - 1].generation:
            due, relevant = True, step.link_generation
    return False
