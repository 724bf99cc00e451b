"""Put, get and cat with real files, folders and pipes: the content does not change."""

from __future__ import annotations

import os
import resource
import signal
import stat
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.support.client_processes import (
    CONFLICT,
    NOT_ALLOWED,
    NOT_FOUND,
    READER_GONE,
    SPACE,
    USAGE,
    Client,
    finish,
    snapshot,
    without_root,
)
from tests.support.fixed_keys import stretch

MIB = 1 << 20
INLINE = 64 * 1024 - 40 - 16
"""Bytes of the largest file that travels inside its commit: 64 KiB without header and tag."""
SIZES = [
    *(0, 1, INLINE - 1, INLINE, INLINE + 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1),
    *(MIB - 57, MIB - 56, MIB - 55, MIB, MIB + 1, 3 * MIB + 5),
]
"""Sizes around the largest file that travels inside its commit, and around a segment's end."""

NAMES = [
    "with space",
    " leading and trailing ",
    "ünïcödé",
    "日本語",
    "🎉 party 👩‍👩‍👧",
    "-dash",
    "--double",
    'it\'s "quoted"',
    "back\\slash",
    "a:b",
    "~",
    "*",
    "$HOME",
    "con",
    ".hidden",
    "...",
    "x" * 255,
    "é" * 127,
]


LARGE = b"first line\n" + stretch("large", 6 * MIB)


