"""Enrolment, login and logout, and the files that the client keeps for them on disk."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.client_processes import (
    CONFLICT,
    LOGIN,
    NOT_FOUND,
    SECURITY,
    UNREACHABLE,
    USAGE,
    Client,
    Cutter,
    Terminal,
    admin,
    fingerprint_at,
    finish,
    without_root,
)
from tests.support.servers import code

WELCOME = 3
"""The server's messages on a connection: its hello, its confirmation, and the answer to a login."""


@pytest.fixture(scope="module")
def settled(newcomer: Callable[[], Client]) -> Client:
    """An enrolled person for this file alone."""
    return newcomer().enrol()


@pytest.fixture
def copied(settled: Client, tmp_path: Path) -> Client:
    """The same person with a copy of the client's folder, which the test may break."""
    import copy

    own = copy.copy(settled)
    own.home = tmp_path / "home"
    shutil.copytree(settled.home, own.home)
    return own


# --- enrolling


def test_a_link_and_a_code_are_all_it_takes(newcomer):
    client = newcomer()
    done = client.run("enroll", client.link, "--no-passphrase", "--otp", client.app.fresh()).ok()
    fingerprint = fingerprint_at(client.server, client.name)
    assert done.lines == [f"fingerprint {fingerprint}"]
    assert f"{client.name} is enrolled at {client.server.address}" in done.err
    assert str(client.profile) in done.err
    assert client.names() == []
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in client.home.rglob("*")}
    assert modes.pop("profiles") == modes.pop("default") == 0o700
    assert modes == dict.fromkeys(
        ["identity.key", "memory.db", "people.db", "profile.json", "session", "use.lock"],
        0o600,
    )


def test_without_a_terminal_and_a_code_nothing_is_started(newcomer):
    client = newcomer()
    client.run("enroll", client.link, "--no-passphrase").fails(LOGIN, "--otp", "terminal")
    client.run("enroll", client.link).fails(USAGE, "FSCLIENT_PASSPHRASE", "--no-passphrase")
    assert not list(client.home.rglob("*.key"))


def test_a_wrong_code_is_refused_and_the_right_one_is_taken_after_it(newcomer):
    client = newcomer()
    enroll = "enroll", client.link, "--no-passphrase", "--otp"
    far_off = code(client.added["secret"], -50)
    client.run(*enroll, far_off).fails(LOGIN, "one-time password")
    assert not list(client.home.rglob("*.key"))
    client.run(*enroll, client.app.fresh()).ok()


def test_a_profile_is_enrolled_once_and_another_name_makes_another(settled, newcomer):
    other = newcomer()
    other.home = settled.home
    enroll = "enroll", other.link, "--no-passphrase", "--otp", other.app.fresh()
    other.run(*enroll).fails(CONFLICT, "default", settled.name, "--profile")
    other.run("--profile", "second", *enroll).ok()
    assert settled.quick("--json", "whoami").json()["user"] == settled.name
    assert settled.quick("--json", "whoami", "--profile", "second").json()["user"] == other.name
    assert settled.run("whoami", FSCLIENT_PROFILE="second").lines[0].split() == ["user", other.name]


def test_with_a_passphrase_the_identity_does_not_open_without_it(newcomer):
    client = newcomer()
    phrase = "entre deux mots, le moindre ☂"
    client.run("enroll", client.link, "--otp", client.app.fresh(), FSCLIENT_PASSPHRASE=phrase).ok()
    client.run("ls").fails(LOGIN, "FSCLIENT_PASSPHRASE")
    client.run("ls", FSCLIENT_PASSPHRASE="another").fails(LOGIN, "passphrase")
    client.run("ls", FSCLIENT_PASSPHRASE=phrase).ok()
    client.run("whoami", FSCLIENT_PASSPHRASE=phrase).ok()


