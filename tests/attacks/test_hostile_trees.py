"""Hostile trees that try to write outside the target folder of a get.

Every writer of a folder can make such a tree, and other people may get it. Each test gets a tree
into the folder `into`. The folder `outside` is next to it, and no tree may change anything there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.up.batch import BatchUploader
from fsclient.ui import Ui
from fsproto.keys.tree import new_node
from fsproto.messages.base import Done
from fsproto.messages.files import Commit
from fsproto.names import parse_path
from fsproto.sealed.manifest import Mode
from tests.support.client_processes import snapshot
from tests.support.fixed_keys import stretch
from tests.support.hostile_server import HostileServer
from tests.support.raw_client import Forger
from tests.support.world import Person, Ran, World

NOT_ALLOWED, SECURITY, CONFLICT = 6, 7, 8


@dataclass
class Ground:
    """The folder that receives a tree, and the folder that the tree must not touch."""

    alice: Person
    into: Path
    outside: Path
    tree: Path

    def put(self, *made: tuple[str, str | bytes | None]) -> None:
        """Give the remote folder `tree` exactly these links (str), files (bytes) and folders."""
        shutil.rmtree(self.tree, ignore_errors=True)
        for name, what in made:
            path = self.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            match what:
                case str():
                    path.symlink_to(what)
                case bytes():
                    path.write_bytes(what)
                case None:
                    path.mkdir()
        self.alice.run("sync", "--delete", self.tree, "tree").succeeds()

    def get(self, *command: str) -> Ran:
        """Run a command in `into`."""
        with contextlib.chdir(self.into):
            return self.alice.run(*command)


@pytest.fixture
def ground(world: World, liar: HostileServer, tmp_path: Path):
    """The folders, with a file outside that must still exist after the test."""
    into, outside = tmp_path / "into", tmp_path / "outside"
    into.mkdir()
    (outside / "sub").mkdir(parents=True)
    (outside / "precious").write_bytes(b"precious")
    (outside / "sub/precious").write_bytes(b"precious as well")
    before = snapshot(outside)
    beside = {path.name for path in tmp_path.iterdir()}
    yield Ground(world.alice, into, outside, tmp_path / "tree")
    assert snapshot(outside) == before
    assert {path.name for path in tmp_path.iterdir()} - beside <= {"tree"}
    assert [path for path in tmp_path.rglob(".fs-*") if "client" not in path.parts] == []


WAYS = [("get", "tree"), ("get", "-u", "tree", "."), ("sync", "--down", "tree", "tree")]
"""Commands that get the folder `tree` again to the place of an earlier get."""


@pytest.mark.parametrize("way", WAYS)
def test_a_link_that_becomes_a_folder_is_not_written_through(ground, way):
    ground.put(("x", str(ground.outside)), ("fine", b"1"))
    ground.get(*way).succeeds()
    assert (ground.into / "tree/x").readlink() == Path(str(ground.outside))
    ground.put(
        ("x/precious", b"EVIL"), ("x/new", b"EVIL"), ("x/sub/new", b"EVIL"), ("fine", b"two")
    )
    assert "x' is a symbolic link; it is not followed" in ground.get(*way).fails(CONFLICT)
    assert (ground.into / "tree/fine").read_bytes() == b"two"
    assert (ground.into / "tree/x").is_symlink()


@pytest.mark.parametrize("way", WAYS)
def test_a_link_that_becomes_a_file_is_itself_replaced(ground, way):
    ground.put(("x", str(ground.outside / "precious")))
    ground.get(*way).succeeds()
    ground.put(("x", b"EVIL"))
    ground.get(*way).succeeds()
    assert not (ground.into / "tree/x").is_symlink()
    assert (ground.into / "tree/x").read_bytes() == b"EVIL"


def test_a_link_got_by_its_name_is_not_written_through_by_the_next_get(ground):
    ground.put(("x", str(ground.outside)), ("y", str(ground.outside / "precious")))
    ground.get("get", "tree/x", "tree/y", ".").succeeds()
    ground.put(("x/precious", b"EVIL"), ("y", b"EVIL"))
    assert "not followed" in ground.get("get", "tree/x", "tree/y", ".").fails(CONFLICT)
    assert (ground.into / "y").read_bytes() == b"EVIL"
    assert "not followed" in ground.get("get", "tree/x").fails(CONFLICT)


@pytest.mark.cases(3)
@pytest.mark.parametrize("target", ["..", "../..", "../../outside", ".", "/", "tree/../../outside"])
def test_links_that_leave_the_tree_are_made_and_lead_no_file_out(ground, target):
    ground.put(("a/x", target), ("b", b"b"))
    for way in WAYS:
        ground.get(*way).succeeds()
    assert (ground.into / "tree/a/x").readlink() == Path(target)
    ground.put(("a/x/outside/precious", b"EVIL"), ("a/x/precious", b"EVIL"), ("b", b"b"))
    for way in WAYS:
        assert "not followed" in ground.get(*way).fails(CONFLICT)


def test_a_chain_of_links_leads_no_file_out(ground):
    ground.put(("1", "2"), ("2", "3"), ("3", str(ground.outside)), ("deep/4", "../1"))
    ground.get("get", "tree").succeeds()
    ground.put(("1/precious", b"EVIL"), ("deep/4/precious", b"EVIL"), ("2", b"2"), ("3", b"3"))
    ran = ground.get("get", "tree")
    assert ran.status == CONFLICT
    assert ran.err.count("not followed") == 2
    assert (ground.into / "tree/3").read_bytes() == b"3"


def test_a_folder_that_becomes_a_link_keeps_its_content(ground):
    ground.put(("x/in", b"in"))
    ground.get("get", "tree").succeeds()
    ground.put(("x", str(ground.outside)))
    assert "is a folder" in ground.get("get", "tree").fails(CONFLICT)
    assert (ground.into / "tree/x/in").read_bytes() == b"in"


def test_replacing_and_removing_never_goes_through_a_link(ground):
    sync = "sync", "--down", "--delete", "tree", "tree"
    ground.put(("x", str(ground.outside)), ("y/z", str(ground.outside)), ("w/in", b"in"))
    ground.get(*sync).succeeds()
    ground.put(("x/precious", b"EVIL"), ("w", str(ground.outside)))
    ground.get(*sync).succeeds()
    assert (ground.into / "tree/x/precious").read_bytes() == b"EVIL"
    assert not (ground.into / "tree/x").is_symlink()
    assert not (ground.into / "tree/y").exists()
    ground.put(("w/precious", b"EVIL"))
    ground.get(*sync).succeeds()


def test_a_link_in_the_local_folder_is_not_written_through_either(ground):
    ground.put(("x/precious", b"EVIL"), ("x/sub/precious", b"EVIL"), ("d/sub/precious", b"EVIL"))
    (ground.into / "tree/d").mkdir(parents=True)
    (ground.into / "tree/x").symlink_to(ground.outside)
    (ground.into / "tree/d/sub").symlink_to(ground.outside / "sub")
    ran = ground.get("get", "tree")
    assert (ran.status, ran.err.count("not followed")) == (CONFLICT, 2)


def test_a_link_under_the_name_that_a_part_of_a_file_is_kept_under_is_not_followed(ground):
    big = stretch("big", 5 << 20)
    ground.put(("big", big))
    content = ground.alice.find("tree/big").manifest.body.content
    assert content is not None
    hidden = f".big.{content.root.hex()[:16]}.fs-part"
    ground.get("get", "tree").succeeds()
    assert (ground.into / "tree/big").read_bytes() == big
    (ground.into / "tree/big").unlink()
    (ground.into / "tree" / hidden).symlink_to(ground.outside / "precious")
    ran = ground.get("get", "tree")
    assert not ran.status or "symbolic link" in ran.err
    (ground.into / "tree" / hidden).unlink()
    ground.get("get", "tree").succeeds()
    assert (ground.into / "tree/big").read_bytes() == big


@pytest.mark.cases(5)
@pytest.mark.parametrize(
    "name", ["..", ".", "../outside/precious", "/tmp/evil", "a/../../outside/precious", "x\0y"]
)
@pytest.mark.parametrize("folder", [False, True])
def test_a_name_that_is_more_than_a_name_is_refused(ground, name, folder):
    ground.put(("fine", b"fine"))
    with ground.alice.session() as session:
        forger, home = Forger(session), session.tree.find(parse_path("tree")).keyed
        ask = forger.put(home, name)
        if folder:
            node = new_node(os.urandom)
            made = forger.manifest(home, name, None, None, node=node)
            ask = Commit(
                [forger.state(home, made), forger.first_state(node)], [made.signed], [], [], []
            )
        session.connection.call(ask, Done)
    for way in WAYS:
        ran = ground.get(*way)
        assert "name" in ran.fails(SECURITY)


@dataclass
class Claimed:
    """Content that its manifest declares to be a link's."""

    content: bytes
    facts: LocalStat = field(init=False)

    def __post_init__(self) -> None:
        self.facts = LocalStat(len(self.content), 0, Mode.SYMLINK)
        self._rest = self.content

    def read_into(self, room: memoryview) -> int:
        piece, self._rest = self._rest[: len(room)], self._rest[len(room) :]
        room[: len(piece)] = piece
        return len(piece)

    def check_unchanged(self, size: int) -> None:
        pass


