"""An alarm that a profile already knows of uses up no code, and one alarm uses one code at most."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsproto.messages.account import Welcome
from tests.support.hostile_server import HostileServer, Lie, Rewrites
from tests.support.world import Person, World


def new_keys(person: Person) -> None:
    person.run("--otp", person.app.fresh(), "keys", "rotate").succeeds()


def new_log(world: World) -> None:
    new_keys(world.bob)
    world.alice.run("ls").succeeds()


def new_tree(world: World) -> None:
    world.alice.put("newer.txt", b"after the backup").succeeds()


NEWER: dict[str, Callable[[World], None]] = {
    "a newer key log": new_log,
    "a newer tree": new_tree,
}


@pytest.fixture(params=NEWER)
def restored(
    request: pytest.FixtureRequest, world: World, tmp_path: Path
) -> Iterator[tuple[World, Person]]:
    """A server after a restore; alice's device has seen newer states, her other one has not."""
    other = world.alice.copy(tmp_path / "other device")
    backup = shutil.copytree(world.home, tmp_path / "backup")
    clock = world.movable_clock()
    other.app.clock = clock
    with HostileServer(world.home, now_ms=clock.now_ms) as server:
        world.meet(server.address)
        NEWER[request.param](world)
    with HostileServer(backup, now_ms=clock.now_ms) as server:
        world.meet(server.address)
        other.meet(server.address)
        (world.alice.profile / "session").unlink()
        yield world, other


@pytest.mark.cases(1)
@pytest.mark.parametrize("kind", ["one-time password", "recovery code"])
def test_a_restored_server_uses_up_no_code(restored: tuple[World, Person], kind: str) -> None:
    world, other = restored
    if kind == "recovery code":
        made = other.run("--otp", other.app.fresh(), "recovery-codes").succeeds().decode()
        code = next(word for word in made.split() if sum(c.isalnum() for c in word) == 24)
    else:
        code = other.app.fresh()
    (other.profile / "session").unlink()
    for command in (["ls"], ["put", world.alice.write("x", b"x")], ["status"], ["login"]):
        told = world.alice.run("--otp", code, *command).fails(7)
        assert "THE SERVER HAS AN OLDER" in told
        assert "No one-time password was used" in told
    other.run("--otp", code, "ls").succeeds()  # the code still works


def test_the_remedy_works_with_the_same_code(restored: tuple[World, Person]) -> None:
    world, _ = restored
    code = world.alice.app.fresh()
    world.alice.run("--otp", code, "ls").fails(7)
    told = world.alice.run("--otp", code, "doctor", "/", "--accept", "--accept-key-log", "--yes")
    told.succeeds()
    world.alice.run("ls").succeeds()


def test_after_an_alarm_of_a_lying_server_no_command_needs_a_further_code(
    world: World, liar: HostileServer
) -> None:
    said: list[Welcome] = []

    def remembered(welcome: Welcome) -> Welcome:
        said.append(welcome)
        return welcome

    liar.lie = Rewrites(Welcome, remembered)
    world.alice.run("ls").succeeds()
    new_keys(world.bob)
    world.alice.run("ls").succeeds()
    (world.alice.profile / "session").unlink()
    liar.lie = Rewrites(Welcome, lambda welcome: replace(welcome, log=said[0].log))
    code = world.alice.app.fresh()
    assert "OLDER KEY LOG" in world.alice.run("--otp", code, "ls").fails(7)
    for _ in range(3):
        assert "OLDER KEY LOG" in world.alice.run("ls").fails(7)
    liar.lie = Lie()
    world.alice.run("ls").succeeds()
