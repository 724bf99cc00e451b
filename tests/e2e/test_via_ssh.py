"""The native protocol over SSH: OpenSSH as the program of `--via`, and a server with SSH access."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client_processes import LOGIN, SECURITY, UNREACHABLE, USAGE, Ran, admin
from tests.support.ssh_servers import OpenSsh, SshServer, Visitor
from tests.support.world import until


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    door = SshServer.start(tmp_path_factory.mktemp("ssh") / "home")
    with door.server:
        yield door


class Traveller:
    """A person whose client reaches the server only through OpenSSH."""

    def __init__(self, door: SshServer, folder: Path) -> None:
        self.visitor = Visitor.enrolled(door.server, f"t{folder.name[-8:]}".lower(), folder)
        self.client = self.visitor.client
        self.ssh = OpenSsh(door, self.visitor)
        self.client.quick("logout").ok()
        # Nothing listens at the profile's port now, so only SSH reaches the server.
        facts = json.loads((self.client.profile / "profile.json").read_text())
        self.client.profile.joinpath("profile.json").write_text(json.dumps({**facts, "port": 1}))

    def via(self, *, key: bool = True, subsystem: str = "fs") -> str:
        options = self.ssh.options(key=key)
        return shlex.join(["ssh", *options, "-s", self.ssh.where, subsystem])

    def run(self, *args: str | Path, code: str = "", **env: str) -> Ran:
        """Run a command; `code` answers OpenSSH's question, if it asks."""
        self.ssh.answer.write_text(f"{code}\n")
        extra = {k: v for k, v in self.ssh.environment.items() if k.startswith(("SSH", "DISPLAY"))}
        return self.client.run(*args, given=None, cwd=None, before=None, **{**extra, **env})


@pytest.fixture
def traveller(door: SshServer, tmp_path: Path) -> Traveller:
    return Traveller(door, tmp_path / f"{tmp_path.name[-8:]}")


def test_one_code_gets_in_over_ssh_and_inside_and_what_follows_needs_none(door, traveller):
    client = traveller.client
    traveller.run("--via", traveller.via(), "login", code=traveller.visitor.code()).ok()
    content = bytes(range(256)) * 8192
    client.write("report.bin", content)
    for args in (("put", "report.bin"), ("ls", "-l"), ("get", "report.bin", "back.bin")):
        traveller.run(*args).ok()  # the profile keeps the `--via` program
    assert (client.folder / "back.bin").read_bytes() == content
    assert len(traveller.visitor.codes) == 9
    assert admin(door.server, "show-user", client.name)["recovery_codes"] == 9
    assert sorted(each.split()[0] for each in door.doors(client.name)) == ["native", "ssh"]


def test_a_session_over_ssh_alone_starts_no_native_session(door, traveller):
    """A client with a running SSH session and the identity key still needs a code for the login."""
    client = traveller.client
    traveller.run("--via", traveller.via(), "login", code=traveller.visitor.code()).ok()
    traveller.run("logout").ok()
    traveller.run("ls").fails(LOGIN)
    traveller.run("ls", "--otp", traveller.visitor.code()).ok()
    assert client.name


def test_a_code_allows_one_native_login_over_an_ssh_connection(door, traveller, tmp_path):
    control = (
        "-o",
        "ControlMaster=auto",
        "-o",
        f"ControlPath={tmp_path}/c",
        "-o",
        "ControlPersist=20",
    )
    via = traveller.via().replace("ssh ", f"ssh {shlex.join(control)} ", 1)
    try:
        traveller.run("--via", via, "ls", code=traveller.visitor.code()).ok()
        (traveller.client.profile / "session").unlink()
        traveller.run("--via", via, "ls").fails(LOGIN)
        traveller.run("--via", via, "ls", "--otp", traveller.visitor.code()).ok()
        logins = [
            detail for event, detail in door.events(traveller.client.name) if event == "login"
        ]
        assert logins == ["door=ssh", "", ""]  # all commands use one SSH connection
    finally:
        subprocess.run(["ssh", *control, "-O", "exit", traveller.ssh.where], check=False)


def test_the_code_of_an_ssh_connection_logs_in_no_other_user(door, traveller, tmp_path):
    other = Traveller(door, tmp_path / "other")
    other.ssh.answer.write_text(other.visitor.code())
    asks = {key: other.ssh.environment[key] for key in ("SSH_ASKPASS", "SSH_ASKPASS_REQUIRE")}
    traveller.run("--via", other.via(), "ls", **asks).fails(LOGIN)
    assert door.doors(traveller.client.name) == []
    assert [each.split()[0] for each in door.doors(other.client.name)] == ["ssh"]