def fill(client: Client, folder: str, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        client.write(f"{folder}/{name}", content)
    return client.folder / folder


@pytest.fixture(scope="module")
def shelf(_enrolled: Client) -> str:
    """A remote folder with `a.txt`, `d/in.txt` and `large` in it; tests only read it."""
    fill(_enrolled, "shelf", {"a.txt": b"a", "d/in.txt": b"in", "large": LARGE})
    _enrolled.quick("put", "shelf").ok()
    return "shelf"


# --- whole trees


def test_a_mixed_tree_comes_back_byte_for_byte_with_times_and_modes(client):
    tree = fill(
        client,
        "tree",
        {
            "empty": b"",
            "note.txt": b"hello\n",
            "bin/tool": b"#!/bin/sh\necho hi\n",
            "deep/er/still/leaf": stretch("leaf", 70_000),
            "deep/large": stretch("large", 2 * MIB + 77),
            "many/000": b"",
            **{f"many/{n:03}": str(n).encode() for n in range(1, 60)},
        },
    )
    (tree / "nothing").mkdir()
    (tree / "nothing" / "in it").mkdir()
    (tree / "bin" / "tool").chmod(0o755)
    os.utime(tree / "note.txt", ns=(0, 1_234_567_890_123_456_789))
    os.utime(tree / "empty", ns=(0, -86_400_000_000_000))
    os.utime(tree / "nothing", ns=(0, 987_654_321_000_000_001))
    before = snapshot(tree)
    client.quick("put", "tree", f"{client.room}/").ok()
    client.quick("get", f"{client.room}/tree", "back").ok()
    assert snapshot(client.folder / "back") == before
    assert snapshot(tree) == before


def test_every_size_comes_back_from_files(client):
    tree = fill(client, "tree", {f"{size}": stretch(f"size {size}", size) for size in SIZES})
    client.quick("put", "tree", f"{client.room}/").ok()
    client.quick("get", f"{client.room}/tree", "back").ok()
    assert snapshot(client.folder / "back") == snapshot(tree)
    listed = client.quick("--json", "ls", f"{client.room}/tree").ok().json()
    assert {entry["name"]: entry["size"] for entry in listed} == {f"{size}": size for size in SIZES}


@pytest.mark.cases(3)
@pytest.mark.parametrize("size", SIZES)
def test_every_size_comes_back_through_pipes(client, size):
    content = stretch(f"size {size}", size)
    client.run("put", "-", f"{client.room}/piped", given=content).ok()
    assert client.cat(f"{client.room}/piped") == content


def test_a_pipe_that_trickles_comes_through_whole(client):
    pieces = [stretch(f"piece {n}", n) for n in (1, 0, 70_000, 3, MIB, 5)]
    process = client.start("put", "-", f"{client.room}/x", piped=True)
    assert process.stdin is not None
    for piece in pieces:
        process.stdin.write(piece)
        process.stdin.flush()
    finish(process).ok()
    assert client.cat(f"{client.room}/x") == b"".join(pieces)


def test_names_of_every_kind_come_back(client):
    tree = fill(client, "tree", {name: name.encode() for name in NAMES})
    client.quick("put", "tree", f"{client.room}/").ok()
    assert sorted(client.names(f"{client.room}/tree")) == sorted(NAMES)
    client.quick("get", f"{client.room}/tree", "back").ok()
    assert snapshot(client.folder / "back") == snapshot(tree)


@pytest.mark.cases(2)
@pytest.mark.parametrize("name", ["-dash", "a:b", "with space", "日本語"])
def test_such_a_name_can_be_typed(client, name):
    client.write(name, b"x")
    remote = f"{client.room}/{name}"
    client.quick("put", "--", name, f"{client.room}/").ok()
    assert client.names(remote) == [remote]
    client.quick("get", "--", remote, "back").ok()
    assert (client.folder / "back").read_bytes() == b"x"


def test_a_name_with_a_colon_at_the_top_is_marked_as_the_users_own(client):
    client.write("who:what", b"x")
    client.quick("put", "who:what").ok()
    client.quick("ls", "who:what").fails(NOT_FOUND, "'who' shares nothing with you")
    assert client.quick("--json", "ls", "./who:what").json()[0]["path"] == "./who:what"
    client.quick("rm", "./who:what").ok()


BAD_NAMES = {"new\nline": b"a", "tab\there": b"b", "bell\a": b"c"}


def test_a_file_with_an_unusable_name_is_reported_and_the_rest_is_put(client):
    fill(client, "tree", {**BAD_NAMES, "good": b"x"})
    os.close(os.open(os.fsencode(client.folder / "tree") + b"/bad\xff", os.O_CREAT))
    done = client.quick("put", "tree", f"{client.room}/").fails(USAGE, "tree/new\\u000aline")
    assert len(done.complaints) == 4
    assert "put 1 file and 2 folders, 1 B" in done.err
    assert "but 4 failed" in done.err
    assert client.names(f"{client.room}/tree") == ["good"]
    for name in ("tree/new\nline", os.fsencode(client.folder / "tree") + b"/bad\xff"):
        client.quick("put", name, f"{client.room}/").fails(USAGE, "cannot be put under its name")
        client.quick("put", name, f"{client.room}/renamed").ok()


def test_a_new_name_has_only_characters_that_unicode_knows(client):
    unknown = "a\u0378b"
    fill(client, "tree", {unknown: b"x", "good": b"x"})
    client.quick("put", "tree", f"{client.room}/").fails(USAGE, "Unicode")
    assert client.names(f"{client.room}/tree") == ["good"]
    remote = f"{client.room}/{unknown}"
    client.quick("put", "tree/good", remote).fails(USAGE, "Unicode")
    client.quick("mkdir", remote).fails(USAGE, "Unicode")
    client.quick("mv", f"{client.room}/tree/good", remote).fails(USAGE, "Unicode")
    assert client.names(client.room) == ["tree/"]


def test_two_names_with_different_forms_of_accents_are_reported(client):
    fill(client, "tree", {"e\u0301": b"1", "\u00e9": b"2", "other": b"3"})
    ran = client.quick("put", "tree", f"{client.room}/").fails(CONFLICT, "accents")
    assert len(ran.complaints) == 1
    assert client.names(f"{client.room}/tree") == ["other"]
    client.quick("put", "tree/e\u0301", "tree/\u00e9", f"{client.room}/").fails(CONFLICT, "é")
    assert client.names(client.room) == ["tree/"]


@pytest.mark.cases(3)
@pytest.mark.parametrize("path", ["..", "a/../b", "a\nb", "x" * 256, b"\xff"])
def test_an_impossible_remote_path_is_reported(client, path):
    client.write("a", b"x")
    client.quick("put", "a", path).fails(USAGE)
    client.quick("get", path).fails(USAGE)


def test_folders_can_be_deep_but_not_endlessly(client):
    deep = client.folder / "/".join("d" * 1 for _ in range(130))
    deep.mkdir(parents=True)
    client.quick("put", "d", f"{client.room}/").fails(USAGE, "deeper than 128 folders")
    assert client.names(client.room + "/d" * 127) == []


# --- targets


def test_one_path_goes_to_the_top_under_its_own_name(client):
    name = f"{client.room}.txt"
    client.write(f"here/{name}", b"x")
    assert client.quick("put", f"here/{name}").ok().err.startswith("put 1 file, 1 B")
    assert client.cat(name) == client.cat(f"/{name}") == client.cat(f"{client.name}:{name}") == b"x"


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("sources", "target", "there"),
    [
        (["a.txt"], "{}/b.txt", ["b.txt"]),
        (["a.txt"], "{}/", ["a.txt"]),
        (["a.txt"], "{}/new/folder/", ["new/folder/a.txt"]),
        (["a.txt"], "{}/new/b.txt", ["new/b.txt"]),
        (["a.txt", "b.txt"], "{}/new/", ["new/a.txt", "new/b.txt"]),
        (["d"], "{}", ["d/in.txt"]),
        (["d"], "{}/e", ["e/in.txt"]),
        (["d/"], "{}/e/", ["e/d/in.txt"]),
        (["d/."], "{}/", ["d/in.txt"]),
        (["d/sub/.."], "{}/", ["d/in.txt"]),
        (["./a.txt", "d"], "/{}/", ["a.txt", "d/in.txt"]),
    ],
)
def test_what_is_put_goes_where_the_path_says(client, sources, target, there):
    client.write("a.txt", b"a")
    client.write("b.txt", b"b")
    client.write("d/in.txt", b"in")
    (client.folder / "d/sub").mkdir()
    client.quick("mkdir", client.room).ok()
    client.quick("put", *sources, target.format(client.room)).ok()
    client.quick("ls", *(f"{client.room}/{path}" for path in there)).ok()


