"""The answers of both SFTP servers are no longer than stock clients take."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fskit.sftp.codes import MAX_NAMES, Response, StatusCode
from fskit.sftp.packets import Attributes, Fields, Packets
from fskit.sftp.replies import name_entry, name_packet, status_packet

EVERY_CLIENT_TAKES = 34_000
"""Bytes of a packet: draft-ietf-secsh-filexfer-02, section 3."""
FACTS = Attributes(1 << 40, (1000, 1000), 0o100600, (1, 1))


def parts_of(names: list[str]) -> list[list[str]]:
    """Return the names of each packet of a listing; check the size of each packet."""
    left, parts = names[::-1], list[list[str]]()
    while True:
        data = name_packet(7, left, lambda name: name_entry(name, FACTS, "Jan  1  1970"))
        assert len(data) <= EVERY_CLIENT_TAKES
        (one,) = Packets().feed(data)
        fields = Fields(one[1:])
        fields.u32()
        if one[0] == Response.STATUS:
            assert fields.u32() == StatusCode.EOF
            return parts
        parts.append([])
        for _ in range(fields.u32()):
            parts[-1].append(fields.text())
            fields.text()
            fields.attributes()


@pytest.mark.parametrize("name", ["f", "n" * 250, "\u0444" * 124, "\u202e" * 82], ids=len)
def test_a_listing_of_thousands_fits_into_the_packets_of_every_client(name):
    names = [f"{name}{number:04}" for number in range(1_500)]
    parts = parts_of(names)
    assert list(chain.from_iterable(parts)) == names
    assert max(map(len, parts)) <= MAX_NAMES


@given(st.lists(st.text(min_size=1, max_size=63), max_size=120))
def test_a_listing_is_sent_whole_and_in_order(names):
    assert list(chain.from_iterable(parts_of(names))) == names


def test_a_status_about_a_long_path_is_short():
    data = status_packet(7, StatusCode.FAILURE, "There is no '" + "\u0444/" * 100_000 + "'.")
    assert len(data) <= EVERY_CLIENT_TAKES
