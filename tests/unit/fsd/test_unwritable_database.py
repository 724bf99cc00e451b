"""Sessions while the database is not writable: a failed update of `last used` never ends one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import text

from fsd.store.engine import Database, DatabaseError
from fsproto import crypto
from fsproto.errors import LoginRefused, OutOfSpaceError
from tests.support.services import ADDRESS, CHANNEL, Services, ServiceUser, identity

pytestmark = pytest.mark.both_databases

KEY = crypto.sha256(b"a public key")
ELSEWHERE = "198.51.100.7"
AN_HOUR_S = 3600
SOON_S = 20.0
"""Much less than the minute that other changes wait for a lock."""
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


@contextmanager
def locked(office: Services) -> Iterator[None]:
    """Hold the locks of a session's row, as another server or a backup tool may."""
    with closing(Database(office.database.url)) as other, other.write() as db:
        db.execute(text("UPDATE sessions SET used_ms = used_ms"))
        yield
        db.rollback()


def test_sessions_continue_while_another_program_locks_the_database(office, alice, clock):
    office.accounts.ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
    clock.forward(AN_HOUR_S)
    started = time.monotonic()
    with locked(office):
        who, _ = office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ELSEWHERE)
        assert who.user == "alice"
        assert office.accounts.ssh.with_key("alice", KEY, ELSEWHERE) is not None
    assert time.monotonic() - started < SOON_S
    # Later changes wait for the same time as before.
    office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ELSEWHERE)
    assert last_use(office) == clock()


def test_sessions_continue_while_this_server_is_busy_with_a_long_change(office, alice, clock):
    clock.forward(AN_HOUR_S)
    started = time.monotonic()
    with office.database.write() as db:
        db.execute(text("UPDATE sessions SET used_ms = used_ms"))
        with ThreadPoolExecutor(1) as threads:
            ask = alice.login(ticket=alice.ticket)
            who, _ = threads.submit(office.accounts.login, ask, CHANNEL, ADDRESS).result()
    assert who.user == "alice"
    assert time.monotonic() - started < SOON_S


@pytest.mark.parametrize("address", [ADDRESS, ELSEWHERE])
def test_sessions_continue_on_a_database_that_is_read_only(office, alice, clock, tmp_path, address):
    url = office.database.url
    if url.get_backend_name() == "sqlite":
        url = f"sqlite:///file:{url.database}?mode=ro&uri=true"
    else:
        url = url.update_query_dict({"options": "-c default_transaction_read_only=on"})
    office.accounts.ssh.with_code("alice", alice.code(clock()), KEY, ADDRESS)
    clock.forward(AN_HOUR_S)
    with closing(Database(url)) as database:
        there = Services(database, tmp_path / "blobs there", clock)
        who, _ = there.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, address)
        assert who.user == "alice"
        assert there.accounts.ssh.with_key("alice", KEY, address) is not None
        with pytest.raises(DatabaseError):
            there.add("bob")


def last_use(office: Services) -> int:
    with office.database.read() as db:
        found: int = db.execute(text("SELECT max(used_ms) FROM sessions")).scalar_one()
        return found