def test_the_current_folder_goes_by_its_own_name(client):
    client.write("d/in.txt", b"in")
    client.run("put", ".", f"{client.room}/", cwd=client.folder / "d").ok()
    client.run("put", "..", f"{client.room}/up/", cwd=client.folder / "d").ok()
    assert client.names(f"{client.room}/d") == ["in.txt"]
    assert client.names(f"{client.room}/up/{client.folder.name}") == ["d/"]
    client.quick("put", "/").fails(USAGE, "no name of its own")


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("sources", "target", "there"),
    [
        (["{}/a.txt"], None, ["a.txt"]),
        (["{}/a.txt"], "b.txt", ["b.txt"]),
        (["{}/a.txt"], "is", ["is/a.txt"]),
        (["{}/a.txt"], "new/folder/", ["new/folder/a.txt"]),
        (["{}/a.txt", "{}/d"], "new/", ["new/a.txt", "new/d/in.txt"]),
        (["{}/d"], None, ["d/in.txt"]),
        (["{}/d"], "e", ["e/in.txt"]),
        (["{}/d/"], "is", ["is/d/in.txt"]),
        (["{}/d"], "{absolute}", ["absolute/in.txt"]),
    ],
)
def test_what_is_got_goes_where_the_path_says(client, shelf, sources, target, there):
    (client.folder / "is").mkdir()
    targets = [target.format(absolute=client.folder / "absolute")] if target else []
    client.quick("get", *(one.format(shelf) for one in sources), *targets).ok()
    for path in there:
        assert (client.folder / path).exists()


