"""Portable profiles: the bytes with which another machine takes over an identity."""

from __future__ import annotations

import msgspec
import pytest

from fsproto.keys.portable import (
    PART_SEEN,
    Portable,
    Seen,
    pack_portable,
    pack_seen,
    unpack_portable,
    unpack_seen,
)
from fsproto.link import Address, EnrollLink
from tests.support.fixed_keys import keyed_node, person, stretch

LINK = EnrollLink("alice", Address("files.example.org", 2222), "SHA256:" + "A" * 43)
ROOT = keyed_node("root").node
SEEN = [
    Seen(ROOT, 1, 7, bytes(32), stretch("state", 32)),
    Seen(ROOT, 2, (1 << 63) - 1, bytes(32), stretch("m", 32)),
]


def alices(**parts: bytes) -> Portable:
    return Portable(person("alice"), LINK, ROOT, parts)


def changed(**fields: object) -> bytes:
    """Return a packed profile with some fields replaced."""
    names = ("format", "link", "root", "keys", "parts")
    values = dict(zip(names, msgspec.msgpack.decode(pack_portable(alices())), strict=True))
    return msgspec.msgpack.encode(list((values | fields).values()))


def test_everything_comes_back():
    read = unpack_portable(pack_portable(alices(seen=b"s", another=b"")))
    assert (read.link, read.root, read.parts) == (LINK, ROOT, {"seen": b"s", "another": b""})
    assert read.identity.bundle == person("alice").bundle
    assert read.identity.signing.seed == person("alice").signing.seed
    assert read.identity.rsa.der == person("alice").rsa.der
    assert read.identity.kem.seed == person("alice").kem.seed


def test_a_part_that_is_not_known_is_passed_over_and_kept():
    assert unpack_portable(changed(parts={"of a later version": b"x"})).parts == {
        "of a later version": b"x"
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"format": 2},
        {"link": ""},
        {"link": str(LINK).replace("alice", "bob")},
        {"root": ROOT[:-1]},
        {"root": ROOT + b"\0"},
        {"keys": b""},
        {"parts": {"seen": "text"}},
        {"parts": []},
        {"more": 1},
    ],
    ids=repr,
)
def test_what_does_not_fit_together_is_refused(fields):
    with pytest.raises(ValueError):
        unpack_portable(changed(**fields))


def test_the_keys_of_another_person_do_not_fit_the_link():
    packed = pack_portable(Portable(person("bob"), LINK, ROOT))
    with pytest.raises(ValueError):
        unpack_portable(packed)


def test_nothing_private_shows_where_one_looks_at_it():
    shown = repr(alices(seen=b"which versions"))
    for private in (person("alice").signing.seed, person("alice").kem.seed, b"which versions"):
        assert repr(private) not in shown


def test_what_was_seen_comes_back():
    assert PART_SEEN == "seen"
    assert unpack_seen(pack_seen(SEEN)) == SEEN
    assert unpack_seen(pack_seen([])) == []


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        pack_seen([Seen(b"short", 1, 1, bytes(32), bytes(32))]),
        pack_seen([Seen(ROOT, 1, 0, bytes(32), bytes(32))]),
        pack_seen([Seen(ROOT, 1, 1 << 63, bytes(32), bytes(32))]),
        pack_seen([Seen(ROOT, 0, 1, bytes(32), bytes(32))]),
        pack_seen([Seen(ROOT, 256, 1, bytes(32), bytes(32))]),
        pack_seen([Seen(ROOT, 1, 1, bytes(32), bytes(31))]),
        pack_seen([Seen(ROOT, 1, 1, bytes(31), bytes(32))]),
        pack_seen(SEEN)[:-1],
    ],
    ids=len,
)
def test_what_was_not_seen_so_is_refused(wrong):
    with pytest.raises(ValueError):
        unpack_seen(wrong)
