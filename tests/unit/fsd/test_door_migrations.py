"""The migrations of the audit log and the logins, up and down in a database with users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from fsd.auth.otp import OtpSetting
from fsd.store import schema
from fsd.store.engine import Database
from fsproto.errors import LoginRefused
from tests.support.services import ADDRESS, CHANNEL, Clock, Services, ServiceUser

pytestmark = pytest.mark.both_databases


@pytest.fixture
def made(database_url: str, tmp_path: Path, clock: Clock) -> Iterator[tuple[Services, ServiceUser]]:
    """A database to downgrade, with one logged-in user."""
    with closing(Database(database_url)) as database:
        schema.upgrade(database)
        office = Services(database, tmp_path / "blobs", clock)
        alice = office.add("alice")
        alice.enrol(office, clock(), -1)
        office.accounts.login(alice.login(alice.code(clock())), CHANNEL, ADDRESS)
        yield office, alice


def count(office: Services, table: str) -> int:
    with office.database.read() as db:
        return int(db.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


@pytest.mark.cases(2)
@pytest.mark.parametrize("revision", ["0005", "0001"])
def test_down_and_up_keeps_people_sessions_and_used_codes(made, clock, revision):
    office, alice = made
    schema.downgrade(office.database, revision)
    assert (count(office, "used_otps"), count(office, "sessions"), count(office, "users")) == (
        2,
        2,
        1,
    )
    schema.upgrade(office.database)
    assert count(office, "used_otps") == 2
    office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)
    with pytest.raises(LoginRefused):
        office.accounts.login(alice.login(alice.code(clock())), CHANNEL, ADDRESS)
    office.accounts.login(alice.login(alice.code(clock(), 1)), CHANNEL, ADDRESS)
    assert office.people.show("alice").sessions == 3


def test_a_session_after_the_way_down_and_up_never_gets_an_id_that_was_given(made, clock):
    office, _ = made
    (last,) = [each.id for each in office.access.sessions()][-1:]
    schema.downgrade(office.database, "0005")
    schema.upgrade(office.database)
    office.access.revoke([last])
    alice = made[1]
    who, _ = office.accounts.login(alice.login(alice.code(clock(), 1)), CHANNEL, ADDRESS)
    assert who.session_id > last


def test_a_step_that_was_used_with_two_secrets_does_not_stop_the_way_down(made, clock):
    office, alice = made
    new = ServiceUser(alice.identity, office.access.rotate_secret("alice").otp)
    office.accounts.login(alice.login(new.code(clock())), CHANNEL, ADDRESS)
    assert count(office, "used_otps") == 3
    schema.downgrade(office.database, "0001")
    assert count(office, "used_otps") == 2
    schema.upgrade(office.database)
    assert isinstance(new.otp, OtpSetting)
    office.accounts.login(alice.login(new.code(clock(), 1)), CHANNEL, ADDRESS)


def test_a_database_from_before_gets_a_state_for_everybody(made, clock):
    office, _ = made
    schema.downgrade(office.database, "0001")
    with office.database.write() as db:
        db.execute(text("INSERT INTO login_failures VALUES (1, 'alice', '192.0.2.1', 1)"))
        db.execute(
            text(
                "INSERT INTO users SELECT id + 1, 'bob', disabled, created_ms, otp_secret, "
                "otp_digits, otp_period, otp_algorithm, last_step FROM users"
            )
        )
    schema.upgrade(office.database)
    assert [(p.name, p.locked_ms, p.clock_ms) for p in office.people.everybody()] == [
        ("alice", None, 0),
        ("bob", None, 0),
    ]
