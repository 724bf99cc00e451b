"""Syncs list only the folders that have changed, whatever the server says about the others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree
from fsproto.messages import Message
from fsproto.messages.files import GetStates, List, States
from fsproto.names import parse_path
from fsproto.signed import Signed
from fsproto.types import NodeId
from tests.support.hostile_server import Answers, HostileServer, Lie, Repeats, Rewrites
from tests.support.world import Person, Ran, World

FILES = ("top", "one/a", "one/b", "two/c", "two/deep/d")
FOLDERS = {"", "one", "two", "two/deep", "empty"}
UP, DOWN, BOTH = (), ("--down",), ("--two-way",)
WAYS = pytest.mark.parametrize("way", [UP, DOWN, BOTH], ids=["up", "down", "both"])


class Listens(Lie):
    """An honest server that remembers which folders were listed."""

    def __init__(self) -> None:
        self.listed: list[NodeId] = []
        self.states = 0

    def answers(self, ask: Message, honestly: Callable[[Message], Answers]) -> Answers:
        if isinstance(ask, List):
            self.listed.append(ask.folder)
        self.states += isinstance(ask, GetStates)
        return honestly(ask)


class Pair:
    """A local folder of alice, a copy of it, and the remote folder of both."""

    def __init__(self, alice: Person, liar: HostileServer) -> None:
        self.alice, self.liar = alice, liar
        self.here, self.copy = alice.folder / "here", alice.folder / "copy"
        for name in FILES:
            alice.write(f"here/{name}", b"first")
        (self.here / "empty").mkdir()
        alice.run("sync", self.here, "both").succeeds()
        alice.run("sync", "--down", self.copy, "both").succeeds()
        self.nodes = {"": alice.find("both")} | {
            path: alice.find(f"both/{path}") for path in FOLDERS - {""}
        }

    def local(self, way: tuple[str, ...]) -> Path:
        return self.copy if way == DOWN else self.here

    def sync(self, way: tuple[str, ...], *options: str) -> Ran:
        return self.alice.run("sync", *way, *options, self.local(way), "both")

    def listed(self, way: tuple[str, ...], *options: str) -> list[str]:
        """Synchronise; return the paths of the folders that were listed."""
        self.liar.lie = listens = Listens()
        self.sync(way, *options).succeeds()
        self.liar.lie = Lie()
        assert listens.states <= 1
        names = {node.keyed.node: path for path, node in self.nodes.items()}
        return sorted(names[node] for node in listens.listed if node in names)

    def contents(self, folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def pair(world: World, liar: HostileServer) -> Pair:
    return Pair(world.alice, liar)


@pytest.mark.cases(1)
@WAYS
def test_after_a_complete_sync_no_folder_is_listed(pair: Pair, way: tuple[str, ...]) -> None:
    pair.sync(way).succeeds()
    assert pair.listed(way) == []
    assert pair.listed(way, "--dry-run") == []
    if way != BOTH:
        assert set(pair.listed(way, "--checksum")) == FOLDERS


@pytest.mark.parametrize("way", [UP, BOTH], ids=["up", "both"])
def test_the_sync_that_puts_everything_leaves_nothing_to_list(
    world: World, liar: HostileServer, way: tuple[str, ...]
) -> None:
    for name in FILES:
        world.alice.write(f"new/{name}", b"first")
    local = world.alice.folder / "new"
    world.alice.run("sync", *way, local, "elsewhere/new").succeeds()
    liar.lie = listens = Listens()
    world.alice.run("sync", *way, local, "elsewhere/new").succeeds()
    assert not listens.listed


@pytest.mark.cases(1)
@WAYS
def test_only_the_folder_with_a_remote_change_is_listed(pair: Pair, way: tuple[str, ...]) -> None:
    pair.sync(way).succeeds()
    pair.alice.run("put", pair.alice.write("x", b"other"), "both/two/deep/d").succeeds()
    if way == UP:
        assert "two/deep/d" in pair.sync(way).fails(8)
        return
    assert pair.listed(way) == ["two/deep"]
    assert (pair.local(way) / "two/deep/d").read_bytes() == b"other"
    assert pair.listed(way) == []


@pytest.mark.cases(3)
@pytest.mark.parametrize("way", [UP, BOTH], ids=["up", "both"])
@pytest.mark.parametrize(
    ("change", "listed"),
    [
        (lambda here: (here / "two/c").write_bytes(b"edited"), ["two"]),
        (lambda here: (here / "two/c").chmod(0o755), ["two"]),
        (lambda here: (here / "two/new").write_bytes(b""), ["two"]),
        (lambda here: (here / "empty/new").mkdir(), ["empty"]),
    ],
)
def test_only_the_folder_with_a_local_change_is_listed(
    pair: Pair, way: tuple[str, ...], change: Callable[[Path], object], listed: list[str]
) -> None:
    pair.sync(way).succeeds()
    change(pair.here)
    assert pair.listed(way) == listed
    pair.sync(DOWN).succeeds()
    assert pair.contents(pair.here) == pair.contents(pair.copy)
    assert pair.listed(way) == []


def test_a_change_by_another_sync_in_between_is_seen(pair: Pair) -> None:
    for folder in (pair.here, pair.copy):
        pair.alice.run("sync", "--two-way", folder, "both").succeeds()
    (pair.here / "one/a").unlink()
    (pair.copy / "one/b").write_bytes(b"edited")
    for folder in (pair.here, pair.copy, pair.here):
        pair.alice.run("sync", "--two-way", folder, "both").succeeds()
    expected = dict.fromkeys(FILES, b"first") | {"one/b": b"edited"}
    del expected["one/a"]
    assert pair.contents(pair.here) == pair.contents(pair.copy) == expected


def test_what_one_sync_leaves_alone_is_not_left_alone_by_the_next(pair: Pair) -> None:
    pair.alice.run("put", pair.alice.write("x.tmp", b"tmp"), "both/one").succeeds()
    exclude = "--exclude", "*.tmp"
    pair.sync(BOTH, *exclude).succeeds()
    pair.sync(BOTH, *exclude).succeeds()
    assert not (pair.here / "one/x.tmp").exists()
    pair.sync(BOTH).succeeds()
    assert (pair.here / "one/x.tmp").read_bytes() == b"tmp"
    pair.sync(UP).succeeds()
    (pair.here / "one/x.tmp").unlink()
    pair.sync(UP).succeeds()
    pair.sync(UP).succeeds()
    assert pair.alice.cat("both/one/x.tmp") == b"tmp"
    pair.sync(UP, "--delete", "--force").succeeds()
    pair.alice.run("cat", "both/one/x.tmp").fails(5)


def test_a_sync_of_another_kind_compares_again(pair: Pair) -> None:
    other = pair.alice.folder / "other"
    shutil.copytree(pair.here, other)
    os.utime(other / "top", ns=(0, 10**18))
    for way in (BOTH, BOTH, DOWN):
        pair.alice.run("sync", *way, other, "both").succeeds()
        of_both = way == BOTH  # which does not carry times of equal files
        assert ((other / "top").stat().st_mtime_ns == 10**18) == of_both


def test_a_folder_is_followed_until_another_client_changes_it(pair: Pair) -> None:
    with pair.alice.session() as session:
        tree = session.following().tree
        assert tree.followed is not None
        top = tree.find(parse_path("both"))
        names = {one.path.name: one for one in tree.children(top).nodes}

        def make(name: str, at: Tree) -> None:
            changes = Committer(at)
            changes.make_folder(top.keyed, name, 0)
            changes.remove(top.keyed, names.pop("one" if name == "new" else "two"))
            changes.commit()

        make("new", tree)
        followed, again = tree.followed, session.following().tree
        kept = {one.manifest.hash for one in again.children(again.find(parse_path("both"))).nodes}
        assert again.followed is not None
        node = top.keyed.node
        assert followed.state(node) == again.followed.state(node)
        assert followed.entries(node) == again.followed.entries(node)
        assert len(kept) == len(followed.entries(node)) == 4
        make("other", again)
        changes = Committer(tree)
        changes.make_folder(top.keyed, "third", 0)
        changes.commit()
        assert followed.state(node) is None


# --- a server that lies about states


@pytest.mark.cases(2)
@WAYS
def test_an_old_state_is_an_alarm_and_changes_nothing(pair: Pair, way: tuple[str, ...]) -> None:
    pair.sync(way).succeeds()
    pair.liar.lie = repeats = Repeats(States)
    pair.sync(way).succeeds()
    pair.alice.run("put", pair.alice.write("x", b"newer"), "both/one/new").succeeds()
    pair.alice.run("ls", "both/one").succeeds()
    before = pair.contents(pair.local(way))
    assert repeats.first
    assert "OLDER STATE" in pair.sync(way).fails(7)
    assert pair.contents(pair.local(way)) == before


def test_a_client_that_never_saw_the_newer_state_is_no_worse_off_than_with_a_listing(
    pair: Pair,
) -> None:
    pair.sync(BOTH).succeeds()
    pair.liar.lie = Repeats(States)
    pair.sync(BOTH).succeeds()
    (pair.here / "one/a").write_bytes(b"edited")
    pair.sync(BOTH).succeeds()
    assert pair.alice.cat("both/one/a") == b"edited"


def swapped(states: list[Signed | None], _: dict[str, TreeNode]) -> list[Signed | None]:
    return states[::-1]


def forged(states: list[Signed | None], _: dict[str, TreeNode]) -> list[Signed | None]:
    return [one and replace(one, signature=bytes(64)) for one in states]


def short(states: list[Signed | None], _: dict[str, TreeNode]) -> list[Signed | None]:
    return states[1:]


@pytest.mark.cases(4)
@WAYS
@pytest.mark.parametrize("how", [swapped, forged, short])
def test_states_that_do_not_verify_are_refused(
    pair: Pair, way: tuple[str, ...], how: Callable[..., list[Signed | None]]
) -> None:
    pair.sync(way).succeeds()
    pair.liar.lie = Rewrites(States, lambda sent: States(how(sent.states, pair.nodes)))
    pair.sync(way).fails(7)


@pytest.mark.cases(1)
@WAYS
def test_a_server_that_shows_no_state_is_asked_for_the_listing(
    pair: Pair, way: tuple[str, ...]
) -> None:
    pair.sync(way).succeeds()
    listens = Listens()
    pair.liar.lie = Rewrites(States, lambda sent: States([None] * len(sent.states)))
    pair.sync(way).succeeds()
    pair.liar.lie = listens
    pair.sync(way).succeeds()
    assert not listens.listed
