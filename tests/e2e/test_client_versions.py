"""The past with the real client: history, older versions, and removed files."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.client_processes import CONFLICT, NOT_FOUND, USAGE, Client

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d"


def history(client: Client, path: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(client.quick("history", path, "--json").ok().text)
    return told


def changes(client: Client, path: str) -> list[tuple[int, list[str]]]:
    return [(one["version"], one["changes"]) for one in history(client, path)["versions"]]


def put(client: Client, path: str, content: bytes) -> None:
    client.write("local", content)
    client.quick("put", "local", path).ok()


@pytest.fixture
def room(client: Client) -> str:
    client.quick("mkdir", client.room).ok()
    return client.room


def test_history_shows_each_version_and_its_changes(client, room):
    put(client, f"{room}/f", b"one")
    put(client, f"{room}/f", b"number two")
    client.quick("mv", f"{room}/f", f"{room}/g").ok()
    client.quick("mkdir", f"{room}/d").ok()
    client.quick("mv", f"{room}/g", f"{room}/d/").ok()
    path = f"{room}/d/g"
    assert changes(client, path) == [
        (4, ["moved", "new key"]),
        (3, ["renamed from 'f'"]),
        (2, ["content"]),
        (1, ["new"]),
    ]
    told = history(client, path)
    assert told["complete"] is True
    assert [one["size"] for one in told["versions"]] == [10, 10, 10, 3]
    assert {(one["author"], one["author_checked"]) for one in told["versions"]} == {
        (client.name, True)
    }
    lines = client.quick("history", path).ok().lines
    assert re.fullmatch(rf"2  {TIME}  10  {client.name}  content", lines[2])
    assert re.fullmatch(rf"1  {TIME}   3  {client.name}  new", lines[3])


@pytest.mark.cases(1)
@pytest.mark.parametrize("size", [5, 2_500_000], ids=["small", "large"])
def test_an_older_version_is_got_under_the_name_of_now(client, room, size):
    put(client, f"{room}/f", b"1" * size)
    put(client, f"{room}/f", b"2" * size)
    client.quick("mv", f"{room}/f", f"{room}/g").ok()
    assert client.quick("cat", "--version", "1", f"{room}/g").ok().out == b"1" * size
    client.quick("get", "--version", "2", f"{room}/g").ok()
    assert (client.folder / "g").read_bytes() == b"2" * size
    client.quick("get", "--version", "1", f"{room}/g", "old").ok()
    assert (client.folder / "old").read_bytes() == b"1" * size


def test_missing_versions_are_reported(client, room):
    put(client, f"{room}/f", b"one")
    client.quick("cat", "--version", "2", f"{room}/f").fails(NOT_FOUND, "the newest is 1")
    client.quick("cat", "--version", "0", f"{room}/f").fails(USAGE)
    client.quick("get", "--version", "1", room).fails(USAGE, "only files have versions")
    client.quick("history", f"{room}/nothing").fails(NOT_FOUND)
    client.quick("history", f"{room}/no/thing").fails(NOT_FOUND)


def test_the_server_keeps_ten_older_contents_and_says_where_they_end(client, room):
    for number in range(13):
        put(client, f"{room}/f", b"%d" % number)
    told = history(client, f"{room}/f")
    assert [one["version"] for one in told["versions"]] == list(range(13, 2, -1))
    assert told["complete"] is False
    assert told["versions"][-1]["changes"] == []
    assert "no longer has versions before 3" in client.quick("history", f"{room}/f").ok().text
    client.quick("cat", "--version", "2", f"{room}/f").fails(
        NOT_FOUND, "no longer has version 2 of"
    )
    assert client.quick("cat", "--version", "3", f"{room}/f").ok().out == b"2"


@pytest.mark.cases(1)
@pytest.mark.parametrize("size", [5, 2_500_000], ids=["small", "large"])
def test_an_older_version_becomes_the_newest_and_nothing_is_lost(client, room, size):
    put(client, f"{room}/f", b"1" * size)
    put(client, f"{room}/f", b"2" * size)
    client.quick("restore", f"{room}/f", "--version", "1").ok()
    assert client.cat(f"{room}/f") == b"1" * size
    assert changes(client, f"{room}/f")[0] == (3, ["content of version 1"])
    assert client.quick("cat", "--version", "2", f"{room}/f").ok().out == b"2" * size
    again = json.loads(client.quick("restore", f"{room}/f", "--version", "1", "--json").ok().text)
    assert again["changed"] is False
    client.quick("restore", f"{room}/f").fails(USAGE, "Choose the version")
    client.quick("restore", room).fails(USAGE, "folders have no versions")


def test_a_removed_node_comes_back_with_its_history(client, room):
    put(client, f"{room}/f", b"one")
    put(client, f"{room}/f", b"two")
    client.quick("rm", f"{room}/f").ok()
    assert client.names(room) == []
    (gone,) = history(client, room)["removed"]
    assert (gone["name"], gone["removed_by"], gone["version"]) == ("f", client.name, 2)
    assert [one["version"] for one in history(client, f"{room}/f")["versions"]] == [2, 1]
    client.quick("restore", f"{room}/f").ok()
    assert client.cat(f"{room}/f") == b"two"
    assert [number for number, _ in changes(client, f"{room}/f")] == [3, 2, 1]
    assert history(client, room)["removed"] == []


def test_a_folder_comes_back_with_all_that_was_in_it(client, room):
    for name in ("d/a", "d/e/b"):
        client.write(f"{room}/{name}", name.encode())
    client.quick("put", room, "/").ok()
    client.quick("rm", f"{room}/d/a").ok()
    client.quick("rm", "-r", f"{room}/d").ok()
    client.quick("restore", f"{room}/d/e/b").fails(NOT_FOUND, "If it was removed")
    client.quick("restore", f"{room}/d").ok()
    assert client.cat(f"{room}/d/e/b") == b"d/e/b"
    assert client.names(f"{room}/d") == ["e/"]
    client.quick("restore", f"{room}/d/a").ok()
    assert client.cat(f"{room}/d/a") == b"d/a"
    put(client, f"{room}/d/e/b", b"goes on")


def test_it_comes_back_under_another_name_elsewhere_and_as_an_older_version(client, room):
    put(client, f"{room}/f", b"one")
    put(client, f"{room}/f", b"two")
    client.quick("rm", f"{room}/f").ok()
    put(client, f"{room}/f", b"in its place")
    client.quick("restore", f"{room}/f", "--as", f"{room}/f").fails(CONFLICT, "--as")
    client.quick("restore", f"{room}/f", "--as", "old", "--version", "1").ok()
    assert client.cat(f"{room}/old") == b"one"
    assert client.cat(f"{room}/f") == b"in its place"
    client.quick("rm", f"{room}/old").ok()
    client.quick("mkdir", f"{room}/d").ok()
    client.quick("restore", f"{room}/old", "--as", f"{room}/d/").ok()
    assert client.cat(f"{room}/d/old") == b"one"


def test_of_several_of_a_name_the_latest_comes_back_or_the_one_that_is_named(client, room):
    for content in (b"first", b"second"):
        put(client, f"{room}/f", content)
        client.quick("rm", f"{room}/f").ok()
    latest, first = history(client, room)["removed"]
    told = client.quick("restore", f"{room}/f").ok()
    assert "removed 2 times" in told.err
    assert client.cat(f"{room}/f") == b"second"
    client.quick("restore", f"{room}/f", "--id", first["id"], "--as", "g").ok()
    assert client.cat(f"{room}/g") == b"first"
    client.quick("restore", f"{room}/f", "--id", latest["id"], "--as", "h").fails(NOT_FOUND)


def test_what_another_file_has_replaced_comes_back_too(client, room):
    put(client, f"{room}/a", b"a")
    put(client, f"{room}/b", b"b")
    client.quick("mv", "-f", f"{room}/a", f"{room}/b").ok()
    (gone,) = history(client, room)["removed"]
    assert (gone["name"], gone["replaced"]) == ("b", True)
    client.quick("restore", f"{room}/b", "--as", "b-before").ok()
    assert client.cat(f"{room}/b-before") == b"b"


# --- shared folders


@pytest.fixture
def two(newcomer):
    return newcomer().enrol(), newcomer().enrol()


def test_readers_look_back_writers_bring_back_and_new_keys_open_old_versions(two):
    alice, bob = two
    alice.quick("mkdir", "s/d").ok()
    put(alice, "s/f", b"alice's")
    alice.quick("share", "--write", "s", bob.name).ok()
    put(bob, f"{alice.name}:s/f", b"bob's")
    told = history(bob, f"{alice.name}:s/f")["versions"]
    assert [one["author"] for one in told] == [bob.name, alice.name]
    bob.quick("rm", f"{alice.name}:s/f").ok()
    assert history(alice, "s")["removed"][0]["removed_by"] == bob.name
    bob.quick("restore", f"{alice.name}:s/f").ok()
    bob.quick("rm", f"{alice.name}:s/f").ok()
    alice.quick("unshare", "s", bob.name).ok()
    bob.quick("history", f"{alice.name}:s/f").fails(NOT_FOUND)
    alice.quick("restore", "s/f").ok()
    assert alice.cat("s/f") == b"bob's"
    told = history(alice, "s/f")["versions"]
    assert told[0]["changes"] == ["new key"]
    assert [one["author_checked"] for one in told] == [True] * 4
    assert alice.quick("cat", "--version", "1", "s/f").ok().out == b"alice's"
    alice.quick("restore", "s/f", "--version", "1").ok()
    assert alice.cat("s/f") == b"alice's"


def test_who_cannot_be_placed_any_more_is_told(two):
    alice, bob = two
    alice.quick("mkdir", "inbox").ok()
    alice.quick("share", "--write", "inbox", bob.name).ok()
    put(bob, f"{alice.name}:inbox/f", b"from bob")
    alice.quick("mv", "inbox/f", "mine").ok()
    told = history(alice, "mine")["versions"]
    assert [(one["author"], one["author_checked"]) for one in told] == [
        (alice.name, True),
        (bob.name, False),
    ]
    assert "not checked" in alice.quick("history", "mine").ok().text
    assert alice.quick("cat", "--version", "1", "mine").ok().out == b"from bob"


def test_what_was_shared_comes_back_to_its_owner_alone(two):
    alice, bob = two
    alice.quick("mkdir", "s/d/e").ok()
    put(alice, "s/d/e/f", b"one")
    alice.quick("share", "s", bob.name).ok()
    alice.quick("share", "s/d/e", bob.name).ok()
    alice.quick("rm", "-r", "s").ok()
    bob.quick("ls", f"{alice.name}:").fails(NOT_FOUND)
    told = alice.quick("restore", "s").ok()
    assert "no longer shared" in told.err
    bob.quick("ls", f"{alice.name}:").fails(NOT_FOUND)
    assert "nothing" in alice.quick("shares").ok().text
    put(alice, "s/d/e/f", b"two")
    alice.quick("share", "s/d", bob.name).ok()
    assert bob.quick("cat", f"{alice.name}:d/e/f").ok().out == b"two"
    assert bob.quick("cat", "--version", "1", f"{alice.name}:d/e/f").ok().out == b"one"
