"""The formats once more, written from their descriptions alone and as plainly as can be.

What `fsproto` computes is compared with this, so nothing here may import it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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
    """Return everything that follows from a handshake's three secrets and its messages."""
    framed = b"".join(u32(len(part)) + part for part in (hello, answer, sealed))
    transcript = sha256(b"fs/1 transcript" + framed)
    prk = hkdf(secrets, transcript, b"fs/1 channel secret")
    return {
        "transcript": transcript,
        "prk": prk,
        "client_confirm": expand(prk, b"fs/1 client confirm"),
        "server_confirm": expand(prk, b"fs/1 server confirm"),
        "client_to_server": expand(prk, b"fs/1 client to server", 44),
        "server_to_client": expand(prk, b"fs/1 server to client", 44),
        "channel_id": expand(prk, b"fs/1 channel id"),
    }


def record(secret: bytes, number: int, plaintext: bytes) -> bytes:
    """Return record `number` (from 0) of a direction that began with `secret` (44 bytes)."""
    for _ in range(number // 4096):
        secret = expand(secret[:32], b"fs/1 ratchet", 44)
    key, iv = secret[:32], secret[32:]
    nonce = iv[:4] + u64(int.from_bytes(iv[4:], "big") ^ (number % 4096))
    header = u32(len(plaintext) + TAG)
    return header + AESGCM(key).encrypt(nonce, plaintext, header)


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
        sides[int.from_bytes(entry[0], "big") >> (255 - depth) & 1].append(entry)
    return sha256(b"\x01" + tree_root(sides[0], depth + 1) + tree_root(sides[1], depth + 1))
