"""What a server or a hostile writer could reach through a `sync`: nothing is removed or replaced.

A sync removes files on one side because they are missing on the other. So a server that rolls back,
forks or hides would make it remove files, if the sync took that for a removal by a person.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from fskit.clock import now_ms
from fsproto.messages.shares import Shares
from tests.support.forking_server import ForkingServer, Plan
from tests.support.hostile_server import HostileServer, Rewrites
from tests.support.world import Person, World

FIRST, LATER = b"the first version", b"the later version"
TWO_WAY = ("sync", "--two-way", "--max-delete", "100%")


@dataclass
class Pair:
    """Alice's local folder, which she synchronises with `reports`, and two branches of a server."""

    world: World
    here: Path
    older: Path

    @property
    def alice(self) -> Person:
        return self.world.alice

    def have(self) -> dict[str, bytes]:
        """Return the local files, with conflict copies under the names of the files."""
        found: dict[str, bytes] = {}
        for path in sorted(self.here.rglob("*")):
            if path.is_file():
                found.setdefault(path.name.partition(" (")[0], b"")
                found[path.name.partition(" (")[0]] += path.read_bytes()
        return found

    def writes_more(self, versions: int) -> None:
        """Let bob change both folders on the branch of the running server."""
        for number in range(versions):
            local = self.world.bob.write("b", b"b")
            for folder in ("alice:reports", "alice:reports/deep"):
                self.world.bob.run("put", local, f"{folder}/b{number}").succeeds()


@pytest.fixture(params=["two ways", "up", "down"])
def pair(request: pytest.FixtureRequest, team: World, tmp_path: Path) -> Pair:
    """A pair whose last sync had files that the older branch of the server lacks."""
    here, alice = team.alice.folder / "here", team.alice
    here.mkdir()
    for name in ("kept", "changed"):
        (here / name).write_bytes(FIRST)
    way = {"two ways": TWO_WAY, "up": ("sync",), "down": ("sync", "--down")}[request.param]
    with HostileServer(team.home) as server:
        team.meet(server.address)
        alice.run("sync", here, "reports").succeeds()
        alice.run("sync", "--down", here, "reports").succeeds()
        older = shutil.copytree(team.home, tmp_path / "older")
        (here / "changed").write_bytes(LATER)
        (here / "new").write_bytes(LATER)
        (here / "deep" / "new below").write_bytes(LATER)
        alice.run("sync", here, "reports").succeeds()
        alice.run(*way, here, "reports").succeeds()
    return Pair(team, here, older)


@pytest.fixture
def on_branch(pair: Pair) -> Iterator[HostileServer]:
    """The server shows everybody the older branch, on which bob has written more than alice."""
    with HostileServer(pair.older) as server:
        pair.world.meet(server.address)
        pair.writes_more(9)
        yield server


def loses_nothing(pair: Pair) -> None:
    """Check that all content that alice had is still in the local folder."""
    have = pair.have()
    assert {"kept", "changed", "new", "new below"} <= have.keys(), have
    assert LATER in have["changed"]
    assert have["new"] == have["new below"] == LATER


@pytest.mark.cases(1)
def test_a_two_way_sync_removes_nothing_on_a_branch_that_was_accepted(
    pair: Pair, on_branch: HostileServer
) -> None:
    """The versions of its folders are higher than at the last sync, but do not follow from them."""
    pair.alice.run(*TWO_WAY, pair.here, "reports").fails(7)
    pair.alice.run("doctor", "/", "--accept", "--yes").succeeds()
    pair.alice.run(*TWO_WAY, pair.here, "reports").succeeds()
    loses_nothing(pair)


@pytest.mark.cases(1)
def test_a_two_way_sync_removes_nothing_if_the_memory_of_versions_is_lost(
    pair: Pair, on_branch: HostileServer
) -> None:
    pair.alice.forget()
    pair.alice.run(*TWO_WAY, pair.here, "reports").succeeds()
    loses_nothing(pair)


@pytest.mark.cases(1)
def test_of_two_branches_with_equally_many_versions_none_removes_anything(pair: Pair) -> None:
    with HostileServer(pair.older) as server:
        pair.world.meet(server.address)
        pair.writes_more(2)
        pair.alice.forget()
        pair.alice.run(*TWO_WAY, pair.here, "reports").succeeds()
        loses_nothing(pair)


