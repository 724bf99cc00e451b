"""`fsadmin doctor`: its findings on real data directories and servers, and its advice."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fsadmin.health import database as of_database
from fsadmin.health import home as of_home
from fsadmin.health.report import CheckState
from fsd.factory import open_database
from fsd.home.home import Home
from fsd.store import schema
from fsd.store.cluster_models import ClusterNode
from fsd.store.engine import Database
from fsd.store.repos import cluster
from fskit.clock import now_ms
from fsproto import __version__
from fsproto.errors import BadSettingError
from tests.support.postgres import Cluster
from tests.support.servers import RunningServer, run
from tests.support.sqlite_files import opened
from tests.support.ssh_servers import SshServer


def doctor(home: Path, *options: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    done = run("fsadmin", "--home", str(home), *options, "doctor", "--json")
    assert "Traceback" not in done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(done.stdout):
        assert one["sentence"].endswith((".", "?"))
        assert bool(one["advice"]) == (one["state"] != "fine")
        found.setdefault(one["name"], []).append(one)
    return done.returncode, found


def states(found: dict[str, list[dict[str, Any]]], *but: str) -> dict[str, set[str]]:
    return {n: {one["state"] for one in all_of} for n, all_of in found.items() if n not in but}


@pytest.fixture(scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "home"
    assert run("fsadmin", "--home", str(path), "add-user", "alice").returncode == 0
    return path


@pytest.fixture
def home(_home: Path, tmp_path: Path) -> Path:
    """A data directory with one account, for one test alone."""
    return shutil.copytree(_home, tmp_path / "home")


def test_all_is_well_with_a_server_that_runs_and_was_backed_up(tmp_path):
    with RunningServer.start(tmp_path / "home") as server:
        assert server.admin("add-user", "alice").returncode == 0
        phrase = {"FSADMIN_PASSPHRASE": "x"}
        file = str(tmp_path / "backup")
        made = run("fsadmin", "--home", str(server.home), "backup", file, env=phrase)
        assert made.returncode == 0
        status, found = doctor(server.home)
        assert status == 0
        assert states(found, "clock", "disk") == {
            name: {"fine"} for name in ("configuration", "permissions", "keys", "backup",
                                        "database", "nodes", "port")
        }  # fmt: skip
        told = server.admin("doctor")
        assert told.returncode == 0
        assert f"fsd answers at {server.address}" in told.stdout
        assert server.admin("rotate-host-key", "--yes").returncode == 0
        status, found = doctor(server.home)
        assert (status, states(found)["port"]) == (1, {"bad"})
        assert "reload" in found["port"][0]["advice"]


def test_a_home_that_is_not_there_is_not_made(tmp_path):
    status, found = doctor(tmp_path / "home")
    assert (status, states(found)["home"]) == (1, {"bad"})
    assert not (tmp_path / "home").exists()


def test_files_readable_by_others_are_reported_with_the_command_to_fix_it(home):
    home.chmod(0o755)
    (home / "host.key").chmod(0o644)
    (home / "blobs").chmod(0o755)
    status, found = doctor(home)
    assert status == 1
    (told,) = found["permissions"]
    assert "2 more" in told["sentence"]
    assert told["advice"] == f"chmod -R go-rwx {home}"
    assert os.system(told["advice"]) == 0
    assert states(doctor(home)[1])["permissions"] == {"fine"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_of_another_user_are_reported(home):
    os.chown(home / "fsd.db", 12345, -1)
    status, found = doctor(home)
    assert (status, states(found)["permissions"]) == (1, {"bad"})
    assert "fsd.db belongs" in found["permissions"][0]["sentence"]


def test_old_keys_and_a_missing_backup_are_notes(home):
    long_ago = time.time() - 4 * 365 * 86400
    for name in ("host.key", "master.key"):
        os.utime(home / name, (long_ago, long_ago))
    _, found = doctor(home)
    assert [one["advice"] for one in found["keys"]] == [
        "fsadmin rotate-host-key",
        "fsadmin rotate-master-key",
    ]
    assert states(found)["backup"] == {"note"}
    with closing(Database(Home(home).database_url)) as database:
        (told,) = of_home.backup(Home(home), database, int(time.time() * 1000))
        assert told.state is CheckState.NOTE
        now_ms = int(time.time() * 1000)
        with database.write() as db:
            cluster.note_backup(db, now_ms - 8 * 86400_000)
        (told,) = of_home.backup(Home(home), database, now_ms)
        assert told.state is CheckState.NOTE
        with database.write() as db:
            cluster.note_backup(db, now_ms)
        (told,) = of_home.backup(Home(home), database, now_ms)
        assert told.state is CheckState.FINE


def test_a_silent_server_and_a_server_of_another_kind_are_reported(home):
    with socket.create_server(("127.0.0.1", 0)) as other:
        Home(home).note_run(f"127.0.0.1:{other.getsockname()[1]}", None)
        other.close()
        status, found = doctor(home)
    assert (status, states(found)["port"]) == (1, {"bad"})
    assert "No server answers" in found["port"][0]["sentence"]


def test_the_ssh_listener_is_checked_if_it_is_enabled(tmp_path):
    door = SshServer.start(tmp_path / "home")
    with door.server:
        assert states(doctor(door.server.home)[1])["ssh"] == {"fine"}
        (door.server.home / "ssh_host_rsa_key").write_bytes(b"no key")
        found = doctor(door.server.home)[1]
        assert "ssh_host_rsa_key" in found["keys"][0]["sentence"]
    status, found = doctor(door.server.home)
    assert (status, states(found)["ssh"]) == (1, {"bad"})
    where = ("127.0.0.1", door.address.port)
    with socket.create_server(where) as other, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: other.accept()[0].sendall(b"220 mail.example.org\r\n"))
        found = doctor(door.server.home)[1]
    assert "is not an fsd" in found["ssh"][0]["sentence"]


def test_a_damaged_key_and_a_key_of_another_server_are_reported(home):
    (home / "master.key").write_bytes(bytes(32))
    status, found = doctor(home)
    assert (status, states(found)["database"]) == (1, {"fine", "bad"})
    (home / "host.key").write_bytes(b"no key")
    assert states(doctor(home)[1])["keys"] == {"bad"}


def test_old_newer_and_damaged_databases_are_reported(home):
    def say(revision: str) -> None:
        with opened(home / "fsd.db") as db:
            db.execute("UPDATE alembic_version SET version_num = ?", (revision,))

    say("9999")
    status, found = doctor(home)
    assert (status, states(found)["database"]) == (1, {"bad"})
    assert "newer version" in found["database"][0]["sentence"]
    with (home / "fsd.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"x" * 40_000)
    status, found = doctor(home)
    assert (status, states(found)["database"]) == (1, {"bad"})


def test_a_wrong_setting_is_reported_and_the_rest_is_checked(home):
    (home / "fsd.toml").write_text("[login]\nsesion = 1\n")
    (home / "fsd.toml").chmod(0o600)
    status, found = doctor(home)
    assert (status, states(found)["configuration"]) == (1, {"bad"})
    assert "login.session" in found["configuration"][0]["sentence"]
    assert states(found)["keys"] == {"fine"}
    (home / "fsd.toml").write_text("listen = ")
    assert states(doctor(home)[1]) == {"configuration": {"bad"}}


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("off", "state"), [(0, CheckState.FINE), (5_000, CheckState.NOTE), (60_000, CheckState.BAD)]
)
def test_a_database_whose_clock_differs_is_reported(postgres, tmp_path, off, state):
    url = postgres.new_database()
    home = Home(tmp_path / "home")
    done = run("fsadmin", "--home", str(home.path), "--database", url, "add-user", "alice")
    assert done.returncode == 0
    database = Database(url)
    found = list(of_database.database(home, database, lambda: int(time.time() * 1000) + off))
    database.close()
    assert [one.state for one in found if one.name == "clock"] == [state]


def test_dead_nodes_other_versions_and_wrong_clocks_are_reported(home):
    now = int(time.time() * 1000)
    others: dict[str, dict[str, Any]] = {
        "dead": {"seen_ms": now - 3_600_000},
        "old": {"version": "0.0.1"},
        "late": {"clock_ahead_ms": -2_500},
        "early": {"clock_ahead_ms": 40_000},
    }
    with closing(Database(Home(home).database_url)) as database, database.write() as db:
        for number, (name, facts) in enumerate(others.items()):
            known: dict[str, Any] = {
                "version": __version__,
                "seen_ms": now,
                "clock_ahead_ms": 0,
                **facts,
            }
            node = ClusterNode(
                id=bytes([number]) * 16,
                name=name,
                address="192.0.2.1:65432",
                started_ms=now,
                connections=0,
                requests_a_second=0,
                **known,
            )
            cluster.put(db, node)
    status, found = doctor(home)
    assert status == 1
    said = {one["sentence"]: one["state"] for one in found["nodes"]}
    assert said == {
        "The node dead (192.0.2.1:65432) was last seen 1:00 h ago.": "note",
        f"The nodes have different versions: 0.0.1, {__version__}.": "note",
        "The clock of the node late (192.0.2.1:65432) is 2500 ms behind the database's.": "note",
        "The clock of the node early (192.0.2.1:65432) is 40000 ms ahead of the database's.": "bad",
    }


@pytest.mark.parametrize("off_ms", [20_000, -20_000])
def test_a_server_whose_clock_differs_from_the_database_is_not_opened(
    postgres: Cluster, tmp_path: Path, off_ms: int
) -> None:
    url = postgres.new_database()

    def wrong_ms() -> int:
        return now_ms() + off_ms

    with pytest.raises(
        BadSettingError, match=r"clock of this machine is (19|20|21) s (ahead|behind)"
    ):
        open_database(Home(tmp_path / "home"), url, now_ms=wrong_ms)
    with closing(Database(url)) as database:
        assert schema.current(database) is None


def test_a_clock_that_has_gone_back_is_reported(home):
    with opened(home / "fsd.db") as db:
        ahead_ms = int(time.time() * 1000) + 60_000
        columns = "user_id, secret_no, step, used_ms"
        db.execute(f"INSERT INTO used_otps ({columns}) VALUES (1, 1, 1, ?)", (ahead_ms,))
    status, found = doctor(home)
    assert status == 1
    assert "gone back" in " ".join(one["sentence"] for one in found["clock"])
