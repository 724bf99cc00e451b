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
        ("[fe80::1%25]", Address("fe80::1%25", DEFAULT_PORT)),
        ("[fe80::1%br-lan.7]:1", Address("fe80::1%br-lan.7", 1)),
        ("[::ffff:192.0.2.1]:1", Address("::ffff:192.0.2.1", 1)),
        ("büro.example", Address("büro.example", DEFAULT_PORT)),
        ("हिन्दी.example:1", Address("हिन्दी.example", 1)),
        ("xn--bro-hoa.example.", Address("xn--bro-hoa.example.", DEFAULT_PORT)),
        ("my_container-1:1", Address("my_container-1", 1)),
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
        *("fe80::1%eth0:1", "[fe80::1%]:1", "[fe80::1%a/b]", "[fe80::1%e%h]", "[fe80:::1]:1"),
        *("[host]:1", "[192.0.2.1]", "[1:2]", "host%eth0", "a..b", ".a", "-oProxyCommand=x"),
        *("a-.example", "-a.example", f"{'a' * 64}.example", f"{'ab.' * 90}", "user@host", "a/b"),
        *("a%20b", "\uff45xample", "a\u3002b", "½.example", "a\xadb"),
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


def test_a_link_has_the_user_the_address_and_the_host_key():
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
        f"fs://alice@host:0/?host-key={KEY}",
        f"fs://alice@host/?host-key={KEY}%3D",
        f"fs://alice@[host]/?host-key={KEY}",
    ],
)
def test_anything_else_is_no_link(text: str):
    with pytest.raises(UsageError):
        parse_link(text)


@pytest.mark.parametrize("address", ["[fe80::1%eth0]:65432", "bücher.example:1", "[::1]:2", "h.:3"])
def test_a_link_leads_to_every_address_that_can_be_written(address: str):
    link = EnrollLink("alice", parse_address(address), KEY)
    assert str(link) == f"fs://alice@{address}/?host-key={KEY}"
    assert parse_link(str(link)) == link


@pytest.mark.parametrize(
    "sent", [KEY.replace("/", "%2f"), KEY.replace("+", "%2B"), KEY.replace(":", "%3A")]
)
def test_a_host_key_may_be_percent_encoded(sent: str):
    assert parse_link(f"fs://alice@host/?host-key={sent}").host_key == KEY


@pytest.mark.parametrize("user", ["Alice", "..", "a:b", "-a", "\x1b[2J"])
def test_a_link_with_an_invalid_user_is_refused(user: str):
    with pytest.raises(InvalidNameError):
        parse_link(f"fs://{user}@host/?host-key={KEY}")


def test_a_refused_link_is_explained():
    with pytest.raises(UsageError) as refused:
        parse_link("nonsense")
    assert refused.value.hint is not None
    assert "fs://NAME@HOST:PORT/?host-key=SHA256:" in refused.value.hint
