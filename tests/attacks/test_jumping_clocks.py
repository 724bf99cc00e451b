"""The clock of the server jumps a year ahead, and is set right again."""

from __future__ import annotations

import json

from tests.support.hostile_server import HostileServer
from tests.support.servers import Authenticator, run
from tests.support.world import NOTES, World

YEAR_S = 365 * 86_400


def test_a_clock_that_jumps_a_year_ends_sessions_and_loses_nothing(
    world: World, liar: HostileServer
):
    alice, clock = world.alice, world.alice.app.clock
    assert clock is not None
    alice.cat("notes.txt")
    clock.advance(YEAR_S)
    assert "one-time password" in alice.run("ls").fails(4)
    assert alice.run("--otp", alice.app.fresh(), "cat", "notes.txt").succeeds() == NOTES
    clock.advance(-YEAR_S)
    assert alice.cat("notes.txt") == NOTES


def test_a_code_of_a_future_clock_locks_no_one_out_after_a_new_secret(
    world: World, liar: HostileServer
):
    alice, clock = world.alice, world.alice.app.clock
    assert clock is not None
    clock.advance(YEAR_S)
    alice.run("--otp", alice.app.fresh(), "login").succeeds()
    clock.advance(-YEAR_S)
    made = run("fsadmin", "--home", str(world.home), "rotate-secret", "alice", "--now", "--json")
    assert made.returncode == 0, made.stderr
    now = Authenticator(json.loads(made.stdout))
    now.clock = clock
    alice.run("logout").succeeds()
    assert alice.run("--otp", now.fresh(), "cat", "notes.txt").succeeds() == NOTES
