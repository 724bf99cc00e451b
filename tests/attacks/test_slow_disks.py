"""A slow disk at the server or at the client: commands take longer, and nothing else changes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TIER
from tests.support.disks import slow_disk
from tests.support.fixed_keys import stretch
from tests.support.servers import RunningServer
from tests.support.world import FILES, NOTES, PLAN, World, finish, until

pytestmark = pytest.mark.skipif(TIER != "soak", reason="slow disks take long: `make soak` only")
LONG = stretch("long", 5 << 20)
"""Content for which the slow disk needs several seconds."""
SOON_S = 15.0


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Path]:
    with slow_disk(tmp_path / "slow") as folder:
        yield folder


@pytest.fixture
def server(world: World) -> Iterator[RunningServer]:
    with world.process() as running:
        yield running


def on_disk(disk: Path, folder: Path) -> None:
    """Move a folder to a disk; a link to it stays."""
    shutil.copytree(folder, disk / folder.name)
    shutil.rmtree(folder)
    folder.symlink_to(disk / folder.name)


def test_a_slow_disk_of_blobs_delays_no_others(world: World, slow: Path) -> None:
    alice, bob = world.alice, world.bob
    on_disk(slow, world.home / "blobs")
    with world.process() as server:
        long = alice.write("long", LONG)
        commands: list[list[str | Path]] = [
            ["put", long, "long"],
            ["get", "long", alice.folder / "back"],
        ]
        for command in commands:
            moving = alice.start(*command)
            for _ in range(3):
                read = bob.start("cat", "notes.txt")
                assert finish(read, SOON_S).succeeds() == FILES["bob"]["notes.txt"]
            finish(moving).succeeds()
        assert (alice.folder / "back").read_bytes() == LONG
        says_nothing_is_wrong(world, server)


def test_a_server_whose_whole_data_directory_is_on_a_slow_disk_works(
    world: World, slow: Path
) -> None:
    alice = world.alice
    on_disk(slow, world.home)
    with world.process() as server:
        many = [alice.write(f"many/{number}", stretch(f"{number}", 9000)) for number in range(20)]
        alice.run("put", many[0].parent, "many").succeeds()
        alice.run("get", "many", alice.folder / "back").succeeds()
        for path in many:
            assert (alice.folder / "back" / path.name).read_bytes() == path.read_bytes()
        alice.run("rm", "-r", "many").succeeds()
        assert alice.cat("notes.txt") == NOTES
        says_nothing_is_wrong(world, server)


def says_nothing_is_wrong(world: World, server: RunningServer) -> None:
    assert "Traceback" not in server.log
    until(lambda: not world.staged(), "nothing is staged")
    assert world.kept() == world.known()


def test_files_go_to_and_from_a_slow_disk_of_the_client(
    world: World, server: RunningServer, slow: Path
) -> None:
    alice = world.alice
    many = slow / "many"
    many.mkdir()
    for number in range(20):
        (many / f"{number}").write_bytes(stretch(f"{number}", 9000))
    (slow / "long").write_bytes(LONG)
    alice.run("put", slow / "long", many, "to/").succeeds()
    assert alice.cat("to/long") == LONG
    alice.run("get", "to", slow / "back").succeeds()
    assert (slow / "back" / "long").read_bytes() == LONG
    for path in many.iterdir():
        assert (slow / "back" / "many" / path.name).read_bytes() == path.read_bytes()
    alice.run("get", "plan.bin", slow / "plan").succeeds()
    assert (slow / "plan").read_bytes() == PLAN
    assert "Traceback" not in server.log


def test_a_profile_on_a_slow_disk_works(world: World, server: RunningServer, slow: Path) -> None:
    alice = world.alice
    on_disk(slow, alice.client)
    alice.put("new.txt", b"new").succeeds()
    assert alice.cat("new.txt") == b"new"
    alice.run("--otp", alice.app.fresh(), "keys", "rotate").succeeds()
    assert alice.cat("notes.txt") == NOTES
    assert "Traceback" not in server.log
