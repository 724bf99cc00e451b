"""Folders that are put and got: links, excluded files, skipped files, and dry runs."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fsclient.app import App
from fsclient.session.session import Session
from fsclient.transfer.put import Put
from fsclient.transfer.report.actions import Actions
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.run import TransferRun
from fsclient.ui import Ui
from fsproto.names import parse_path
from tests.support.client_processes import NOT_ALLOWED, USAGE, Client, snapshot, without_root
from tests.support.fixed_keys import stretch

MIB = 1 << 20
TIME_NS = 1_234_567_890_123_456_789


@pytest.fixture
def tree(client: Client):
    """A local folder `tree` with one of each kind of file."""
    for name, content in {
        "a.txt": b"a",
        "b.log": b"log",
        "src/main.c": b"int main;",
        "src/main.o": b"\x7fELF",
        "build/out": b"out",
        "deep/build/out": b"out",
        "large": stretch("large", MIB + 5),
    }.items():
        client.write(f"tree/{name}", content)
    (client.folder / "tree/src/main.o").chmod(0o755)
    return client.folder / "tree"


def lines(ran) -> list[str]:
    return list(ran.ok().lines)


# --- links


def test_links_come_back_as_links(client, tree):
    (tree / "near").symlink_to("a.txt")
    (tree / "src/out of the tree").symlink_to("../../elsewhere")
    (tree / "absolute").symlink_to("/etc/passwd")
    (tree / "dangling").symlink_to("nowhere")
    for n, target in enumerate(("./a.txt", "src/", "src//main.c", "src/./main.c", " ", "a\nb")):
        (tree / f"odd {n}").symlink_to(target)
    (tree / "deep/itself").symlink_to(".")
    (tree / "bytes").symlink_to(os.fsdecode(b"no \xff utf-8 \x01"))
    (tree / "long").symlink_to("x" * 4095)
    os.utime(tree / "near", ns=(0, TIME_NS), follow_symlinks=False)
    before = snapshot(tree)
    done = client.quick("put", "--json", "tree", f"{client.room}/").ok().json()
    assert (done["files"], done["left_out"], done["failed"]) == (20, [], [])
    client.quick("get", f"{client.room}/tree", "back").ok()
    assert snapshot(client.folder / "back") == before
    assert before["near"] == ("link", b"a.txt", TIME_NS)


def test_a_link_is_shown_as_one_and_cat_writes_where_it_leads(client, tree):
    (tree / "link").symlink_to("a.txt")
    client.quick("put", "tree", client.room).ok()
    assert "link@" in client.names(client.room)
    entry = client.quick("--json", "ls", f"{client.room}/link").ok().json()[0]
    assert (entry["kind"], entry["size"], entry["executable"]) == ("symlink", 5, False)
    assert client.cat(f"{client.room}/link") == b"a.txt"


def test_a_link_that_is_got_by_its_name_is_made(client, tree):
    (tree / "link").symlink_to("src")
    client.quick("put", "tree", client.room).ok()
    (client.folder / "there").mkdir()
    (client.folder / "was a link").symlink_to("a.txt")
    client.quick("get", f"{client.room}/link").ok()
    client.quick("get", f"{client.room}/link", "named").ok()
    client.quick("get", f"{client.room}/link", "there").ok()
    client.quick("get", f"{client.room}/link", "was a link").ok()
    for name in ("link", "named", "there/link", "was a link"):
        assert (client.folder / name).readlink() == Path("src")


def test_links_and_files_take_each_others_place(client, tree):
    (tree / "one").symlink_to("a.txt")
    client.write("tree/other", b"file")
    client.quick("put", "tree", f"{client.room}/").ok()
    client.quick("get", f"{client.room}/tree", "back/").ok()
    (tree / "one").unlink()
    (tree / "other").unlink()
    client.write("tree/one", b"now a file")
    (tree / "other").symlink_to("b.log")
    client.quick("put", "tree", f"{client.room}/").ok()
    client.quick("get", f"{client.room}/tree", "back/").ok()
    back = snapshot(client.folder / "back/tree")
    assert back["one"][:2] == ("file", b"now a file")
    assert back["other"][:2] == ("link", b"b.log")
    assert back["a.txt"][:2] == ("file", b"a")


def test_a_link_to_too_long_a_path_cannot_be_made_by_this_system_either(client, tree):
    with pytest.raises(OSError, match="too long"):
        (tree / "too long").symlink_to("x" * 4096)


def test_a_folder_that_a_link_leads_to_is_not_put_a_second_time(client, tree):
    (tree / "src/up").symlink_to("..")
    done = client.quick("--json", "put", "tree", client.room).ok().json()
    assert done["folders"] == 5
    assert client.quick("ls", f"{client.room}/src/up/a.txt").status == 5


# --- special and sparse files


def test_a_special_file_is_skipped_and_reported(client, tree):
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tree / "door"))
    done = client.quick("--json", "put", "tree", client.room).ok()
    assert done.json()["left_out"] == ["tree/door", "tree/fifo"]
    assert [line.split("'")[1] for line in done.complaints] == ["tree/door", "tree/fifo"]


def test_holes_are_reported_and_come_back_as_zeros(client, tree):
    with (tree / "sparse").open("wb") as file:
        file.truncate(3 * MIB)
        file.seek(2 * MIB)
        file.write(b"data")
    done = client.quick("put", "tree", client.room).ok()
    assert "'tree/sparse' is sparse; its holes are sent as zeros." in done.err
    assert done.err.count("sparse;") == 1
    done = client.quick("--json", "put", "tree/sparse", f"{client.room}/").ok()
    assert done.json()["sparse"] == ["tree/sparse"]
    assert client.cat(f"{client.room}/sparse") == (tree / "sparse").read_bytes()


# --- sources that change


class Meanwhile(Progress):
    """A progress display that does something when a file was opened, before it is read."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__(Ui(quiet=True), "put", "put")
        self._happens = happens

    def expect(self, size: int) -> None:
        self._happens()
        super().expect(size)


