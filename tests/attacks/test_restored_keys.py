"""Keys that are newer than a restored backup: `keys republish`, and thieves who are faster."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fsproto.messages.account import Login
from fsproto.messages.keylog import Rotate
from fsproto.wire.connection import Control, Event
from tests.attacks.test_key_rotation import fingerprint
from tests.support.hostile_server import HostileServer, Lie
from tests.support.servers import run
from tests.support.sqlite_files import opened
from tests.support.world import Person, Ran, World

USAGE, LOGIN, SECURITY = 2, 4, 7


class ForgetsCodes(Lie):
    """A server that takes the code of the present step again, so that no test waits for one."""

    def __init__(self, home: Path) -> None:
        self._database = home / "fsd.db"
        self.logins = 0

    def hears(self, connection: object, event: Event) -> None:
        """Forget the used codes before each message that has one."""
        if isinstance(event, Control) and isinstance(event.message, Login | Rotate):
            self.logins += isinstance(event.message, Login)
            with opened(self._database) as db:
                db.execute("UPDATE users SET last_step = 0")
                db.execute("DELETE FROM used_otps")


@pytest.fixture
def backup(world: World, tmp_path: Path) -> Path:
    """The data directory as it was before anybody replaced keys, without sessions."""
    restored = shutil.copytree(world.home, tmp_path / "restored")
    with opened(restored / "fsd.db") as db:
        db.execute("DELETE FROM sessions")
    return restored


def rotate(person: Person, times: int = 1) -> None:
    for _ in range(times):
        person.run("--otp", person.app.fresh(), "keys", "rotate").succeeds()


def republish_with_one_code(person: Person, *options: str) -> Ran:
    """As `republish`, but without the wait for the next code after a refusal."""
    return person.run("--otp", person.app.present(), "keys", "republish", *options)


def republish(person: Person, *options: str) -> Ran:
    secret = person.write("secret", str(person.added["otpauth_uri"]).encode())
    secret.chmod(0o600)
    return person.run("--otp-secret-file", secret, "keys", "republish", *options)


@pytest.mark.parametrize("times", [1, 2])
def test_all_keys_since_the_backup_are_published_again(
    world: World, backup: Path, times: int
) -> None:
    alice, bob = world.alice, world.bob
    with HostileServer(world.home) as server:
        world.meet(server.address)
        rotate(bob, times)
        alice.run("verify", "bob").succeeds()
        alice.run("verify", "bob", "--confirm").succeeds()
    newest = fingerprint(bob.profile)
    with HostileServer(backup) as server:
        server.lie = ForgetsCodes(backup)
        world.meet(server.address)
        bob.run("--otp", bob.app.present(), "ls").fails(LOGIN)
        ran = republish(bob, "--yes")
        ran.succeeds()
        assert f"({times} registration" in ran.err
        assert fingerprint(bob.profile) == newest
        bob.run("doctor", "/", "--accept", "--yes").succeeds()
        bob.put("again", b"again").succeeds()
        accept = "doctor", "/", "--accept-key-log", "--accept", "--yes"
        alice.run("--otp", alice.app.present(), *accept).succeeds()
        alice.run("share", "reports", "bob").succeeds()
        shown = alice.run("verify", "bob")
        assert b"compared" in shown.succeeds()
        assert b"not compared" not in shown.out


def test_until_then_the_former_keys_are_refused_by_who_knows_the_newer_ones(
    world: World, backup: Path
) -> None:
    alice, bob = world.alice, world.bob
    with HostileServer(world.home) as server:
        world.meet(server.address)
        rotate(bob)
        alice.run("share", "archive", "bob").succeeds()
    with HostileServer(backup) as server:
        server.lie = ForgetsCodes(backup)
        world.meet(server.address)
        accept = "doctor", "/", "--accept-key-log", "--accept", "--yes"
        alice.run("--otp", alice.app.present(), *accept).succeeds()
        assert "NO LONGER THOSE YOU KNOW" in alice.run("share", "reports", "bob").fails(SECURITY)
        republish(bob, "--yes").succeeds()
        alice.run("share", "reports", "bob").succeeds()


def test_a_thief_of_the_former_keys_who_is_faster_is_noticed(
    world: World, backup: Path, tmp_path: Path
) -> None:
    alice, bob = world.alice, world.bob
    thief = bob.copy(tmp_path / "stolen")
    with HostileServer(world.home) as server:
        world.meet(server.address)
        rotate(bob)
        alice.run("share", "archive", "bob").succeeds()
    with HostileServer(backup) as server:
        server.lie = ForgetsCodes(backup)
        world.meet(server.address)
        thief.meet(server.address)
        thief.run("--otp", bob.app.present(), "login").succeeds()
        thief.run("--otp", bob.app.present(), "keys", "rotate").succeeds()
        before = fingerprint(bob.profile)
        republish_with_one_code(bob, "--yes").fails(LOGIN)
        assert fingerprint(bob.profile) == before
        accept = "doctor", "/", "--accept-key-log", "--accept", "--yes"
        alice.run("--otp", alice.app.present(), *accept).succeeds()
        assert "NO LONGER THOSE YOU KNOW" in alice.run("share", "reports", "bob").fails(SECURITY)


def test_nothing_happens_without_a_confirmation_and_nothing_twice(
    world: World, backup: Path
) -> None:
    bob = world.bob
    with HostileServer(world.home) as server:
        world.meet(server.address)
        rotate(bob)
    with HostileServer(backup) as server:
        server.lie = asked = ForgetsCodes(backup)
        world.meet(server.address)
        assert republish(bob).status == USAGE
        assert asked.logins == 0
        republish(bob, "--yes").succeeds()
        again = republish(bob, "--yes")
        again.succeeds()
        assert "The server has your newest keys already." in again.err


def test_an_enrolment_after_the_backup_is_made_again_with_the_same_keys(
    world: World, tmp_path: Path
) -> None:
    with HostileServer(world.home) as server:
        world.meet(server.address)
        rotate(world.bob)
    reset = run("fsadmin", "--home", str(world.home), "reset-keys", "bob", "--yes")
    assert reset.returncode == 0, reset.stderr
    newest = fingerprint(world.bob.profile)
    with HostileServer(world.home) as server:
        server.lie = ForgetsCodes(world.home)
        world.meet(server.address)
        republish_with_one_code(world.bob, "--yes").fails(LOGIN)
        ran = republish(world.bob, "--enroll", "--yes")
        ran.succeeds()
        assert "(2 registrations)" in ran.err
        assert fingerprint(world.bob.profile) == newest
        world.bob.run("doctor", "/").succeeds()
        assert world.bob.run("ls").succeeds() == b""
        world.bob.put("new", b"new").succeeds()
