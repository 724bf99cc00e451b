"""Statements that are prepared once, and how many of them a commit takes."""

from __future__ import annotations

import pytest
from sqlalchemy import JSON, bindparam, select, type_coerce
from sqlalchemy.exc import DBAPIError, IntegrityError

from fsd.store.models import LogEntry, User, table
from fsd.store.repos import keylog, nodes
from fsd.store.repos.many import SOME, for_each, of_some, run
from tests.support.services import Services
from tests.support.statements import statements_of
from tests.support.writers import Writer

pytestmark = pytest.mark.both_databases

_ENTRIES, _USERS = table(LogEntry), table(User)
_ROOTS = select(_ENTRIES.c.index, _ENTRIES.c.root).where(_ENTRIES.c.index.in_(SOME))
_NUMBERED = _ROOTS.where(_ENTRIES.c.user == bindparam("who"), _ENTRIES.c.index < 900)


@pytest.fixture
def alice(office: Services, clock) -> Writer:
    person = office.add("alice")
    person.enrol(office, clock())
    return Writer(office, person, office.files)


def add_entries(office: Services, count: int) -> None:
    with office.database.write() as db:
        for_each(
            db,
            _ENTRIES.insert(),
            [
                {"index": at, "user": "ab"[at % 2], "payload": b"", "root": b"%d" % at}
                for at in range(count)
            ],
        )


@pytest.mark.parametrize("count", [0, 1, 2, 3, 499, 500, 501, 1000])
def test_a_statement_on_many_values_returns_one_row_for_each(office, count):
    add_entries(office, 1001)
    with office.database.read() as db:
        rows = list(of_some(db, _ROOTS, range(count)))
    assert sorted(rows) == [(at, b"%d" % at) for at in range(count)]


def test_a_statement_on_many_values_takes_other_values_too(office):
    add_entries(office, 1000)
    with office.database.read() as db:
        even = {at for at, _ in of_some(db, _NUMBERED, range(1000), who="a")}
    assert even == set(range(0, 900, 2))


@pytest.mark.one_database
def test_values_that_the_driver_does_not_take_unchanged_are_a_fault_of_the_program(office):
    with office.database.read() as db, pytest.raises(TypeError):
        run(db, select(type_coerce(_USERS.c.name, JSON)))


def test_a_statement_that_the_database_refuses_raises_its_error(office):
    add_entries(office, 2)
    with office.database.write() as db, pytest.raises(IntegrityError):
        run(db, _ENTRIES.insert().values(index=0, user="a", payload=b"", root=b""))


def test_a_statement_after_a_lost_connection_raises_and_the_next_transaction_works(office):
    if office.database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no connection to lose")
    with office.database.read() as db:
        ours = db.connection().exec_driver_sql("SELECT pg_backend_pid()").scalar()
        with office.database.write() as other:
            other.connection().exec_driver_sql(f"SELECT pg_terminate_backend({ours})")
        with pytest.raises(DBAPIError) as failed:
            nodes.get(db, bytes(16))
        assert failed.value.connection_invalidated
    with office.database.read() as db:
        assert nodes.get(db, bytes(16)) is None


def test_only_the_first_commit_under_a_log_head_reads_the_key_log(
    office, alice, clock, monkeypatch
):
    read = []
    roots = keylog.roots

    def note(db, sizes):
        read.append(set(sizes))
        return roots(db, read[-1])

    monkeypatch.setattr(keylog, "roots", note)
    alice.write("first", b"x")
    assert len(read) == 1
    alice.write("second", b"x")
    alice.write("first", b"y")
    assert len(read) == 1
    office.add("bob").enrol(office, clock())
    alice.person.log_head = office.log_head()
    alice.write("third", b"x")
    assert len(read) == 2


@pytest.mark.one_database
def test_a_commit_of_one_new_file_takes_few_statements(office, alice):
    alice.write("first", b"x")
    with statements_of(office.database) as ran:
        alice.write("second", b"x")
    assert len(ran) <= 19, ran  # with the start and the end of the transaction
    assert sum("FROM bundles" in one for one in ran) == 1  # the key is read for each commit
