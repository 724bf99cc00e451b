"""The findings of a check, and the files and rows that a repair puts aside."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from sqlalchemy import text

from fsd.audit.events import AuditEvent
from fsd.check.findings import Finding, FindingKind
from fsd.check.repair import REPORT, Quarantine
from fsd.check.scan import Scan
from fsd.home.home import Home
from fsproto.limits import SEGMENT_SIZE
from tests.support.fixed_keys import TIME_MS, stretch
from tests.support.services import Services, ServiceUser
from tests.support.writers import Writer

pytestmark = pytest.mark.both_databases

LARGE = "SELECT node_id FROM blobs WHERE data IS NULL"


@pytest.fixture
def stocked(database, home, clock) -> tuple[Services, ServiceUser]:
    office = Services(database, home.blobs, clock)
    alice = office.add("alice")
    alice.enrol(office, clock())
    alice.put(office, "small", b"what is small")
    alice.put(office, "large", stretch("large", 2 * SEGMENT_SIZE + 5), inline=False)
    return office, alice


def look(office: Services) -> list[Finding]:
    return list(Scan(office.database, office.blobs).findings())


def kinds(office: Services) -> list[str]:
    return sorted(finding.kind.value for finding in look(office))


def do(office: Services, statement: str, **values: object) -> None:
    with office.database.write() as db:
        db.execute(text(statement), values)


def large(office: Services) -> Path:
    (path,) = (p for p in office.blobs._folder.glob("[0-9a-f][0-9a-f]/*"))
    return path


def repair(office: Services, home: Home) -> tuple[list[str], Path]:

    def record(db, detail: str) -> None:
        office.audit.record(db, AuditEvent.REPAIRED, actor="fsadmin:tests", detail=detail)

    quarantine = Quarantine(home, office.database, office.blobs, TIME_MS, record)
    return quarantine.take(look(office)), quarantine.folder


@pytest.mark.one_database
def test_where_nothing_is_wrong_nothing_is_found(stocked):
    office, _ = stocked
    seen = Scan(office.database, office.blobs)
    assert list(seen.findings()) == []
    assert (seen.blobs, seen.nodes) == (2, 3)
    assert seen.bytes == 2 * SEGMENT_SIZE + 5 + len(b"what is small")


@pytest.mark.one_database
def test_older_versions_and_what_was_removed_are_nothing_wrong(stocked):
    office, alice = stocked
    writes = Writer(office, alice, office.files)
    for content in (b"one", b"two"):
        writes.write("replaced", content)
    writes.write("removed", b"one")
    writes.remove("removed")
    assert look(office) == []


@pytest.mark.cases(2)
@pytest.mark.parametrize("at", [0, SEGMENT_SIZE + 3, -1])
@pytest.mark.one_database
def test_a_byte_that_changed_is_found_and_the_blob_put_aside(stocked, home, at):
    office, _ = stocked
    path = large(office)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    (root,) = office.stored()
    (found,) = look(office)
    assert (found.kind, found.owner, found.what) == (FindingKind.DAMAGED, "alice", root.hex())
    assert found.loses
    done, folder = repair(office, home)
    assert done == ["moved to quarantine"]
    assert (folder / root.hex()).read_bytes() == data
    assert not path.exists()
    assert kinds(office) == ["missing"]
    report = json.loads((folder / REPORT).read_text())
    assert [entry["what"] for entry in report] == [root.hex()]


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"x", lambda _: b""]
)
@pytest.mark.one_database
def test_a_blob_of_another_size_is_found(stocked, change):
    office, _ = stocked
    large(office).write_bytes(change(large(office).read_bytes()))
    assert kinds(office) == ["damaged"]


def test_a_damaged_blob_in_the_database_is_found_and_stays_the_file_s(stocked, home):
    office, _ = stocked
    do(office, "UPDATE blobs SET data = :data WHERE data IS NOT NULL", data=b"what is smalL")
    done, folder = repair(office, home)
    assert done == ["copied to quarantine"]
    (kept,) = (path for path in folder.iterdir() if path.name != REPORT)
    assert kept.read_bytes() == b"what is smalL"
    assert kinds(office) == ["damaged"]


@pytest.mark.one_database
def test_a_blob_that_is_gone_is_found(stocked, home):
    office, _ = stocked
    large(office).unlink()
    assert kinds(office) == ["missing"]
    assert repair(office, home)[0] == [""]


def test_a_blob_of_nobody_is_put_aside_once_it_cannot_be_on_its_way(stocked, home):
    office, _ = stocked
    stray = office.blobs.path(f"00/{bytes(32).hex()}")
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"stray")
    assert kinds(office) == []  # its row may still be written
    os.utime(stray, (1, 1))
    (found,) = look(office)
    assert (found.kind, found.loses) == (FindingKind.ORPHAN, False)
    done, folder = repair(office, home)
    assert done == ["moved to quarantine"]
    assert (folder / stray.name).read_bytes() == b"stray"
    assert kinds(office) == []


def test_a_row_of_a_blob_without_its_node_is_put_aside_with_the_blob(stocked, home):
    office, _ = stocked
    (root,) = office.stored()
    do(office, "UPDATE blobs SET node_id = :no WHERE data IS NULL", no=bytes(16))
    assert kinds(office) == ["miscounted", "no-blob", "unowned"]
    done, folder = repair(office, home)
    assert sorted(done) == ["", "counted again", "moved to quarantine with its row"]
    assert (folder / root.hex()).stat().st_size == 2 * SEGMENT_SIZE + 5
    report = json.loads((folder / REPORT).read_text())
    assert report[0]["row"]["size"] == 2 * SEGMENT_SIZE + 5
    assert kinds(office) == ["no-blob"]


@pytest.mark.parametrize(
    "statement", ["UPDATE quotas SET used_bytes = 7, used_files = 7", "DELETE FROM quotas"]
)
def test_a_wrong_count_loses_nothing_and_is_counted_again(stocked, home, statement):
    office, _ = stocked
    do(office, statement)
    (found,) = look(office)
    assert (found.kind, found.owner, found.loses) == (FindingKind.MISCOUNTED, "alice", False)
    assert repair(office, home)[0] == ["counted again"]
    assert kinds(office) == []
    person = office.people.show("alice")
    assert (person.used_bytes, person.files) == (2 * SEGMENT_SIZE + 5 + 13, 2)


@pytest.mark.one_database
def test_an_upload_that_waits_and_is_damaged_is_nobody_s_loss(stocked, home):
    office, alice = stocked
    root = alice.stage(office, stretch("staged", SEGMENT_SIZE + 1))
    office.path(root).write_bytes(b"else")
    (found,) = look(office)
    assert (found.kind, found.staged, found.loses) == (FindingKind.DAMAGED, True, False)
    assert repair(office, home)[0] == ["moved to quarantine with its row"]
    assert kinds(office) == []


@pytest.mark.cases(6)
@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (f"DELETE FROM manifests WHERE node_id IN ({LARGE})", ["no-manifest"]),
        (f"UPDATE manifests SET payload = :x WHERE node_id IN ({LARGE})", ["no-manifest"]),
        ("DELETE FROM folder_states", ["no-state"]),
        ("UPDATE folder_states SET payload = :x", ["no-state"]),
        (f"UPDATE nodes SET token = :x WHERE id IN ({LARGE})", ["wrong-root"]),
        ("DELETE FROM blobs WHERE data IS NOT NULL", ["miscounted", "no-blob"]),
        ("UPDATE quotas SET used_bytes = used_bytes + 1", ["miscounted"]),
        ("UPDATE quotas SET used_files = 0", ["miscounted"]),
        ("DELETE FROM quotas", ["miscounted"]),
        (f"UPDATE nodes SET parent_id = :no WHERE id IN ({LARGE})", ["no-parent", "wrong-root"]),
    ],
)
def test_rows_that_do_not_fit_together_are_found(stocked, statement, found):
    office, _ = stocked
    values = {"x": bytes(32), "no": b"n" * 16}
    do(office, statement, **{k: v for k, v in values.items() if f":{k}" in statement})
    assert kinds(office) == found


@pytest.mark.one_database
def test_what_is_replaced_while_it_is_looked_at_is_not_called_lost(stocked, monkeypatch):
    office, _ = stocked
    seen = Scan(office.database, office.blobs)
    rows = seen._rows_of_blobs

    def meanwhile(db):
        db.execute(text("SELECT count(*) FROM users"))  # starts the snapshot of this transaction
        office.people.remove("alice")
        yield from rows(db)

    monkeypatch.setattr(seen, "_rows_of_blobs", meanwhile)
    assert list(seen.findings()) == []
