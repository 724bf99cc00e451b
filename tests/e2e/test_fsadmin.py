"""fsadmin as an administrator runs it: a separate process, with or without a running server."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import segno

from fsclient.connection.connection import ServerConnection
from fsd.auth.otp import OtpSetting
from fsproto import labels
from fsproto.errors import ConnectionLost, FsError, LoginRefused
from fsproto.keylog.head import KeyLogHead, pack_log_head
from fsproto.link import parse_link
from fsproto.messages import Done
from fsproto.messages.account import GetStatus, Status, Welcome
from fsproto.packing import unpack
from tests.support.programs import Process, start_program
from tests.support.servers import ROOT, Authenticator, RunningServer, enrol_person, environment, run
from tests.support.services import ServiceUser, identity

PASSPHRASE = {"FSADMIN_PASSPHRASE": "a passphrase"}
HANDED_OVER = {"user", "secret", "otpauth_uri", "enroll_link"}


# --- without a server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that no fsd has ever used, with one account."""
    path = tmp_path_factory.mktemp("alone") / "home"
    assert admin(path, "add-user", "first").returncode == 0
    return path


def admin(home: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run("fsadmin", "--home", str(home), *args, env=env)


def test_a_first_person_is_added_to_a_home_that_was_not_there(tmp_path):
    home = tmp_path / "new" / "home"
    added = admin(home, "add-user", "first", "--json")
    created = f"Created a NEW server in {home}.\n"
    assert (added.returncode, added.stderr) == (0, created)
    handed = json.loads(added.stdout)
    assert set(handed) == HANDED_OVER
    link = parse_link(handed["enroll_link"])
    assert (link.user, str(link.address)) == ("first", "127.0.0.1:65432")
    assert link.host_key == admin(home, "host-key").stdout.strip()
    assert handed["secret"] in handed["otpauth_uri"]
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.cases(4)
@pytest.mark.parametrize(
    "command",
    [
        "list-users",
        "show-user alice",
        "remove-user alice --yes",
        "host-key",
        "rotate-host-key --yes",
        "check",
        "audit verify",
        "sessions",
        "list-groups",
        "backup {}/backup",
        "db current",
        "doctor",
    ],
)
def test_a_missing_data_directory_is_reported_and_not_created(tmp_path, command):
    home = tmp_path / "typo"
    asked = run("fsadmin", "--home", str(home), *command.format(tmp_path).split(), env=PASSPHRASE)
    assert asked.returncode != 0
    assert "There is no server data" in asked.stdout + asked.stderr
    assert not list(tmp_path.iterdir())


def test_what_is_printed_for_people_is_everything_they_need(home):
    added = admin(home, "add-user", "printed", "--issuer", "our files")
    assert added.returncode == 0
    shown = dict(line.split(maxsplit=1) for line in added.stdout.splitlines()[:4])
    assert shown["User"] == "printed"
    assert shown["Secret"] in shown["URI"]
    assert parse_link(shown["Link"]).user == "printed"
    assert shown["Secret"] not in shown["Link"]
    assert f"fsclient enroll '{shown['Link']}'" in added.stdout
    assert drawn(shown["URI"]) in added.stdout


def drawn(uri: str) -> str:
    drawing = io.StringIO()
    segno.make(uri, micro=False).terminal(drawing, compact=True)
    return drawing.getvalue()


def test_a_terminal_without_blocks_is_no_trouble(home):
    added = admin(home, "add-user", "ascii", PYTHONIOENCODING="ascii")
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout.isascii()
    assert "Secret" in added.stdout


QUESTION = b"[y/N]: "


def on_terminal(
    home: Path, *args: str, columns: int = 100, answer: str | signal.Signals = ""
) -> tuple[int, str]:
    """Run fsadmin on a terminal and answer its question; return its exit status and the screen."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    process = start_program(
        [sys.executable, "-m", "fsadmin", "--home", str(home), *args],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(),
        cwd=ROOT,
    )
    os.close(theirs)
    screen = bytearray()
    asked = False
    with suppress(OSError):  # Linux raises EIO when all descriptors of the other end are closed
        while more := os.read(ours, 1 << 16):
            screen += more
            if QUESTION in screen and not asked:
                asked = True
                if isinstance(answer, signal.Signals):
                    threading.Thread(target=_insist, args=(process, answer)).start()
                else:
                    os.write(ours, answer.encode())
    os.close(ours)
    return process.wait(), screen.decode().replace("\r\n", "\n")


def _insist(process: Process, number: signal.Signals) -> None:
    """Repeat a signal until the process ends: one between question and read has no effect yet."""
    while process.poll() is None:
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)


def test_a_qr_code_on_a_terminal_brings_its_own_black_and_white(home):
    status, screen = on_terminal(home, "add-user", "coloured")
    assert status == 0
    uri = next(line.split()[1] for line in screen.splitlines() if line.startswith("URI"))
    for line in drawn(uri).splitlines():
        assert f"\x1b[38;5;231;48;5;16m{line}\x1b[0m" in screen


def test_a_qr_code_too_wide_for_the_terminal_is_left_out(home):
    status, screen = on_terminal(home, "add-user", "narrow", columns=30)
    assert status == 0
    assert "\u2588" not in screen
    assert "typed instead" in screen


def test_without_a_terminal_to_ask_on_nothing_is_deleted(home):
    for command in ("remove-user", "reset-keys"):
        asked = admin(home, command, "first")
        assert (asked.returncode, asked.stdout) == (2, "")
        assert "--yes" in asked.stderr
    assert admin(home, "show-user", "first").returncode == 0


def test_a_no_on_the_terminal_keeps_the_account_and_a_yes_deletes_it(home):
    admin(home, "add-user", "asked")
    status, screen = on_terminal(home, "remove-user", "asked", answer="n\n")
    assert status == 1
    assert "Delete asked with 0 files (0 B stored)? [y/N]" in screen
    assert "nothing was changed" in screen
    status, screen = on_terminal(home, "remove-user", "asked", answer="y\n")
    last = screen.splitlines()[-1]
    assert (status, last) == (0, "asked was removed, with 0 files (0 B stored).")
    assert admin(home, "show-user", "asked").returncode == 5


def test_control_c_at_the_question_deletes_nothing(home):
    status, _ = on_terminal(home, "remove-user", "first", answer=signal.SIGINT)
    # The signal is repeated until the program ends, so the last one may arrive during its end.
    assert status in (130, -signal.SIGINT)
    assert admin(home, "show-user", "first").returncode == 0


def test_exit_statuses_are_those_of_the_errors(home):
    statuses = {
        command: admin(home, *command.split()).returncode
        for command in (
            "show-user nobody",
            "add-user first",
            "add-user First",
            "add-user bob --digits 5",
        )
    }
    assert list(statuses.values()) == [5, 8, 2, 2]


def test_home_and_database_may_come_from_the_environment(tmp_path):
    where = {"FSD_HOME": str(tmp_path / "home"), "FSD_DATABASE": f"sqlite:///{tmp_path}/other.db"}
    assert run("fsadmin", "add-user", "alice", env=where).returncode == 0
    assert (tmp_path / "other.db").exists()
    assert not (tmp_path / "home" / "fsd.db").exists()
    listed = run("fsadmin", "list-users", "--json", env=where)
    assert [person["user"] for person in json.loads(listed.stdout)] == ["alice"]


def test_the_schema_is_shown_and_upgraded(tmp_path):
    upgraded = json.loads(admin(tmp_path / "home", "db", "upgrade", "--json").stdout)
    assert upgraded["before"] is None
    assert upgraded["current"] == upgraded["head"]
    shown = admin(tmp_path / "home", "db", "current")
    head = upgraded["head"]
    assert shown.stdout == f"The database is at {head}; this version needs {head}.\n"


def test_a_reader_who_goes_away_is_no_trouble(home):
    process = start_program(
        [sys.executable, "-m", "fsadmin", "--home", str(home), "list-users"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
        encoding="utf-8",
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait() == 141


def test_a_damaged_host_key_is_reported_and_the_next_start_restores_it(tmp_path, home):
    shutil.copytree(home, tmp_path / "home")
    (tmp_path / "home" / "host.key").write_bytes(b"damaged")
    ended = run("fsadmin", "--home", str(tmp_path / "home"), "host-key")
    assert (ended.returncode, ended.stdout) == (7, "")
    assert ended.stderr.splitlines()[-1].endswith("host.key is not a host key.")
    with RunningServer.start(tmp_path / "home") as server:
        assert server.host_key == admin(home, "host-key").stdout.strip()
        assert "differed from the database" in server.log


# --- with a running server


class Member(ServiceUser):
    """A person who speaks to a running server."""

    def __init__(self, person: dict[str, str], server: RunningServer) -> None:
        super().__init__(identity(person["user"]), OtpSetting(person["secret"]))
        self.link = parse_link(person["enroll_link"])
        self.app = Authenticator(person)
        assert (self.link.address, self.link.host_key) == (server.address, server.host_key)

    def enrol_there(self) -> ServerConnection:
        connection = ServerConnection(self.link)
        signature = self.signature(labels.SIGN_ENROLL, connection.channel_id)
        ask = self.enrolment(self.app.fresh(), signature=signature)
        welcome = connection.call(ask, Welcome)
        head = unpack(welcome.log.payload, KeyLogHead)
        self.ticket, self.log_head = welcome.ticket or b"", pack_log_head(head.size, head.root)
        return connection

    def log_in(self, *, with_ticket: bool = False) -> ServerConnection:
        connection = ServerConnection(self.link)
        signature = self.signature(labels.SIGN_LOGIN, connection.channel_id)
        code, ticket = (None, self.ticket) if with_ticket else (self.app.fresh(), None)
        try:
            connection.call(self.login(code, ticket, signature=signature), Welcome)
        except FsError:
            connection.close()
            raise
        return connection


def assert_ended(connection: ServerConnection) -> None:
    """Send requests until the server ends the connection; it checks sessions once a second."""
    ask = partial(connection.call, GetStatus(), Status)
    with pytest.raises(ConnectionLost):
        deque(iter(ask, None), maxlen=0)


def test_a_person_enrols_and_the_administrator_sees_the_same_fingerprint(shared_server):
    person = enrol_person(shared_server, "seen")
    assert set(person) == HANDED_OVER
    member = Member(person, shared_server)
    with member.enrol_there() as connection:
        assert connection.call(GetStatus(), Status).files == 0
        shown = json.loads(shared_server.admin("show-user", "seen", "--json").stdout)
    assert shown["fingerprint"] == member.identity.bundle.fingerprint
    assert (shown["enrolled"], shown["sessions"]) == (True, 1)
    assert member.identity.bundle.fingerprint in shared_server.admin("list-users", "-l").stdout


def test_disabling_counts_at_once_also_for_a_connection_that_is_open(shared_server):
    member = Member(enrol_person(shared_server, "disabled"), shared_server)
    with member.enrol_there() as connection:
        assert shared_server.admin("disable-user", "disabled").returncode == 0
        assert_ended(connection)
    with pytest.raises(LoginRefused):
        member.log_in(with_ticket=True)
    with pytest.raises(LoginRefused):
        member.log_in()
    assert shared_server.admin("enable-user", "disabled").returncode == 0
    member.log_in().close()


def test_a_new_secret_counts_at_once(shared_server):
    member = Member(enrol_person(shared_server, "rotated"), shared_server)
    member.enrol_there().close()
    rotated = json.loads(shared_server.admin("rotate-secret", "rotated", "--now", "--json").stdout)
    assert set(rotated) == HANDED_OVER
    with pytest.raises(LoginRefused):
        member.log_in()
    fresh = Authenticator(rotated)
    fresh.skip(member.app)
    member.app = fresh
    member.log_in().close()
    member.log_in(with_ticket=True).close()


def test_reset_keys_lets_a_person_enrol_with_other_ones(shared_server):
    person = enrol_person(shared_server, "reset")
    member = Member(person, shared_server)
    member.enrol_there().close()
    reset = shared_server.admin("reset-keys", "reset", "--yes", "--json")
    assert json.loads(reset.stdout)["enrolled"] is False
    with pytest.raises(LoginRefused):
        member.log_in(with_ticket=True)
    renewed = Member(person, shared_server)
    renewed.app = member.app
    renewed.identity = identity("reset", "other")
    renewed.__post_init__()
    renewed.enrol_there().close()
    shown = json.loads(shared_server.admin("show-user", "reset", "--json").stdout)
    assert shown["fingerprint"] == renewed.identity.bundle.fingerprint


def test_a_person_is_removed_with_everything_while_logged_in(shared_server):
    member = Member(enrol_person(shared_server, "gone"), shared_server)
    with member.enrol_there() as connection:
        change = member.change("small", b"sealed")
        assert isinstance(connection.call(change, Done), Done)
        shown = json.loads(shared_server.admin("show-user", "gone", "--json").stdout)
        assert (shown["files"], shown["stored_bytes"]) == (1, 6)
        removed = shared_server.admin("remove-user", "gone", "--yes", "--json")
        told = json.loads(removed.stdout)
        assert (told["user"], told["removed"]) == ("gone", True)
        assert (told["files"], told["stored_bytes"], told["shared"]) == (1, 6, 0)
        assert_ended(connection)
    assert shared_server.admin("show-user", "gone").returncode == 5
    again = Member(enrol_person(shared_server, "gone"), shared_server)
    with again.enrol_there() as connection:
        assert connection.call(GetStatus(), Status).files == 0
