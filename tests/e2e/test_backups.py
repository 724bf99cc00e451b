"""Backups as an administrator uses them: of a running server, restored, and seen by clients."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.client_processes import SECURITY, Client
from tests.support.fixed_keys import stretch
from tests.support.programs import start_program
from tests.support.servers import ROOT, RunningServer, code, environment, run

PHRASE = {"FSADMIN_PASSPHRASE": "a phrase for tests"}


def backup(home: Path, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run("fsadmin", "--home", str(home), *options, "backup", str(file), "--json", env=PHRASE)


def restore(home: Path, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run("fsadmin", "--home", str(home), *options, "restore", str(file), env=PHRASE)


def later_code(client: Client) -> str:
    """Return the code of the next time step; earlier codes may be consumed."""
    return code(client.added["secret"], 1)


def test_a_server_is_backed_up_while_it_serves_and_put_back_elsewhere(tmp_path):
    with RunningServer.start(tmp_path / "home") as server:
        alice = Client(server, "alice", tmp_path / "alice").enrol()
        large = stretch("large", 5_000_000)
        alice.write("large", large)
        alice.write("small", b"small")
        for name in ("large", "small"):
            alice.run("put", name).ok()
        shutil.copytree(alice.home, tmp_path / "before")
        alice.write("more/1", os.urandom(30_000_000))
        putting = alice.start("put", "more")
        made = backup(server.home, tmp_path / "backup")
        assert made.returncode == 0, made.stderr
        assert json.loads(made.stdout)["people"] == 1
        assert json.loads(made.stdout)["files"] in (2, 3)  # "more/1" may be there
        assert putting.wait(60) == 0
        putting.communicate()
        again = backup(server.home, tmp_path / "backup")
        assert again.returncode == 8
        assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
        refused = restore(server.home, tmp_path / "backup")
        assert refused.returncode == 8
        assert "not empty" in refused.stderr
        alice.run("cat", "small").ok()
    content = (tmp_path / "backup").read_bytes()
    assert large[:64] not in content
    assert (server.home / "master.key").read_bytes() not in content
    done = restore(tmp_path / "new", tmp_path / "backup")
    assert done.returncode == 0, done.stderr
    assert "rollback" in done.stdout
    with RunningServer.start(tmp_path / "new", listen=str(server.address)) as there:
        assert there.host_key == server.host_key
        alice.run("cat", "small").fails(4)  # the backup does not contain the session
        alice.home = tmp_path / "before"
        assert alice.run("cat", "large", "--otp", later_code(alice)).ok().out == large
        assert there.stop() == 0
        assert "Traceback" not in there.log


@pytest.mark.soak
def test_a_client_that_has_seen_more_reports_a_rollback(tmp_path):
    with RunningServer.start(tmp_path / "home") as server:
        alice = Client(server, "alice", tmp_path / "alice").enrol()
        alice.write("file", b"before")
        alice.run("put", "file").ok()
        assert backup(server.home, tmp_path / "backup").returncode == 0
        alice.write("file", b"after")
        alice.run("put", "file").ok()
    for home in ("new", "again"):  # each server accepts the one later code
        assert restore(tmp_path / home, tmp_path / "backup").returncode == 0
    with RunningServer.start(tmp_path / "new", listen=str(server.address)):
        alice.run("cat", "file", "--otp", later_code(alice)).fails(SECURITY, "older")
    # The page on operations describes this step (see test_after_a_restore).
    with RunningServer.start(tmp_path / "again", listen=str(server.address)):
        alice.run("doctor", "/", "--accept", "--yes", "--otp", later_code(alice)).ok()
        assert alice.run("cat", "file").ok().out == b"before"


def test_a_backup_goes_through_a_pipe_and_a_cut_one_is_refused(tmp_path):
    home = tmp_path / "home"
    assert run("fsadmin", "--home", str(home), "add-user", "alice").returncode == 0

    def piped(home: Path, command: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
        process = start_program(
            [sys.executable, "-m", "fsadmin", "--home", home, command, "-"],
            env=environment(PHRASE),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = process.communicate(given, timeout=60)
        return process.returncode, out, err

    made, data, said = piped(home, "backup")
    assert made == 0, said
    for given, status in ((data[:-1], 7), (data, 0)):
        done, _, said = piped(tmp_path / "new", "restore", given)
        assert done == status, said
        assert (tmp_path / "new").exists() == (status == 0)
        assert b"Traceback" not in said
    assert "alice" in run("fsadmin", "--home", str(tmp_path / "new"), "list-users").stdout


def test_without_a_passphrase_or_with_another_one_there_is_no_backup(tmp_path):
    home = tmp_path / "home"
    assert run("fsadmin", "--home", str(home), "add-user", "alice").returncode == 0
    for env, words in (({}, "FSADMIN_PASSPHRASE"), ({"FSADMIN_PASSPHRASE": ""}, "never made")):
        refused = run("fsadmin", "--home", str(home), "backup", str(tmp_path / "b"), env=env)
        assert refused.returncode == 2
        assert words in refused.stderr
    assert backup(home, tmp_path / "b").returncode == 0
    wrong = {"FSADMIN_PASSPHRASE": "another"}
    refused = run(
        "fsadmin", "--home", str(tmp_path / "n"), "restore", str(tmp_path / "b"), env=wrong
    )
    assert refused.returncode == 4
    tested = run("fsadmin", "restore", "--test", str(tmp_path / "b"), env=PHRASE)
    assert tested.returncode == 0
    assert "is whole" in tested.stdout


def test_a_server_on_postgresql_is_backed_up_and_put_back(tmp_path, postgres):
    url = postgres.new_database()
    with RunningServer.start(tmp_path / "home", database=url) as server:
        alice = Client.__new__(Client)
        added = json.loads(server.admin("add-user", "alice", "--json").stdout)
        alice.server, alice.name, alice.added = server, "alice", added
        alice.home, alice.folder = tmp_path / "alice", tmp_path / "work"
        alice.folder.mkdir()
        alice.run("enroll", alice.link, "--no-passphrase", "--otp", code(added["secret"])).ok()
        alice.write("file", b"what alice has")
        alice.run("put", "file").ok()
        made = backup(server.home, tmp_path / "backup", "--database", url)
        assert made.returncode == 0, made.stderr
    other = postgres.new_database()
    home = tmp_path / "new"
    assert restore(home, tmp_path / "backup").returncode == 2
    done = restore(home, tmp_path / "backup", "--database", other)
    assert done.returncode == 0, done.stderr
    with RunningServer.start(home, listen=str(server.address), database=other):
        assert alice.run("cat", "file", "--otp", later_code(alice)).ok().out == b"what alice has"


@pytest.mark.parametrize("to", ["nowhere/backup", "file"])
def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path, to):
    (tmp_path / "file").touch()
    home = tmp_path / "home"
    assert run("fsadmin", "--home", str(home), "add-user", "alice").returncode == 0
    refused = backup(home, tmp_path / to)
    assert refused.returncode in (5, 8)
    assert "Traceback" not in refused.stderr
