"""Sealed content: byte for byte a stream of Tink's `AES256_GCM_HKDF_1MB`.

    header     = u8 40 ‖ salt 32 ‖ nonce prefix 7
    stream key = HKDF-SHA256(ikm = file key, salt, info = associated data, 32)
    segment i  = AES-256-GCM(stream key, nonce = prefix ‖ u32 i ‖ u8 (1 if last else 0), plaintext)

Every stored segment has 2^20 bytes including its tag. The first one also includes the header, and
the last one may be shorter. An empty file is one empty segment. Source: Hoang, Reyhanitabar,
Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance" (CRYPTO
2015), and Tink's "AES-GCM-HKDF Streaming AEAD".

Why no nonce repeats: a file key is generated for one version of one file, the stream key also
depends on a salt generated with it, and the nonce contains the segment's number and whether it is
the last. Therefore two sealings of one segment with different plaintext must never both leave the
client: a sealer is used for one pass over one source, a client that resumes an upload first proves
that the source is the same, and a client that seals only to compare does not send the result.

Segments are independent: several threads may seal or open different segments concurrently.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fsproto import crypto, labels
from fsproto.errors import IntegrityError
from fsproto.limits import MAX_SEGMENTS, SEGMENT_SIZE

if TYPE_CHECKING:
    from fsproto.types import FileKey, NodeId, Salt

SALT_SIZE = 32
PREFIX_SIZE = 7
HEADER_SIZE = 1 + SALT_SIZE + PREFIX_SIZE
TAG_SIZE = crypto.TAG_SIZE
FIRST_PLAIN = SEGMENT_SIZE - HEADER_SIZE - TAG_SIZE
"""Plaintext bytes of a full first segment."""
OTHER_PLAIN = SEGMENT_SIZE - TAG_SIZE
"""Plaintext bytes of every other full segment."""
MAX_PLAIN = FIRST_PLAIN + (MAX_SEGMENTS - 1) * OTHER_PLAIN
"""Bytes of plaintext of the largest file."""

_NONCE = struct.Struct(f">{PREFIX_SIZE}sIB")
_VERSION = struct.Struct(">Q")


def content_ad(node: NodeId, version: int) -> bytes:
    """Return the associated data of a file's content: which node, and which of its versions."""
    return labels.CONTENT + node + _VERSION.pack(version)


def plain_length(index: int) -> int:
    """Return how much plaintext segment `index` holds when it is full."""
    return OTHER_PLAIN if index else FIRST_PLAIN


def plain_start(index: int) -> int:
    """Return the offset in the plaintext at which segment `index` starts."""
    return FIRST_PLAIN + (index - 1) * OTHER_PLAIN if index else 0


def plain_end(count: int, plain_size: int) -> int:
    """Return the offset at which the first `count` segments of `plain_size` bytes end."""
    return min(plain_start(count), plain_size)


def whole_segments(have: int, plain_size: int) -> int:
    """Return how many segments of a file of `plain_size` bytes its first `have` bytes hold."""
    if have >= plain_size:
        return segment_count(plain_size)
    return (have - FIRST_PLAIN) // OTHER_PLAIN + 1 if have >= FIRST_PLAIN else 0


def sealed_size(plain_size: int) -> int:
    """Return the stored size in bytes of a file of `plain_size` bytes."""
    return HEADER_SIZE + plain_size + TAG_SIZE * segment_count(plain_size)


def plain_size(sealed: int) -> int | None:
    """Return the bytes of plaintext in a stored stream of `sealed` bytes; None for no such size."""
    size = sealed - HEADER_SIZE - TAG_SIZE * stored_segment_count(sealed)
    return size if 0 <= size <= MAX_PLAIN and sealed_size(size) == sealed else None