def test_the_passphrase_is_changed_set_and_removed(newcomer):
    client = newcomer()
    enroll = "enroll", client.link, "--otp", client.app.fresh()
    client.run(*enroll, FSCLIENT_PASSPHRASE="old").ok()
    keyfile = client.profile / "identity.key"
    change = {"FSCLIENT_PASSPHRASE": "old", "FSCLIENT_NEW_PASSPHRASE": "new"}
    wrong = change | {"FSCLIENT_PASSPHRASE": "older"}
    before = keyfile.read_bytes()
    client.run("keys", "passphrase", **wrong).fails(LOGIN, "passphrase", "keys recover")
    client.run("keys", "passphrase", FSCLIENT_PASSPHRASE="old").fails(USAGE, "NEW_PASSPHRASE")
    assert keyfile.read_bytes() == before
    client.run("keys", "passphrase", **change).ok()
    client.run("ls", FSCLIENT_PASSPHRASE="old").fails(LOGIN, "passphrase")
    client.run("ls", FSCLIENT_PASSPHRASE="new").ok()
    client.run("keys", "passphrase", "--no-passphrase", FSCLIENT_PASSPHRASE="new").ok()
    client.quick("ls").ok()
    client.run("keys", "passphrase", FSCLIENT_NEW_PASSPHRASE="last").ok()
    client.run("ls").fails(LOGIN, "FSCLIENT_PASSPHRASE")
    assert keyfile.stat().st_mode & 0o777 == 0o600
    shutil.copy(keyfile, keyfile.with_name("identity.next"))
    again = {"FSCLIENT_PASSPHRASE": "last", "FSCLIENT_NEW_PASSPHRASE": "x"}
    client.run("keys", "passphrase", **again).fails(CONFLICT, "fsclient login")
    client.run("ls", FSCLIENT_PASSPHRASE="last").ok()  # settles the rotation
    client.run("keys", "passphrase", **again).ok()


def test_in_the_shell_a_changed_passphrase_counts_for_the_rest(newcomer):
    client = newcomer()
    client.run("enroll", client.link, "--otp", client.app.fresh(), FSCLIENT_PASSPHRASE="old").ok()
    script = f"keys passphrase\nkeys rotate --otp {client.app.fresh()}\n".encode()
    phrases = {"FSCLIENT_PASSPHRASE": "old", "FSCLIENT_NEW_PASSPHRASE": "new"}
    client.run("shell", given=script, **phrases).ok()
    client.run("ls", FSCLIENT_PASSPHRASE="new").ok()


def test_a_person_has_three_tries_for_the_passphrase(newcomer):
    client = newcomer()
    client.run("enroll", client.link, "--otp", client.app.fresh(), FSCLIENT_PASSPHRASE="right").ok()
    with Terminal(client, "whoami") as terminal:
        for attempt in ("one", "two", "right"):
            terminal.wait_for("Passphrase of your identity")
            terminal.type(f"{attempt}\r")
        assert terminal.ends() == 0
    with Terminal(client, "whoami") as terminal:
        for attempt in ("one", "two", "three"):
            terminal.wait_for("Passphrase of your identity")
            terminal.type(f"{attempt}\r")
        assert terminal.ends() == LOGIN
        assert "keys recover" in terminal.shown


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    "link",
    [
        "",
        "alice",
        "https://example.org/",
        "fs://alice@127.0.0.1:1",
        "fs://alice@127.0.0.1:1/?host-key=SHA256:short",
        "fs://ALICE@127.0.0.1:1/?host-key=SHA256:" + "A" * 43,
        "fs://alice@127.0.0.1:99999/?host-key=SHA256:" + "A" * 43,
    ],
)
def test_an_invalid_link_is_reported(settled, tmp_path, link):
    enroll = "enroll", link, "--no-passphrase", "--otp", "123456"
    settled.quick("--home", tmp_path / "new", *enroll).fails(USAGE)


def test_another_host_key_than_that_of_the_link_stops_everything(newcomer):
    client = newcomer()
    start, key = client.link.split("SHA256:")
    other = ("B" if key[0] != "B" else "C") + key[1:]
    enroll = "enroll", f"{start}SHA256:{other}", "--no-passphrase", "--otp", client.app.fresh()
    client.run(*enroll).fails(SECURITY, "HOST KEY", key, other)
    assert fingerprint_at(client.server, client.name) is None


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)


@pytest.fixture
def web_port() -> Iterator[int]:
    """The port of a web server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def closing_port() -> Iterator[int]:
    """The port of a listener that accepts connections and ends them at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the listener was closed
                while True:
                    with listener.accept()[0] as peer:
                        peer.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def free_port() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ("web_port", "does not speak this protocol"),
        ("closing_port", "fsd"),
        ("free_port", "cannot be reached"),
    ],
)
def test_where_no_fsd_answers_it_says_so(copied, request, port, words):
    facts = copied.profile / "profile.json"
    changed = json.loads(facts.read_text()) | {"port": request.getfixturevalue(port)}
    facts.write_text(json.dumps(changed))
    copied.quick("ls").fails(UNREACHABLE, words)


