"""Names, paths, addresses and links: for every input, the output is safe."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Callable
from functools import partial

from hypothesis import assume, given
from hypothesis import strategies as st

from fsproto.errors import InvalidNameError, UsageError
from fsproto.link import Address, EnrollLink, parse_address, parse_link
from fsproto.names import RemotePath, clean_name, clean_user, for_terminal, parse_path
from tests.support import strategies as our

typed = our.any_text | our.hostile_text
OBEYED = ("Cc", "Cs", "Co", "Zl", "Zp")
"""Unicode categories that a terminal or a file system may interpret."""
HARMLESS = "\u00ad\u200c\u200d"


def _is_safe(name: str) -> bool:
    return (
        name not in ("", ".", "..")
        and "/" not in name
        and not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name)
        and unicodedata.is_normalized("NFC", name)
        and len(name.encode()) <= 255
    )


@given(typed)
def test_a_name_is_safe_or_refused(name: str):
    error = our.outcome(lambda: clean_name(name))
    assert type(error) is InvalidNameError or _is_safe(clean_name(name))


@given(our.names)
def test_a_clean_name_stays_as_it_is(name: str):
    assert clean_name(name) == name


@given(st.text(max_size=40))
def test_two_spellings_of_one_name_are_one_name(name: str):
    composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    assume(our.outcome(lambda: clean_name(composed)) is None)
    assert clean_name(decomposed) == clean_name(composed) == composed


@given(typed)
def test_a_user_name_is_plain_or_refused(name: str):
    error = our.outcome(lambda: clean_user(name))
    assert type(error) is InvalidNameError or (name.isascii() and name == name.lower())


@given(our.users)
def test_a_user_name_stays_as_it_is(name: str):
    assert clean_user(name) == name


@given(typed | st.lists(our.hostile_text, max_size=8).map("/".join))
def test_no_path_leads_anywhere_but_down(text: str):
    error = our.outcome(lambda: parse_path(text))
    if error is not None:
        assert type(error) is InvalidNameError
        return
    path = parse_path(text)
    assert all(_is_safe(part) for part in path.parts)
    assert path.owner is None or clean_user(path.owner) == path.owner
    assert len(path.parts) <= 128


@given(
    owner=st.none() | our.users,
    parts=st.lists(our.names, max_size=6).map(tuple),
    is_folder=st.booleans(),
)
def test_a_path_that_is_shown_can_be_typed_again(
    owner: str | None, parts: tuple[str, ...], is_folder: bool
):
    path = RemotePath(owner, parts, names_folder=is_folder)
    # Characters that are unsafe for a terminal are shown escaped and cannot be typed that way.
    assume(all(for_terminal(part) == part for part in parts))
    again = parse_path(str(path))
    assert (again.owner, again.parts) == (path.owner, path.parts)


@given(owner=st.none() | our.users, parts=st.lists(our.names, max_size=6).map(tuple))
def test_a_path_in_a_shown_command_is_one_argument(owner: str | None, parts: tuple[str, ...]):
    path = RemotePath(owner, parts)
    assume(all(for_terminal(part) == part for part in parts))
    (word,) = shlex.split(path.argument)
    assert not word.startswith("-")
    again = parse_path(word)
    assert (again.owner, again.parts) == (path.owner, path.parts)


@given(owner=st.none() | our.users, parts=st.lists(our.names, max_size=6), name=our.names)
def test_a_child_lies_in_its_parent(owner: str | None, parts: list[str], name: str):
    folder = RemotePath(owner, tuple(parts), names_folder=True)
    child = folder.child(name)
    assert child.parent == folder
    assert (child.name, child.owner) == (name, owner)


@given(typed)
def test_nothing_shown_can_command_a_terminal_or_hide_its_order(text: str):
    shown = for_terminal(text)
    assert not any(unicodedata.category(c) in OBEYED for c in shown)
    assert not any(unicodedata.category(c) == "Cf" and c not in HARMLESS for c in shown)
    assert for_terminal(shown) == shown
    shown.encode()


@given(typed)
def test_errors_about_what_was_typed_are_safe_to_show(text: str):
    readers: list[Callable[[str], object]] = [clean_name, clean_user, parse_path]
    for read in (*readers, parse_address, parse_link):
        error = our.outcome(partial(read, text))
        if error is not None:
            assert isinstance(error, UsageError)
            assert for_terminal(error.sentence) == error.sentence


# --- addresses and links

LABEL = r"[a-z0-9_]([a-z0-9-]{0,18}[a-z0-9])?"
host_names = st.from_regex(rf"{LABEL}(\.{LABEL}){{0,3}}\.?", fullmatch=True)
foreign_names = st.sampled_from(["bücher", "BÜRO", "бюро", "例え", "हिन्दी", "bu\u0308ro", "straße"])
zones = st.from_regex(r"%[A-Za-z0-9._~-]{1,15}", fullmatch=True)
ipv6_hosts = st.builds(str.__add__, st.ip_addresses(v=6).map(str), st.just("") | zones)
hosts = st.one_of(
    host_names,
    st.builds("{}.{}".format, foreign_names, host_names),
    st.ip_addresses(v=4).map(str),
    ipv6_hosts,
    ipv6_hosts.map(str.upper),
)
addresses = st.builds(Address, hosts, st.integers(0, 65535))
reachable = st.builds(Address, hosts, st.integers(1, 65535))
fingerprints = st.from_regex(r"SHA256:[A-Za-z0-9+/]{43}", fullmatch=True)
links = st.builds(EnrollLink, our.users, reachable, fingerprints)


@given(addresses)
def test_an_address_that_is_shown_can_be_typed_again(address: Address):
    assert parse_address(str(address)) == address


@given(hosts | typed | st.text("[]:%0123456789abcdef.-_é½", max_size=12), st.integers(-1, 1 << 17))
def test_an_address_that_cannot_be_read_cannot_be_written(host: str, port: int):
    written = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    refused = our.outcome(lambda: Address(host, port))
    assert type(refused) is type(our.outcome(lambda: parse_address(written)))
    assert refused is None or isinstance(refused, UsageError)
    assert refused is not None or parse_address(written) == Address(host, port)


@given(
    user=our.users | typed,
    host=hosts,
    port=st.integers(0, 65535),
    key=st.one_of(fingerprints, typed, fingerprints.map(str.lower)),
)
def test_a_link_that_cannot_be_read_cannot_be_written(user: str, host: str, port: int, key: str):
    address = Address(host, port)
    written = f"fs://{user}@{address}/?host-key={key}"
    if our.outcome(lambda: EnrollLink(user, address, key)) is None:
        assert str(parse_link(written)) == written
    else:
        assert isinstance(our.outcome(lambda: parse_link(written)), UsageError)


@given(links)
def test_a_link_that_is_shown_can_be_typed_again(link: EnrollLink):
    assert parse_link(str(link)) == link
    assert parse_link(f" {link}\n") == link


@given(link=links)
def test_a_link_whose_signs_were_encoded_on_the_way_is_the_same_link(link: EnrollLink):
    head, key = str(link).split("?")
    assert parse_link(f"{head}?{key.replace('+', '%2B').replace('/', '%2F')}") == link


@given(link=links, data=st.data())
def test_a_link_with_anything_before_or_behind_it_is_no_link(link: EnrollLink, data: st.DataObject):
    text = data.draw(st.text(min_size=1, max_size=5).filter(lambda text: bool(text.strip())))
    assert isinstance(our.outcome(lambda: parse_link(text + str(link))), UsageError)
    assert isinstance(our.outcome(lambda: parse_link(str(link) + text)), UsageError)


@given(typed | st.text("[]:%0123456789abcdef. \u0660\x1b", max_size=20))
def test_an_address_is_safe_to_show_or_refused(text: str):
    error = our.outcome(lambda: parse_address(text))
    if error is not None:
        assert type(error) is UsageError
        return
    address = parse_address(text)
    assert for_terminal(str(address)) == str(address)
    assert 0 <= address.port <= 65535
    assert parse_address(str(address)) == address