def test_several_things_need_a_folder_that_is_there_or_a_slash(client):
    for name in ("a", "b"):
        client.write(name, b"x")
    client.quick("put", "a", "b", f"{client.room}/new").fails(NOT_FOUND, f"{client.room}/new/'")
    client.quick("put", "a", "b", f"{client.room}/").ok()
    client.quick("put", "a", "b", f"{client.room}/a").fails(CONFLICT, "is a file")
    remote = f"{client.room}/a", f"{client.room}/b"
    client.quick("get", *remote, "new").fails(NOT_FOUND, "'new/'")
    client.quick("get", *remote, "a").fails(CONFLICT, "'a' is not a folder")
    assert client.names(client.room) == ["a", "b"]


def test_two_things_of_one_name_do_not_replace_each_other(client):
    fill(client, "in", {"1/x": b"first", "2/x": b"second"})
    client.quick("put", "in/1/x", "in/2/x", f"{client.room}/both/").fails(CONFLICT, "in/2/x")
    assert client.names(f"{client.room}/both") == []
    client.quick("put", "in", f"{client.room}/").ok()
    remote = [f"{client.room}/in/{n}/x" for n in (1, 2)]
    client.quick("get", *remote, "both/").fails(CONFLICT, "in/2/x")
    assert (client.folder / "both/x").read_bytes() == b"first"


# --- existing targets


def test_a_file_that_is_there_gets_a_new_version(client):
    for content in (b"one", b"two", stretch("three", 100_000)):
        client.write("x", content)
        client.quick("put", "x", f"{client.room}/").ok()
        assert client.cat(f"{client.room}/x") == content
    assert client.quick("--json", "ls", f"{client.room}/x").json()[0]["version"] == 3


def test_a_folder_that_is_there_is_merged(client):
    fill(client, "first/d", {"kept": b"1", "both": b"1"})
    fill(client, "second/d", {"new": b"2", "both": b"2", "sub/x": b"2"})
    client.quick("put", "first/d", f"{client.room}/").ok()
    client.quick("put", "second/d", f"{client.room}/").ok()
    client.quick("get", f"{client.room}/d", "first").ok()
    files = {path: what[1] for path, what in snapshot(client.folder / "first/d").items()}
    files.pop("sub")
    assert files == {"kept": b"1", "both": b"2", "new": b"2", "sub/x": b"2"}


def test_files_and_folders_do_not_take_each_others_place(client):
    fill(client, "in", {"file": b"x", "folder/x": b"x"})
    client.quick("put", "in", client.room).ok()
    fill(client, "other", {"file/x": b"y", "folder": b"y", "fine": b"y"})
    done = client.quick("put", "other/file", "other/folder", "other/fine", client.room)
    assert len(done.fails(CONFLICT).complaints) == 2
    assert client.names(client.room) == ["file", "fine", "folder/"]
    fill(client, "out", {"file/x": b"z", "folder": b"z"})
    remote = [f"{client.room}/{name}" for name in ("file", "folder", "fine")]
    assert len(client.quick("get", *remote, "out").fails(CONFLICT).complaints) == 2
    assert (client.folder / "out/fine").read_bytes() == b"y"
    assert (client.folder / "out/folder").read_bytes() == b"z"


def test_a_clash_deep_in_a_folder_leaves_out_that_one_file(client):
    fill(client, "in/d", {"a": b"1", "clash/x": b"1", "z": b"1"})
    client.quick("put", "in/d", f"{client.room}/").ok()
    fill(client, "other/d", {"a": b"2", "clash": b"2", "z": b"2"})
    client.quick("put", "other/d", f"{client.room}/").fails(CONFLICT, f"{client.room}/d/clash")
    assert client.cat(f"{client.room}/d/a") == client.cat(f"{client.room}/d/z") == b"2"


def test_a_replaced_file_keeps_its_mode_and_a_link_its_place(client, shelf):
    target = client.write("private", b"old")
    target.chmod(0o600)
    (client.folder / "link").symlink_to("private")
    client.quick("get", f"{shelf}/a.txt", "link").ok()
    assert (client.folder / "link").is_symlink()
    assert target.read_bytes() == b"a"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


