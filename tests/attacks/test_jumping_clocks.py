"""The clock of the server jumps a year ahead, and is set right again."""

from __future__ import annotations

import json
import time

import pytest

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


@pytest.mark.parametrize(
    ("ahead_s", "said"),
    [
        (240, "is about 4 min behind the server's"),
        (-300, "is about 5 min ahead of the server's"),
        (3 * 86_400, "is about 3 days behind the server's"),
        (5, None),
    ],
)
def test_a_refused_code_names_the_difference_of_the_clocks(
    world: World, liar: HostileServer, ahead_s: int, said: str | None
) -> None:
    alice, clock = world.alice, world.alice.app.clock
    assert clock is not None
    clock.advance(ahead_s)
    told = " ".join(alice.run("--otp", "000000", "login").fails(4).split())
    assert (f"This device's clock {said}" in told) == (said is not None)
    assert ("This device's clock" in told) == (said is not None)


def test_a_code_that_is_computed_names_the_difference_before_it_waits(
    world: World, liar: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, clock = world.alice, world.alice.app.clock
    assert clock is not None
    clock.advance(600)
    secret = alice.folder / "secret"
    secret.write_text("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    secret.chmod(0o600)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    told = " ".join(alice.run("--otp-secret-file", secret, "login").fails(4).split())
    reason = "the reason is this device's clock, about 10 min behind the server's. Waiting for"
    assert reason in told


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
