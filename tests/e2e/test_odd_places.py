"""Data directories, profiles and installations in folders whose names have a meaning elsewhere."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.support.client_processes import Client
from tests.support.programs import start_program
from tests.support.servers import ROOT, RunningServer, environment, run

PHRASE = {"FSADMIN_PASSPHRASE": "six words for this test alone"}
NAME = "team?files#1 100%&mode=memory"


def admin(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    done = run("fsadmin", "--home", str(home), *args, env=PHRASE)
    assert done.returncode == 0, done.stderr
    return done


def people_of(home: Path) -> list[str]:
    """Read the names of the users from the database file in a data directory."""
    with closing(sqlite3.connect(home / "fsd.db")) as db:
        return [name for (name,) in db.execute("SELECT name FROM users ORDER BY name")]


def test_everything_of_a_server_is_in_its_data_directory(tmp_path: Path):
    name = NAME
    home, other, backup = tmp_path / name / "srv", tmp_path / "team?other", tmp_path / "backup"
    home.parent.mkdir()
    admin(home, "add-user", "alice")
    admin(other, "add-user", "bob")
    assert people_of(home) == ["alice"]
    assert people_of(other) == ["bob"]
    assert "alice" in admin(home, "list-users").stdout
    admin(home, "check")
    admin(home, "backup", str(backup))
    restored = tmp_path / "restored" / name
    admin(restored, "restore", str(backup))
    assert people_of(restored) == ["alice"]
    assert {path.name for path in tmp_path.iterdir()} == {name, "team?other", "backup", "restored"}


def test_a_server_and_a_client_run_in_such_folders(tmp_path: Path):
    home = tmp_path / NAME
    with RunningServer.start(home) as server:
        alice = Client(server, "alice", tmp_path / "file:x?mode=memory")
        alice.enrol()
        alice.write("note", b"note")
        alice.run("put", "note").ok()
        assert alice.run("cat", "note").ok().out == b"note"
        assert (alice.profile / "memory.db").stat().st_size > 0
        assert (home / "fsd.db").stat().st_size > 0


def test_an_installation_in_a_folder_with_a_percent_sign_migrates_its_database(tmp_path: Path):
    place = tmp_path / "100%(here)s"
    for package in ("fsproto", "fskit", "fsd", "fsadmin", "migrations"):
        shutil.copytree(ROOT / package, place / package)
    command = [sys.executable, "-m", "fsadmin", "--home", str(tmp_path / "home"), "add-user", "eve"]
    env = environment({"PYTHONPATH": str(place)})
    pipe = subprocess.PIPE
    with start_program(
        command, env=env, cwd=place, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        _, err = process.communicate(b"", timeout=60)
    assert process.returncode == 0, err
    assert people_of(tmp_path / "home") == ["eve"]
