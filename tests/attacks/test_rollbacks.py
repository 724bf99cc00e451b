"""The server's disk is reset to an older state: one file, one folder, or everything.

Known from: Li, Krohn, Mazières, Shasha, "Secure Untrusted Data Repository (SUNDR)" (OSDI 2004), for
forks; Samuel, Mathewson, Cappos, Dingledine, "Survivable Key Compromise in Software Update Systems"
(CCS 2010) and the TUF specification for rollback, freeze and mix-and-match.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import tampering
from tests.support.hostile_server import HostileServer
from tests.support.tampering import Places, node, refused
from tests.support.world import Person, World


def test_a_removed_file_is_proved_to_be_gone(world: World, liar: HostileServer) -> None:
    world.alice.run("rm", "notes.txt").succeeds()
    refused(world.alice, "notes.txt", 5)


@pytest.mark.parametrize("thorough", [False, True], ids=["rows", "rows and state"])
def test_a_removed_file_cannot_be_brought_back(
    world: World, liar: HostileServer, places: Places, thorough: bool
) -> None:
    # A removed file reappears; in TUF's terms a rollback of one target.
    file, folder = node(places["reports/q1.txt"]), node(places["reports"])
    with world.database() as db:
        rows = tampering.saved(db, file, folder)
    world.alice.run("rm", "reports/q1.txt").succeeds()
    with world.database() as db:
        tampering.put_back(db, rows, leave_out=() if thorough else ["folder_states"])
    told = refused(world.alice, "reports/q1.txt", *([7] if thorough else [5, 7]))
    assert ("OLDER STATE" in told) == thorough
    world.alice.run("ls", "reports").fails(7)


def test_a_folder_cannot_be_put_back_to_an_older_state(
    world: World, liar: HostileServer, places: Places
) -> None:
    folder = node(places["reports"])
    with world.database() as db:
        rows = tampering.saved(db, *tampering.below(db, folder))
    world.alice.run("put", world.alice.write("q3", b"third"), "reports/q3.txt").succeeds()
    with world.database() as db:
        tampering.put_back(db, rows)
        db.execute("DELETE FROM nodes WHERE parent_id = ? AND id NOT IN (?, ?)", (
            folder, node(places["reports/q1.txt"]), node(places["reports/q2.txt"])))  # fmt: skip
    assert "OLDER STATE" in world.alice.run("ls", "reports").fails(7)
    refused(world.alice, "reports/q3.txt")
    refused(world.alice, "reports/q1.txt")
    world.alice.run("put", world.alice.write("q4", b"4"), "reports/q4.txt").fails(7)


@pytest.mark.parametrize("thorough", [False, True], ids=["rows", "rows and state"])
def test_a_file_cannot_be_put_back_to_an_older_version(
    world: World, liar: HostileServer, places: Places, thorough: bool
) -> None:
    file, top = node(places["notes.txt"]), node(places["/"])
    with world.database() as db:
        rows = tampering.saved(db, file, top)
    world.alice.put("notes.txt", b"newer").succeeds()
    with world.database() as db:
        tampering.put_back(db, rows, leave_out=() if thorough else ["folder_states"])
    refused(world.alice, "notes.txt")
    world.alice.run("ls").fails(7)


def test_a_restored_server_removes_nothing_in_a_two_way_sync(world: World, tmp_path: Path) -> None:
    alice, copy = world.alice, world.alice.folder / "copy"
    sync = "sync", "--two-way", "--max-delete", "100%", copy, "both"
    copy.mkdir()
    for name in ("kept", "changed", "removed"):
        (copy / name).write_bytes(b"first")
    with HostileServer(world.home) as server:
        world.meet(server.address)
        alice.run(*sync).succeeds()
    older = shutil.copytree(world.home, tmp_path / "older")
    with HostileServer(world.home) as server:
        world.meet(server.address)
        (copy / "changed").write_bytes(b"the newer version")
        (copy / "new").write_bytes(b"new")
        (copy / "removed").unlink()
        alice.run(*sync).succeeds()
    with HostileServer(older) as server:
        world.meet(server.address)
        assert "OLDER STATE" in alice.run(*sync).fails(7)
        assert sorted(path.name for path in copy.iterdir()) == ["changed", "kept", "new"]
        alice.run("doctor", "/", "--accept", "--yes").succeeds()
        ran = alice.run(*sync)
        ran.succeeds()
        assert "older than at the last sync" in ran.err
        found = {path.name.partition(" (")[0]: path for path in copy.iterdir()}
        assert found.keys() == {"kept", "changed", "new", "removed"}
        assert sorted(path.read_bytes() for path in copy.glob("changed*")) == [
            b"first",
            b"the newer version",
        ]
        assert alice.cat("both/new") == b"new"
        (copy / "new").unlink()
        alice.run(*sync).succeeds()  # the common state counts again
        alice.run("cat", "both/new").fails(5)


def test_the_whole_database_cannot_be_put_back(world: World, tmp_path: Path) -> None:
    # The fork or rollback attack of SUNDR on a whole file system; a restored backup looks the same.
    older = shutil.copytree(world.home, tmp_path / "older")
    with HostileServer(world.home) as server:
        world.meet(server.address)
        world.alice.put("notes.txt", b"newer").succeeds()
    with HostileServer(older) as server:
        world.meet(server.address)
        assert "OLDER STATE" in refused(world.alice, "notes.txt")
        for command in (["ls"], ["mkdir", "new"], ["rm", "notes.txt"], ["mv", "notes.txt", "b"]):
            world.alice.run(*command).fails(7)
        world.alice.put("another", b"new").fails(7)
        # A client that has seen nothing newer can continue.
        assert world.bob.run("ls").status == 0


def test_a_machine_that_keys_were_imported_on_cannot_be_shown_older_states(
    world: World, tmp_path: Path
) -> None:
    older = shutil.copytree(world.home, tmp_path / "older")
    new = Person(tmp_path / "new machine", world.alice.added, world.alice.app)
    file, words = tmp_path / "keys.export", "for the journey"
    with HostileServer(world.home) as server:
        world.meet(server.address)
        world.alice.put("notes.txt", b"newer").succeeds()
        world.alice.run("keys", "export", file, export_passphrase=words).succeeds()
    new.run("keys", "import", file, "--no-passphrase", export_passphrase=words).succeeds()
    with HostileServer(older) as server:
        new.meet(server.address)
        assert "OLDER STATE" in new.run("--otp", new.app.fresh(), "login").fails(7)
    with HostileServer(world.home) as server:
        new.meet(server.address)
        new.run("--otp", new.app.fresh(), "login").succeeds()
        assert new.cat("notes.txt") == b"newer"


def test_two_histories_are_not_shown_to_one_client(world: World, tmp_path: Path) -> None:
    # A fork: both branches are signed by alice, who writes from two machines.
    branch = shutil.copytree(world.home, tmp_path / "branch")
    other = world.alice.copy(tmp_path / "other machine")
    with HostileServer(world.home) as server:
        world.meet(server.address)
        world.alice.put("notes.txt", b"from here").succeeds()
    with HostileServer(branch) as server:
        world.meet(server.address)
        other.meet(server.address)
        other.put("notes.txt", b"from there").succeeds()
        assert "TWO DIFFERENT HISTORIES" in refused(world.alice, "notes.txt")
