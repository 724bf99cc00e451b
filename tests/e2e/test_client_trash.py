"""The trash with the real client: what was removed from all folders, and what sync moved away."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest

from tests.support.client_processes import (
    CONFLICT,
    NOT_ALLOWED,
    NOT_FOUND,
    USAGE,
    Client,
    Terminal,
    admin,
    with_a_room,
)

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d"
LARGE = 2_500_000


@pytest.fixture(scope="module")
def _enrolled(newcomer) -> Client:
    """A person for these tests alone, because some list all folders of the person."""
    made: Client = newcomer().enrol()
    return made


@pytest.fixture
def room(client: Client) -> str:
    """A folder with files in several folders, of which some are removed."""
    room = client.room
    for name in ("a", "b", "sub/c", "sub/deep/d", "gone/e"):
        client.write(f"{room}/{name}", name.encode())
    client.quick("put", room, "/").ok()
    client.quick("rm", f"{room}/a").ok()
    client.quick("rm", f"{room}/sub/deep/d").ok()
    client.quick("rm", "-r", f"{room}/gone").ok()
    return room


def paths(client: Client, *args: str) -> list[str]:
    return [one["path"] for one in client.quick("--json", "trash", "list", *args).ok().json()]


# --- what the server keeps


def test_the_list_names_what_was_removed_from_all_folders_the_latest_first(client, room):
    assert paths(client, room) == [f"{room}/gone", f"{room}/sub/deep/d", f"{room}/a"]
    assert paths(client, f"{room}/sub") == [f"{room}/sub/deep/d"]
    assert set(paths(client)) >= {f"{room}/gone", f"{room}/a"}
    lines = client.run("trash", "list", room).ok().lines
    assert re.fullmatch(
        rf"[0-9a-f]{{8}}  {TIME}   -  removed by {client.name}  {room}/gone/", lines[0]
    )
    assert re.fullmatch(rf"[0-9a-f]{{8}}  {TIME}   1  removed by {client.name}  {room}/a", lines[2])


def test_it_is_chosen_by_name_pattern_id_and_time(client, room):
    assert paths(client, f"{room}/a") == [f"{room}/a"]
    assert paths(client, f"{room}/**/d") == [f"{room}/sub/deep/d"]
    assert paths(client, f"{room}/[ag]*") == [f"{room}/gone", f"{room}/a"]
    (id_,) = [one["id"] for one in client.quick("--json", "trash", "list", f"{room}/a").json()]
    assert paths(client, room, "--id", id_) == [f"{room}/a"]
    assert paths(client, room, "--older-than", "1h") == []
    client.run("trash", "list", f"{room}/b").fails(NOT_FOUND)
    client.run("trash", "list", f"{room}/*.txt").fails(NOT_FOUND, "matches")
    client.run("trash", "list", "--id", "0123").fails(USAGE, "at least 8 digits")
    client.run("trash", "list", room, "--id", "0123456789").fails(NOT_FOUND, "0123456789")


def test_an_empty_trash_says_so(client):
    client.quick("mkdir", client.room).ok()
    assert "Nothing was removed" in client.run("trash", "list", client.room).ok().text
    assert client.quick("--json", "trash", "empty", client.room).ok().json()["deleted"] == 0


def test_all_that_match_come_back_to_where_they_were(client, room):
    done = client.quick("--json", "trash", "restore", f"{room}/a", f"{room}/sub/**").ok().json()
    assert sorted(done["restored"]) == [f"{room}/a", f"{room}/sub/deep/d"]
    assert client.cat(f"{room}/sub/deep/d") == b"sub/deep/d"
    assert paths(client, room) == [f"{room}/gone"]
    client.run("trash", "restore", room).ok()
    assert client.cat(f"{room}/gone/e") == b"gone/e"
    client.run("trash", "restore").fails(USAGE, "--all")


def test_nothing_is_replaced_and_the_others_come_back(client, room):
    client.quick("put", client.write("new", b"new"), f"{room}/a").ok()
    client.run("trash", "restore", room).fails(CONFLICT, f"'{room}/a' exists already")
    assert client.cat(f"{room}/a") == b"new"
    assert client.cat(f"{room}/sub/deep/d") == b"sub/deep/d"


def test_of_several_of_one_name_the_latest_comes_back_or_the_one_with_the_id(client, room):
    client.quick("put", client.write("new", b"second"), f"{room}/a").ok()
    client.quick("rm", f"{room}/a").ok()
    second, first = client.quick("--json", "trash", "list", f"{room}/a").ok().json()
    client.run("trash", "restore", f"{room}/a").ok()
    assert client.cat(f"{room}/a") == b"second"
    client.quick("rm", f"{room}/a").ok()
    client.run("trash", "restore", room, "--id", first["id"]).ok()
    assert client.cat(f"{room}/a") == b"a"
    assert paths(client, f"{room}/a") == [second["path"]]


def test_it_is_emptied_only_with_a_yes(client, room):
    client.run("trash", "empty", room).fails(USAGE, "--yes")
    assert len(paths(client, room)) == 3
    with Terminal(client, "trash", "empty", room) as terminal:
        terminal.wait_for("Delete 3 removed files and folders for good?")
        terminal.type("n\r")
        assert terminal.ends() == 1
    assert len(paths(client, room)) == 3
    with Terminal(client, "trash", "empty", room) as terminal:
        terminal.wait_for("[y/N] ")
        terminal.type("y\r")
        assert terminal.ends() == 0
        assert "deleted 3 files and folders for good" in terminal.shown
    assert paths(client, room) == []
    assert client.cat(f"{room}/b") == b"b"
    client.run("restore", f"{room}/a").fails(NOT_FOUND)


def test_the_room_of_deleted_files_is_given_back(newcomer):
    person = newcomer().enrol()
    person.quick("put", person.write("f", os.urandom(LARGE))).ok()
    person.quick("put", person.write("f", os.urandom(LARGE))).ok()
    person.quick("rm", "f").ok()
    before = admin(person.server, "show-user", person.name)
    assert before["limits"]["kept_bytes"]["used"] > 2 * LARGE
    stored = len(list((person.server.home / "blobs").rglob("*")))
    done = person.quick("--json", "trash", "empty", "--yes").ok().json()
    assert done == {"deleted": 1, "failed": []}
    after = admin(person.server, "show-user", person.name)
    assert after["limits"]["kept_bytes"]["used"] == 0
    assert after["limits"]["nodes"]["used"] == 1
    assert len(list((person.server.home / "blobs").rglob("*"))) <= stored - 2


def test_part_of_it_is_emptied_and_many_at_once(client):
    room = client.room
    for number in range(130):
        client.write(f"{room}/f{number}", b"x")
    client.write(f"{room}/keep", b"x")
    client.quick("put", room, "/").ok()
    client.quick("rm", f"{room}/*").ok()
    assert client.quick("--json", "trash", "empty", "--yes", f"{room}/f*").ok().json() == {
        "deleted": 130,
        "failed": [],
    }
    assert paths(client, room) == [f"{room}/keep"]


def test_a_writer_may_restore_but_only_the_owner_empties(newcomer, tmp_path: Path):
    people = [newcomer().enrol(), newcomer().enrol()]
    alice, bob = with_a_room(people, "team", tmp_path)
    alice.quick("put", alice.write("f", b"of alice"), "team/").ok()
    alice.quick("share", "team", bob.name, "--write", "--yes").ok()
    team = f"{alice.name}:team"
    bob.quick("rm", f"{team}/f").ok()
    assert paths(bob, team) == [f"{team}/f"]
    assert f"removed by {bob.name}" in alice.quick("trash", "list").ok().text
    bob.run("trash", "empty", team, "--yes").fails(NOT_ALLOWED, "only the owner")
    bob.run("trash", "restore", f"{team}/f").ok()
    assert alice.cat("team/f") == b"of alice"
    alice.quick("rm", "team/f").ok()
    alice.quick("trash", "empty", "--yes", f"{alice.name}:team").ok()
    assert paths(bob, team) == []


# --- what sync moved away on this machine


@pytest.fixture
def moved(client: Client) -> Path:
    """A profile with one trashed file, of a local folder that a sync made like a remote one."""
    shutil.rmtree(client.profile / "trash", ignore_errors=True)
    client.write("here/sub/b", b"of the server")
    client.quick("sync", "here", client.room).ok()
    client.write("here/sub/b", b"only here")
    client.quick("sync", "--down", "--force", "here", client.room).ok()
    (kept,) = (client.profile / "trash").rglob("b")
    assert kept.read_bytes() == b"only here"
    return kept


def test_local_files_are_listed_and_deleted(client, moved: Path):
    (one,) = client.quick("--json", "trash", "list", "--local").ok().json()
    assert (one["path"], one["former"], one["size"]) == (str(moved), "sub/b", 9)
    assert str(moved) in client.run("trash", "list", "--local").ok().text
    client.run("trash", "empty", "--local").fails(USAGE, "--yes")
    client.quick("trash", "empty", "--local", "--older-than", "1h", "--yes").ok()
    assert moved.exists()
    client.run("trash", "list", "--local", client.room).fails(USAGE, "no paths")
    assert client.run("trash", "empty", "--local", "--yes", "--json").ok().json()["deleted"] == 1
    assert list((client.profile / "trash").iterdir()) == []


def test_a_sync_deletes_what_has_been_there_for_thirty_days(client, moved: Path):
    trash = client.profile / "trash"
    day_s = 86_400
    ages = {29: trash, 31: trash}
    for days in ages:
        named = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime(time.time() - days * day_s))
        shutil.copytree(moved.parent.parent, trash / named)
    mine = trash / "of the user"
    mine.mkdir()
    dry = client.quick("--json", "sync", "-n", "here", client.room).ok().json()
    assert dry["trash_expired"] == 0
    shown = client.quick("--json", "trash", "list", "--local", "--older-than", "30d").ok().json()
    assert len(shown) == 1
    assert "deleted 1 local file that had been in the trash" in (
        client.run("sync", "here", client.room).ok().err
    )
    assert not Path(shown[0]["path"]).exists()
    left = json.loads(client.quick("--json", "trash", "list", "--local").ok().text)
    assert [one["former"] for one in left] == ["sub/b", "sub/b"]
    assert mine.exists()


# --- when the folder is not known


def test_history_of_a_folder_names_what_was_removed_below_it_only_when_asked(client, room):
    def removed(*args: str) -> list[str]:
        shown = client.quick("--json", "history", *args).ok().json()
        return [one["path"] for one in shown["removed"]]

    assert removed(room) == [f"{room}/gone", f"{room}/a"]
    assert removed("-r", room) == [f"{room}/gone", f"{room}/sub/deep/d", f"{room}/a"]
    assert f"  {room}/sub/deep/d" in client.quick("history", "-r", room).ok().text
    assert client.quick("--json", "history", "-r", f"{room}/b").ok().json()["kind"] == "file"


def test_without_a_terminal_restore_only_names_where_a_name_was_removed(client, room):
    name = f"only-{room}"
    client.write(f"{room}/deep/er/{name}", b"1")
    client.quick("put", f"{room}/deep", f"{room}/").ok()
    client.quick("rm", f"{room}/deep/er/{name}").ok()
    for typed in (name, f"er/{name}", f"nowhere/er/{name}"[8:], name.upper()):
        client.quick("restore", typed).fails(NOT_FOUND, f"'{room}/deep/er/{name}'")
    client.quick("restore", f"nowhere/{name}").fails(NOT_FOUND, "nowhere")
    client.quick("restore", f"{room}/deep/er/{name}").ok()
    client.quick("restore", name).fails(NOT_FOUND, name)


def test_on_a_terminal_restore_offers_what_it_has_found(client, room):
    name = f"same-{room}"
    for folder in ("one", "two"):
        client.write(f"{room}/{folder}/{name}", folder.encode())
        client.quick("put", f"{room}/{folder}", f"{room}/").ok()
        client.quick("rm", f"{room}/{folder}/{name}").ok()
    with Terminal(client, "restore", name) as terminal:
        terminal.wait_for(f"{room}/two/{name}")
        terminal.wait_for(f"{room}/one/{name}")
        terminal.wait_for("[1-2, none] ")
        terminal.type("7\r")
        terminal.wait_for("[1-2, none] ")
        terminal.type("2\r")
        assert terminal.ends() == 0
    assert client.cat(f"{room}/one/{name}") == b"one"
    with Terminal(client, "restore", name) as terminal:
        terminal.wait_for(f"Restore '{room}/two/{name}'? [y/N] ")
        terminal.type("\r")
        assert terminal.ends() != 0
    with Terminal(client, "restore", name, "--as", f"{room}/back") as terminal:
        terminal.wait_for(f"Restore '{room}/two/{name}'? [y/N] ")
        terminal.type("y\r")
        assert terminal.ends() == 0
    assert client.cat(f"{room}/back") == b"two"


def test_find_searches_what_was_removed(client, room):
    def found(*args: str) -> list[str]:
        lines: list[str] = client.quick("find", "--removed", room, *args).ok().lines
        return lines

    assert found() == [f"{room}/gone", f"{room}/sub/deep/d", f"{room}/a"]
    assert found("--name", "d") == [f"{room}/sub/deep/d"]
    assert found("--type", "d") == [f"{room}/gone"]
    assert found("--max-depth", "1") == [f"{room}/gone", f"{room}/a"]
    assert found("--newer-than", "2199-01-01") == []
    client.quick("find", "--removed", "--exclude", "a", room).fails(USAGE, "--name")
    data = client.quick("--json", "find", "--removed", room, "--name", "a").ok().json()
    assert [(one["path"], one["removed_by"]) for one in data] == [(f"{room}/a", client.name)]
