"""SFTP packets: encoding, decoding and malformed input."""

from __future__ import annotations

import pytest

from fskit.sftp.codes import MAX_PACKET
from fskit.sftp.packets import Attributes, BadPacketError, Fields, Packets, packet, string, u32, u64


@pytest.mark.parametrize(
    ("attributes", "packed"),
    [
        (Attributes(), "00000000"),
        (Attributes(size=1 << 40), "000000010000010000000000"),
        (Attributes(owner=(1000, 100)), "00000002000003e800000064"),
        (Attributes(permissions=0o100644), "00000004000081a4"),
        (Attributes(times=(1, 2)), "000000080000000100000002"),
        (
            Attributes(5, (1, 2), 0o40700, (3, 4)),
            "0000000f00000000000000050000000100000002000041c00000000300000004",
        ),
    ],
)
def test_attributes_are_the_same_bytes_both_ways(attributes, packed):
    assert attributes.packed().hex() == packed
    assert Fields(memoryview(bytes.fromhex(packed))).attributes() == attributes


def test_times_that_do_not_fit_are_at_the_edge():
    packed = Attributes(times=(-5, 1 << 40)).packed()
    assert Fields(memoryview(packed)).attributes().times == (0, 0xFFFFFFFF)


def test_extended_attributes_are_read_and_left_alone():
    packed = u32(0x80000001) + u64(7) + u32(1) + string("a@b") + string("c") + u32(99)
    fields = Fields(memoryview(packed))
    assert fields.attributes() == Attributes(size=7)
    assert fields.u32() == 99


def test_a_field_that_reaches_beyond_its_packet_is_refused():
    for payload in (b"", b"\0\0\0", u32(5) + b"four", u32(0xFFFFFFFF)):
        with pytest.raises(BadPacketError):
            Fields(memoryview(payload)).string()
    with pytest.raises(BadPacketError):
        Fields(memoryview(u32(0x80000000) + u32(1 << 30))).attributes()


def test_packets_are_whole_however_they_come():
    sent = [packet(5, b"one"), packet(6), packet(7, b"x" * 70_000)]
    stream = b"".join(sent)
    for size in (1, 3, 4, 5, 1000, len(stream)):
        packets, came = Packets(), []
        for start in range(0, len(stream), size):
            came += [bytes(one) for one in packets.feed(stream[start : start + size])]
        assert came == [one[4:] for one in sent]


@pytest.mark.parametrize("size", [0, MAX_PACKET + 1, 0xFFFFFFFF])
def test_a_length_that_no_packet_has_ends_it(size):
    with pytest.raises(BadPacketError):
        Packets().feed(u32(size) + b"\5")


def test_a_name_that_is_not_text_comes_back_as_it_came():
    fields = Fields(memoryview(string(b"caf\xe9")))
    assert string(fields.text()) == string(b"caf\xe9")
