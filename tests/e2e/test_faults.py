"""A database that crashes, a process that is frozen, a clock that jumps: docs/faults.md."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fixed_keys import stretch
from tests.support.postgres import Cluster
from tests.support.programs import start_program
from tests.support.servers import (
    ROOT,
    Authenticator,
    RunningServer,
    enrol_person,
    environment,
    run,
)

CONTENT = stretch("content", 12 << 20)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of this test alone, which may crash."""
    one = Cluster()
    one.start()
    yield one
    one.stop()


def enrolled(server: RunningServer, folder: Path) -> dict[str, str]:
    """Return the environment of an enrolled person."""
    person = enrol_person(server, "alice")
    env = {"FSCLIENT_HOME": str(folder), "FSCLIENT_OTP": Authenticator(person).fresh()}
    done = run("fsclient", "enroll", person["enroll_link"], "--no-passphrase", env=env)
    assert done.returncode == 0, done.stderr
    return env


def test_a_database_that_crashes_costs_one_error_and_nothing_committed(
    cluster: Cluster, tmp_path: Path
):
    local = tmp_path / "notes.txt"
    local.write_bytes(b"notes")
    with RunningServer.start(tmp_path / "fsd", database=cluster.new_database()) as server:
        env = enrolled(server, tmp_path / "alice")
        assert run("fsclient", "put", str(local), env=env).returncode == 0
        cluster.crash()
        for command in (["ls"], ["put", str(local), "second"]):
            refused = run("fsclient", *command, env=env)
            assert refused.returncode == 1
            assert refused.stderr.startswith("fsclient: The server failed on this request")
            assert "Traceback" not in refused.stderr
        cluster.start_again()
        assert run("fsclient", "ls", env=env).stdout == "notes.txt\n"
        assert run("fsclient", "put", str(local), "second", env=env).returncode == 0
        assert run("fsclient", "cat", "second", env=env).stdout == "notes"


@pytest.mark.parametrize("frozen", ["server", "client"])
def test_a_process_that_is_frozen_in_an_upload_resumes_when_it_runs_again(
    tmp_path: Path, frozen: str
):
    """The local file is a pipe, so the test decides how far the upload comes before the stop."""
    with RunningServer.start(tmp_path / "fsd") as server:
        env = enrolled(server, tmp_path / "alice")
        putting = start_program(
            [sys.executable, "-m", "fsclient", "put", "-", "whole"],
            env=environment(env),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert putting.stdin is not None
        half = len(CONTENT) // 2
        putting.stdin.write(CONTENT[:half])
        putting.stdin.flush()
        stopped = server.process.pid if frozen == "server" else putting.pid
        os.kill(stopped, signal.SIGSTOP)
        os.kill(stopped, signal.SIGCONT)
        _, said = putting.communicate(CONTENT[half:], timeout=120)
        assert putting.returncode == 0, said
        back = tmp_path / "back"
        assert run("fsclient", "get", "whole", str(back), env=env).returncode == 0
        assert back.read_bytes() == CONTENT
