"""Folders whose trees are in pages: the same answers as of others, with less work."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from fsd.check.repair import Quarantine
from fsd.check.scan import Scan
from fsd.services.files import folder_trees
from fsd.services.files.commits import FileService
from fsd.store.engine import Database
from fsproto.proofs.prefix_tree import PrefixTree
from fsproto.types import Token
from tests.support.fixed_keys import TIME_MS, stretch
from tests.support.services import Services
from tests.support.statements import statements_of
from tests.support.writers import Writer

pytestmark = pytest.mark.both_databases

FILES = 24


@pytest.fixture(autouse=True)
def _small_folders_have_pages(monkeypatch):
    monkeypatch.setattr(folder_trees, "MOST_BUILT", 12)
    monkeypatch.setattr(folder_trees, "_LEAST_IN_PAGES", 6)


@pytest.fixture
def alice(office: Services, clock) -> Writer:
    person = office.add("alice")
    person.enrol(office, clock())
    made = Writer(office, person, office.files)
    for number in range(FILES):
        made.write(f"file {number}", b"x")
    return made


def restarted(alice: Writer) -> FileService:
    """Return the service with an empty cache, as after a start of the server."""
    office = alice.office
    alice.files = office.files = FileService(office.database, office.blobs, now_ms=lambda: TIME_MS)
    return alice.files


def pages(database: Database) -> int:
    with database.read() as db:
        return db.scalar(text("SELECT count(*) FROM tree_pages")) or 0


def is_right(alice: Writer, *names: str) -> bool:
    """Return whether a look-up shows the state and the entries that were signed."""
    person = alice.person
    tokens = [alice.chains[name][-1].body.token for name in names]
    tokens.append(Token(stretch("no such name", 32)))
    found = alice.files.lookup(person.who, person.root.node, tokens)
    shown = PrefixTree.from_proof(found.proof, person.entries.root)
    return [shown.get(token) for token in tokens] == [person.entries.get(t) for t in tokens]


def findings(office: Services) -> list[str]:
    return [one.kind.value for one in Scan(office.database, office.blobs).findings()]


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.one_database
def test_a_folder_grows_into_pages_changes_there_and_shrinks_out_of_them(alice, cold):
    office = alice.office
    assert pages(office.database) > 1
    for number in range(FILES - 4):
        if cold:
            restarted(alice)
        if number % 4 == 0:
            alice.write(f"file {number}", b"y")
        assert is_right(alice, f"file {number}")
        alice.remove(f"file {number}")
        assert is_right(alice, f"file {number}", f"file {FILES - 1}")
        if number % 9 == 0:
            assert findings(office) == []
    assert sorted(alice.removed()) == sorted(f"file {number}" for number in range(FILES - 4))
    assert pages(office.database) == 0
    assert findings(office) == []


@pytest.mark.one_database
def test_a_removed_file_comes_back_into_a_large_folder(alice):
    alice.remove("file 1")
    restarted(alice)
    alice.commit("file 1", alice.chains["file 1"][-1].body.content, [])
    assert is_right(alice, "file 1")
    assert findings(alice.office) == []


def test_a_folder_of_an_older_version_gets_pages_when_it_is_looked_up(alice):
    database = alice.office.database
    with database.write() as db:
        db.execute(text("DELETE FROM tree_pages"))
        db.execute(text("UPDATE folder_states SET entries = NULL"))
    restarted(alice)
    assert is_right(alice, "file 1")
    assert pages(database) > 1
    alice.write("file 1", b"y")
    restarted(alice)
    assert is_right(alice, "file 1")
    assert findings(alice.office) == []


@pytest.mark.parametrize("act", ["look up", "commit", "repair"])
def test_wrong_pages_are_noticed_and_replaced(alice, home, act):
    office = alice.office
    with office.database.write() as db:
        db.execute(text("UPDATE tree_pages SET data = :data"), {"data": b"\x01"})
    assert findings(office) == ["wrong-pages"]
    restarted(alice)
    if act == "repair":
        found = list(Scan(office.database, office.blobs).findings())
        record = lambda _db, _detail: None  # noqa: E731 - the audit log is not looked at here
        quarantine = Quarantine(home, office.database, office.blobs, TIME_MS, record)
        assert quarantine.take(found) == ["deleted, to be stored again"]
    elif act == "commit":
        alice.write("file 1", b"y")
    assert is_right(alice, "file 1")
    assert pages(office.database) > 1
    assert findings(office) == []


def test_a_folder_of_another_node_is_read_anew(alice):
    """Another node of the same database has changed the folder; its pages are those that count."""
    here = alice.files
    restarted(alice)
    alice.write("file 1", b"y")
    alice.remove("file 2")
    alice.files = here
    assert is_right(alice, "file 1")
    alice.write("file 3", b"y")
    assert findings(alice.office) == []


@pytest.mark.one_database
def test_a_put_into_a_large_folder_reads_few_rows(alice):
    """The rows that are read for it do not grow with the folder, not even after a start."""
    restarted(alice)
    with statements_of(alice.office.database) as ran:
        alice.write("another", b"x")
        is_right(alice, "file 7")
    assert not [one for one in ran if "nodes.parent_id =" in one]