@pytest.mark.cases(3)
@pytest.mark.parametrize("way", [("--down", "--delete"), ("--down",), ("--delete",), ()])
def test_a_sync_of_one_way_keeps_what_a_branch_lacks(
    pair: Pair, on_branch: HostileServer, way: tuple[str, ...]
) -> None:
    """What only this machine has stays, or is in the trash."""
    pair.alice.forget()
    pair.alice.run("sync", *way, pair.here, "reports")
    trash = (pair.alice.profile / "trash").rglob("*")
    have = [*pair.have().values(), *(path.read_bytes() for path in trash if path.is_file())]
    assert have.count(LATER) == 3, have


@pytest.mark.cases(1)
def test_the_next_syncs_on_the_accepted_branch_are_as_usual(
    pair: Pair, on_branch: HostileServer
) -> None:
    pair.alice.run("doctor", "/", "--accept", "--yes").succeeds()
    pair.alice.run(*TWO_WAY, pair.here, "reports").succeeds()
    (pair.here / "kept").unlink()
    pair.world.bob.run("rm", "alice:reports/new").succeeds()
    pair.writes_more(1)
    pair.alice.run(*TWO_WAY, pair.here, "reports").succeeds()
    assert not (pair.here / "new").exists()
    pair.alice.run("cat", "reports/kept").fails(5)


def hiding(*hidden: int) -> Rewrites:
    """Return a lie that leaves out some of the shares of another user."""
    return Rewrites(
        Shares,
        lambda said: replace(
            said, shares=[one for at, one in enumerate(said.shares) if at not in hidden]
        ),
    )


@pytest.mark.parametrize("way", [("--down", "--delete"), ("--two-way",)])
def test_nothing_is_removed_because_it_is_missing_in_a_list_of_shares(
    team: World, server: HostileServer, tmp_path: Path, way: tuple[str, ...]
) -> None:
    """Nobody signs the list of what a person shares: a share that is missing may be hidden."""
    bob, here = team.bob, tmp_path / "here"
    team.alice.run("share", "archive", "bob").succeeds()
    bob.run("sync", "--down", here, "alice:").succeeds()
    for at in range(2):
        server.lie = hiding(at)
        bob.run("sync", *way, here, "alice:").fails(6)
        bob.run("sync", "--down", here, "alice:").succeeds()
        assert (here / "archive" / "old.txt").read_bytes() == b"long ago\n"
        assert (here / "reports" / "q1.txt").exists()


def test_nothing_is_replaced_because_one_of_two_shares_with_one_name_is_hidden(
    team: World, server: HostileServer, tmp_path: Path
) -> None:
    alice, bob, here = team.alice, team.bob, tmp_path / "here"
    alice.run("mkdir", "-p", "archive/reports").succeeds()
    alice.run("put", alice.write("q1.txt", b"another"), "archive/reports/q1.txt").succeeds()
    alice.run("share", "archive/reports", "bob").succeeds()
    bob.run("sync", "--down", here, "alice:").succeeds()
    had = {path: path.read_bytes() for path in here.rglob("q1.txt")}
    assert len(had) == 2
    for at in range(2):
        server.lie = hiding(at)
        bob.run("sync", "--down", here, "alice:")
        assert {path: path.read_bytes() for path in here.rglob("q1.txt")} == had


@pytest.mark.cases(3)
@pytest.mark.parametrize("at", [1, 2, 3, 5])
@pytest.mark.parametrize("way", [("--down", "--delete"), ("--two-way", "--max-delete", "100%")])
def test_nothing_is_removed_because_a_share_is_taken_away_in_the_middle(
    team: World, tmp_path: Path, way: tuple[str, ...], at: int
) -> None:
    server = ForkingServer(team.home, tmp_path / "branches", lambda *_: None, now_ms)
    try:
        team.meet(server.branches["main"].server.address)
        here = tmp_path / "here"
        team.bob.run("sync", *way, here, "alice:reports").succeeds()
        team.alice.run("put", team.alice.write("x", b"x"), "reports/deep/x").succeeds()
        had = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}

        def takes_away() -> None:
            with server.planned(Plan()):
                team.alice.run("unshare", "reports", "bob").succeeds()

        with server.planned(Plan(pauses={(at, False): takes_away})):
            done = team.bob.run("sync", *way, here, "alice:reports")
        assert done.status in (0, 5, 6, 8), done
        for path, content in had.items():
            assert path.read_bytes() == content
    finally:
        server.close()
