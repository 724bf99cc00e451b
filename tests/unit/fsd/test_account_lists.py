"""Lists of accounts and counts of trees: the number of queries, and that an index is used."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from fsd.services.files.commits import FileService
from fsd.store.repos import users
from tests.support.services import Services
from tests.support.writers import Writer

pytestmark = pytest.mark.both_databases


class Statements:
    """The statements that a database runs."""

    def __init__(self, office: Services) -> None:
        self.texts = list[str]()
        event.listen(office.database.engine, "after_cursor_execute", self._note)

    def _note(self, connection, cursor, statement, *_: object) -> None:
        self.texts.append(statement)


@pytest.mark.one_database
def test_a_list_of_accounts_takes_no_query_for_each(office):
    office.add("alice")
    office.people.everybody()  # the first use of a database asks for its version, too
    ran = Statements(office)
    office.people.everybody()
    for_one = len(ran.texts)
    for number in range(20):
        office.add(f"person{number}")
    ran.texts.clear()
    assert len(office.people.everybody()) == 21
    assert len(ran.texts) == for_one


@pytest.mark.one_database
def test_a_tree_with_its_own_quota_is_not_counted_file_by_file(office, clock):
    person = office.add("alice")
    person.enrol(office, clock())
    alice = Writer(office, person, FileService(office.database, office.blobs, now_ms=clock))
    for name in ("kept", "gone"):
        alice.write(name, b"x" * 5)
    alice.remove("gone")
    ran = Statements(office)
    with office.database.read() as db:
        user_id = alice.person.who.user_id
        assert users.usage(db, [user_id]) == {user_id: users.Usage(1, 0, 10)}
    assert len(ran.texts) <= 6
    counts = [one for one in ran.texts if "FROM nodes" in one]
    assert len(counts) == 1
    assert "kind = 2 AND removed_ms IS NULL" in counts[0]
