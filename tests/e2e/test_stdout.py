"""Standard output that is full, closed or no longer read: the same end for every program."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from tests.conftest import TIER
from tests.support.servers import ROOT, environment, run

USAGE, SPACE, READER_GONE = 2, 9, 141
PROGRAMS = ("fsd", "fsadmin", "fsclient")
FAILING = (">/dev/full", ">&- 2>&-", "2>/dev/full")


def shell(
    program: str, words: str, redirection: str, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a program by a shell, with its standard output redirected."""
    command = f"{shlex.join([sys.executable, '-m', program])} {words} {redirection}"
    return subprocess.run(
        ["bash", "-c", command],
        env=environment(env),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with two users."""
    path = tmp_path_factory.mktemp("stdout") / "home"
    for name in ("alice", "bob"):
        assert run("fsadmin", "--home", str(path), "add-user", name).returncode == 0
    return path


@pytest.fixture(scope="module")
def commands(home: Path) -> list[tuple[str, str]]:
    """The commands that write a result, of each program."""
    place = f"--home {home}"
    backup = f"{place} backup -"
    few = [
        *((program, "--help") for program in PROGRAMS),
        ("fsd", f"{place} --check-config"),
        ("fsadmin", f"{place} list-users"),
        ("fsadmin", backup),
        ("fsclient", "shell --help"),
    ]
    if TIER != "soak":
        return few
    return [
        *few,
        *((program, "--version") for program in PROGRAMS),
        *(
            ("fsadmin", f"{place} {words}")
            for words in ("--json list-users", "show-user alice", "print-unit", "audit verify")
        ),
        ("fsclient", "ls --help"),
    ]


def sentences(program: str, done: subprocess.CompletedProcess[str]) -> list[str]:
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith(f"{program}: ")]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_one_sentence_and_exit_status_9(
    commands: list[tuple[str, str]], unbuffered: str
):
    some = commands if unbuffered == "" else commands[: len(PROGRAMS)]
    for program, words in some:
        done = shell(
            program, words, ">/dev/full", PYTHONUNBUFFERED=unbuffered, FSADMIN_PASSPHRASE="x"
        )
        told = sentences(program, done)
        assert (done.returncode, told) == (
            SPACE,
            [f"{program}: Standard output cannot be written: there is no space left."],
        ), (words, done.stderr)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_reader_that_has_gone_ends_every_program_as_sigpipe_does(program: str):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", program, "--help"],
            env=environment(),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (READER_GONE, "")


@pytest.mark.cases(2)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_closed_stdout_is_a_usage_error_where_something_is_to_be_written(program: str):
    done = shell(program, "--help", ">&-")
    assert done.returncode == USAGE
    assert sentences(program, done) == [f"{program}: Standard output is closed."]


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("program", "where"),
    [*product(PROGRAMS, FAILING)] if TIER == "soak" else [*zip(PROGRAMS, FAILING, strict=True)],
)
def test_a_failing_stream_does_not_hide_the_exit_status_of_an_error(program: str, where: str):
    assert shell(program, "--no-such-option", where).returncode == USAGE