# --- special files


def test_a_link_that_is_named_is_followed(client):
    tree = fill(client, "tree", {"real": b"x", "folder/in": b"y"})
    for name, target in (("link", "real"), ("way", "folder"), ("dangling", "nowhere")):
        (tree / name).symlink_to(target)
    client.quick("put", "tree/link", "tree/way", f"{client.room}/").ok()
    assert client.cat(f"{client.room}/link") == b"x"
    assert client.cat(f"{client.room}/way/in") == b"y"
    client.quick("put", "tree/dangling").fails(NOT_FOUND, "tree/dangling")


@pytest.mark.parametrize("special", ["fifo", "device"])
def test_a_special_file_is_not_put(client, special):
    os.mkfifo(client.folder / "fifo")
    path = client.folder / "fifo" if special == "fifo" else Path("/dev/zero")
    client.quick("put", path, f"{client.room}/x").fails(USAGE, "not a regular file", "put - NAME")


def test_a_special_file_is_not_replaced(client, shelf):
    os.mkfifo(client.folder / "fifo")
    (client.folder / "link").symlink_to("fifo")
    for name in ("fifo", "link"):
        client.quick("get", f"{shelf}/a.txt", name).fails(CONFLICT, "not a regular file")
    assert stat.S_ISFIFO((client.folder / "fifo").stat().st_mode)


def test_an_unreadable_file_is_reported_and_the_rest_is_put(client):
    tree = fill(client, "tree", {"a": b"1", "closed": b"2", "shut/x": b"3", "z": b"4"})
    (tree / "closed").chmod(0)
    (tree / "shut").chmod(0)
    done = client.run("put", "tree", f"{client.room}/", before=without_root)
    assert len(done.fails(NOT_ALLOWED, "tree/closed", "tree/shut").complaints) == 2
    assert client.names(f"{client.room}/tree") == ["a", "z"]
    (tree / "shut").chmod(0o700)


def test_a_folder_that_may_not_be_written_is_reported(client, shelf):
    closed = client.folder / "closed"
    closed.mkdir(mode=0o500)
    for target in (closed, closed / "y", closed / "new/folder/"):
        get = "get", f"{shelf}/a.txt", f"{target}/" if target.name == "folder" else target
        client.run(*get, before=without_root).fails(NOT_ALLOWED, "closed")
    assert list(closed.iterdir()) == []


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("no/where", NOT_FOUND, "'no' does not exist"),
        ("x/y", NOT_FOUND, "a part of its path is a file"),
        ("x/", CONFLICT, "'x' is in the way"),
        ("", USAGE, "empty path"),
        ("n" * 256, USAGE, "does not take"),
    ],
)
def test_an_impossible_target_is_reported(client, shelf, target, status, words):
    client.write("x")
    client.quick("get", f"{shelf}/a.txt", target).fails(status, words)


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    "command",
    [("put", ""), ("put", "x", ""), ("get", ""), ("cat", ""), ("ls", ""), ("rm", "-r", "")],
)
def test_a_path_from_an_empty_variable_does_not_mean_everything(client, command):
    client.write("x")
    client.quick(*command).fails(USAGE, "An empty path names nothing")


def test_a_missing_path_is_reported_and_the_rest_continues(client):
    client.write("x", b"x")
    done = client.quick("put", "nothing", "x", f"{client.room}/").fails(NOT_FOUND, "'nothing'")
    assert "put 1 file" in done.err
    done = client.quick("get", f"{client.room}/no", f"{client.room}/x", "out/")
    assert "got 1 file" in done.fails(NOT_FOUND, f"There is no '{client.room}/no'").err
    assert client.quick("put", "nothing").fails(NOT_FOUND).err.count("\n") == 1
    client.quick("put", "nothing", f"{client.room}/new/").fails(NOT_FOUND)
    client.quick("ls", f"{client.room}/new").fails(NOT_FOUND)