def test_an_unknown_host_is_named(copied):
    facts = copied.profile / "profile.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"host": "no-host.invalid"}))
    copied.quick("ls").fails(UNREACHABLE, "no-host.invalid")


# --- interrupted


@pytest.mark.parametrize("how", ["the connection is cut", "the client is killed"])
def test_an_enrolment_that_the_server_took_can_be_finished_with_the_same_link(newcomer, how):
    client = newcomer()
    address = str(client.server.address)
    held = threading.Event()
    at_cut = held.wait if how == "the client is killed" else bool
    with Cutter(client.server.address, WELCOME, at_cut) as cutter:
        client.added["enroll_link"] = client.link.replace(address, str(cutter.address))
        enroll = "enroll", client.link, "--no-passphrase", "--otp"
        process = client.start(*enroll, client.app.fresh())
        if how == "the client is killed":
            cutter.reached.wait()
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            held.set()
        else:
            finish(process).fails(UNREACHABLE)
        fingerprint = fingerprint_at(client.server, client.name)
        assert fingerprint is not None
        client.quick("ls").fails(NOT_FOUND, "enroll")
        # A wrong code does not discard the keys that the server has already registered.
        client.run(*enroll, code(client.added["secret"], -50)).fails(LOGIN)
        again = client.run("--json", *enroll, client.app.fresh()).ok().json()
        assert again["fingerprint"] == fingerprint
        assert client.names() == []
        client.write("a.txt", b"it works")
        client.quick("put", "a.txt").ok()
        assert client.cat("a.txt") == b"it works"


# --- sessions


def test_a_code_logs_in_once(newcomer):
    client = newcomer().enrol()
    used = client.app.fresh()
    done = client.quick("login", "--otp", used).ok()
    assert done.lines[0].startswith(f"Logged in as {client.name}; the session lasts until ")
    client.run("login", "--otp", used).fails(LOGIN, "used one-time password")
    client.quick("ls").ok()  # the session continues


def test_after_logging_out_a_code_is_needed(newcomer):
    client = newcomer().enrol()
    assert client.quick("logout").ok().err == "Logged out.\n"
    client.quick("logout").ok()
    client.run("ls").fails(LOGIN, "A one-time password is needed", "--otp CODE", "FSCLIENT_OTP")
    client.run("ls", FSCLIENT_OTP=client.app.fresh()).ok()
    client.quick("ls").ok()


def test_a_session_that_the_administrator_ended_is_over(newcomer):
    client = newcomer().enrol()
    admin(client.server, "disable-user", client.name)
    client.run("ls").fails(LOGIN)
    admin(client.server, "enable-user", client.name)
    client.run("ls").fails(LOGIN, "A one-time password is needed")


def test_a_session_is_not_tried_when_its_time_is_over(copied):
    session = copied.profile / "session"
    ticket, _ = session.read_text().split()
    session.write_text(f"{ticket} 1\n")
    copied.run("ls").fails(LOGIN, "A one-time password is needed")


@pytest.mark.cases(2)
@pytest.mark.parametrize("given", ["", "abc", "12345", "123456789"])
def test_an_impossible_code_is_not_sent(copied, given):
    copied.quick("login", "--otp", given).fails(USAGE, "6 to 8 digits")


def test_the_code_can_be_computed_from_a_secret_in_a_file(newcomer):
    client = newcomer()
    client.write("secret", f"{client.added['otpauth_uri']}\n".encode())
    enroll = "enroll", client.link, "--no-passphrase"
    client.run(*enroll, FSCLIENT_OTP_SECRET_FILE=str(client.folder / "secret")).ok()


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no secret",
        b"\xff\xfe\x00binary",
        b"otpauth://totp/x",
        b"otpauth://totp/x?secret=0189",
        b"otpauth://hotp/x?secret=JBSWY3DPEHPK3PXP",
    ],
)
def test_a_file_without_a_secret_is_reported(copied, tmp_path, content):
    (tmp_path / "secret").write_bytes(content)
    copied.quick("login", "--otp-secret-file", tmp_path / "secret").fails(USAGE, "secret'")


def test_a_secret_file_that_is_not_there_is_named(copied):
    copied.quick("login", "--otp-secret-file", "nowhere/secret").fails(NOT_FOUND, "nowhere/secret")


# --- showing


def test_whoami_does_not_need_the_server(copied):
    facts = copied.profile / "profile.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"port": 1}))
    shown = copied.quick("--json", "whoami").ok().json()
    assert shown == {
        "user": copied.name,
        "server": f"{copied.server.address.host}:1",
        "fingerprint": fingerprint_at(copied.server, copied.name),
        "host_key": copied.server.host_key,
        "profile": "default",
    }


