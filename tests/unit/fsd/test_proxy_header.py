"""Headers of the PROXY protocol: the examples of its specification, and what is none."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsd.net.proxy_header import MAX_LENGTH, MAX_LINE, BadProxyHeaderError, ProxyHeader

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
LONGEST = (
    b"PROXY TCP6 ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".replace(
        b"ffff:f...f:ffff", b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    ),
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".replace(
        b"ffff:f...f:ffff", b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    ),
)


def v2(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return SIGNATURE + struct.pack(">BBH", command, family, size) + body


def inet(address: str, more: bytes = b"") -> bytes:
    body = socket.inet_aton(address) + socket.inet_aton("10.0.0.1") + struct.pack(">HH", 1, 2)
    return v2(0x21, 0x11, body + more)


def inet6(address: str) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, address)
    return v2(0x21, 0x21, packed + bytes(15) + b"\1" + struct.pack(">HH", 1, 2))


def read(data: bytes, step: int = 1 << 16) -> tuple[ProxyHeader, bytes]:
    """Feed a header from bytes, at most `step` at a time; return it and the unread rest."""
    header = ProxyHeader()
    while header.wants and data:
        size = min(step, header.wants)
        header.feed(data[:size])
        data = data[size:]
    return header, data


GOOD = {
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n": "192.168.0.1",
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": "255.255.255.255",
    b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n": "2001:db8::7",
    b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 56324 443\r\n": "192.0.2.7",
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN some other words\r\n": None,
    LONGEST[0]: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    LONGEST[1]: None,
    inet("203.0.113.7"): "203.0.113.7",
    inet("203.0.113.7", bytes.fromhex("04000161")): "203.0.113.7",
    inet6("2001:db8::7"): "2001:db8::7",
    inet6("::ffff:192.0.2.7"): "192.0.2.7",
    v2(0x20, 0x00, b""): None,
    v2(0x20, 0x11, bytes(12)): None,
    v2(0x21, 0x00, b""): None,
    v2(0x21, 0x31, bytes(216)): None,
    v2(0x20, 0x00, bytes(MAX_LENGTH)): None,
}


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
@pytest.mark.parametrize("data", GOOD)
def test_a_header_names_the_client_and_nothing_after_it_is_read(data: bytes, step: int) -> None:
    header, rest = read(data + b"\r\nthe first bytes of the connection", step)
    assert header.complete
    assert header.address == GOOD[data]
    assert rest == b"\r\nthe first bytes of the connection"


BAD = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\r\n\r\n\0\r\nQUIX\n" + bytes(4),
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324\r\n",
    b"PROXY TCP4  192.168.0.1 192.168.0.11 56324 443\r\n",
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 1\r\n",
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 65536\r\n",
    b"PROXY TCP4 192.168.0.1 192.168.0.11 -1 443\r\n",
    b"PROXY TCP4 192.168.0.256 192.168.0.11 56324 443\r\n",
    b"PROXY TCP4 2001:db8::7 192.168.0.11 56324 443\r\n",
    b"PROXY TCP6 192.168.0.1 192.168.0.11 56324 443\r\n",
    b"PROXY TCP6 fe80::1%eth0 2001:db8::1 56324 443\r\n",
    b"PROXY TCP4 192.168.0.\xb2 192.168.0.11 56324 443\r\n",
    b"PROXY UDP4 192.168.0.1 192.168.0.11 56324 443\r\n",
    b"PROXY \r\n",
    b"proxy TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\n" + b" " * MAX_LINE,
    b"PROXY UNKNOWN " + b"x" * MAX_LINE + b"\r\n",
    v2(0x11, 0x11, bytes(12)),
    v2(0x22, 0x11, bytes(12)),
    v2(0x21, 0x41, bytes(12)),
    v2(0x21, 0x11, bytes(11)),
    v2(0x21, 0x21, bytes(35)),
    v2(0x21, 0x31, bytes(215)),
    v2(0x21, 0x11, b"", MAX_LENGTH + 1),
]


@pytest.mark.parametrize("step", [1, 1 << 16])
@pytest.mark.parametrize("data", BAD)
def test_what_is_no_header_is_refused(data: bytes, step: int) -> None:
    with pytest.raises(BadProxyHeaderError):
        read(data, step)


@pytest.mark.parametrize("data", GOOD)
def test_a_header_that_is_cut_off_is_not_complete(data: bytes) -> None:
    for size in range(len(data)):
        header, _ = read(data[:size])
        assert not header.complete
        assert header.wants
        assert header.is_empty == (size == 0)


@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE]))
def test_any_bytes_are_read_alike_however_they_arrive(data: bytes, start: bytes) -> None:
    def result(step: int) -> tuple[str | None, bool, bytes] | str:
        try:
            header, rest = read(start + data, step)
        except BadProxyHeaderError as error:
            return str(error)
        return header.address, header.complete, rest

    assert result(1) == result(1 << 16)


@given(
    st.ip_addresses().filter(lambda one: one.version == 4 or not one.ipv4_mapped),
    st.integers(0, 65535),
    st.integers(0, 65535),
)
def test_both_versions_name_any_address(
    address: IPv4Address | IPv6Address, source: int, port: int
) -> None:
    is_4 = address.version == 4
    line = f"PROXY TCP{address.version} {address} {address} {source} {port}\r\n".encode()
    packed = address.packed * 2 + struct.pack(">HH", source, port)
    for data in (line, v2(0x21, 0x11 if is_4 else 0x21, packed)):
        header, rest = read(data)
        assert (header.complete, header.address, rest) == (True, str(address), b"")