@contextlib.contextmanager
def session(client: Client) -> Iterator[Session]:
    app = App()
    app.options.home = client.home
    with app.session() as found:
        yield found


@pytest.mark.cases(3)
@pytest.mark.parametrize("size", [10, 3 * MIB])
@pytest.mark.parametrize("change", ["shrinks", "grows", "is rewritten", "is touched"])
def test_a_file_that_changes_while_it_is_read_is_not_put_and_the_others_are(client, change, size):
    path = client.write("tree/m", stretch("m", size))
    for name in ("a", "z"):
        client.write(f"tree/{name}", name.encode())

    def happens() -> None:
        match change:
            case "shrinks":
                os.truncate(path, size // 2)
            case "grows":
                os.truncate(path, path.stat().st_size + 1)
            case "is rewritten":
                path.write_bytes(os.urandom(size))
                os.utime(path, ns=(0, path.stat().st_mtime_ns + 10_000_000))
            case "is touched":
                os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))

    failures = Failures(Ui())
    with session(client) as mine, Meanwhile(happens) as progress:
        put = Put(TransferRun(mine, progress, failures, Actions(Ui())))
        put.run([str(path.parent)], parse_path(client.room))
    assert [failure["error"] for failure in failures.data] == ["source-changed"]
    assert client.names(client.room) == ["a", "z"]


# --- excluded files


