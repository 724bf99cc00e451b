"""`sync`: makes one folder equal to another, in either direction; only differences are sent."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsclient.app import App
from fsclient.transfer.options import TransferOptions
from fsclient.transfer.report.actions import Actions
from fsclient.transfer.report.failures import Failures
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.run import TransferRun
from fsclient.transfer.sync import Sync, which_way
from fsclient.ui import Ui
from fsproto.messages.account import GetStatus, Status
from fsproto.names import parse_path
from tests.support.client_processes import CONFLICT, NOT_FOUND, USAGE, Client, Ran, snapshot
from tests.support.fixed_keys import stretch
from tests.support.world import until

MIB = 1 << 20
TIME_NS = 1_234_567_890_123_456_789


@pytest.fixture
def tree(client: Client) -> Path:
    return make_tree(client)


def make_tree(client: Client) -> Path:
    """Make a local folder `tree` with one of each kind of file."""
    for name, content in {
        "a.txt": b"a",
        "src/main.c": b"int main;",
        "src/tool": b"#!/bin/sh",
        "deep/er/leaf": b"leaf",
        "large": stretch("large", 2 * MIB + 5),
    }.items():
        client.write(f"tree/{name}", content)
    (client.folder / "tree/empty").mkdir()
    (client.folder / "tree/src/tool").chmod(0o755)
    (client.folder / "tree/link").symlink_to("../outside")
    os.utime(client.folder / "tree/deep", ns=(0, TIME_NS))
    return client.folder / "tree"


class Pair:
    """A local folder, the remote folder that it is synchronised to, and a local copy of that."""

    def __init__(self, client: Client, tree: Path) -> None:
        self.client, self.tree, self.remote = client, tree, f"{client.room}/tree"
        self.copy = client.folder / "copy"

    def up(self, *options: str) -> Any:
        return self.run(*options, str(self.tree), self.remote).ok().json()

    def down(self, *options: str) -> Any:
        return self.run("--down", *options, str(self.copy), self.remote).ok().json()

    def run(self, *words: str) -> Ran:
        return self.client.quick("--json", "sync", *words)

    def states(self) -> dict[str, tuple[int, int]]:
        """Return the versions of each node and of its folder state, by path."""
        app = App()
        app.options.home = self.client.home
        with app.session() as session:
            tree = session.tree
            found: dict[str, tuple[int, int]] = {}
            left = [tree.find(parse_path(self.client.room))]
            while left:
                one = left.pop()
                state = 0
                if one.is_folder:
                    state = tree.view(one.keyed, []).state.body.version
                    left += tree.children(one).nodes
                found[str(one.path)] = one.manifest.body.version, state
        return found

    def same(self) -> bool:
        return snapshot(self.copy) == snapshot(self.tree) and _time(self.copy) == _time(self.tree)


@pytest.fixture
def pair(client: Client, tree: Path) -> Pair:
    """The three folders, all equal."""
    pair = Pair(client, tree)
    files, folders = 6, 6  # the first command also made the room, which contains the folder
    up, down = pair.up(), pair.down()
    assert (up["files"], up["folders"], up["touched"]) == (files, folders, 0)
    assert (down["files"], down["folders"], down["touched"]) == (files, folders - 1, 0)
    assert pair.same()
    return pair


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns


def moved(result: dict[str, Any]) -> tuple[int, int, int, int]:
    return result["files"], result["bytes"], result["touched"], result["removed"]


NOTHING = (0, 0, 0, 0)


# --- both directions


def test_a_folder_goes_up_and_down_with_times_modes_and_links(pair):
    assert snapshot(pair.copy)["link"][1] == b"../outside"
    assert snapshot(pair.copy)["deep"] == ("folder", TIME_NS)


def test_the_second_time_nothing_moves_and_nothing_is_committed(pair):
    before = pair.states()
    for options in ([], ["--delete"], ["--checksum"]):
        for result in (pair.up(*options), pair.down(*options)):
            assert moved(result) == NOTHING
            assert result["skipped"] == 6
    assert pair.states() == before


@pytest.mark.parametrize("direction", ["up", "down"])
def test_each_folder_is_asked_for_once_and_nothing_else(pair, direction):
    app = App()
    app.options.home = pair.client.home
    with app.session() as session, Progress(Ui(quiet=True), "put", "put") as progress:

        def asked() -> int:
            number = session.connection.send(GetStatus())
            session.connection.answer(number, Status)
            return number

        before, ui = asked(), Ui(quiet=True)
        task = TransferRun(
            session, progress, Failures(ui), Actions(ui), TransferOptions(mirror=True)
        )
        sync = Sync(task)
        if direction == "up":
            sync.up(which_way(str(pair.tree), pair.remote, down=False))
        else:
            sync.down(which_way(str(pair.copy), pair.remote, down=True))
        on_the_way, folders = 2, 5
        assert asked() - before - 1 == on_the_way + folders


def test_the_progress_counts_the_files_that_are_still_to_be_compared(client, capsys):
    for number in range(20):
        client.write(f"tree/{number // 5}/{number}", b"content")
    app = App()
    app.options.home = client.home
    ui = Ui()
    with app.session() as session:
        progress = Progress(ui, "put", "put", "plain")

        class Looks(Actions):
            """Reports that show the progress at each action."""

            def note(
                self, action: str, path: object, size: int | None = None, side: str | None = None
            ) -> None:
                super().note(action, path, size)
                progress.look()

        rules = TransferOptions(mirror=True)
        task = TransferRun(session, progress, Failures(ui), Looks(ui), rules)
        Sync(task).up(which_way(str(client.folder / "tree"), f"{client.room}/tree", down=False))
        progress.look()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 10
    assert {line.split(",")[0].partition(" of ")[2] for line in lines} == {"20 files"}
    assert lines[-1].startswith("put 20 of 20 files, 140 B of 140 B")


def test_folders_on_the_way_count_among_those_that_were_made(pair, client):
    for command in (
        ("sync", "tree", f"{client.room}/on/the/way/tree"),
        ("sync", "--down", "on/the/way/tree", f"{client.room}/on/the/way/tree"),
        ("put", "tree/a.txt", f"{client.room}/put/on/the/way/"),
        ("get", f"{client.room}/tree/a.txt", "got/on/the/way/"),
    ):
        ran = client.quick("--json", *command).ok()
        assert ran.json()["folders"] == (3 + 5 if "sync" in command else 4), command


@pytest.mark.parametrize("size", [3, MIB + 7])
def test_only_what_changed_moves(pair, client, size):
    before = pair.states()
    content = stretch("new", size)
    client.write("tree/src/new", content)
    result = pair.up()
    assert moved(result) == (1, size, 1, 0)  # and the time of `src`
    after = pair.states()
    assert {path for path in after if after[path] != before.get(path)} == {
        f"{pair.remote}/src",
        f"{pair.remote}/src/new",
        pair.remote,
    }
    assert moved(pair.down()) == (1, size, 1, 0)
    assert pair.same()


@pytest.mark.parametrize("name", ["src/main.c", "large"])
def test_where_only_the_time_differs_no_content_moves(pair, name):
    os.utime(pair.tree / name, ns=(0, TIME_NS))
    keys = pair.client.quick("--json", "keys", "file", f"{pair.remote}/{name}").ok().json()
    assert moved(pair.up()) == (0, 0, 1, 0)
    assert moved(pair.up()) == NOTHING
    again = pair.client.quick("--json", "keys", "file", f"{pair.remote}/{name}").ok().json()
    assert again == keys
    assert moved(pair.down()) == (0, 0, 1, 0)
    assert moved(pair.down()) == NOTHING
    assert pair.same()


def test_where_only_the_mode_differs_no_content_moves(pair):
    (pair.tree / "src/main.c").chmod(0o755)
    (pair.tree / "src/tool").chmod(0o644)
    assert moved(pair.up()) == (0, 0, 2, 0)
    assert moved(pair.down()) == (0, 0, 2, 0)
    assert pair.same()
    assert stat.S_IMODE((pair.copy / "src/main.c").stat().st_mode) & 0o100


@pytest.mark.parametrize("name", ["src/main.c", "large", "link"])
def test_content_of_the_same_size_and_another_time_moves(pair, name):
    path = pair.tree / name
    if name == "link":
        path.unlink()
        path.symlink_to("../OUTSIDE")
        os.utime(path, ns=(0, TIME_NS), follow_symlinks=False)
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        os.utime(path, ns=(0, TIME_NS))
    os.utime(pair.tree, ns=(0, TIME_NS))
    pair.up()
    result = pair.down()
    assert result["files"] == 1
    assert pair.same()


@pytest.mark.parametrize("name", ["src/main.c", "large"])
def test_content_of_the_same_size_and_time_moves_where_it_is_asked_for(pair, name):
    path = pair.tree / name
    before = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, ns=(0, before))
    assert moved(pair.up()) == NOTHING
    assert pair.up("--checksum")["files"] == 1
    assert moved(pair.down()) == NOTHING
    assert pair.down("--checksum")["files"] == 1
    assert pair.same()


def test_times_of_folders_follow(pair):
    for path in (pair.tree / "empty", pair.tree / "deep/er", pair.tree):
        os.utime(path, ns=(0, TIME_NS))
    assert moved(pair.up()) == (0, 0, 3, 0)
    assert moved(pair.up()) == NOTHING
    pair.down()
    assert pair.same()


def test_the_top_of_a_tree_can_be_got_whole(newcomer):
    client = newcomer().enrol()  # others have the files of other tests in their trees
    client.room = "room"
    pair = Pair(client, make_tree(client))
    pair.up()
    done = client.quick("--json", "sync", "--down", "everything", "/").ok().json()
    assert done["failed"] == []
    assert snapshot(client.folder / "everything" / pair.remote) == snapshot(pair.tree)
    ran = client.quick("--json", "sync", "-n", "everything", "/").ok().json()
    assert {one["action"] for one in ran["actions"]} <= {"skip"}


# --- removing


def test_nothing_is_removed_unless_it_is_asked_for(pair):
    shutil.rmtree(pair.tree / "src")
    (pair.tree / "a.txt").unlink()
    (pair.copy / "own").write_bytes(b"own")
    pair.up()
    pair.down()
    names = {path.name for path in pair.copy.rglob("*")}
    assert {"a.txt", "main.c", "own"} <= names


def test_what_the_source_does_not_have_is_removed(pair, client):
    shutil.rmtree(pair.tree / "deep")
    for name in ("a.txt", "link", "src/tool"):
        (pair.tree / name).unlink()
    assert moved(pair.up("--delete"))[3] == 4
    assert sorted(client.names(pair.remote)) == ["empty/", "large", "src/"]
    assert moved(pair.down("--delete"))[3] == 6  # each file and folder counts
    assert pair.same()
    assert moved(pair.up("--delete")) == moved(pair.down("--delete")) == NOTHING


def test_links_are_removed_and_never_what_they_lead_to(pair, client):
    outside = client.write("outside/precious", b"precious")
    (pair.copy / "to a folder").symlink_to(outside.parent)
    (pair.copy / "empty/to a file").symlink_to(outside)
    assert pair.down("--delete")["removed"] == 2
    assert outside.read_bytes() == b"precious"
    assert pair.same()


def test_what_is_excluded_is_neither_moved_nor_removed(pair, client):
    client.write("tree/skipped.o", b"o")
    client.write("copy/own.o", b"own")
    client.write("copy/gone/kept.o", b"kept")
    client.write("copy/gone/away", b"away")
    client.write("remote-only/there.o", b"there")
    client.write("remote-only/not kept", b"")
    client.quick("put", "remote-only", f"{pair.remote}/").ok()
    pair.up("--delete", "--force", "--exclude", "*.o")  # no sync has seen `remote-only`
    assert client.names(f"{pair.remote}/remote-only") == ["there.o"]
    pair.down("--delete", "--exclude", "*.o")
    assert (pair.copy / "own.o").exists()
    assert [path.name for path in (pair.copy / "gone").iterdir()] == ["kept.o"]
    assert not (pair.copy / "skipped.o").exists()


def test_if_anything_fails_nothing_is_removed(pair, client):
    (pair.tree / "a.txt").unlink()
    client.write("tree/bad\nname", b"x")
    ran = pair.run("--delete", str(pair.tree), pair.remote).fails(USAGE, "nothing was removed")
    assert ran.json()["removed"] == 0
    assert "a.txt" in client.names(pair.remote)
    client.write("copy/own", b"own")
    (pair.tree / "bad\nname").unlink()
    os.mkfifo(pair.copy / "src/fifo")
    client.write("tree/src/fifo", b"a file where there is a special file")
    pair.up("--delete")
    ran = pair.run("--down", "--delete", str(pair.copy), pair.remote)
    ran.fails(CONFLICT, "nothing was removed")
    assert (pair.copy / "own").exists()


def test_what_is_neither_file_nor_folder_stays(pair):
    (pair.copy / "old").mkdir()
    os.mkfifo(pair.copy / "old/fifo")
    done = pair.run("--down", "--delete", str(pair.copy), pair.remote).ok()
    assert done.json()["left_out"] == [str(pair.copy / "old/fifo")]
    assert (pair.copy / "old/fifo").exists()


# --- files in place of folders


@pytest.fixture
def swapped(pair: Pair) -> Pair:
    """Replace a file by a folder, a folder by a file, and a link by a folder."""
    (pair.tree / "a.txt").unlink()
    pair.client.write("tree/a.txt/in it", b"in")
    shutil.rmtree(pair.tree / "deep")
    pair.client.write("tree/deep", b"a file")
    (pair.tree / "link").unlink()
    pair.client.write("tree/link/in it", b"in")
    return pair


def test_another_kind_takes_a_place_only_where_removing_is_allowed(swapped):
    ran = swapped.run(str(swapped.tree), swapped.remote).fails(CONFLICT, "--delete")
    assert [failure["error"] for failure in ran.json()["failed"]] == ["exists"] * 3
    swapped.up("--delete")
    ran = swapped.run("--down", str(swapped.copy), swapped.remote).fails(CONFLICT)
    assert len(ran.json()["failed"]) == 3
    assert (swapped.copy / "deep/er/leaf").read_bytes() == b"leaf"
    swapped.down("--delete")
    assert swapped.same()


def test_a_folder_with_something_excluded_in_it_is_not_replaced(swapped, client):
    client.write("copy/deep/kept.o", b"kept")
    ran = swapped.run("--delete", "--exclude", "leaf", str(swapped.tree), swapped.remote)
    ran.fails(CONFLICT, "it contains excluded files")
    swapped.up("--delete")
    options = "--down", "--delete", "--exclude", "*.o"
    ran = swapped.run(*options, str(swapped.copy), swapped.remote)
    ran.fails(CONFLICT, "it contains excluded files")
    assert (swapped.copy / "deep/kept.o").read_bytes() == b"kept"
    assert (swapped.copy / "deep/er/leaf").read_bytes() == b"leaf"


def test_a_link_in_place_of_a_folder_is_not_followed(pair, client):
    outside = client.write("elsewhere/main.c", b"precious").parent
    shutil.rmtree(pair.copy / "src")
    (pair.copy / "src").symlink_to(outside)
    ran = pair.run("--down", str(pair.copy), pair.remote)
    ran.fails(CONFLICT, "src' is a symbolic link; it is not followed.")
    pair.down("--delete")
    assert snapshot(outside).keys() == {"main.c"}
    assert (outside / "main.c").read_bytes() == b"precious"
    assert pair.same()


# --- targets


def test_the_owner_distinguishes_a_remote_path_from_a_local_one(pair, client):
    client.quick("sync", f"{client.name}:{pair.remote}", "third").ok()
    assert snapshot(client.folder / "third") == snapshot(pair.tree)
    client.quick("sync", "third", f"{client.name}:{client.room}/fourth").ok()
    assert len(client.names(f"{client.room}/fourth")) == 6
    client.quick("sync", f"{client.name}:a", f"{client.name}:b").fails(USAGE, "./a:b")
    client.quick("sync", "nobody:a", "b").fails(NOT_FOUND, "nobody")
    client.write(f"{client.name}:x/y", b"y")
    client.quick("sync", f"./{client.name}:x", f"{client.room}/colon").ok()
    assert client.names(f"{client.room}/colon") == ["y"]


def test_the_direction_is_never_guessed(pair, client):
    ran = client.quick("sync", "nowhere", pair.remote).fails(NOT_FOUND, "'nowhere'")
    assert f"fsclient sync --down nowhere {pair.remote}" in ran.err
    assert not (client.folder / "nowhere").exists()
    ran = client.quick("sync", "nowhere", f"{client.room}/nothing").fails(NOT_FOUND)
    assert "--down" not in ran.err
    client.quick("sync", "--down", "tree", f"{client.room}/nothing").fails(NOT_FOUND, "nothing")


def test_both_are_folders(pair, client):
    client.write("file", b"x")
    client.quick("sync", "file", pair.remote).fails(USAGE, "not a folder", "fsclient put")
    client.quick("sync", "tree", f"{pair.remote}/a.txt").fails(CONFLICT, "is a file")
    client.quick("sync", "--down", "file", pair.remote).fails(CONFLICT, "'file' is not a folder")
    client.quick("sync", "--down", "new", f"{pair.remote}/a.txt").fails(CONFLICT, "is a file")
    client.quick("sync", "", pair.remote).fails(USAGE, "empty path")


def test_a_local_folder_that_is_named_may_be_a_link(pair, client):
    pair.copy.rename(client.folder / "real")
    pair.copy.symlink_to("real")
    (pair.tree / "a.txt").unlink()
    client.write("tree/new", b"new")
    pair.up("--delete")
    pair.down("--delete")
    assert pair.copy.is_symlink()
    assert pair.same()
    (client.folder / "also").symlink_to("tree")
    assert moved(pair.run(str(client.folder / "also"), pair.remote).ok().json()) == NOTHING


def test_folders_on_the_way_are_made(client, tree):
    client.quick("sync", "tree", f"{client.room}/x/y/z").ok()
    assert "a.txt" in client.names(f"{client.room}/x/y/z")
    client.quick("sync", "--down", "p/q/r", f"{client.room}/x/y/z").ok()
    assert snapshot(client.folder / "p/q/r") == snapshot(tree)


# --- a dry run


def test_a_dry_run_says_what_would_be_done_and_does_nothing(swapped, client):
    os.utime(swapped.tree / "src/main.c", ns=(0, TIME_NS))
    (swapped.tree / "src/tool").unlink()
    local, remote = snapshot(swapped.copy), swapped.states()
    would = swapped.up("-n", "--delete")["actions"]
    assert (snapshot(swapped.copy), swapped.states()) == (local, remote)
    told = {(one["action"], one["path"].removeprefix(swapped.remote)) for one in would}
    assert told == {
        *(("touch", path) for path in ("/", "/src/", "/src/main.c")),
        *(("make-folder", path) for path in ("/a.txt/", "/link/")),
        *(("put", path) for path in ("/a.txt/in it", "/link/in it")),
        ("replace", "/deep"),
        ("skip", "/large"),
        ("remove", "/src/tool"),
    }
    assert swapped.up("--delete")["failed"] == []
    would = swapped.down("-n", "--delete")["actions"]
    assert snapshot(swapped.copy) == local
    told = {(one["action"], one["path"].removeprefix(str(swapped.copy))) for one in would}
    assert {("remove", "/src/tool"), ("replace", "/deep"), ("touch", "/src/main.c")} <= told
    ran = client.quick("sync", "-n", "tree", f"{client.room}/new/place").ok()
    assert ran.text.splitlines()[:3] == [
        f"make folder {client.room}/new/",
        f"make folder {client.room}/new/place/",
        f"make folder {client.room}/new/place/a.txt/",
    ]


# --- many, and interrupted


@pytest.mark.soak
def test_more_changes_than_one_commit_holds_in_folders_that_are_there(client):
    for n in range(900):
        client.write(f"tree/{n % 9}/{n}", str(n).encode())
    pair = Pair(client, client.folder / "tree")
    pair.up()
    pair.down()
    for n in range(900):
        path = pair.tree / f"{n % 9}/{n}"
        if n % 3 == 0:
            path.unlink()
        elif n % 3 == 1:
            os.utime(path, ns=(0, TIME_NS))
        else:
            path.write_bytes(b"new " + path.read_bytes())
    with_files_removed = 3  # the folders 0, 3 and 6
    up, down = pair.up("--delete"), pair.down("--delete")
    for result in (up, down):
        counts = result["files"], result["removed"], result["touched"]
        assert counts == (300, 300, 300 + with_files_removed)
    assert pair.same()
    assert moved(pair.up("--delete")) == moved(pair.down("--delete")) == NOTHING


@pytest.mark.cases(1)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_sync_that_was_cut_off_is_run_again(client, direction):
    for n in range(900):
        client.write(f"tree/{n % 7}/{n}", str(n).encode())
    pair = Pair(client, client.folder / "tree")
    if direction == "up":
        process = client.start("sync", "tree", pair.remote)
        until(
            lambda: client.quick("ls", pair.remote).status == 0 or process.poll() is not None,
            "a part has arrived",
        )
    else:
        pair.up()
        process = client.start("sync", "--down", "copy", pair.remote)
        until(
            lambda: list(pair.copy.glob("*/*")) or process.poll() is not None,
            "a part has arrived",
        )
    process.kill()
    process.communicate()
    # The server may handle the killed client's last request only now, which causes a conflict.
    again = pair.run(str(pair.tree), pair.remote)
    assert again.status in (0, CONFLICT)
    pair.up()
    pair.down("--delete")
    assert pair.same()


# --- random trees

NAMES = st.sampled_from(["a", "b", "ü", "d.txt"])
LEAVES = st.one_of(
    st.tuples(st.just("file"), st.sampled_from(["", "x", "y", "xyz", "long"])),
    st.tuples(st.just("link"), st.sampled_from([b"a", b"../b", b"/nowhere"])),
)
TREES = st.recursive(
    LEAVES,
    lambda inside: st.tuples(st.just("folder"), st.dictionaries(NAMES, inside, max_size=2)),
    max_leaves=6,
)
FOLDERS = st.dictionaries(NAMES, TREES, max_size=3)


def build(folder: Path, tree: dict[str, Any], data: st.DataObject) -> None:
    folder.mkdir()
    for name, (kind, what) in tree.items():
        path = folder / name
        if kind == "folder":
            build(path, what, data)
        elif kind == "link":
            path.symlink_to(os.fsdecode(what))
        else:
            path.write_bytes(stretch("long", 70_000) if what == "long" else what.encode())
            path.chmod(data.draw(st.sampled_from([0o644, 0o755])))
        ns = data.draw(st.sampled_from([TIME_NS, TIME_NS + 1_000_000_000]))
        os.utime(path, ns=(ns, ns), follow_symlinks=False)


@settings(
    max_examples=settings().max_examples // 5,  # each takes half a second
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(trees=st.lists(FOLDERS, min_size=2, max_size=3), data=st.data())
def test_any_tree_can_follow_any_other(client, trees, data):
    pair = Pair(client, client.folder / "any")
    for tree in trees:
        shutil.rmtree(pair.tree, ignore_errors=True)
        build(pair.tree, tree, data)
        # Only --checksum finds content that differs when size and time are the same.
        pair.up("--delete", "--checksum")
        pair.down("--delete", "--checksum")
        assert pair.same()
        assert moved(pair.up("--delete")) == moved(pair.down("--delete")) == NOTHING
