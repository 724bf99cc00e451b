"""Migrations: up and down on both databases, with the same tables as the models."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from fsd import factory
from fsd.home.home import Home
from fsd.store import schema
from fsd.store.engine import Database, DatabaseError
from fsd.store.models import Base
from fsd.store.schema import NewerDatabaseError
from fsproto import crypto
from fsproto.errors import BadSettingError, IntegrityError, NotFoundError
from fsproto.keys.grants import Role
from tests.support.key_logs import people
from tests.support.reading import listing_of
from tests.support.services import Services
from tests.support.shared_folder import make_folder

pytestmark = pytest.mark.both_databases


@pytest.fixture
def empty(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as opened:
        yield opened


def tables(database: Database) -> set[str]:
    with database.connect() as connection:
        return set(inspect(connection).get_table_names())


def test_an_empty_database_is_at_no_revision_and_comes_to_head(empty):
    assert schema.current(empty) is None
    schema.upgrade(empty)
    assert schema.current(empty) == schema.head()
    assert tables(empty) == {"alembic_version", *Base.metadata.tables}


def test_the_models_are_what_the_migrations_make(empty):
    schema.upgrade(empty)
    with empty.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_down_to_nothing_and_up_again_with_people_and_files_in_it(empty, tmp_path, clock):
    schema.upgrade(empty)
    office = Services(empty, tmp_path / "blobs", clock)
    alice = office.add("alice")
    alice.enrol(office, clock())
    alice.put(office, "small", b"sealed")
    schema.downgrade(empty, "base")
    assert schema.current(empty) is None
    assert tables(empty) == {"alembic_version"}
    schema.upgrade(empty)
    assert office.people.everybody() == []


def test_a_database_at_head_is_left_as_it_is(office, clock):
    alice = office.add("alice")
    alice.enrol(office, clock())
    alice.put(office, "small", b"sealed")
    before = office.people.show("alice")
    schema.upgrade(office.database)
    assert office.people.show("alice") == before


def test_ten_who_start_on_one_empty_database_at_once_all_find_it_at_head(database_url):
    ready = threading.Barrier(10)

    def start(_: int) -> str | None:
        with closing(Database(database_url)) as database:
            ready.wait()
            schema.upgrade(database)
            return schema.current(database)

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(start, range(10))) == {schema.head()}


def test_ten_who_open_a_new_file_at_once_wait_for_each_other(tmp_path):
    for number in range(20):
        ready = threading.Barrier(10)

        def look(_: int, ready: threading.Barrier = ready, number: int = number) -> str | None:
            with closing(Database(f"sqlite:///{tmp_path}/{number}.db")) as database:
                ready.wait()
                return schema.current(database)

        with ThreadPoolExecutor(10) as pool:
            assert set(pool.map(look, range(10))) == {None}


@pytest.mark.parametrize(
    "act", [schema.upgrade, lambda database: schema.downgrade(database, "base")]
)
def test_a_database_of_a_newer_version_is_refused_with_a_sentence(empty, act):
    schema.upgrade(empty)
    with empty.write() as db:
        db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerDatabaseError, match="newer version of fsd") as refusal:
        act(empty)
    assert refusal.value.hint
    assert schema.current(empty) == "9999"


def test_an_upgrade_that_fails_halfway_leaves_the_database_as_it_was(empty):
    with empty.write() as db:
        db.execute(text("CREATE TABLE manifests (somebody_elses INTEGER)"))
    with pytest.raises(DatabaseError):
        schema.upgrade(empty)
    assert tables(empty) == {"manifests"}
    assert schema.current(empty) is None


# --- choice of the database


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite", "oracle://", "no-such-kind:///x"])
def test_what_is_no_usable_url_is_a_setting_and_its_password_is_not_shown(url):
    with pytest.raises(BadSettingError) as refusal:
        Database(url)
    assert refusal.value.exit_status == 2


def test_a_password_in_a_url_that_cannot_be_used_is_not_shown():
    with pytest.raises(BadSettingError) as refusal:
        Database("mysql+nothing://user:hunter2@host/name")
    assert "hunter2" not in refusal.value.sentence


def test_a_database_that_does_not_answer_is_one_clean_error(tmp_path):
    pytest.importorskip("psycopg")
    url = f"postgresql+psycopg://user:hunter2@/name?host={tmp_path}"
    with closing(Database(url)) as database, pytest.raises(DatabaseError) as failure:
        schema.upgrade(database)
    assert "hunter2" not in failure.value.sentence


def test_a_file_that_is_no_database_is_one_clean_error(tmp_path):
    (tmp_path / "fsd.db").write_bytes(b"not a database" * 1000)
    url = f"sqlite:///{tmp_path / 'fsd.db'}"
    with closing(Database(url)) as database, pytest.raises(DatabaseError):
        schema.upgrade(database)


def home_at(path: Path) -> Home:
    home = Home(path)
    home.prepare()
    return home


def test_the_database_that_the_daemon_was_given_must_be_given_here_too(tmp_path):
    home = home_at(tmp_path / "home")
    factory.open_database(home, f"sqlite:///{tmp_path / 'elsewhere.db'}").close()
    home.note_run("127.0.0.1:1", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    with pytest.raises(BadSettingError, match=r"elsewhere\.db") as refusal:
        factory.open_database(home, None)
    assert refusal.value.hint
    factory.open_database(home, f"sqlite:///{tmp_path / 'elsewhere.db'}").close()


def test_a_home_can_be_moved(tmp_path):
    home = home_at(tmp_path / "before")
    factory.open_database(home, None).close()
    home.note_run("127.0.0.1:1", None)
    (tmp_path / "before").rename(tmp_path / "after")
    factory.open_database(Home(tmp_path / "after"), None).close()


def test_a_master_key_of_another_server_is_reported_before_a_user_is_added(tmp_path):
    home = home_at(tmp_path / "home")
    with closing(factory.open_database(home, None)) as database:
        factory.people(home, database).add("alice", digits=6, period=30, algorithm="SHA1")
        factory.people(home, database)
        other = home_at(tmp_path / "other")
        with pytest.raises(IntegrityError, match="master key") as refusal:
            factory.people(other, database)
        assert refusal.value.hint


# --- the revision of sharing


def count(database: Database, table: str) -> int:
    with database.read() as db:
        return db.scalar(text(f"SELECT count(*) FROM {table}")) or 0


SINCE_SHARING = {"key_log", "key_log_head", "member_lists", "grants"}
SINCE_SHARING |= {"key_backups", "older_contents", "removals", "audit_entries", "audit_head"}
SINCE_SHARING |= {"login_penalties", "login_states", "login_notices", "recovery_codes"}
SINCE_SHARING |= {"quotas", "reservations", "handovers"}
SINCE_SHARING |= {"user_groups", "group_members"}
SINCE_SHARING |= {"drops", "drop_keys", "older_hashes", "told_notices", "blocked_owners"}
SINCE_SHARING |= {"hook_events", "hook_progress", "tree_pages"}
SINCE_SHARING |= {"uploads", "upload_parts", "doomed_places"}
SINCE_SHARING |= {"cluster_nodes", "server_keys", "server_facts"}
SINCE_SHARING |= {"request_links", "request_files", "pending_removals"}
SINCE_SHARING |= {"public_links", "public_link_parts", "public_link_contents"}
"""Includes the tables of later revisions."""
BEFORE_SHARING = sorted(set(Base.metadata.tables) - SINCE_SHARING)


def test_sharing_comes_and_goes_with_people_and_files_in_the_database(empty, tmp_path, clock):
    schema.upgrade(empty)
    office = Services(empty, tmp_path / "blobs", clock)
    alice, bob = office.add("alice"), office.add("bob")
    for person in (alice, bob):
        person.enrol(office, clock())
    alice.put(office, "large", b"sealed" * 50_000, inline=False)
    folder = make_folder(office, alice)
    folder.send(alice, folder.put(alice, "hers"))
    folder.share((bob, Role.READER))
    rows = {table: count(empty, table) for table in BEFORE_SHARING}
    listed = listing_of(office, alice.who, folder.node)

    schema.downgrade(empty, "0001")
    assert tables(empty) == {"alembic_version", "login_failures", *BEFORE_SHARING}
    assert {table: count(empty, table) for table in BEFORE_SHARING} == rows

    schema.upgrade(empty)
    office.log.catch_up(empty)
    assert {table: count(empty, table) for table in BEFORE_SHARING} == rows
    assert listing_of(office, alice.who, folder.node) == listed
    entries = office.key_log.entries(0).entries
    assert people(entries) == ["alice", "bob"]
    with pytest.raises(NotFoundError):
        listing_of(office, bob.who, folder.node)
    folder.members = None
    folder.share((bob, Role.WRITER))
    folder.send(bob, folder.put(bob, "his"))
    folder.renew((bob, Role.READER))
    assert len(listing_of(office, bob.who, folder.node)[0]) == 2


def test_blobs_of_an_earlier_release_are_found_under_their_roots(empty, tmp_path, clock):
    schema.upgrade(empty)
    office = Services(empty, tmp_path / "blobs", clock)
    alice = office.add("alice")
    alice.enrol(office, clock())
    alice.put(office, "large", b"sealed" * 50_000, inline=False)
    (root,) = office.stored()
    before = office.path(root)
    schema.downgrade(empty, "0020")
    there = tmp_path / "blobs" / root.hex()[:2] / root.hex()
    there.parent.mkdir(exist_ok=True)
    before.rename(there)
    schema.upgrade(empty)
    assert office.path(root) == there
    assert office.stored() == [root]


def test_files_of_protocol_1_are_refused_and_stay_as_they_are(empty, tmp_path, clock):
    schema.upgrade(empty)
    office = Services(empty, tmp_path / "blobs", clock)
    office.add("alice").enrol(office, clock())
    schema.downgrade(empty, "0011")
    with empty.write() as db:
        state = db.execute(text("SELECT payload FROM folder_states")).scalar_one()
        before = crypto.sha256(b"fs/1 folder state hash", state)
        db.execute(text("UPDATE folder_states SET hash = :hash"), {"hash": before})
    with pytest.raises(DatabaseError, match="protocol 1"):
        schema.upgrade(empty)
    assert schema.current(empty) == "0011"
    assert count(empty, "nodes") == 1


def test_an_older_database_of_another_server_is_not_upgraded(tmp_path: Path):
    home, other = home_at(tmp_path / "home"), home_at(tmp_path / "other")
    with closing(factory.open_database(home, None)) as database:
        factory.people(home, database).add("alice", digits=6, period=30, algorithm="SHA1")
        schema.downgrade(database, "0024")
        url = str(home.database_url)
        with pytest.raises(IntegrityError, match="does not open with this master key"):
            factory.open_database(other, url)
        assert schema.current(database) == "0024"
        factory.open_database(home, None).close()
        assert schema.current(database) == schema.head()


ODD_NAMES = [
    *("team?files", "a#b", "100%", "%2e%2e", "q&mode=memory", ":memory:", "a@b:c", "sp ace"),
    *("file:x?mode=memory", 'it\'s "so"', "back\\slash", "ü", "new\nline"),
]


@pytest.mark.cases(5)
@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_database_of_a_data_directory_is_in_it_whatever_its_name(tmp_path: Path, name: str):
    home = Home(tmp_path / name / "srv")
    home.prepare()
    factory.open_database(home, None).close()
    assert (home.path / "fsd.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    home.note_run("127.0.0.1:1", None)
    factory.find_database(home, None).close()
    factory.find_database(home, str(home.database_url)).close()
