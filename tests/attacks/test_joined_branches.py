"""Two branches of one history are never joined again, and a person can go on after a restore.

Fork consistency: Li, Krohn, Mazières, Shasha, "Secure Untrusted Data Repository" (OSDI 2004).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.hostile_server import HostileServer
from tests.support.servers import enrol_person
from tests.support.world import Person, World


def forked(world: World, tmp_path: Path, more: int) -> tuple[Path, Person]:
    """Let alice write on one branch, and her other machine on another, `more` versions further."""
    branch = shutil.copytree(world.home, tmp_path / "branch")
    other = world.alice.copy(tmp_path / "other machine")
    with HostileServer(world.home) as server:
        world.meet(server.address)
        world.alice.put("mine.txt", b"from here").succeeds()
        world.alice.put("notes.txt", b"from here").succeeds()
    with HostileServer(branch) as server:
        other.meet(server.address)
        for number in range(2 + more):
            other.put("notes.txt", b"from there %d" % number).succeeds()
    return branch, other


@pytest.mark.cases(1)
@pytest.mark.parametrize("more", [0, 1, 4])
def test_branches_of_two_machines_are_not_joined_at_any_gap(
    world: World, tmp_path: Path, more: int
) -> None:
    branch, other = forked(world, tmp_path, more)
    with HostileServer(branch) as server:
        world.meet(server.address)
        (world.alice.folder / "tree").mkdir()
        for command in (
            ["ls"],
            ["cat", "notes.txt"],
            ["rm", "notes.txt"],
            ["mkdir", "new"],
            ["sync", "--delete", "--down", "/", "tree"],
        ):
            assert "TWO DIFFERENT HISTORIES" in world.alice.run(*command).fails(7), command
        world.alice.put("another", b"new").fails(7)
        other.meet(server.address)
        assert other.run("ls").status == 0


def test_a_person_accepts_a_restored_backup_by_name(world: World, tmp_path: Path) -> None:
    restored = shutil.copytree(world.home, tmp_path / "restored")
    with HostileServer(world.home) as server:
        world.meet(server.address)
        world.alice.put("notes.txt", b"newer").succeeds()
        world.alice.put("lost.txt", b"lost").succeeds()
    with HostileServer(restored) as server:
        world.meet(server.address)
        world.alice.run("ls").fails(7)
        shown = world.alice.run("--json", "doctor", "/")
        assert shown.status == 7
        differing = json.loads(shown.out.splitlines()[0])
        lost = [one for one in differing if one["shown"] is None]
        assert "/" in {one["path"] for one in differing}
        assert "notes.txt" in {one["path"] for one in differing}
        assert len(lost) == 1
        assert all(one["seen"]["author"] == world.alice.added["user"] for one in differing)
        world.alice.run("ls").fails(7)  # looking accepts nothing
        world.alice.run("doctor", "/", "--accept", "--yes").succeeds()
        world.alice.run("ls").succeeds()
        world.alice.put("lost.txt", b"lost").succeeds()
        world.alice.run("doctor", "/").succeeds()


def test_a_member_accepts_a_restored_share_by_its_owner(world: World, tmp_path: Path) -> None:
    alice, bob = world.alice, world.bob
    with HostileServer(world.home) as server:
        world.meet(server.address)
        alice.run("share", "reports", bob.name).succeeds()
        bob.run("ls", f"{alice.name}:reports").succeeds()
    restored = shutil.copytree(world.home, tmp_path / "restored")
    with HostileServer(world.home) as server:
        world.meet(server.address)
        alice.run("put", alice.write("q3", b"third"), "reports/q3.txt").succeeds()
        bob.run("ls", f"{alice.name}:reports").succeeds()
    with HostileServer(restored) as server:
        world.meet(server.address)
        for shown in (f"{alice.name}:", f"{alice.name}:reports"):
            bob.run("doctor", shown).fails(7)
        bob.run("ls", f"{alice.name}:reports").fails(7)
        bob.run("doctor", f"{alice.name}:", "--accept", "--yes").succeeds()
        bob.run("ls", f"{alice.name}:reports").succeeds()
        alice.run("ls", "reports").fails(7)  # each device accepts for itself


def test_a_person_accepts_the_key_log_of_a_restored_backup(world: World, tmp_path: Path) -> None:
    restored = shutil.copytree(world.home, tmp_path / "restored")
    with world.process() as server:
        dave = Person(tmp_path / "dave", enrol_person(server, "dave"))
        link, code = dave.added["enroll_link"], dave.app.fresh()
        dave.run("--otp", code, "enroll", "--no-passphrase", link).succeeds()
        world.alice.run("verify", "dave").succeeds()
    with HostileServer(restored) as hostile:
        world.meet(hostile.address)
        assert "OLDER KEY LOG" in world.alice.run("ls").fails(7)
        world.alice.run("doctor", "/").fails(7)
        world.alice.run("doctor", "/", "--accept-key-log", "--yes").succeeds()
        world.alice.run("ls").succeeds()


def test_a_share_that_is_newer_than_the_restored_backup_is_accepted_as_gone(
    world: World, tmp_path: Path
) -> None:
    restored = shutil.copytree(world.home, tmp_path / "restored")
    alice = world.alice
    with HostileServer(world.home) as server:
        world.meet(server.address)
        alice.run("share", "reports", "bob").succeeds()
        alice.run("share", "notes.txt", "bob").succeeds()
        alice.run("shares").succeeds()
    with HostileServer(restored) as server:
        world.meet(server.address)
        assert "WITHHOLDS" in alice.run("share", "archive", "bob").fails(7)
        shown = alice.run("doctor", "/")
        shown.fails(7)
        for path in ("reports", "notes.txt"):
            assert f"{path}: the member list is missing".encode() in shown.out
        alice.run("doctor", "reports", "--accept", "--yes").succeeds()
        alice.run("ls", "reports").succeeds()
        assert "'notes.txt'" in alice.run("share", "archive", "bob").fails(7)
        alice.run("doctor", "/", "--accept", "--yes").succeeds()
        for path in ("reports", "notes.txt", "archive"):
            alice.run("share", path, "bob").succeeds()
        assert world.bob.cat("alice:notes.txt")
