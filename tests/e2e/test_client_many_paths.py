"""`rm` and `mv` with many paths and with patterns that overlap."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.client_processes import (
    CONFLICT,
    NOT_ALLOWED,
    NOT_FOUND,
    USAGE,
    Client,
    with_a_room,
)


@pytest.fixture
def room(client: Client) -> str:
    for name in ("a1", "a2", "b", "x/f", "x/deep/g", "y/f", "y/h"):
        client.write(f"start/{name}", name.encode())
    client.quick("put", "start", client.room).ok()
    return client.room


def test_a_pattern_for_everything_below_removes_each_entry_once(client, room):
    ran = client.run("rm", "-r", f"{room}/**").ok()
    assert ran.err.splitlines() == [
        f"removed {room}/{name}" for name in ("a1", "a2", "b", "x", "y")
    ]
    assert client.names(room) == []


def test_one_path_in_several_forms_is_removed_once(client, room):
    client.run("rm", "-r", f"{room}/a1", f"{client.name}:{room}/a1", f"{room}/x/", f"{room}/x").ok()
    assert client.names(room) == ["a2", "b", "y/"]


def test_what_cannot_be_removed_leaves_the_others(client, room):
    ran = client.run("rm", f"{room}/a1", f"{room}/none", f"{room}/x", f"{room}/y/f", f"{room}/b/")
    ran.fails(NOT_FOUND, f"no '{room}/none'", f"'{room}/x' is a folder", f"'{room}/b' is a file")
    assert client.names(room) == ["a2", "b", "x/", "y/"]
    assert client.names(f"{room}/y") == ["h"]


def test_with_f_a_pattern_that_matches_nothing_leaves_the_other_paths(client, room):
    client.run("rm", f"{room}/none*", f"{room}/a1").fails(NOT_FOUND, "Nothing matches")
    assert "a1" in client.names(room)
    done = client.run("--json", "rm", "-f", f"{room}/none*", f"{room}/no/*", f"{room}/a*").ok()
    assert done.json()["removed"] == [f"{room}/a1", f"{room}/a2"]


def test_many_files_are_removed_and_come_back(client):
    for number in range(650):
        client.write(f"many/f{number}", b"x")
    client.quick("put", "many", client.room).ok()
    done = client.quick("--json", "rm", f"{client.room}/*").ok().json()
    assert (len(done["removed"]), done["failed"]) == (650, [])
    assert client.names(client.room) == []
    client.quick("restore", f"{client.room}/f649").ok()


def test_a_pattern_for_everything_below_moves_each_entry_once(client, room):
    client.quick("mkdir", f"{room}-new").ok()
    client.run("mv", f"{room}/**", f"{room}-new/").ok()
    assert client.names(room) == []
    assert client.names(f"{room}-new") == ["a1", "a2", "b", "x/", "y/"]
    assert client.cat(f"{room}-new/x/deep/g") == b"x/deep/g"


@pytest.mark.parametrize("force", [[], ["-f"]])
def test_two_of_one_name_do_not_replace_each_other(client, room, force):
    client.quick("mkdir", f"{room}/new").ok()
    ran = client.run("mv", *force, f"{room}/x/f", f"{room}/y/f", f"{room}/y/h", f"{room}/new/")
    ran.fails(CONFLICT, f"'{room}/new/f'")
    assert client.cat(f"{room}/new/f") == b"x/f"
    assert client.cat(f"{room}/y/f") == b"y/f"
    assert client.cat(f"{room}/new/h") == b"y/h"


def test_a_folder_that_is_source_and_target_stays_and_the_others_move(client, room):
    client.run("mv", f"{room}/*", f"{room}/y/").fails(NOT_ALLOWED, "into itself")
    assert client.names(room) == ["y/"]
    assert client.names(f"{room}/y") == ["a1", "a2", "b", "f", "h", "x/"]


def test_several_files_do_not_become_one(client, room):
    client.run("mv", f"{room}/a*", f"{room}/b").fails(CONFLICT, "is a file, not a folder")
    client.run("mv", f"{room}/a1", f"{room}/a2", f"{room}/none").fails(NOT_FOUND)
    client.run("mv", f"{room}/a1").fails(USAGE)
    assert client.names(room) == ["a1", "a2", "b", "x/", "y/"]


def test_patterns_work_in_a_share_of_another_person(newcomer, tmp_path: Path):
    alice, bob = with_a_room([newcomer().enrol(), newcomer().enrol()], "team", tmp_path)
    for name in ("a1", "a2", "b"):
        alice.write(f"team/{name}", name.encode())
    alice.quick("put", "team", "/").ok()
    alice.quick("share", "team", bob.name, "--write", "--yes").ok()
    team = f"{alice.name}:team"
    bob.quick("mkdir", f"{team}/new").ok()
    bob.run("mv", f"{team}/a*", f"{team}/new/").ok()
    bob.run("rm", f"{team}/new/?1", f"{alice.name}:t*/b").ok()
    assert alice.names("team") == ["new/"]
    assert alice.names("team/new") == ["a2"]
    bob.run("rm", "-r", f"{alice.name}:*").fails(NOT_ALLOWED, "only its owner can remove it")
