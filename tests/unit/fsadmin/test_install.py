"""Installation files: a valid systemd unit, shell completion, man pages, readiness."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys

import pytest

from fsadmin.cli import main
from fsadmin.commands.man import page
from fsd.systemd.notify import READY, notify
from tests.support.servers import environment, run


@pytest.fixture
def fsadmin(monkeypatch, capsys):
    def call(*args: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["fsadmin", *args])
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *capsys.readouterr())

    return call


def unit(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def test_the_unit_starts_this_fsd_on_its_home_and_lets_it_write_there_alone(fsadmin, tmp_path):
    status, text, _ = fsadmin("--home", str(tmp_path / "home"), "print-unit", "--user", "files")
    assert status == 0
    found = unit(text)
    assert found["ExecStart"].endswith(f"/fsd --home {tmp_path / 'home'}")
    assert (found["User"], found["ReadWritePaths"]) == ("files", str(tmp_path / "home"))
    assert found["ProtectSystem"] == "strict"
    assert "{" not in text
    status, text, _ = fsadmin("print-unit")
    assert unit(text)["StateDirectory"] == "fsd"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_unit_and_finds_it_hard(fsadmin, tmp_path):
    program = shutil.copy("/bin/true", tmp_path / "fsd")
    _, text, _ = fsadmin("print-unit", "--program", str(program))
    path = tmp_path / "fsd.service"
    path.write_text(re.sub("^Documentation=.*\n", "", text, flags=re.MULTILINE))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False
    )
    assert "fsd.service:" not in verified.stderr
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout[-300:]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", ["fsd-backup", "fsd-verify"])
def test_systemd_understands_the_timers_and_what_they_start(fsadmin, tmp_path, name):
    program = shutil.copy("/bin/true", tmp_path / "fsadmin")
    paths = []
    for kind in ("service", "timer"):
        _, text, _ = fsadmin("print-unit", f"{name}.{kind}", "--program", str(program))
        assert "{" not in text
        paths.append(tmp_path / f"{name}.{kind}")
        paths[-1].write_text(re.sub("^Documentation=.*\n", "", text, flags=re.MULTILINE))
    verified = subprocess.run(
        ["systemd-analyze", "verify", *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert name not in verified.stderr


def test_the_nightly_unit_runs_a_command_that_fsadmin_has(fsadmin, tmp_path, monkeypatch):
    """The command line of the unit makes a backup, with its two places moved here."""
    home, phrase, backups = tmp_path / "home", tmp_path / "phrase", tmp_path / "backups"
    fsadmin("--home", str(home), "add-user", "alice")
    phrase.write_text("correct horse\n")
    phrase.chmod(0o600)
    backups.mkdir()
    _, text, _ = fsadmin("--home", str(home), "print-unit", "fsd-backup.service")
    line = unit(text)["ExecStart"].replace("/etc/fsd-backup-passphrase", str(phrase))
    words = line.replace("/var/backups/fsd", str(backups)).split()
    assert words[0].endswith("/fsadmin")
    status, _, err = fsadmin(*words[1:])
    assert (status, err) == (0, "")
    assert len(list(backups.iterdir())) == 1


@pytest.mark.parametrize("bad", [("--user", "a b"), ("--program", "/a b"), ("--program", "/a%b")])
def test_what_a_unit_would_take_for_something_else_is_refused(fsadmin, bad):
    status, text, told = fsadmin("print-unit", *bad)
    assert (status, text) == (2, "")
    assert "Traceback" not in told


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_there_for_all_three_programs(fsadmin, shell):
    status, text, _ = fsadmin("completion", shell)
    assert status == 0
    for variable in ("_FSD_COMPLETE", "_FSADMIN_COMPLETE", "_FSCLIENT_COMPLETE"):
        assert variable in text


def test_one_zsh_file_serves_all_three_programs(fsadmin):
    _, text, _ = fsadmin("completion", "zsh")
    assert text.splitlines()[0] == "#compdef fsd fsadmin fsclient"  # zsh reads no other line
    assert text.count("#compdef") == 1


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize("program", ["fsd", "fsadmin", "fsclient"])
def test_zsh_calls_the_function_of_the_program_that_is_completed(fsadmin, tmp_path, program):
    (tmp_path / "_fs").write_text(fsadmin("completion", "zsh")[1])
    stub = tmp_path / program
    stub.write_text(f'#!/bin/sh\necho "$_{program.upper()}_COMPLETE" > {tmp_path}/asked\n')
    stub.chmod(0o755)
    places = f"fpath=({tmp_path} $fpath); path=({tmp_path} $path)"
    script = (
        "autoload -Uz compinit; compinit -u -D\n"
        'compadd() {}\nwords=("$1" "x"); CURRENT=2; service="$1"\n'
        '"$_comps[$1]"\n'
    )
    done = subprocess.run(
        ["zsh", "-f", "-c", f"{places}; {script}", "zsh", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (tmp_path / "asked").read_text() == "zsh_complete\n", done.stderr


@pytest.mark.parametrize(
    ("program", "line", "expected"),
    [
        ("fsd", "fsd --check", "--check-config"),
        ("fsadmin", "fsadmin rotate-h", "rotate-host-key"),
        ("fsclient", "fsclient syn", "sync"),
        ("fsclient", "fsclient put --dry", "--dry-run"),
    ],
)
def test_a_shell_that_asks_is_answered(program, line, expected):
    env = {
        f"_{program.upper()}_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-c", f"from {program}.cli import main; main()"],
        env=environment() | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert expected in done.stdout
    assert done.stderr == ""


def test_a_line_that_makes_no_sense_is_completed_by_nothing():
    env = {"_FSCLIENT_COMPLETE": "bash_complete", "COMP_WORDS": "fsclient xx --", "COMP_CWORD": "2"}
    done = run("fsclient", env=env)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.cases(1)
@pytest.mark.parametrize("program", ["fsd", "fsadmin", "fsclient"])
def test_the_man_page_names_every_option_and_is_roff(program):
    text = page(program)
    plain = text.replace("\\-", "-")
    helped = run(program, "--help").stdout
    for option in set(re.findall(r"--[a-z-]+", helped)):
        assert option in plain
    if shutil.which("groff"):
        made = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww"],
            input=text.encode(),
            capture_output=True,
            check=False,
        )
        assert (made.returncode, made.stderr) == (0, b"")
        assert program.encode() in made.stdout


def test_only_systemd_is_notified(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify(READY)
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        notify(READY)
        assert sock.recv(100) == b"READY=1"
    notify(READY)  # the socket is closed, and no error is raised
