"""A stolen profile with a running session is not enough to take an account over.

New keys, a new backup, new recovery codes and a new secret each need a one-time password, and the
server notifies every device of the account (NIST SP 800-63B, 6.1.2.3 and 4.6 of its revision 4).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hostile_server import HostileServer
from tests.support.world import NOTES, Person, World

ACTS = {
    "keys rotate": "YOUR KEYS WERE REPLACED",
    "keys backup": "A new backup of your keys was made",
    "recovery-codes": "New recovery codes were made",
    "otp rotate": "A new one-time password secret was made",
}


def second_device(person: Person, to: Path) -> Person:
    """Return another device of a person, with a session of its own."""
    other = person.copy(to)
    (other.profile / "session").unlink()
    other.run("--otp", person.app.fresh(), "ls").succeeds()
    return other


@pytest.mark.parametrize("act", [*ACTS, "keys rotate --now"])
def test_a_running_session_alone_takes_nothing_over(
    world: World, liar: HostileServer, act: str, tmp_path: Path
) -> None:
    thief, before = world.alice.copy(tmp_path / "thief"), (world.alice.profile / "identity.key")
    keys = before.read_bytes()
    thief.run(*act.split()).fails(4)
    thief.run("--otp", "000000", *act.split()).fails(4)
    assert not (thief.profile / "identity.next").exists()
    assert (thief.profile / "identity.key").read_bytes() == keys
    assert world.alice.cat("notes.txt") == NOTES
    with world.database() as db:
        for table in ("key_backups", "recovery_codes"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


@pytest.mark.cases(1)
@pytest.mark.parametrize("act", [act for act in ACTS if act != "keys rotate"])
def test_every_device_gets_a_notice(
    world: World, liar: HostileServer, act: str, tmp_path: Path
) -> None:
    alice = world.alice
    others = [second_device(alice, tmp_path / name) for name in ("laptop", "phone")]
    said = alice.run("--otp", alice.app.fresh(), *act.split())
    assert said.out, said.err
    for device in others:
        assert ACTS[act] in device.run("ls").err
        assert ACTS[act] not in device.run("ls").err  # once
        (device.profile / "session").unlink()
        again = device.run("--otp", alice.app.fresh(), "ls")
        assert again.status == 0
        assert ACTS[act] not in again.err  # nor by the next session of this device
    later = second_device(alice, tmp_path / "a new one")
    assert ACTS[act] not in alice.run("ls").err  # it was done here
    assert later.run("ls").status == 0


def test_a_device_that_connects_later_gets_a_notice_of_new_keys(
    world: World, liar: HostileServer, tmp_path: Path
) -> None:
    alice = world.alice
    old = second_device(alice, tmp_path / "old")
    alice.run("--otp", alice.app.fresh(), "keys", "rotate").succeeds()
    assert "WERE REPLACED" in old.run("--otp", alice.app.fresh(), "ls").fails(4)
    new = alice.copy(tmp_path / "new")
    (new.profile / "session").unlink()
    assert ACTS["keys rotate"] in new.run("--otp", alice.app.fresh(), "ls").err


def test_warnings_reach_the_owner_even_if_the_thief_asks_first(
    world: World, liar: HostileServer, tmp_path: Path
) -> None:
    alice = world.alice
    thief = second_device(alice, tmp_path / "thief")
    stranger = world.bob
    code = alice.app.fresh()
    # Somebody has a right code, and no key.
    fake = alice.copy(tmp_path / "fake")
    (fake.profile / "identity.key").write_bytes((stranger.profile / "identity.key").read_bytes())
    (fake.profile / "session").unlink()
    assert fake.run("--otp", code, "ls").status != 0
    with world.database() as db:
        db.execute(
            "INSERT INTO login_notices (user_id, kind, count, at_ms, address) SELECT id, "
            "'code-without-key', 1, created_ms, '192.0.2.9' FROM users WHERE name = 'alice' "
            "ON CONFLICT DO NOTHING"
        )
    for device in (thief, alice):
        assert "Somebody without your identity key" in device.run("ls").err