def segment_count(plain_size: int) -> int:
    """Return how many segments a file of `plain_size` bytes has; at least one."""
    return 1 + max(0, -(-(plain_size - FIRST_PLAIN) // OTHER_PLAIN))


def stored_segment_count(size: int) -> int:
    """Return how many segments a stored blob of `size` bytes has."""
    return max(1, -(-size // SEGMENT_SIZE))


class _Stream:
    def __init__(self, file_key: FileKey, associated_data: bytes, salt: bytes, prefix: bytes):  # noqa: ANN204
        key = crypto.hkdf(file_key, salt=salt, info=associated_data)
        self._aead = crypto.Aead(key)
        self._prefix = prefix

    def _nonce(self, index: int, *, last: bool) -> bytes:
        if not 0 <= index < MAX_SEGMENTS:
            raise ValueError("a stream has at most 2^32 segments")
        return _NONCE.pack(self._prefix, index, last)


class StreamSealer(_Stream):
    """Seals one version of one file, segment by segment."""

    def __init__(self, file_key: FileKey, associated_data: bytes, salt: Salt) -> None:
        """Take the file key, the salt of the salted hash (32 bytes each), and the associated data.

        The header is derived from the key and the salt, so a client that holds both can seal the
        same file to the same bytes again and compare them. `salt` is generated with the key, for
        this version only.
        """
        drawn = crypto.hkdf(
            file_key, salt=salt, info=labels.CONTENT_HEADER, length=SALT_SIZE + PREFIX_SIZE
        )
        super().__init__(file_key, associated_data, drawn[:SALT_SIZE], drawn[SALT_SIZE:])
        self.header: bytes = bytes([HEADER_SIZE]) + drawn

    def seal(self, index: int, plaintext: bytes | memoryview, *, last: bool) -> bytes:
        """Return stored segment `index`; the first one starts with the header."""
        _check_length(index, len(plaintext), last=last)
        sealed = self._aead.seal(self._nonce(index, last=last), plaintext)
        return sealed if index else self.header + sealed

    def seal_into(self, index: int, plaintext: memoryview, out: memoryview, *, last: bool) -> int:
        """Write stored segment `index` to the start of `out`; return its length in bytes."""
        _check_length(index, len(plaintext), last=last)
        start = 0 if index else HEADER_SIZE
        end = start + len(plaintext) + TAG_SIZE
        out[:start] = self.header[:start]
        self._aead.seal_into(self._nonce(index, last=last), plaintext, b"", out[start:end])
        return end


def _check_header(header: bytes) -> None:
    if len(header) != HEADER_SIZE or header[0] != HEADER_SIZE:
        raise IntegrityError("The sealed content does not start with a stream header.")


def _check_length(index: int, length: int, *, last: bool) -> None:
    if length > plain_length(index):
        raise ValueError("more than a segment's worth of plaintext")
    if not last and length != plain_length(index):
        raise ValueError("only the last segment may be short")


class StreamOpener(_Stream):
    """Opens one version of one file, segment by segment, in any order."""

    def __init__(self, file_key: FileKey, associated_data: bytes, header: bytes) -> None:
        """Take the first 40 bytes of the stored blob; `IntegrityError` if they are no header."""
        _check_header(header)
        super().__init__(
            file_key, associated_data, header[1 : 1 + SALT_SIZE], header[-PREFIX_SIZE:]
        )

    def open(self, index: int, segment: bytes | memoryview, *, last: bool) -> bytes:
        """Return the plaintext of stored segment `index`; `IntegrityError` if it was changed."""
        body = segment if index else memoryview(segment)[HEADER_SIZE:]
        try:
            return self._aead.open(self._nonce(index, last=last), body)
        except crypto.CryptoError:
            raise _damaged(index) from None

    def open_into(
        self, index: int, segment: memoryview, out: memoryview, *, last: bool
    ) -> memoryview:
        """Open into `out`, which is large enough for a segment; return the part with the plaintext.

        After an error the bytes in `out` are unverified and must not be used.
        """
        body = segment if index else segment[HEADER_SIZE:]
        plain = out[: max(0, len(body) - TAG_SIZE)]
        try:
            if len(body) < TAG_SIZE:
                raise crypto.CryptoError("no room for a tag")
            self._aead.open_into(self._nonce(index, last=last), body, b"", plain)
        except crypto.CryptoError:
            raise _damaged(index) from None
        return plain


def _damaged(index: int) -> IntegrityError:
    return IntegrityError(f"Segment {index} of the sealed content was damaged, cut or moved.")


def key_commitment(file_key: FileKey, salt: bytes) -> bytes:
    """Return 32 bytes that commit to the file key.

    AES-GCM does not commit to its key: an attacker can make one ciphertext that opens under two
    keys (Dodis, Grubbs, Ristenpart, Woodage, "Fast Message Franking", CRYPTO 2018). The signed
    manifest contains this value, and the client compares it before it opens the first segment.
    """
    return crypto.hkdf(file_key, salt=salt, info=labels.CONTENT_COMMITMENT)
