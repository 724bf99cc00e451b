"""The migration of quotas, up and down in a database with users and files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from fsd.services.accounts.terms import AccountTerms, NewValue
from fsd.services.files.commits import FileService
from fsd.store import schema
from fsd.store.engine import Database
from fsd.store.repos import quotas as rows
from tests.support.services import ADDRESS, CHANNEL, Clock, Services
from tests.support.writers import Writer

pytestmark = pytest.mark.both_databases


@pytest.fixture
def made(database_url: str, tmp_path: Path, clock: Clock) -> Iterator[tuple[Services, Writer]]:
    """A database to downgrade, with two users, one of them with files."""
    with closing(Database(database_url)) as database:
        schema.upgrade(database)
        office = Services(database, tmp_path / "blobs", clock)
        office.add("bob")
        person = office.add("alice")
        person.enrol(office, clock(), -1)
        alice = Writer(office, person, FileService(database, office.blobs, now_ms=clock))
        alice.write("small", b"x" * 100)
        alice.write("large", b"x" * 70_000)
        alice.write("large", b"x" * 65_000)
        alice.write("gone", b"x" * 7)
        alice.remove("gone")
        yield office, alice


@pytest.mark.cases(2)
@pytest.mark.parametrize("revision", ["0006", "0001"])
def test_on_the_way_up_everybody_is_counted(made, clock, revision):
    office, alice = made
    office.people.change(
        "alice", AccountTerms(quota_bytes=NewValue(10), expires_ms=NewValue(clock() + 9), note="x")
    )
    schema.downgrade(office.database, revision)
    with office.database.read() as db:
        assert db.scalar(text("SELECT count(*) FROM users")) == 2
    schema.upgrade(office.database)
    with office.database.read() as db:
        assert rows.differing(db) == []
    shown = {person.name: person for person in office.people.everybody()}
    if revision == "0006":  # further down, old versions and removed files are lost
        assert (shown["alice"].used_bytes, shown["alice"].files) == (65_100, 2)
    assert shown["bob"].used_bytes == 0
    assert [(p.quota_bytes, p.expires_ms, p.note) for p in shown.values()] == [
        (None, None, ""),
        (None, None, ""),
    ]
    office.accounts.login(alice.person.login(alice.person.code(clock())), CHANNEL, ADDRESS)
