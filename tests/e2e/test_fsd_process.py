"""fsd as an operator runs it: its output, the errors that prevent its start, and its end."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from fsclient.connection.connection import ServerConnection
from fsd.auth.otp import OtpSetting
from fsproto import __version__, labels
from fsproto.errors import HostKeyError, LoginRefused
from fsproto.link import EnrollLink
from fsproto.messages.account import Welcome
from tests.support.servers import Authenticator, NotReadyError, RunningServer, enrol_person, run
from tests.support.services import ServiceUser, identity
from tests.support.sqlite_files import opened


def fsd(home: Path, *args: str, listen: str = "127.0.0.1:0") -> subprocess.CompletedProcess[str]:
    """Start an fsd that is expected to end by itself."""
    return run("fsd", "--home", str(home), "--listen", listen, *args)


def assert_refused(ended: subprocess.CompletedProcess[str], status: int, words: str) -> None:
    assert (ended.returncode, ended.stdout) == (status, "")
    assert "Traceback" not in ended.stderr
    sentence = next(line for line in ended.stderr.splitlines() if line.startswith("fsd: "))
    assert words in sentence


# --- starting


def test_it_says_in_one_line_where_it_listens_and_which_key_it_has(prepared):
    with RunningServer.start(prepared) as server:
        assert server.address.host == "127.0.0.1"
        assert server.address.port > 0
        with socket.create_connection((server.address.host, server.address.port)):
            pass
        assert server.admin("host-key").stdout.strip() == server.host_key
        server.process.terminate()
        out, _ = server.process.communicate()
        assert (server.process.returncode, out) == (0, "")  # the process printed only that line


def test_it_takes_its_settings_from_the_environment(tmp_path):
    where = {"FSD_HOME": str(tmp_path / "home"), "FSD_DATABASE": f"sqlite:///{tmp_path}/other.db"}
    ended = run("fsd", "--listen", "192.0.2.1:0", env=where)
    assert_refused(ended, 1, "Cannot listen on 192.0.2.1:0")
    assert (tmp_path / "other.db").exists()


def test_an_unusable_ssh_address_is_reported_and_fsd_is_not_ready(tmp_path):
    ended = run("fsd", "--home", str(tmp_path / "home"), "--listen", "127.0.0.1:0",
                "--ssh-listen", "192.0.2.1:0")  # fmt: skip
    assert_refused(ended, 1, "Cannot listen for SSH on 192.0.2.1:0")
    assert "--ssh-listen" in ended.stderr


def test_a_server_that_does_not_open_it_has_no_keys_of_ssh(tmp_path):
    with RunningServer.start(tmp_path / "home") as server:
        assert not list(server.home.glob("ssh_host*"))
        assert json.loads(server.admin("host-key", "--json").stdout)["ssh"] == {}


@pytest.mark.parametrize("program", ["fsd", "fsadmin"])
def test_it_prints_its_version(program):
    told = run(program, "--version")
    assert (told.returncode, told.stdout, told.stderr) == (0, f"{program} {__version__}\n", "")


def test_its_help_names_every_option(tmp_path):
    told = run("fsd", "--help")
    assert told.returncode == 0
    assert set(re.findall(r"--[a-z-]+", told.stdout)) == {
        *("--home", "--config", "--listen", "--database", "--log-format", "--metrics-listen"),
        *("--ssh-listen", "--web-listen", "--health-listen", "--workers", "--set"),
        "--check-config",
        *("--debug", "--version", "--help"),
    }


@pytest.mark.parametrize("listen", ["", "127.0.0.1:65536", "::1"])
def test_an_invalid_address_is_a_usage_error(tmp_path, listen):
    assert_refused(fsd(tmp_path / "home", listen=listen), 2, "must be an address")
    assert not (tmp_path / "home").exists()


def test_a_port_in_use_is_a_sentence_with_a_hint(prepared):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = fsd(prepared, listen=where)
    assert_refused(ended, 1, f"Cannot listen on {where}: {os.strerror(errno.EADDRINUSE)}.")
    assert "--listen" in ended.stderr


def test_a_data_directory_in_use_is_refused_and_its_server_continues(shared_server):
    assert_refused(fsd(shared_server.home), 1, "Another fsd is running")
    with socket.create_connection((shared_server.address.host, shared_server.address.port)):
        pass


def test_a_database_of_a_newer_version_is_refused_by_both_programs(prepared):
    with opened(prepared / "fsd.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    ended = fsd(prepared)
    assert_refused(ended, 1, "newer version of fsd")
    assert "backup" in ended.stderr
    listed = run("fsadmin", "--home", str(prepared), "list-users")
    assert (listed.returncode, listed.stdout) == (1, "")
    assert "newer version of fsd" in listed.stderr
    shown = run("fsadmin", "--home", str(prepared), "db", "current", "--json")
    assert json.loads(shown.stdout)["current"] == "9999"


def test_a_master_key_of_another_home_is_refused(prepared):
    (prepared / "master.key").write_bytes(bytes(32))
    ended = fsd(prepared)
    assert_refused(ended, 7, "does not open with this master key")
    assert "Restore the server's master.key" in ended.stderr


def test_a_database_that_does_not_answer_is_a_sentence_without_its_password(prepared, tmp_path):
    pytest.importorskip("psycopg")
    url = f"postgresql+psycopg://user:hunter2@/name?host={tmp_path}"
    ended = fsd(prepared, "--database", url)
    assert_refused(ended, 1, "The database cannot be reached")
    assert "hunter2" not in ended.stderr


@pytest.mark.parametrize("content", [b"no database at all" * 500, None], ids=["no database", "cut"])
def test_a_damaged_database_is_a_sentence_that_says_so(prepared, content):
    database = prepared / "fsd.db"
    database.write_bytes(content or database.read_bytes()[:8192])
    ended = fsd(prepared)
    assert_refused(ended, 1, "The database is damaged")
    assert "backup" in ended.stderr


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_lost_database_is_not_replaced_by_an_empty_one(prepared, how):
    with RunningServer.start(prepared):
        pass
    for file in prepared.glob("fsd.db*"):
        file.unlink() if how == "removed" else file.write_bytes(b"")
    assert_refused(fsd(prepared), 1, "is missing or empty, but a server has used it")
    added = run("fsadmin", "--home", str(prepared), "add-user", "zoe")
    assert "put the database back" in added.stderr
    assert added.returncode == 1


def test_a_database_that_may_not_be_written_is_a_sentence_that_says_so(prepared):
    url = f"sqlite:///file:{prepared}/fsd.db?mode=ro&uri=true"
    assert_refused(fsd(prepared, "--database", url), 1, "The database may not be written")


def test_a_file_in_place_of_the_home_is_a_usage_error(tmp_path):
    (tmp_path / "home").write_text("a file")
    assert_refused(fsd(tmp_path / "home"), 2, "is a file")


def test_debug_shows_where_it_went_wrong(tmp_path):
    ended = fsd(tmp_path, "--debug", listen="nowhere:at all")
    assert ended.returncode == 2
    assert ended.stderr.startswith("Traceback")
    assert "fsd: --listen: listen is 'nowhere:at all'" in ended.stderr


@pytest.fixture(scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "home"
    assert run("fsadmin", "--home", str(path), "add-user", "first").returncode == 0
    return path


@pytest.fixture
def prepared(_home: Path, tmp_path: Path) -> Path:
    """A data directory with keys and one account, for one test alone."""
    return shutil.copytree(_home, tmp_path / "home")


# --- ending


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order_on_a_signal(prepared, number):
    with RunningServer.start(prepared) as server:
        with socket.create_connection((server.address.host, server.address.port)):
            server.process.send_signal(number)
            assert server.process.wait() == 0
        assert "Traceback" not in server.log
        assert server.log.splitlines()[-1].endswith("stopped")


def test_after_a_crash_it_starts_again_where_and_as_what_it_was(prepared):
    with RunningServer.start(prepared) as before:
        assert before.kill() == -signal.SIGKILL
    with before.restart() as after:
        assert (after.address, after.host_key) == (before.address, before.host_key)
        assert "first" in after.admin("list-users").stdout
        assert after.stop() == 0


def test_a_home_that_was_moved_starts_with_its_own_database(prepared, tmp_path):
    with RunningServer.start(prepared) as server:
        server.stop()
    with RunningServer.start(prepared.rename(tmp_path / "elsewhere")) as server:
        assert "first" in server.admin("list-users").stdout


def test_stopping_a_server_that_never_became_ready_tells_its_log(prepared):
    with pytest.raises(NotReadyError, match="Cannot listen"):
        RunningServer.start(prepared, listen="192.0.2.1:0")


# --- log and files


def test_logs_in_json_are_json_on_every_line_and_hold_no_secret(prepared):
    with RunningServer.start(prepared, "--log-format", "json") as server:
        person = enrol_person(server, "alice")
        code = Authenticator(person).fresh()
        alice = ServiceUser(identity("alice"), OtpSetting(person["secret"]))
        link = EnrollLink("alice", server.address, server.host_key)
        with ServerConnection(link) as connection:
            signature = alice.signature(labels.SIGN_ENROLL, connection.channel_id)
            welcome = connection.call(alice.enrolment(code, signature=signature), Welcome)
        with ServerConnection(link) as connection, pytest.raises(LoginRefused):
            connection.call(alice.login(code), Welcome)
        with ServerConnection(link) as connection, pytest.raises(LoginRefused):
            connection.call(alice.login(code, user='x\n{"event": "forged"}'), Welcome)
        with pytest.raises(HostKeyError):
            ServerConnection(EnrollLink("alice", server.address, f"SHA256:{'A' * 43}"))
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert all({"time", "level", "event"} <= set(line) for line in lines)
    events = [line["event"] for line in lines]
    assert events.count("login refused") == 2
    assert {"ready", "logged in", "stopped"} <= set(events)
    assert "forged" not in server.log
    refused = next(line for line in lines if line["event"] == "login refused")
    assert (refused["user"], refused["address"]) == ("alice", "127.0.0.1")
    ticket, master = welcome.ticket or b"", (server.home / "master.key").read_bytes()
    for secret in (person["secret"], code, ticket.hex(), master.hex(), str(ticket), str(master)):
        assert secret not in server.log


def test_nothing_in_the_home_can_be_read_by_others(shared_server):
    for folder, folders, files in os.walk(shared_server.home):
        for name in (*folders, *files):
            path = Path(folder, name)
            assert path.stat().st_mode & 0o077 == 0, path


# --- on PostgreSQL


def test_people_are_kept_in_the_database_it_was_given(postgres, prepared):
    url = postgres.new_database()
    with RunningServer.start(prepared, database=url) as server:
        enrol_person(server, "alice")
        forgotten = run("fsadmin", "--home", str(server.home), "list-users")
        assert (forgotten.returncode, forgotten.stdout) == (2, "")
        assert "--database" in forgotten.stderr
        assert server.stop() == 0
    with RunningServer.start(prepared, database=url) as server:
        assert "alice" in server.admin("list-users").stdout
