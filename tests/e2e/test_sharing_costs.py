"""The cost of sharing, in requests and bytes, does not grow with the size of the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsproto.messages import Message
from fsproto.packing import pack
from fsproto.wire.connection import Control, Event
from tests.conftest import TIER
from tests.support.hostile_server import HostileServer, Lie
from tests.support.world import World

MANY = 10_000 if TIER == "soak" else 1_500
FEW = 10
COMMANDS = (
    ("share", "FOLDER", "bob", "--write"),
    ("share", "FOLDER", "carol"),
    ("shares", "FOLDER"),
    ("unshare", "FOLDER", "bob"),
)


class Counts(Lie):
    """An honest server that counts the requests."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.size = 0

    def hears(self, connection: object, event: Event) -> None:
        if isinstance(event, Control):
            message: Message = event.message
            self.asked.append(type(message).__name__)
            self.size += len(pack(message))


@pytest.mark.long
def test_many_files_are_shared_as_cheaply_as_ten(first_world: World, tmp_path: Path) -> None:
    world = first_world.copy(tmp_path)
    alice, costs = world.alice, {}
    for count in (FEW, MANY):
        for number in range(count):
            alice.write(f"f{count}/{number}", b"")
    with HostileServer(world.home) as server:
        world.meet(server.address)
        alice.run("put", alice.folder / f"f{FEW}", alice.folder / f"f{MANY}", "/").succeeds()
        for count in (FEW, MANY):
            told = []
            for command in COMMANDS:
                server.lie = counts = Counts()
                folder = f"f{count}"
                alice.run(*(folder if one == "FOLDER" else one for one in command)).succeeds()
                told.append((counts.asked, counts.size))
            costs[count] = told
            alice.run("unshare", f"f{count}", "carol").succeeds()
        server.lie = Lie()
        alice.run("share", f"f{MANY}", "bob").succeeds()
        server.lie = counts = Counts()
        assert len(world.bob.run("ls", f"alice:f{MANY}").succeeds().splitlines()) == MANY
        assert len(counts.asked) <= 4
    for few, many in zip(costs[FEW], costs[MANY], strict=True):
        assert sorted(set(few[0])) == sorted(set(many[0]))
        # The client looks at the shares of the other folder too.
        assert len(many[0]) <= len(few[0]) + 4
        assert many[1] <= few[1] + 1500


def test_doctor_asks_for_many_nodes_at_once(first_world: World, tmp_path: Path) -> None:
    """Another device has changed each file twice, so that each version needs a proof."""
    world, count = first_world.copy(tmp_path), 40
    alice = world.alice
    phone = alice.copy(tmp_path / "phone")
    with HostileServer(world.home) as server:
        world.meet(server.address)
        phone.meet(server.address)
        for device, content in ((alice, b"1"), (phone, b"22"), (phone, b"333")):
            for number in range(count):
                device.write(f"many/{number % 4}/{number}", content)
            device.run("put", device.folder / "many", "/").succeeds()
        server.lie = counts = Counts()
        alice.run("doctor").succeeds()
    asked = {kind: counts.asked.count(kind) for kind in ("GetMembers", "GetLineage")}
    assert asked == {"GetMembers": 1, "GetLineage": 1}