@pytest.mark.cases(3)
@pytest.mark.parametrize("target", [b"", b"\0", b"a\0b", b"x" * 4097, b"x" * 3_000_000])
def test_a_link_that_cannot_be_one_is_refused_and_the_rest_is_got(ground, target):
    ground.put(("fine", b"fine"), ("zz", b"zz"))
    with ground.alice.session() as session:
        uploader = BatchUploader(session, Progress(Ui(quiet=True), "put", "put"))
        tree = session.tree.find(parse_path("tree")).keyed
        uploader.put(tree, "link", None, Claimed(target))
        uploader.flush()
        uploader.close()
    for way in WAYS:
        assert "has an invalid target" in ground.get(*way).fails(SECURITY)
        assert sorted(path.name for path in (ground.into / "tree").iterdir()) == ["fine", "zz"]


def test_a_link_too_long_for_this_system_is_named_and_the_rest_is_got(ground):
    ground.put(("fine", b"fine"), ("zz", b"zz"))
    with ground.alice.session() as session:
        uploader = BatchUploader(session, Progress(Ui(quiet=True), "put", "put"))
        tree = session.tree.find(parse_path("tree")).keyed
        uploader.put(tree, "link", None, Claimed(b"x" * 4096))
        uploader.flush()
        uploader.close()
    for way in WAYS:
        assert "tree/link' would be a symbolic link" in ground.get(*way).fails(NOT_ALLOWED)
        assert sorted(path.name for path in (ground.into / "tree").iterdir()) == ["fine", "zz"]