def test_status_counts_what_is_stored(newcomer):
    client = newcomer().enrol()
    client.write("in/a", b"x" * 1000)
    client.write("in/b", b"x" * 3_000_000)
    client.quick("put", "in").ok()
    shown = client.quick("--json", "status").ok().json()
    assert (shown["user"], shown["files"], shown["folders"]) == (client.name, 2, 1)
    assert shown["stored_bytes"] > 3_001_000
    lines = client.quick("status").ok().lines
    assert lines[0].split() == ["user", client.name]
    assert lines[3].startswith("stored   2 files in 1 folder, 3.0 MB")
    assert lines[4] == "quota    none; 2.9 MiB used"


# --- changed files of a profile


DAMAGED = {
    "profile.json": {"emptied": SECURITY, "cut": SECURITY, "noise": SECURITY, "gone": NOT_FOUND},
    "identity.key": {"emptied": SECURITY, "cut": SECURITY, "noise": SECURITY, "gone": NOT_FOUND},
    "session": {"emptied": LOGIN, "cut": LOGIN, "noise": LOGIN, "gone": LOGIN},
    "memory.db": {"cut": SECURITY, "noise": SECURITY},
}


@pytest.mark.cases(5)
@pytest.mark.parametrize(
    ("name", "how", "status"),
    [(name, how, status) for name, ways in DAMAGED.items() for how, status in ways.items()],
)
def test_a_damaged_data_directory_is_reported_in_a_sentence(copied, name, how, status):
    path = copied.profile / name
    if how == "gone":
        path.unlink()
    else:
        was = path.read_bytes()
        path.write_bytes({"emptied": b"", "cut": was[: len(was) // 2], "noise": b"\x9d" * 200}[how])
    copied.quick("ls").fails(status)


@pytest.mark.cases(2)
@pytest.mark.parametrize("name", ["profile.json", "identity.key", "session", "memory.db"])
def test_a_folder_in_place_of_a_file_is_reported_in_a_sentence(copied, name):
    path = copied.profile / name
    path.unlink()
    path.mkdir()
    copied.quick("ls").fails(USAGE, "move away")


def test_an_unreadable_data_directory_is_reported_in_a_sentence(copied):
    (copied.profile / "profile.json").chmod(0)
    copied.run("ls", before=without_root).fails(6, "profile.json")


def test_a_data_directory_that_cannot_be_created_is_reported_in_a_sentence(newcomer, tmp_path):
    client = newcomer()
    (tmp_path / "file").touch()
    enroll = "enroll", client.link, "--no-passphrase", "--otp", "123456"
    client.run(*enroll, FSCLIENT_HOME=str(tmp_path / "file" / "home")).fails(NOT_FOUND)
    (tmp_path / "closed").mkdir(mode=0o500)
    closed = str(tmp_path / "closed" / "home")
    client.run(*enroll, FSCLIENT_HOME=closed, before=without_root).fails(6, "closed")


@pytest.mark.parametrize("name", ["nobody", "other.one"])
def test_a_profile_that_is_not_there_says_how_to_enrol(settled, name):
    settled.quick("ls", "--profile", name).fails(NOT_FOUND, name, "fsclient enroll LINK")


@pytest.mark.cases(3)
@pytest.mark.parametrize("name", [".", "..", "", "a/b", "-x", "a" * 65, "ü"])
def test_an_invalid_profile_name_is_reported(settled, name):
    settled.quick("ls", f"--profile={name}").fails(USAGE, "profile")


def test_status_says_what_is_still_to_do_until_it_is_done(newcomer):
    client = newcomer().enrol()
    first = client.quick("status").ok().lines
    assert [line.split()[-1] for line in first if "fsclient " in line] == ["not", "lost"]
    assert all(len(line) <= 80 for line in first)
    client.quick("--otp", client.app.fresh(), "keys", "backup").ok()
    second = client.quick("status").ok().text
    assert "keys backup" not in second
    assert "recovery-codes" in second
    client.quick("--otp", client.app.fresh(), "recovery-codes").ok()
    assert "to do" not in client.quick("status").ok().text
    client.quick("--otp", client.app.fresh(), "keys", "rotate").ok()
    assert "keys backup" in client.quick("status").ok().text  # the backup has the former keys
    told = client.quick("--json", "status").ok().json()
    assert (told["key_backup"], told["recovery_codes"]) == (False, 10)