def test_without_a_key_ssh_asks_each_time(door, traveller):
    via = traveller.via(key=False)
    traveller.run("--via", via, "ls", code=traveller.visitor.code()).ok()
    traveller.run("--via", via, "ls").fails(UNREACHABLE, "Permission denied")
    traveller.run("--via", via, "ls", code=traveller.visitor.code()).ok()
    until(lambda: door.doors(traveller.client.name) == ["native"], "no session over SSH is left")


FAILURES = {
    "no-such-program --at all": (UNREACHABLE, "there is no such program"),
    "false": (UNREACHABLE, "exit status 1"),
    "sh -c 'echo not today >&2; exit 3'": (
        UNREACHABLE,
        "did not reach the server: not today.",
    ),
    "sh -c 'exec >&- <&-; sleep 60'": (UNREACHABLE, "closed the connection"),
    "ssh -F none -o BatchMode=yes -p 1 -s x@127.0.0.1 fs": (UNREACHABLE, "Connection refused"),
    "cat": (SECURITY, "hello"),
    "'": (USAGE, "not a valid command line"),
}


@pytest.mark.cases(2)
@pytest.mark.parametrize("via", FAILURES)
def test_what_goes_wrong_with_the_program_is_a_sentence(traveller, via):
    status, words = FAILURES[via]
    done = traveller.run("--via", via, "ls").fails(status, words)
    assert len(done.complaints) == 1


def test_the_subsystem_of_the_drop_box_says_that_it_is_off(traveller):
    via = traveller.via(subsystem="sftp")
    traveller.run("--via", via, "ls", code=traveller.visitor.code()).fails(
        UNREACHABLE, "The drop box is off"
    )


def test_the_profile_keeps_what_login_was_given_and_an_empty_one_drops_it(traveller, door):
    kept = traveller.client.profile / "profile.json"
    via = traveller.via()
    traveller.run("login", code=traveller.visitor.code(), FSCLIENT_VIA=via).ok()
    assert json.loads(kept.read_text())["via"] == via
    traveller.run("--via", "", "ls").fails(UNREACHABLE, "Connection refused")
    facts = json.loads(kept.read_text())
    kept.write_text(json.dumps({**facts, "port": door.server.address.port}))
    traveller.run("--via", "", "login", "--otp", traveller.visitor.code()).ok()
    assert "via" not in json.loads(kept.read_text())


def test_an_upload_in_flight_is_finished_before_the_server_ends(tmp_path):
    door = SshServer.start(tmp_path / "home")
    with door.server:
        traveller = Traveller(door, tmp_path / "drained")
        traveller.run("--via", traveller.via(), "login", code=traveller.visitor.code()).ok()
        traveller.client.write("large.bin", bytes(48 << 20))
        putting = traveller.client.start("put", "large.bin")
        uploads = door.server.home / "blobs"
        until(lambda: any(path.is_file() for path in uploads.rglob("*")), "it is under way")
        door.server.process.send_signal(signal.SIGTERM)
        assert door.server._ended() == 0
        out, err = putting.communicate(timeout=60)
        assert putting.returncode == 0, (out, err)


def test_openssh_gets_in_by_code_then_by_key_and_is_told_that_there_is_no_shell(door, tmp_path):
    visitor = Visitor.enrolled(door.server, "olga", tmp_path / "olga")
    ssh = OpenSsh(door, visitor)
    first = ssh.run(ssh.where, "true", code=visitor.code())
    assert (first.returncode, first.stdout) == (1, "")
    assert "There is no shell here" in first.stderr
    second = ssh.run(ssh.where, "true")
    assert second.returncode == 1
    assert "There is no shell here" in second.stderr
    wrong = ssh.run(ssh.where, "true", code="000000", key=False)
    assert wrong.returncode == 255
    assert "Permission denied" in wrong.stderr
    known = subprocess.run(
        ["ssh-keygen", "-l", "-f", visitor.client.home / "known_hosts"],
        capture_output=True, encoding="utf-8", check=True,
    ).stdout  # fmt: skip
    assert door.fingerprints[0] in known
    assert admin(door.server, "host-key")["ssh"] == dict(
        zip(("ED25519", "RSA"), door.fingerprints, strict=True)
    )
