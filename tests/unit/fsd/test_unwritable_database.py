"""Sessions while the database is not writable: a failed update of `last used` never ends one."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from fsd.store.engine import Database, DatabaseError
from fsproto import crypto
from fsproto.errors import LoginRefused, OutOfSpaceError
from tests.support.services import ADDRESS, CHANNEL, ServiceUser, identity

pytestmark = pytest.mark.both_databases

KEY = crypto.sha256(b"a public key")
ELSEWHERE = "198.51.100.7"
AN_HOUR_S = 3600
FAILURES = {"the disk is full": OutOfSpaceError, "the table is broken": DatabaseError}


def refuse_writes(database: Database, sentence: str) -> None:
    """Make each change of a session and each new audit entry fail in the database."""
    with database.write() as db:
        sqlite = db.get_bind().dialect.name == "sqlite"
        if not sqlite:
            db.execute(
                text(
                    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                    f"$$ BEGIN RAISE EXCEPTION '{sentence}'; END $$"
                )
            )
        body = (
            f"BEGIN SELECT RAISE(ABORT, '{sentence}'); END"
            if sqlite
            else "EXECUTE FUNCTION refuse()"
        )
        for name, act in (("a", "UPDATE ON sessions"), ("b", "INSERT ON audit_entries")):
            db.execute(text(f"CREATE TRIGGER refuse_{name} BEFORE {act} FOR EACH ROW {body}"))


def allow_writes(database: Database) -> None:
    with database.write() as db:
        sqlite = db.get_bind().dialect.name == "sqlite"
        for name, table in (("a", "sessions"), ("b", "audit_entries")):
            db.execute(text(f"DROP TRIGGER refuse_{name}" + ("" if sqlite else f" ON {table}")))
        if not sqlite:
            db.execute(text("DROP FUNCTION refuse()"))


@pytest.fixture
def alice(office, clock) -> ServiceUser:
    added: ServiceUser = office.add("alice")
    added.enrol(office, clock(), -1)
    return added


@pytest.fixture(params=FAILURES)
def unwritable(request, office, alice, clock):
    """Move the clock an hour, so that the last use must be recorded, then refuse all writes."""
    office.accounts.ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
    clock.forward(AN_HOUR_S)
    refuse_writes(office.database, request.param)
    yield FAILURES[request.param]
    allow_writes(office.database)


@pytest.mark.parametrize("address", [ADDRESS, ELSEWHERE])
def test_a_session_continues_though_its_use_cannot_be_noted(office, alice, unwritable, address):
    who, _ = office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, address)
    assert who.user == "alice"


@pytest.mark.parametrize("address", [ADDRESS, ELSEWHERE])
def test_a_session_over_ssh_continues_though_its_use_cannot_be_noted(office, unwritable, address):
    entered = office.accounts.ssh.with_key("alice", KEY, address)
    assert entered is not None
    assert entered.user == "alice"


def test_a_ticket_without_its_key_is_refused_though_that_cannot_be_recorded(
    office, alice, unwritable
):
    thief = ServiceUser(identity("alice", "other"), alice.otp)
    with pytest.raises(LoginRefused):
        office.accounts.login(thief.login(ticket=alice.ticket), CHANNEL, ADDRESS)


def test_a_login_with_a_code_still_needs_to_be_recorded(office, alice, clock, unwritable):
    with pytest.raises(unwritable):
        office.accounts.login(alice.login(alice.code(clock())), CHANNEL, ADDRESS)
