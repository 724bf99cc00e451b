"""Backups: complete across both kinds of database; a changed backup is refused."""

from __future__ import annotations

import io
import os
import shutil
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select, text

from fsd.backup import encrypt, rows
from fsd.backup import make as making
from fsd.backup import restore as putting
from fsd.backup.encrypt import BackupDecryptor, BackupEncryptor
from fsd.backup.make import make
from fsd.backup.restore import restore
from fsd.blobs.pin import BlobPin
from fsd.home.home import SSH_KEYS, Home, HomeBusyError
from fsd.store import models, schema
from fsd.store.engine import Database
from fsd.store.login_models import RecoveryCode
from fsproto.errors import (
    ConflictError,
    FsError,
    IntegrityError,
    LoginRefused,
    UsageError,
    WrongPassphraseError,
)
from fsproto.limits import SEGMENT_SIZE
from fsproto.sealed.stream import HEADER_SIZE
from tests.support import ready_schema
from tests.support.fixed_keys import TIME_MS, stretch, turned
from tests.support.services import ADDRESS, CHANNEL, Services, ServiceUser, accounts

pytestmark = pytest.mark.both_databases

PHRASE = "correct horse"


@pytest.fixture(autouse=True)
def _quick(_sqlite_at_head: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the cheapest Argon2id parameters, and make the newest schema in one step.

    These tests do not depend on the cost, nor on the migrations.
    """
    ready_schema.use(_sqlite_at_head, monkeypatch.setattr)
    monkeypatch.setattr(encrypt, "_PASSES", 1)
    monkeypatch.setattr(encrypt, "_LANES", 1)
    monkeypatch.setattr(encrypt, "_MEMORY_KIB", 8)


@pytest.fixture
def busy(database, home, clock) -> Services:
    """Services with two users, small files and large files."""
    office = Services(database, home.blobs, clock)
    for name in ("alice", "bob"):
        person = office.add(name)
        person.enrol(office, clock())
        person.put(office, "small", f"what {name} has".encode())
        person.put(office, "large", stretch(name, 2 * SEGMENT_SIZE + 77), inline=False)
    office.groups.add("team", "with a note")
    office.groups.add_members("team", ["alice", "bob"])
    return office


def backed_up(home: Home, database: Database) -> bytes:
    out = io.BytesIO()
    made = make(home, database, out, PHRASE, now_ms=lambda: TIME_MS, random=os.urandom)
    assert made.size == len(out.getvalue())
    return out.getvalue()


def all_rows(database: Database) -> dict[str, list]:
    with database.read() as db:
        return {
            table.name: sorted(tuple(row) for row in db.execute(select(table)))
            for table in rows.tables(db.connection())
        }


def blobs_of(home: Home) -> list[bytes]:
    return sorted(path.read_bytes() for path in home.blobs.rglob("*") if path.is_file())


def put_back(data: bytes, home: Home, url: str | None = None, phrase: str = PHRASE):
    return restore(io.BytesIO(data), phrase, home, url, TIME_MS)


# --- restoring


@pytest.mark.parametrize("into", ["sqlite", "postgresql"])
def test_everything_comes_back_whatever_the_database(busy, home, tmp_path, into, request):
    home.prepare_ssh()
    data = backed_up(home, busy.database)
    url = "sqlite://" if into == "sqlite" else request.getfixturevalue("postgres").new_database()
    to = Home(tmp_path / "new" / "home")
    done = put_back(data, to, url)
    assert done.head.people == 2
    assert done.head.blobs == 2
    assert (to.host_key().der, to.master_key()) == (home.host_key().der, home.master_key())
    for name in SSH_KEYS:
        assert (to.path / name).read_bytes() == (home.path / name).read_bytes()
        assert (to.path / name).stat().st_mode & 0o777 == 0o600
    assert blobs_of(to) == blobs_of(home)
    with closing(Database(to.database_url if into == "sqlite" else url)) as again:
        before, after = all_rows(busy.database), all_rows(again)
        steps = [row[before_step(busy.database)] for row in after["users"]]
        assert set(steps) == {TIME_MS // 30_000}
        for one in (before, after):
            one["users"] = [row[:8] for row in one["users"]]
            # The blobs are at new places.
            assert {bool(row[-1]) for row in one["blobs"]} == {False, True}
            one["blobs"] = [row[:-1] for row in one["blobs"]]
        assert after == before
        assert schema.current(again) == schema.head()
        with again.read() as db:
            assert db.execute(select(models.Session)).all() == []


def before_step(database: Database) -> int:
    with database.read() as db:
        table = next(t for t in rows.tables(db.connection()) if t.name == "users")
        return list(table.columns.keys()).index("last_step")


def test_numbers_that_were_given_are_not_given_again(busy, home, tmp_path):
    busy.add("carol")
    with busy.database.read() as db:
        highest = db.scalar(select(models.User.id).where(models.User.name == "carol"))
    busy.people.remove("carol")
    to = Home(tmp_path / "new")
    put_back(backed_up(home, busy.database), to, "sqlite://")
    with closing(Database(to.database_url)) as again:
        office = Services(again, to.blobs, busy.people._now_ms)
        office.add("dave")
        with again.read() as db:
            assert (
                db.scalar(select(models.User.id).where(models.User.name == "dave")) == highest + 1
            )


@pytest.mark.one_database
def test_numbers_go_on_in_postgresql_as_well(busy, home, tmp_path, postgres):
    url = postgres.new_database()
    put_back(backed_up(home, busy.database), Home(tmp_path / "new"), url)
    with closing(Database(url)) as again:
        Services(again, tmp_path / "new" / "blobs", busy.people._now_ms).add("dave")


def test_the_configuration_comes_back_but_aside_if_it_leads_elsewhere(busy, home, tmp_path):
    (home.path / "fsd.toml").write_text("[door]\nidle = 99\n")
    to = Home(tmp_path / "new")
    assert not put_back(backed_up(home, busy.database), to, "sqlite://").set_aside
    assert (to.path / "fsd.toml").read_text() == "[door]\nidle = 99\n"
    (home.path / "fsd.toml").write_text("database = 'postgresql+psycopg://fsd@/elsewhere'\n")
    to = Home(tmp_path / "other")
    assert put_back(backed_up(home, busy.database), to, "sqlite://").set_aside
    assert not (to.path / "fsd.toml").exists()
    assert (to.path / putting.SET_ASIDE).exists()


def test_a_backup_of_an_older_schema_is_upgraded(home, tmp_path, monkeypatch):
    with closing(Database(home.database_url)) as database:
        schema.upgrade(database)
        data = backed_up(home, database)
    seen: list[str] = []
    upgrade = schema.upgrade

    def noted(database: Database, to: str = "head") -> None:
        seen.append(to)
        upgrade(database, to)

    monkeypatch.setattr(schema, "upgrade", noted)
    put_back(data, Home(tmp_path / "new"))
    assert seen == [schema.head(), "head"]


# --- consistency


def test_what_is_removed_while_the_backup_is_written_is_in_it(busy, home, tmp_path, monkeypatch):
    before = blobs_of(home)
    add = making._Backup._add_rows

    def meanwhile(backup, tar, db):
        add(backup, tar, db)
        busy.people.remove("alice")
        busy.people.remove("bob")

    monkeypatch.setattr(making._Backup, "_add_rows", meanwhile)
    data = backed_up(home, busy.database)
    assert blobs_of(home) == []
    put_back(data, Home(tmp_path / "new"), "sqlite://")
    assert blobs_of(Home(tmp_path / "new")) == before
    assert not list(home.path.glob(".held-*"))


def test_a_blob_that_came_and_went_around_the_snapshot_makes_another_one(
    busy, home, tmp_path, monkeypatch
):
    """A blob disappears between the snapshot and the scan of the store: the backup retries."""
    attempts: list[str] = []
    one = BlobPin.one

    def gone_once(hold, place):
        if len(attempts) == 0 and (hold.folder / "wanted").exists():
            attempts.append(place)
            for path in (busy.blobs.path(place), hold.folder / place):
                path.unlink()
            with busy.database.write() as db:
                db.execute(text("DELETE FROM blobs WHERE place = :place"), {"place": place})
        return one(hold, place)

    monkeypatch.setattr(BlobPin, "one", gone_once)
    data = backed_up(home, busy.database)
    assert attempts
    done = put_back(data, Home(tmp_path / "new"), "sqlite://")
    assert (done.head.blobs, done.end.missing) == (1, [])


def test_lost_and_damaged_blobs_are_reported_and_the_rest_is_backed_up(busy, home, tmp_path):
    lost, damaged = sorted(p for p in home.blobs.rglob("*") if p.is_file())
    lost.unlink()
    damaged.write_bytes(turned(damaged.read_bytes()))
    with busy.database.read() as db:
        stored = db.execute(select(models.Blob.place, models.Blob.root))
        roots = {place: root.hex() for place, root in stored}
    ends = [[roots[f"{path.parent.name}/{path.name}"]] for path in (lost, damaged)]
    done = put_back(backed_up(home, busy.database), Home(tmp_path / "new"), "sqlite://")
    assert [done.end.missing, done.end.damaged] == ends


def test_two_backups_at_once_are_one_too_many(busy, home):
    with home.maintenance(), pytest.raises(HomeBusyError, match="maintenance"):
        backed_up(home, busy.database)


def test_memory_stays_the_same_however_large_the_blobs_are(home, clock, tmp_path):
    with closing(Database(home.database_url)) as database:
        schema.upgrade(database)
        office = Services(database, home.blobs, clock)
        alice = office.add("alice")
        alice.enrol(office, clock())
        alice.stage(office, stretch("large", 40 * SEGMENT_SIZE))
        tracemalloc.start()
        with (tmp_path / "backup").open("wb") as out:
            make(home, database, out, PHRASE, now_ms=clock, random=os.urandom)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 * SEGMENT_SIZE
        tracemalloc.start()
        with (tmp_path / "backup").open("rb") as file:
            restore(file, PHRASE, Home(tmp_path / "new"), None, TIME_MS)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 * SEGMENT_SIZE


# --- refused backups


def nothing_is_left(tmp_path: Path) -> None:
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new.*"))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup of one user with three segments, for tests that change its bytes."""
    folder = tmp_path_factory.mktemp("sealed")
    home = Home(folder / "home")
    home.prepare()
    with closing(Database(home.database_url)) as database:
        schema.upgrade(database)
        office = Services(database, home.blobs, lambda: TIME_MS)
        alice = office.add("alice")
        alice.enrol(office, TIME_MS)
        alice.put(office, "large", stretch("large", 2 * SEGMENT_SIZE), inline=False)
        out = io.BytesIO()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (("_PASSES", 1), ("_LANES", 1), ("_MEMORY_KIB", 8)):
                patch.setattr(encrypt, name, value)
            make(home, database, out, PHRASE, now_ms=lambda: TIME_MS, random=os.urandom)
    return out.getvalue()


def start_of(data: bytes) -> int:
    """Return the offset of the sealed stream."""
    at = len(encrypt.MAGIC)
    return at + 2 + int.from_bytes(data[at : at + 2], "big")


CUTS = {
    "nothing": lambda *_: b"",
    "within the head": lambda data, start: data[: start - 3],
    "within the header": lambda data, start: data[: start + HEADER_SIZE - 1],
    "behind the first segment": lambda data, start: data[: start + SEGMENT_SIZE],
    "behind the second segment": lambda data, start: data[: start + 2 * SEGMENT_SIZE],
    "the last byte": lambda data, _: data[:-1],
    "the last segment twice": lambda data, start: data + data[start + 2 * SEGMENT_SIZE :],
    "a byte too much": lambda data, _: data + b"\0",
    "two segments swapped": lambda data, start: (
        data[: start + SEGMENT_SIZE]
        + data[start + 2 * SEGMENT_SIZE : start + 3 * SEGMENT_SIZE]
        + data[start + SEGMENT_SIZE : start + 2 * SEGMENT_SIZE]
    ),
    "something else": lambda data, _: b"PK\x03\x04" + data,
}


@pytest.mark.cases(3)
@pytest.mark.parametrize("cut", CUTS)
def test_a_backup_that_was_cut_is_noticed_and_nothing_is_put_back(sealed, tmp_path, cut):
    data = CUTS[cut](sealed, start_of(sealed))
    with pytest.raises(IntegrityError):
        put_back(data, Home(tmp_path / "new"))
    nothing_is_left(tmp_path)
    with pytest.raises(IntegrityError):
        putting.test(io.BytesIO(data), PHRASE)


@pytest.mark.parametrize("part", range(12))
def test_a_backup_changed_anywhere_is_noticed(sealed, tmp_path, part):
    start = start_of(sealed)
    at = part * start // 8 if part < 8 else (part - 7) * len(sealed) // 5
    changed = bytearray(sealed)
    changed[at] ^= 1
    with pytest.raises(FsError):
        put_back(bytes(changed), Home(tmp_path / "new"))
    nothing_is_left(tmp_path)


def test_a_wrong_passphrase_is_called_so(sealed, tmp_path):
    with pytest.raises(WrongPassphraseError):
        put_back(sealed, Home(tmp_path / "new"), phrase="correct house")
    nothing_is_left(tmp_path)


def test_the_whole_backup_is_tested_without_writing_anything(sealed, tmp_path):
    head, end = putting.test(io.BytesIO(sealed), PHRASE)
    assert (head.people, head.blobs, end.damaged) == (1, 1, [])
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_holds_anything_is_left_alone(sealed, tmp_path):
    (tmp_path / "new").mkdir()
    put_back(sealed, Home(tmp_path / "new"))
    with pytest.raises(ConflictError, match="not empty"):
        put_back(sealed, Home(tmp_path / "new"))
    shutil.rmtree(tmp_path / "new")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").touch()
    with pytest.raises(ConflictError, match="not empty"):
        put_back(sealed, Home(tmp_path / "new"))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine"]


def test_a_database_that_holds_anything_is_left_alone(sealed, tmp_path, empty_database):
    with closing(Database(empty_database)) as database:
        schema.upgrade(database)
        before = all_rows(database)
        with pytest.raises(ConflictError, match="tables"):
            put_back(sealed, Home(tmp_path / "new"), empty_database)
        assert all_rows(database) == before
    nothing_is_left(tmp_path)


@pytest.fixture
def empty_database(database_url: str) -> str:
    return database_url


def test_a_database_is_empty_again_if_the_backup_turns_out_to_be_cut(
    sealed, tmp_path, empty_database
):
    with pytest.raises(IntegrityError):
        put_back(sealed[:-1], Home(tmp_path / "new"), empty_database)
    nothing_is_left(tmp_path)
    put_back(sealed, Home(tmp_path / "new"), empty_database)


def test_a_backup_of_an_external_database_needs_a_target_url(database, home, tmp_path):
    data = backed_up(home, database)
    with pytest.raises(UsageError, match="not in its home") as refusal:
        put_back(data, Home(tmp_path / "new"))
    assert "--database" in (refusal.value.hint or "")
    nothing_is_left(tmp_path)


def test_rows_that_do_not_fit_are_refused(home, tmp_path):
    with closing(Database(home.database_url)) as database:
        schema.upgrade(database)
        with database.connect() as connection:
            put = rows.fill(connection, rows.tables(connection))
            for name, data in (
                ("users", b"\x92"),
                ("nobody", b"\x92\x91\xa1a\x91\x91\x01"),
            ):
                with pytest.raises(IntegrityError, match="do not fit"):
                    put(name, data)


def test_the_costs_of_a_passphrase_are_bounded_before_they_are_paid():
    out = io.BytesIO()
    BackupEncryptor(out, PHRASE, os.urandom).finish()
    data = out.getvalue()
    at = data.index(b"\x01\x01\x08", len(encrypt.MAGIC))
    for costs in (b"\x7f\x01\x08", b"\x01\x7f\x08", b"\x01\x01\x01"):
        with pytest.raises(IntegrityError, match="beginning"):
            BackupDecryptor(io.BytesIO(data[:at] + costs + data[at + 3 :]), PHRASE)


@pytest.mark.parametrize("size", [0, 1, SEGMENT_SIZE - 56, SEGMENT_SIZE - 55, 3 * SEGMENT_SIZE])
def test_what_is_sealed_is_opened_again(size):
    out = io.BytesIO()
    sealed = BackupEncryptor(out, PHRASE, os.urandom)
    data = stretch("plain", size)
    for start in range(0, size, 300_000):
        sealed.write(data[start : start + 300_000])
    sealed.finish()
    opened = BackupDecryptor(io.BytesIO(out.getvalue()), PHRASE)
    assert b"".join(iter(lambda: opened.read(70_000), b"")) == data


def test_after_a_restore_a_waiting_secret_accepts_no_earlier_code(home, database, clock, tmp_path):
    office = Services(database, home.blobs, clock)
    alice = office.add("alice")
    alice.enrol(office, clock(), -1)
    office.access.recovery_codes("alice")
    new = ServiceUser(alice.identity, office.access.rotate_secret("alice").otp)
    data = backed_up(home, database)
    to = Home(tmp_path / "new" / "home")
    put_back(data, to, "sqlite://")
    with closing(Database(to.database_url)) as again:
        behind = accounts(again, clock)
        for steps in (-1, 0):
            with pytest.raises(LoginRefused):
                behind.login(alice.login(new.code(clock(), steps)), CHANNEL, ADDRESS)
        with again.read() as db:
            assert db.query(RecoveryCode).count() == 0
        behind.login(alice.login(new.code(clock(), 1)), CHANNEL, ADDRESS)
