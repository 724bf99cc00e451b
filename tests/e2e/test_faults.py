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
from tests.support.programs import Process, start_program
from tests.support.servers import (
    ROOT,
    Authenticator,
    RunningServer,
    enrol_person,
    environment,
    run,
)
from tests.support.world import until

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


@pytest.mark.long
def test_a_database_that_restarts_costs_a_transfer_time_and_nothing_else(
    cluster: Cluster, tmp_path: Path
):
    options = ("--workers", "2")
    home, url, local = tmp_path / "fsd", cluster.new_database(), tmp_path / "whole"
    local.write_bytes(CONTENT)
    with RunningServer.start(home, *options, database=url) as server:
        env = enrolled(server, tmp_path / "alice")
        putting = piped(env, "put", "--bwlimit", "2M", str(local))
        until(lambda: received(home), "a part came")
        cluster.crash()
        refused = run("fsclient", "ls", env=env)
        assert refused.returncode == 3, "as if the server were away"
        assert "Traceback" not in refused.stderr
        cluster.start_again()
        _, said = putting.communicate(timeout=120)
        assert putting.returncode == 0, said
        assert run("fsclient", "ls", env=env).stdout == "whole\n"
        checked = server.admin("check")
        assert checked.returncode == 0, checked.stdout
        assert "Traceback" not in server.log


def received(home: Path) -> bool:
    return any(one.is_file() and one.stat().st_size for one in (home / "blobs").rglob("*"))


def piped(env: dict[str, str], *args: str) -> Process:
    return start_program(
        [sys.executable, "-m", "fsclient", *args],
        env=environment(env),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("frozen", ["server", "client"])
def test_a_process_that_is_frozen_in_an_upload_resumes_when_it_runs_again(
    tmp_path: Path, frozen: str
):
    """The local file is a pipe, so the test decides how far the upload comes before the stop."""
    with RunningServer.start(tmp_path / "fsd") as server:
        env = enrolled(server, tmp_path / "alice")
        putting = piped(env, "put", "-", "whole")
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