def test_a_file_that_grows_while_it_is_read_is_not_put(client):
    path = client.write("log", stretch("log", 3 * MIB))
    done = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as log:
            while not done.is_set():
                log.write(b"line\n")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        for _ in range(20):  # on a busy machine, the writer may not run while the file is read
            ran = client.quick("put", ".", f"{client.room}/")
            if ran.status != 0:
                break
    finally:
        done.set()
        writer.join()
    ran.fails(CONFLICT, "log' changed while it was read")
    client.quick("rm", "-rf", f"{client.room}/{client.folder.name}").ok()
    client.quick("put", "log", f"{client.room}/").ok()
    assert client.cat(f"{client.room}/log") == path.read_bytes()


# --- pipes


def test_standard_input_needs_a_name(client):
    for target in ([], [f"{client.room}/"]):
        client.run("put", "-", *target, given=b"x").fails(USAGE, "put - NAME")
    client.shell_line(f"fsclient put - {client.room}/x <&-").fails(
        USAGE, "Standard input is closed"
    )


def test_cat_writes_files_one_after_the_other(client):
    fill(client, "in", {"1": b"one ", "2": stretch("two", MIB + 1), "3": b" three"})
    client.quick("put", "in/1", "in/2", "in/3", f"{client.room}/").ok()
    paths = [f"{client.room}/{n}" for n in (1, 2, 3)]
    expected = b"one " + stretch("two", MIB + 1) + b" three"
    for command in (["cat", *paths], ["get", *paths, "-"], ["--json", "cat", *paths]):
        done = client.quick(*command).ok()
        assert (done.out, done.err) == (expected, "")
    for paths in ([f"{client.room}/1", f"{client.room}/no"], [client.room]):
        for command in (["cat", *paths], ["get", *paths, "-"], ["--json", "cat", *paths]):
            done = client.quick(*command)
            assert (done.status in (NOT_FOUND, USAGE), done.out) == (True, b"")


def test_a_reader_that_goes_ends_cat_as_it_ends_other_programs(client, shelf):
    script = f"(fsclient cat {shelf}/large; echo $? >&2) | head -n 1"
    done = client.shell_line(script).ok()
    assert (done.text, done.err) == ("first line\n", f"{READER_GONE}\n")


@pytest.mark.cases(2)
@pytest.mark.parametrize("command", ["cat shelf/large", "ls", "get shelf/a.txt -", "--json ls"])
def test_a_full_disk_of_stdout_is_reported(client, shelf, command):
    done = client.shell_line(f"fsclient {command} > /dev/full")
    done.fails(SPACE, "Standard output cannot be written: there is no space left.")
    client.shell_line(f"fsclient {command} >&-").fails(USAGE, "Standard output is closed")


def test_a_full_disk_leaves_the_old_file_and_nothing_half_done(client, shelf):
    old = client.write("large", b"old")
    at_most = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB))

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        at_most()

    client.run("get", f"{shelf}/large", before=limit).fails(SPACE, "'large'")
    assert old.read_bytes() == b"old"
    assert client.half_written() == []


# --- interrupted


@pytest.mark.cases(1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_cat_that_is_interrupted_ends_at_once(client, shelf, number):
    # The pipe is never emptied, so the client waits in the middle of the file.
    process = client.start("cat", f"{shelf}/large")
    assert process.stdout is not None
    assert process.stdout.read(10)
    process.send_signal(number)
    done = finish(process)
    assert done.status == 128 + number
    if number == signal.SIGINT:
        assert done.fails(130).complaints == ["Interrupted; nothing half-done was left in place."]


def test_a_put_that_is_interrupted_puts_nothing(client):
    process = client.start("put", "-", f"{client.room}/x", piped=True)
    assert process.stdin is not None
    process.stdin.write(stretch("x", 3 * MIB))
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    finish(process).fails(130)
    client.quick("ls", f"{client.room}/x").fails(NOT_FOUND)
