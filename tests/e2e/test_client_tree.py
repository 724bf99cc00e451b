"""Commands that show and change a person's tree: ls, mkdir, mv, rm."""

from __future__ import annotations

import re
import time

import pytest

from tests.support.client_processes import CONFLICT, NOT_ALLOWED, NOT_FOUND, USAGE

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d"


@pytest.fixture
def room(client):
    """A remote folder: the files `a` and `b`, and the folder `d` with the file `x` in it."""
    for name in ("a", "b", "d/x"):
        client.write(f"start/{name}", name.encode())
    client.quick("put", "start", client.room).ok()
    return client.room


def tree(client, room):
    """Return the paths of everything in a remote folder, with the content of the files."""
    client.quick("get", room, "now").ok()
    found = {}
    for path in sorted((client.folder / "now").rglob("*")):
        where = path.relative_to(client.folder / "now").as_posix()
        found[where] = None if path.is_dir() else path.read_text()
    return found


START = {"a": "a", "b": "b", "d": None, "d/x": "d/x"}


# --- ls


def test_ls_shows_folders_with_a_slash_in_the_order_of_names(client, room):
    client.write("B", b"x")
    client.quick("put", "B", f"{room}/").ok()
    assert client.quick("ls", room).ok().lines == ["B", "a", "b", "d/"]
    assert client.names(room) == client.names(f"/{room}/") == ["B", "a", "b", "d/"]
    assert client.names(f"{room}/a") == [f"{room}/a"]
    assert client.names(f"{room}/d") == ["x"]
    assert f"{room}/" in client.names()
    assert client.names("/") == client.names(".") == client.names(f"{client.name}:")


def test_ls_of_several_says_which_is_which(client, room):
    lines = client.quick("ls", f"{room}/d", f"{room}/a").ok().lines
    assert lines == [f"{room}/a", "", f"{room}/d:", "x"]


def test_ls_l_shows_sizes_and_times(client, room):
    client.write("large", b"x" * 1_234_567)
    client.quick("put", "large", f"{room}/").ok()
    lines = client.quick("ls", "-l", room).ok().lines
    assert [re.sub(TIME, "TIME", line) for line in lines] == [
        "        1  TIME  a",
        "        1  TIME  b",
        "        -  TIME  d/",
        "1,234,567  TIME  large",
    ]


def test_ls_gives_json(client, room):
    found = {entry["name"]: entry for entry in client.quick("ls", "--json", room).ok().json()}
    assert set(found) == {"a", "b", "d"}
    local = (client.folder / "start/a").stat()
    second = time.gmtime(local.st_mtime_ns // 10**9)
    assert found["a"].pop("mtime_utc").startswith(time.strftime("%Y-%m-%dT%H:%M:%S.", second))
    assert found["a"] == {
        "name": "a",
        "path": f"{room}/a",
        "kind": "file",
        "size": 1,
        "mtime_ns": local.st_mtime_ns,
        "executable": False,
        "version": 1,
        "author": client.name,
        "dropped": None,
        "refused": None,
        "shared_with": None,
    }
    assert found["d"]["kind"] == "folder"


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    "path", ["{}/no", "{}/no/way", "{}/a/", "{}/a/x", "{}/d/x/y", "nobody:", "nobody:x"]
)
def test_a_missing_path_is_reported(client, room, path):
    for command in (["ls"], ["get"], ["cat"], ["rm"], ["mv", "-f"], ["keys", "file"]):
        target = ["/"] if command[0] == "mv" else []
        client.quick(*command, path.format(room), *target).fails(NOT_FOUND)


def test_an_empty_folder_shows_nothing(client):
    client.quick("mkdir", client.room).ok()
    done = client.quick("ls", client.room).ok()
    assert (done.out, done.err) == (b"", "")
    assert client.quick("ls", "--json", client.room).ok().json() == []


# --- mkdir


def test_mkdir_makes_a_folder_and_those_above_it(client):
    assert client.quick("mkdir", client.room).ok().err == f"made {client.room}/\n"
    paths = [f"{client.room}/one", f"{client.room}/two/deep/er/"]
    assert client.quick("--json", "mkdir", *paths).ok().json() == {
        "made": [path.rstrip("/") for path in paths],
        "failed": [],
    }
    assert tree(client, client.room) == dict.fromkeys(
        ["one", "two", "two/deep", "two/deep/er"],
    )


def test_mkdir_of_what_is_there_is_a_conflict_but_with_p(client, room):
    client.quick("mkdir", f"{room}/d").fails(CONFLICT, f"'{room}/d' exists already.")
    client.quick("mkdir", "/").fails(CONFLICT, "'/' exists already.")
    done = client.quick("mkdir", "-p", f"{room}/d", "/", f"{room}/new").ok()
    assert done.err == f"made {room}/new/\n"
    client.quick("mkdir", "-p", f"{room}/a").fails(CONFLICT, "is a file, not a folder")
    client.quick("mkdir", f"{room}/a/x").fails(NOT_FOUND, "is a file, not a folder")


def test_mkdir_continues_after_a_failure(client, room):
    client.quick("mkdir", f"{room}/d", f"{room}/e").fails(CONFLICT)
    assert client.names(f"{room}/e") == []


