"""Addresses and enrolment links as users type and paste them."""

from __future__ import annotations

import pytest

from fsproto.errors import InvalidNameError, UsageError
from fsproto.limits import DEFAULT_PORT
from fsproto.link import Address, EnrollLink, parse_address, parse_link

KEY = "SHA256:" + "Aa0+/" * 8 + "abc"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("files.example.org", Address("files.example.org", DEFAULT_PORT)),
        ("host:1", Address("host", 1)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::1]", Address("::1", DEFAULT_PORT)),
        ("[2001:db8::1]:2222", Address("2001:db8::1", 2222)),
        ("[fe80::1%eth0]:2222", Address("fe80::1%eth0", 2222)),
        ("büro.example", Address("büro.example", DEFAULT_PORT)),
    ],
)
def test_an_address_is_a_host_and_perhaps_a_port(text: str, address: Address):
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":1", "host:", "host:x", "host:-1", "host:65536", "host:123456"),
        *("::1", "[::1", "::1]", "[]", "[]:1", "[::1]x", "[a[b]"),
        *("a b", "host\n", "host\x1b[2J", "\u202ehost", "host:\u0661", "host:1\n"),
    ],
)
def test_anything_else_is_no_address(text: str):
    with pytest.raises(UsageError):
        parse_address(text)


def test_a_refused_address_is_quoted_so_that_it_can_do_no_harm():
    with pytest.raises(UsageError) as refused:
        parse_address("host\x1b[2J")
    assert "\x1b" not in refused.value.sentence
    assert "\\u001b" in refused.value.sentence


def test_a_link_holds_whom_where_and_the_host_key():
    link = parse_link(f"fs://alice@files.example.org:2222/?host-key={KEY}")
    assert link == EnrollLink("alice", Address("files.example.org", 2222), KEY)
    assert str(link) == f"fs://alice@files.example.org:2222/?host-key={KEY}"


def test_a_link_may_lack_its_last_slash_and_carry_blanks_around_it():
    link = parse_link(f"fs://alice@host/?host-key={KEY}")
    assert parse_link(f"\t fs://alice@host?host-key={KEY} \n") == link


@pytest.mark.parametrize(
    "text",
    [
        *("", "alice@host", "fs://", "fs://alice@host", "fs://alice@host/"),
        f"fs://alice@/?host-key={KEY}",
        f"fs://alice@host:port/?host-key={KEY}",
        f"fs://alice@host/path?host-key={KEY}",
        f"fs://alice@host/?key={KEY}",
        f"fs://alice@host/?host-key={KEY}&x=1",
        f"fs://alice@ho st/?host-key={KEY}",
        f"fs://alice@host\x1b[2J/?host-key={KEY}",
        f"fs://alice@host/?host-key={KEY.lower()}",
        f"FS://alice@host/?host-key={KEY}",
    ],
)
def test_anything_else_is_no_link(text: str):
    with pytest.raises(UsageError):
        parse_link(text)


@pytest.mark.parametrize("user", ["Alice", "..", "a:b", "-a", "\x1b[2J"])
def test_a_link_for_what_is_no_user_is_refused(user: str):
    with pytest.raises(InvalidNameError):
        parse_link(f"fs://{user}@host/?host-key={KEY}")


def test_a_refused_link_is_explained():
    with pytest.raises(UsageError) as refused:
        parse_link("nonsense")
    assert refused.value.hint is not None
    assert "fs://NAME@HOST:PORT/?host-key=SHA256:" in refused.value.hint
