"""Records: a length, then AES-256-GCM; one key a direction, a counter for the nonce.

    record     = u32 length of body ‖ body
    body       = AES-256-GCM(key, nonce = iv[0:4] ‖ (iv[4:12] xor u64 counter), plaintext,
                             associated data = the four length bytes)
    plaintext  = u8 type ‖ payload
    type 1, control: u32 request ‖ one message (msgpack)
    type 2, data:    u32 stream ‖ u64 segment index ‖ bytes

Integers are big-endian. After `RECORDS_PER_KEY` records key and iv are replaced by
HKDF-Expand(key, "fs/2 ratchet", 44) and the counter starts again at 0, on both sides, unasked.
A nonce is never used twice: the counter only goes up, and a new key comes with a new counter.
"""

from __future__ import annotations

import struct

from fsproto import crypto, labels
from fsproto.errors import RemoteProtocolError
from fsproto.limits import MAX_RECORD, RECORDS_PER_KEY

LENGTH = struct.Struct(">I")
_COUNTER = struct.Struct(">Q")
SECRET_SIZE = crypto.KEY_SIZE + crypto.NONCE_SIZE

CONTROL = 1
DATA = 2
CONTROL_HEADER = struct.Struct(">BI")
DATA_HEADER = struct.Struct(">BIQ")


class _Direction:
    """The key of one direction and how far it has been used."""

    def __init__(self, secret: bytes) -> None:
        """Take `secret`: 44 bytes, a key and an iv."""
        self._install(secret)

    def _install(self, secret: bytes) -> None:
        self._key, self._iv = secret[: crypto.KEY_SIZE], secret[crypto.KEY_SIZE :]
        self._aead = crypto.Aead(self._key)
        self._counter = 0

    def _next(self) -> tuple[crypto.Aead, bytes]:
        """Return the cipher and the nonce for one more record."""
        if self._counter == RECORDS_PER_KEY:
            self._install(crypto.hkdf_expand(self._key, labels.CHANNEL_RATCHET, SECRET_SIZE))
        low = int.from_bytes(self._iv[4:], "big") ^ self._counter
        self._counter += 1
        return self._aead, self._iv[:4] + _COUNTER.pack(low)


class RecordSealer(_Direction):
    """Makes the records that this end sends."""

    def seal(self, plaintext: crypto.Bytes) -> bytes:
        """Return the whole record for `plaintext` (type byte included)."""
        length = len(plaintext) + crypto.TAG_SIZE
        if length > MAX_RECORD:
            raise ValueError("a record cannot hold that much")
        header = LENGTH.pack(length)
        aead, nonce = self._next()
        return header + aead.seal(nonce, plaintext, header)

    def seal_into(self, plaintext: crypto.Bytes, out: memoryview) -> memoryview:
        """Make the record in `out`, 20 bytes longer than `plaintext`; return the record."""
        length = len(plaintext) + crypto.TAG_SIZE
        if length > MAX_RECORD:
            raise ValueError("a record cannot hold that much")
        end = LENGTH.size + length
        LENGTH.pack_into(out, 0, length)
        header = bytes(out[: LENGTH.size])
        aead, nonce = self._next()
        aead.seal_into(nonce, plaintext, header, out[LENGTH.size : end])
        return out[:end]


class RecordOpener(_Direction):
    """Opens the records that this end receives."""

    def open(self, header: bytes, body: memoryview | bytes) -> bytes:
        """Return the plaintext; `RemoteProtocolError` for any record but the very next one."""
        aead, nonce = self._next()
        try:
            return aead.open(nonce, body, header)
        except crypto.CryptoError:
            raise _damaged() from None

    def open_into(self, header: bytes, body: memoryview, out: memoryview) -> memoryview:
        """Open into `out`, which must be long enough; return the part with the plaintext."""
        if len(body) < crypto.TAG_SIZE:
            raise _damaged()
        plaintext = out[: len(body) - crypto.TAG_SIZE]
        aead, nonce = self._next()
        try:
            aead.open_into(nonce, body, header, plaintext)
        except crypto.CryptoError:
            raise _damaged() from None
        return plaintext


def _damaged() -> RemoteProtocolError:
    return RemoteProtocolError(
        "A record from the other end was damaged, repeated or reordered in transit.",
        hint="The network, or an attacker in it, changes the traffic.",
    )


def body_length(header: bytes | bytearray, limit: int = MAX_RECORD) -> int:
    """Read a record's length; `RemoteProtocolError` if it is more than `limit` or nothing."""
    length: int = LENGTH.unpack(header)[0]
    if not 0 < length <= limit:
        raise RemoteProtocolError(f"The other end announced a record of {length} bytes.")
    return length