def test_what_a_get_has_left_behind_is_not_put(client):
    left_over = [".big.0123456789abcdef.fs-part", ".fs-0123456789abcdef"]
    for name in [*left_over, ".fs-notes", "big.fs-part"]:
        client.write(f"tree/{name}", b"x")
    done = client.run("put", "--json", "tree", client.room).ok().json()
    assert done["left_out"] == [f"tree/{name}" for name in left_over]
    assert client.names(client.room) == [".fs-notes", "big.fs-part"]


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("patterns", "gone"),
    [
        (["*.o"], ["src/main.o"]),
        (["*.o", "*.log"], ["src/main.o", "b.log"]),
        (["build/"], ["build", "build/out", "deep/build", "deep/build/out"]),
        (["/build"], ["build", "build/out"]),
        (["src/*", "!src/main.c"], ["src/main.o"]),
        (["deep/**/out"], ["deep/build/out"]),
        (["# a comment", "  "], []),
        (["large/"], []),
    ],
)
def test_what_matches_is_left_out_both_ways(client, tree, patterns, gone):
    options = [word for pattern in patterns for word in ("--exclude", pattern)]
    everything = snapshot(tree)
    client.quick("put", *options, "tree", client.room).ok()
    client.quick("get", client.room, "up").ok()
    client.quick("put", "tree", f"{client.room}-all").ok()
    client.quick("get", *options, f"{client.room}-all", "down").ok()
    left = {path: what for path, what in everything.items() if path not in gone}
    assert snapshot(client.folder / "up") == left
    assert snapshot(client.folder / "down") == left


def test_patterns_may_be_lines_of_a_file(client, tree):
    client.write("ignore", "# objects\n*.o\n\nbuild/\n".encode("utf-8-sig"))
    done = client.quick("put", "--json", "--exclude-from", "ignore", "tree", client.room).ok()
    assert done.json()["excluded"] == 3
    assert client.names(f"{client.room}/src") == ["main.c"]
    client.quick("put", "--exclude-from", "nothing", "tree").fails(5, "'nothing' does not exist")
    client.write("binary", b"\xff\xfe")
    client.quick("put", "--exclude-from", "binary", "tree").fails(USAGE, "UTF-8")
    client.quick("put", "--exclude", "a[", "--exclude", "!", "tree").fails(USAGE, "pattern")


def test_a_folder_that_is_left_out_is_not_even_looked_into(client, tree):
    (tree / "build").chmod(0)
    client.run("put", "tree", client.room, before=without_root).fails(NOT_ALLOWED, "tree/build")
    client.run("put", "--exclude", "/build", "tree", client.room, before=without_root).ok()
    (tree / "build").chmod(0o700)


# --- unchanged files


def test_what_is_the_same_is_skipped(client, tree):
    (tree / "link").symlink_to("a.txt")
    client.quick("put", "tree", client.room).ok()
    first = client.quick("--json", "put", "-u", "tree", f"{client.room}/").ok().json()
    # Into the folder, which did not contain it yet.
    assert (first["files"], first["skipped"]) == (8, 0)
    again = client.quick("--json", "put", "-u", "tree", f"{client.room}/").ok().json()
    assert (again["files"], again["bytes"], again["skipped"]) == (0, 0, 8)
    again = client.quick("--json", "get", "-u", f"{client.room}/tree").ok().json()
    assert (again["files"], again["skipped"]) == (0, 8)


@pytest.mark.cases(2)
@pytest.mark.parametrize("change", ["content", "time", "mode", "link"])
def test_what_differs_in_size_time_or_mode_is_not_skipped(client, tree, change):
    (tree / "link").symlink_to("a.txt")
    client.quick("put", "tree", f"{client.room}/").ok()
    client.quick("get", f"{client.room}/tree", "old/").ok()
    path = tree / "src/main.c"
    match change:
        case "content":
            path.write_bytes(b"longer than before")
        case "time":
            os.utime(path, ns=(0, TIME_NS))
        case "mode":
            path.chmod(0o755)
        case "link":
            (tree / "link").unlink()
            (tree / "link").symlink_to("b.log")
    done = client.quick("--json", "put", "--update", "tree", f"{client.room}/").ok().json()
    assert (done["files"], done["skipped"]) == (1, 7)
    done = client.quick("--json", "get", "-u", f"{client.room}/tree", "old").ok().json()
    assert (done["files"], done["skipped"]) == (1, 7)
    assert snapshot(client.folder / "old/tree") == snapshot(tree)


