"""The header of the PROXY protocol, versions 1 and 2: the client's address, told by a balancer.

https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt. It is a parser without I/O. A caller
reads at most `wants` bytes at a time, so that it reads no byte of the connection after the header.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_START = b"PROXY "
_END = b"\r\n"
_FIXED = len(_SIGNATURE) + 4
MAX_LINE = 107
"""Bytes of the longest header of version 1, with its end (section 2.1)."""
MAX_LENGTH = 2048
"""Bytes after the fixed part of a header of version 2: the addresses, and fields we ignore."""
_LOCAL, _PROXY = 0x20, 0x21
_UNSPEC, _INET, _INET6, _UNIX = 0, 1, 2, 3
_SIZES = {_UNSPEC: 0, _INET: 12, _INET6: 36, _UNIX: 216}
_FIELDS = 6
_MAX_PORT = 65535


class BadProxyHeaderError(Exception):
    """The bytes are not a header of the PROXY protocol; the text says why."""


class ProxyHeader:
    """A header as it arrives; `complete` when its last byte was fed."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.complete = False
        self.address: str | None = None
        """The client's address; None if the balancer speaks for itself, or does not know it."""
        self.wants = len(_SIGNATURE)
        """The number of bytes that may be read next; 0 when the header is complete."""

    @property
    def is_empty(self) -> bool:
        """Return whether no byte has arrived."""
        return not self._data

    def feed(self, data: bytes) -> None:
        """Add bytes, at most `wants`; `BadProxyHeaderError` as soon as they are not a header."""
        if len(data) > self.wants:
            raise ValueError("more bytes than were wanted")
        self._data += data
        if self._data.startswith(_SIGNATURE):
            self._binary()
        elif self._data.startswith(_START):
            self._line()
        elif _SIGNATURE.startswith(self._data) or _START.startswith(self._data):
            self.wants = len(_SIGNATURE) - len(self._data)
        else:
            raise BadProxyHeaderError("it sends no header of the PROXY protocol")

    def _end(self, address: str | None) -> None:
        self.address, self.complete, self.wants = address, True, 0

    # --- version 1: a line of text

    def _line(self) -> None:
        if self._data.endswith(_END):
            self._end(_address_in(bytes(self._data[: -len(_END)])))
        elif len(self._data) >= MAX_LINE:
            raise BadProxyHeaderError("its header has no end")
        else:
            left = 1 if self._data.endswith(_END[:1]) else len(_END)
            self.wants = min(left, MAX_LINE - len(self._data))

    # --- version 2: binary

    def _binary(self) -> None:
        have = len(self._data)
        if have < _FIXED:
            self.wants = _FIXED - have
            return
        command, family, length = struct.unpack_from(">BBH", self._data, len(_SIGNATURE))
        if command not in (_LOCAL, _PROXY):
            raise BadProxyHeaderError("its header has an unknown version or command")
        if length > MAX_LENGTH:
            raise BadProxyHeaderError("its header is too long")
        self.wants = _FIXED + length - have
        if not self.wants:
            self._end(self._binary_address(command, family >> 4, length))

    def _binary_address(self, command: int, family: int, length: int) -> str | None:
        if command == _LOCAL:
            return None
        if family not in _SIZES or length < _SIZES[family]:
            raise BadProxyHeaderError("its header has no valid address")
        packed = self._data[_FIXED:]
        if family == _INET:
            return str(IPv4Address(bytes(packed[:4])))
        if family == _INET6:
            return _plain(IPv6Address(bytes(packed[:16])))
        return None


def _address_in(line: bytes) -> str | None:
    """Return the client's address in a header of version 1 without its end."""
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        return None
    if len(words) != _FIELDS or not all(map(_is_port, words[4:])):
        raise BadProxyHeaderError("its header has no valid address")
    try:
        sender, receiver = (word.decode("ascii") for word in words[2:4])
        if words[1] == b"TCP4":
            IPv4Address(receiver)
            return str(IPv4Address(sender))
        if words[1] == b"TCP6" and b"%" not in line:
            IPv6Address(receiver)
            return _plain(IPv6Address(sender))
    except ValueError:
        pass
    raise BadProxyHeaderError("its header has no valid address")


def _plain(address: IPv6Address) -> str:
    """Return an address as text; an IPv6 address that maps an IPv4 address, as the latter."""
    return str(address.ipv4_mapped or address)


def _is_port(word: bytes) -> bool:
    return word.isdigit() and len(word) <= len(str(_MAX_PORT)) and int(word) <= _MAX_PORT
