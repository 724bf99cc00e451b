"""Pinned keys move to another machine with a profile, and so does what reveals a lying server."""

from __future__ import annotations

import shutil

from msgspec.structs import replace

from fsproto.messages.account import Welcome
from fsproto.signed import Signed
from tests.support.hostile_server import HostileServer, Rewrites
from tests.support.world import World

PHRASE = "a passphrase for the file"


def carried(world: World) -> None:
    """Move the profile to another machine: export it, and import it into an empty profile."""
    alice = world.alice
    file = alice.folder / "exported"
    alice.run("keys", "export", file, export_passphrase=PHRASE).succeeds()
    shutil.rmtree(alice.profile)
    alice.run("keys", "import", file, "--no-passphrase", export_passphrase=PHRASE).succeeds()
    alice.run("--otp", alice.app.fresh(), "login").succeeds()


def test_a_compared_person_is_compared_on_the_other_machine(
    world: World, liar: HostileServer
) -> None:
    world.alice.run("verify", "bob", "--confirm").succeeds()
    carried(world)
    assert b"compared" in world.alice.run("verify", "bob").succeeds()
    assert b"not" not in world.alice.run("verify", "bob").succeeds().split(b"keys")[-1]


def test_a_log_that_is_older_than_the_one_carried_along_is_refused(
    world: World, liar: HostileServer
) -> None:
    heads: list[Signed] = []

    def told(said: Welcome) -> Welcome:
        heads.append(said.log)
        return said

    liar.lie = Rewrites(Welcome, told)
    world.bob.run("--otp", world.bob.app.fresh(), "keys", "rotate").succeeds()
    world.alice.run("ls").succeeds()
    carried(world)
    liar.lie = Rewrites(Welcome, lambda said: replace(said, log=heads[0]))
    assert "OLDER KEY LOG" in world.alice.run("ls").fails(7)