# --- mv


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("paths", "now"),
    [
        (["a", "c"], {"c": "a", "b": "b", "d": None, "d/x": "d/x"}),
        (["a", "d"], {"b": "b", "d": None, "d/a": "a", "d/x": "d/x"}),
        (["a", "d/"], {"b": "b", "d": None, "d/a": "a", "d/x": "d/x"}),
        (["a", "d/c"], {"b": "b", "d": None, "d/c": "a", "d/x": "d/x"}),
        (["a", "b", "d"], {"d": None, "d/a": "a", "d/b": "b", "d/x": "d/x"}),
        (["d", "e"], {"a": "a", "b": "b", "e": None, "e/x": "d/x"}),
        (["d/x", ""], {"a": "a", "b": "b", "d": None, "x": "d/x"}),
        (["-f", "a", "b"], {"b": "a", "d": None, "d/x": "d/x"}),
        (["-f", "a", "d/x"], {"b": "b", "d": None, "d/x": "a"}),
        (["a", "A"], {"A": "a", "b": "b", "d": None, "d/x": "d/x"}),
        (["a", "a"], START),
        (["a", ""], START),
    ],
)
def test_mv_moves_and_renames(client, room, paths, now):
    client.quick("mv", *(path if path == "-f" else f"{room}/{path}" for path in paths)).ok()
    assert tree(client, room) == now


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("paths", "status", "words"),
    [
        (["a"], USAGE, "mv OLD NEW"),
        (["no", "c"], NOT_FOUND, "There is no"),
        (["a", "no/"], NOT_FOUND, "no'"),
        (["a", "no/c"], NOT_FOUND, "no'"),
        (["a", "b", "no"], NOT_FOUND, "no'"),
        (["a", "b", "d/x"], CONFLICT, "is a file"),
        (["a", "b/c"], NOT_FOUND, "is a file"),
        (["a", "b"], CONFLICT, "Give -f to replace it."),
        (["-f", "a", "d/y/"], NOT_FOUND, "d/y"),
        (["-f", "d", "b"], CONFLICT, "b' exists already."),
        (["d", "d"], NOT_ALLOWED, "into itself"),
        (["d", "d/y"], NOT_ALLOWED, "into itself"),
        (["d", "d/"], NOT_ALLOWED, "into itself"),
    ],
)
def test_mv_refuses_what_it_cannot_do_and_changes_nothing(client, room, paths, status, words):
    paths = [path if path == "-f" else f"{room}/{path}" for path in paths]
    client.quick("mv", *paths).fails(status, words)
    assert tree(client, room) == START


def test_the_top_can_neither_be_moved_nor_removed(client, room):
    client.quick("mv", "/", f"{room}/d").fails(NOT_ALLOWED, "top of your tree")
    client.quick("rm", "-rf", "/").fails(NOT_ALLOWED, "top of your tree")
    client.quick("rm", "-rf", ".").fails(NOT_ALLOWED, "top of your tree")


def test_mv_continues_after_a_failure(client, room):
    done = client.quick("--json", "mv", f"{room}/no", f"{room}/a", f"{room}/d")
    assert done.fails(NOT_FOUND).json() == {
        "moved": [{"from": f"{room}/a", "to": f"{room}/d/a"}],
        "failed": [
            {"error": "not-found", "message": f"There is no '{room}/no'.", "hint": None},
        ],
    }


def test_what_was_moved_can_be_read_changed_and_moved_again(client, room):
    client.write("new", b"new")
    client.quick("mv", f"{room}/d", f"{room}/e").ok()
    client.quick("mv", f"{room}/a", f"{room}/e/x/").fails(NOT_FOUND)
    client.quick("mv", f"{room}/a", f"{room}/e").ok()
    client.quick("put", "new", f"{room}/e/a").ok()
    client.quick("mv", f"{room}/e/a", f"{room}/z").ok()
    assert tree(client, room) == {"b": "b", "e": None, "e/x": "d/x", "z": "new"}


# --- rm


def test_rm_removes_files_and_folders_only_with_r(client, room):
    client.quick("rm", f"{room}/a").ok()
    client.quick("rm", f"{room}/d").fails(USAGE, "is a folder", "Give -r")
    assert tree(client, room) == {"b": "b", "d": None, "d/x": "d/x"}
    done = client.quick("rm", "-r", f"{room}/d", f"{room}/b").ok()
    assert done.err == f"removed {room}/d\nremoved {room}/b\n"
    assert client.names(room) == []


def test_rm_of_what_is_not_there_is_an_error_but_with_f(client, room):
    client.quick("rm", f"{room}/no").fails(NOT_FOUND, f"There is no '{room}/no'.")
    assert client.quick("rm", "-f", f"{room}/no").ok().err == ""
    done = client.quick("--json", "rm", f"{room}/no", f"{room}/a").fails(NOT_FOUND)
    assert done.json()["removed"] == [f"{room}/a"]


def test_what_was_removed_can_be_put_again(client, room):
    client.quick("rm", "-r", f"{room}/d").ok()
    client.quick("put", "start/d", f"{room}/").ok()
    client.quick("rm", f"{room}/a").ok()
    client.quick("put", "start/a", f"{room}/").ok()
    assert tree(client, room) == START
