"""A server moves from SQLite to PostgreSQL, with the real programs."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from fsd.store.engine import Database
from tests.support.client_processes import Client
from tests.support.fixed_keys import stretch
from tests.support.postgres import Cluster
from tests.support.servers import NotReadyError, RunningServer, enrol_person

LARGE, SMALL = stretch("moved, large", 300_000), stretch("moved, small", 900)
USAGE, OTHER = 2, 1


@pytest.fixture
def alice(tmp_path: Path) -> Client:
    """A client with files on a server that was stopped."""
    with RunningServer.start(tmp_path / "fsd") as server:
        person = Client(server, "alice", tmp_path / "alice").enrol()
        sources = [person.write("large", LARGE), person.write("small", SMALL)]
        person.quick("put", *sources, "/").ok()
        person.quick("mkdir", "folder").ok()
    return person


def tables(url: str) -> list[str]:
    with closing(Database(url)) as database, database.connect() as connection:
        found = inspect(connection).get_table_names()
    return sorted(set(found) - {"alembic_version"})


def test_a_client_continues_with_its_session_on_the_new_database(
    alice, postgres: Cluster, tmp_path: Path
) -> None:
    url = postgres.new_database()
    before = alice.server.admin("db", "current").stdout
    moved = alice.server.admin("migrate-database", "--to", url, "--json")
    assert moved.returncode == 0, moved.stderr
    told = json.loads(moved.stdout)["tables"]
    assert (told["users"]["rows"], told["sessions"]["rows"], told["blobs"]["rows"]) == (1, 1, 2)
    assert before != ""

    # The old database is out of use until the settings name the new one.
    with pytest.raises(NotReadyError, match="uses the database postgresql"):
        RunningServer.start(alice.server.home)
    refused = alice.server.admin("list-users")
    assert (refused.returncode, "uses the database" in refused.stderr) == (USAGE, True)

    listen = str(alice.server.address)
    with RunningServer.start(alice.server.home, listen=listen, database=url) as server:
        assert alice.cat("large") == LARGE
        assert alice.cat("small") == SMALL
        alice.quick("put", alice.write("later", SMALL), "folder").ok()
        assert alice.names("folder") == ["later"]
        bob = Client(server, "bob", tmp_path / "bob", enrol_person(server, "bob")).enrol()
        assert bob.names() == []
        for check in ("check", "doctor", "list-users"):
            done = server.admin(check)
            assert done.returncode == 0, done.stdout + done.stderr
        assert server.admin("audit", "verify").returncode == 0
        assert "Traceback" not in server.log


def test_a_database_that_holds_something_is_refused_and_left_as_it_is(
    alice, postgres: Cluster
) -> None:
    url = postgres.new_database()
    with closing(Database(url)) as database, database.write() as db:
        db.execute(text("CREATE TABLE users (name TEXT)"))
    done = alice.server.admin("migrate-database", "--to", url)
    assert done.returncode != 0
    assert "has tables already" in done.stderr
    assert tables(url) == ["users"]
    alice.server.restart().stop()


def test_a_running_server_is_not_moved(shared_server, postgres: Cluster) -> None:
    url = postgres.new_database()
    done = shared_server.admin("migrate-database", "--to", url)
    assert "Another fsd is running" in done.stderr
    assert done.returncode != 0
    assert tables(url) == []


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite:////tmp/never-made.db", "--to names a SQLite file."),
        ("no database", "The database URL cannot be used"),
        ("postgresql+psycopg://nobody@127.0.0.1:9/x", "database"),
    ],
    ids=["sqlite", "no URL", "nothing there"],
)
def test_what_is_no_target_is_one_sentence(tmp_path: Path, url: str, sentence: str) -> None:
    server = RunningServer.start(tmp_path / "fsd")
    server.stop()
    done = server.admin("migrate-database", "--to", url)
    assert done.returncode in {OTHER, USAGE}
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    server.restart().stop()


def test_a_row_that_does_not_arrive_as_it_was_is_noticed(alice, postgres: Cluster) -> None:
    """The new database changes what it stores; then it is empty again, and the old one is used."""
    url = postgres.new_database()
    with closing(Database(url)) as database, database.write() as db:
        db.execute(
            text(
                "CREATE FUNCTION spoil() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
                "IF EXISTS (SELECT FROM pg_tables WHERE tablename = 'users') "
                "AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'spoiled') THEN "
                "CREATE TRIGGER spoiled BEFORE INSERT ON users FOR EACH ROW "
                "EXECUTE FUNCTION spoil_row(); END IF; END $$"
            )
        )
        db.execute(
            text(
                "CREATE FUNCTION spoil_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "NEW.name = NEW.name || 'x'; RETURN NEW; END $$"
            )
        )
        db.execute(
            text(
                "CREATE EVENT TRIGGER spoils ON ddl_command_end WHEN TAG IN ('CREATE TABLE') "
                "EXECUTE FUNCTION spoil()"
            )
        )
    done = alice.server.admin("migrate-database", "--to", url)
    assert "has other rows in users" in done.stderr
    assert done.returncode == 7
    assert tables(url) == []
    alice.server.restart().stop()
