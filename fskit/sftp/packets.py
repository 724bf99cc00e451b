"""SFTP packets: strict parsing of bytes into fields, and packing of fields. No I/O.

    packet = u32 length ‖ u8 type ‖ payload          string = u32 length ‖ bytes
    attrs  = u32 flags ‖ [u64 size] [u32 uid ‖ u32 gid] [u32 permissions] [u32 atime ‖ u32 mtime]
             [u32 count ‖ count × (string ‖ string)]

Source: draft-ietf-secsh-filexfer-02, sections 3 to 5.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from fskit.sftp.codes import MAX_PACKET, AttributeFlag

_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_HEAD = struct.Struct(">IB")
_MOST_EXTRAS = 64


class BadPacketError(Exception):
    """A packet that cannot be read: the status BAD_MESSAGE, or the end of the conversation."""


@dataclass(frozen=True)
class Attributes:
    """The attributes of a file; None for absent ones. Times in seconds since 1970."""

    size: int | None = None
    owner: tuple[int, int] | None = None
    """User and group."""
    permissions: int | None = None
    """Permissions and kind of file, as in `st_mode`."""
    times: tuple[int, int] | None = None
    """The times of the last access and the last change."""

    def packed(self) -> bytes:
        """Return the attributes' bytes."""
        flags, parts = AttributeFlag(0), [b""]
        if self.size is not None:
            flags |= AttributeFlag.SIZE
            parts.append(_U64.pack(self.size))
        if self.owner is not None:
            flags |= AttributeFlag.UIDGID
            parts.append(struct.pack(">II", *(number & 0xFFFFFFFF for number in self.owner)))
        if self.permissions is not None:
            flags |= AttributeFlag.PERMISSIONS
            parts.append(_U32.pack(self.permissions))
        if self.times is not None:
            flags |= AttributeFlag.TIMES
            # 32 bits each: what is older than 1970 or younger than 2106 is at the edge.
            parts.append(struct.pack(">II", *(min(max(t, 0), 0xFFFFFFFF) for t in self.times)))
        parts[0] = _U32.pack(flags)
        return b"".join(parts)


class Fields:
    """The fields of one packet, read from first to last; `BadPacketError` if there are too few."""

    def __init__(self, payload: memoryview) -> None:
        """`payload` is the packet after its type byte."""
        self._left = payload

    def take(self, size: int) -> memoryview:
        """Return the next `size` bytes."""
        if size > len(self._left):
            raise BadPacketError("a field reaches beyond its packet")
        found, self._left = self._left[:size], self._left[size:]
        return found

    def u32(self) -> int:
        """Return a number of 32 bits."""
        number: int = _U32.unpack(self.take(4))[0]
        return number

    def u64(self) -> int:
        """Return a number of 64 bits."""
        number: int = _U64.unpack(self.take(8))[0]
        return number

    def string(self) -> memoryview:
        """Return a string's bytes."""
        return self.take(self.u32())

    def text(self) -> str:
        """Return a string as UTF-8; invalid bytes become surrogates, which names must not have."""
        return bytes(self.string()).decode("utf-8", "surrogateescape")

    def attributes(self) -> Attributes:
        """Return attributes; their extensions are read and ignored."""
        flags = self.u32()
        size = self.u64() if flags & AttributeFlag.SIZE else None
        owner = (self.u32(), self.u32()) if flags & AttributeFlag.UIDGID else None
        permissions = self.u32() if flags & AttributeFlag.PERMISSIONS else None
        times = (self.u32(), self.u32()) if flags & AttributeFlag.TIMES else None
        if flags & AttributeFlag.EXTENDED:
            count = self.u32()
            if count > _MOST_EXTRAS:
                raise BadPacketError("too many extended attributes")
            for _ in range(2 * count):
                self.string()
        return Attributes(size, owner, permissions, times)


def packet(kind: int, *parts: bytes | memoryview) -> bytes:
    """Return a packet with its length."""
    size = 1 + sum(map(len, parts))
    return b"".join((_HEAD.pack(size, kind), *parts))


def u32(number: int) -> bytes:
    """Return a number of 32 bits."""
    return _U32.pack(number)


def u64(number: int) -> bytes:
    """Return a number of 64 bits."""
    return _U64.pack(number)


def string(data: bytes | memoryview | str) -> bytes:
    """Return a string: text as UTF-8, surrogate escapes as the original bytes."""
    raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else bytes(data)
    return _U32.pack(len(raw)) + raw


class Packets:
    """A splitter of received bytes into packets."""

    def __init__(self) -> None:
        self._came = b""

    def feed(self, data: bytes) -> list[memoryview]:
        """Return the complete packets, type first; `BadPacketError` for one too long.

        After an error, later bytes cannot be read.
        """
        came, at, whole = memoryview(self._came + data if self._came else data), 0, []
        while len(came) - at >= _HEAD.size:
            size = _U32.unpack_from(came, at)[0]
            if not 0 < size <= MAX_PACKET:
                raise BadPacketError(f"a packet of {size} bytes")
            if len(came) - at < 4 + size:
                break
            whole.append(came[at + 4 : at + 4 + size])
            at += 4 + size
        self._came = bytes(came[at:])
        return whole
