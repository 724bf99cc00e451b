"""Rotation of server keys: interrupted at any point, the old or the new key is valid."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from fsd import factory
from fsd.home.home import Home, HomeBusyError
from fsd.home.host_keys import HostKeys
from fsd.master_key import NEXT, open_vault, rotate
from fsd.store.engine import Database
from fsd.store.repos import users
from fsproto import crypto
from fsproto.errors import IntegrityError
from fsproto.host_key_moves import Moves, sign_move
from fsproto.packing import pack
from tests.support.fixed_keys import TIME_MS


class Crash(Exception):
    """A simulated stop of the machine."""


class Failing(Home):
    """A data directory whose machine stops before it writes the n-th file."""

    def __init__(self, path: Path, before: int) -> None:
        super().__init__(path)
        self._left = before

    def replace(self, name: str, data: bytes) -> None:
        self._left -= 1
        if self._left == 0:
            raise Crash
        super().replace(name, data)


@pytest.fixture
def peopled(database: Database, home: Home) -> dict[str, str]:
    """Three users; the value maps their names to their secrets."""
    people = factory.people(home, database)
    return {
        name: people.add(name, digits=6, period=30, algorithm="SHA1").otp.secret
        for name in ("alice", "bob", "carol")
    }


def secrets(home: Home, database: Database) -> dict[str, str]:
    vault = open_vault(home, database)
    with database.read() as db:
        return {user.name: vault.open(user.otp_secret, user.id) for user in users.everybody(db)}


# --- the master key


def test_everything_is_sealed_under_the_new_master_key(database, home, peopled, tmp_path):
    shutil.copytree(home.path, tmp_path / "before")
    assert rotate(home, database) == 3
    assert secrets(home, database) == peopled
    assert not (home.path / NEXT).exists()
    with pytest.raises(IntegrityError):
        open_vault(Home(tmp_path / "before"), database)


def test_a_secret_that_waits_and_the_audit_log_go_along(database, home, peopled):
    waiting = factory.access(home, database).rotate_secret("alice").otp.secret
    assert rotate(home, database, actor="fsadmin:tests") == 4
    vault = open_vault(home, database)
    with database.read() as db:
        alice = users.by_name(db, "alice")
        assert alice is not None
        assert alice.next_secret is not None
        assert vault.open(alice.next_secret, alice.id) == waiting
    keeper = factory.audit_keeper(home, database, "fsadmin:tests")
    assert keeper.verify([]).findings == []
    last = list(keeper.entries())[-1]
    assert (last.event, last.actor) == ("master-key-rotated", "fsadmin:tests")


@pytest.mark.parametrize("before", [1, 2])
def test_the_audit_log_goes_on_after_an_interrupted_rotation_with_nobody_left(
    database, home, peopled, before
):
    people = factory.people(home, database)
    for name in peopled:
        people.remove(name)
    with pytest.raises(Crash):
        rotate(Failing(home.path, before), database)
    assert factory.audit_keeper(home, database, "fsadmin:tests").verify([]).findings == []


@pytest.mark.parametrize("before", [1, 2])
def test_a_rotation_that_was_interrupted_leaves_a_key_that_counts(database, home, peopled, before):
    with pytest.raises(Crash):
        rotate(Failing(home.path, before), database)
    assert secrets(home, database) == peopled
    assert secrets(home, database) == peopled
    assert rotate(home, database) == 3
    assert secrets(home, database) == peopled


def test_a_secret_that_does_not_open_stops_it_all(database, home, peopled):
    with database.write() as db:
        users.everybody(db)[-1].otp_secret = bytes(60)
    key = home.master_key()
    with pytest.raises(IntegrityError):
        rotate(home, database)
    assert home.master_key() == key
    with database.write() as db:
        db.delete(users.everybody(db)[-1])
    assert set(secrets(home, database)) == {"alice", "bob"}


def test_a_master_key_rotation_is_refused_while_the_keys_are_in_use(database, home, peopled):
    for held in (home.lock(), home.maintenance(), home.keys()):
        with held, pytest.raises(HomeBusyError):
            rotate(home, database)
    with home.keys(), home.keys():
        pass  # several users of the keys may hold the lock at once
    assert secrets(home, database) == peopled


# --- the host key


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda _: b"", lambda data: data + b"x"]
)
def test_damaged_statements_are_reported(home, change):
    path = home.path / "host.moves"
    new = crypto.RsaKey.generate()
    path.write_bytes(pack(Moves([sign_move(home.host_key(), new.public, TIME_MS)])))
    assert len(HostKeys(home).moves()) == 1
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(IntegrityError, match=r"host\.moves is damaged"):
        HostKeys(home).moves()


def test_the_home_s_own_database_is_rotated_as_well(home):
    with closing(factory.open_database(home, None)) as database:
        assert rotate(home, database) == 0