def test_a_single_file_that_is_the_same_is_skipped(client, tree):
    client.quick("put", "tree/a.txt", f"{client.room}/").ok()
    assert client.quick("--json", "put", "-u", "tree/a.txt", f"{client.room}/").json()["files"] == 0
    done = client.quick("--json", "get", "-u", f"{client.room}/a.txt", "tree/a.txt").ok()
    assert (done.json()["files"], done.json()["skipped"]) == (0, 1)


# --- dry runs


def test_a_dry_run_of_put_shows_everything_and_does_nothing(client, tree):
    room = client.room
    for path in ("build", "deep", "large", "src/main.o"):
        (tree / path).rename(client.folder / path.replace("/", "-"))
    client.quick("put", "tree", room).ok()
    client.write("tree/a.txt", b"another")
    client.write("tree/new/x", b"x")
    before = client.quick("--json", "ls", room, f"{room}/src").ok().json()
    assert lines(client.quick("put", "-n", "-u", "tree", f"{room}/")) == [
        f"make folder {room}/tree/",
        *(f"put {room}/tree/{name}" for name in ("a.txt (7 B)", "b.log (3 B)")),
        f"make folder {room}/tree/new/",
        f"put {room}/tree/new/x (1 B)",
        f"make folder {room}/tree/src/",
        f"put {room}/tree/src/main.c (9 B)",
    ]
    (client.folder / "over").mkdir()
    tree.rename(client.folder / "over" / room)
    ran = client.quick("put", "--dry-run", "--update", f"over/{room}", "/")
    assert lines(ran) == [
        f"replace {room}/a.txt (7 B)",
        f"skip {room}/b.log (same)",
        f"make folder {room}/new/",
        f"put {room}/new/x (1 B)",
        f"skip {room}/src/main.c (same)",
    ]
    assert client.quick("--json", "ls", room, f"{room}/src").ok().json() == before


def test_a_dry_run_makes_no_folder_on_the_way(client, tree):
    ran = client.quick("put", "-n", "tree/a.txt", f"{client.room}/x/y/")
    assert lines(ran) == [
        f"make folder {client.room}/",
        f"make folder {client.room}/x/",
        f"make folder {client.room}/x/y/",
        f"put {client.room}/x/y/a.txt (1 B)",
    ]
    client.quick("ls", client.room).fails(5)
    assert lines(client.run("put", "-n", "-", f"{client.room}/p", given=b"x"))[-1] == (
        f"put {client.room}/p"
    )


def test_a_dry_run_of_get_shows_everything_and_does_nothing(client, tree):
    client.quick("put", "tree", client.room).ok()
    before = snapshot(client.folder)
    ran = client.quick("get", "-n", client.room, "new/folder/")
    assert lines(ran)[:4] == [
        "make folder new/",
        "make folder new/folder/",
        f"make folder new/folder/{client.room}/",
        f"get new/folder/{client.room}/a.txt (1 B)",
    ]
    done = client.quick("--json", "get", "-n", "-u", client.room, "tree.new").ok().json()
    assert done["actions"][0] == {"action": "make-folder", "path": "tree.new/", "size": None}
    assert {"action": "get", "path": "tree.new/src/main.c", "size": 9} in done["actions"]
    assert done["files"] == done["bytes"] == 0
    assert snapshot(client.folder) == before


def test_verbose_prints_each_action(client, tree):
    ran = client.quick("put", "-v", "tree/src", client.room).ok()
    assert ran.out == b""
    assert ran.err.splitlines()[:2] == [
        f"make folder {client.room}/",
        f"put {client.room}/main.c (9 B)",
    ]
