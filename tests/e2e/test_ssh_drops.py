"""Stock SFTP clients drop files through a running server's SSH listener: by code and by key."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from tests.support.client_processes import PATIENCE_S, admin
from tests.support.gateways import needed
from tests.support.sample_tree import files_in
from tests.support.servers import environment
from tests.support.ssh_servers import SshServer, Visitor, give_code, is_in, new_key
from tests.support.world import until

CONTENT = bytes(range(256)) * 9000


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    home = tmp_path_factory.mktemp("drops") / "home"
    door = SshServer.start(home, "--set", "drop_box=true")
    with door.server:
        yield door


@pytest.fixture
def person(door: SshServer, tmp_path: Path) -> Visitor:
    return Visitor.enrolled(door.server, f"p{tmp_path.name[-8:]}".lower(), tmp_path / "person")


@pytest.fixture
def scanner(door: SshServer, person: Visitor, tmp_path: Path) -> Path:
    """The private key of a device that may drop files for the person."""
    folder = tmp_path / "scanner"
    folder.mkdir()
    new_key(folder)
    admin(
        door.server, "add-drop-key", person.name, str(folder / "ssh_key.pub"), "--note", "2nd floor"
    )
    return folder / "ssh_key"


def options(door: SshServer, key: Path) -> list[str]:
    return [
        *("-F", "none", "-o", "IdentitiesOnly=yes", "-i", str(key), "-o", "BatchMode=yes"),
        *("-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={key}.known"),
        *("-o", f"Port={door.address.port}"),
    ]


def sftp(
    door: SshServer, person: Visitor, key: Path, *lines: str
) -> subprocess.CompletedProcess[str]:
    needed("sftp")
    where = f"{person.name}@{door.address.host}"
    return subprocess.run(
        ["sftp", *options(door, key), "-b", "-", where],
        input="".join(f"{line}\n" for line in lines),
        env=environment(),
        cwd=key.parent,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_device_drops_by_its_key_and_the_person_accepts(door, person, scanner):
    (scanner.parent / "page 1.pdf").write_bytes(CONTENT)
    done = sftp(door, person, scanner, 'put "page 1.pdf"', "ls -l", 'rename "page 1.pdf" first.pdf')
    assert done.returncode == 0, done.stderr
    assert str(len(CONTENT)) in done.stdout
    # The banner, which the server sends before the login.
    assert "seen by this server as it comes" in done.stderr
    waits = person.client.quick("inbox").ok().text
    assert "first.pdf" in waits
    assert "2nd floor" in waits
    person.client.quick("inbox", "accept", "--all").ok()
    assert person.client.quick("cat", "inbox/first.pdf").ok().out == CONTENT
    ((event, _),) = [one for one in door.events(person.name) if one[0] == "dropped"]
    assert event == "dropped"


def test_rclone_drops_over_several_connections_and_finds_what_it_has_dropped(
    door, person, scanner, tmp_path
):
    needed("rclone")
    top = tmp_path / "top"
    for number in range(30):
        path = top / f"{number % 3}" / f"scan {number}.pdf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT[: number * 3000])
    common = ["--config", "/dev/null", "--sftp-host", door.address.host]
    common += ["--sftp-port", str(door.address.port), "--sftp-user", person.name]
    common += ["--sftp-key-file", str(scanner), "--sftp-shell-type", "none", "--transfers", "4"]
    for _ in range(2):  # the second run has nothing left to copy
        copying = ["rclone", "copy", "-v", *common, str(top), ":sftp:top"]
        done = subprocess.run(
            copying, env=environment(), capture_output=True, encoding="utf-8",
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert "Copied (new)" not in done.stderr
    person.client.quick("inbox", "accept", "--all").ok()
    person.client.quick("get", "inbox/top", str(tmp_path / "back")).ok()
    assert files_in(tmp_path / "back") == files_in(top)


def test_nothing_can_be_read_back_and_another_login_sees_nothing(door, person, scanner, tmp_path):
    (scanner.parent / "x").write_bytes(CONTENT)
    assert sftp(door, person, scanner, "put x").returncode == 0
    same = sftp(door, person, scanner, "ls", "get x back")
    assert "x" in same.stdout
    assert same.returncode != 0
    assert "cannot be read back" in same.stderr
    with door.transport() as transport:
        give_code(transport, person.name, person.code())
        other = paramiko.SFTPClient.from_transport(transport)
        assert other is not None
        assert other.listdir() == []
        with pytest.raises(FileNotFoundError):
            other.stat("x")


def test_a_person_drops_for_themselves_with_a_code_and_then_with_their_key(door, person, tmp_path):
    with door.transport() as transport:
        transport.auth_publickey(person.name, person.key)
        give_code(transport, person.name, person.code())
        first = paramiko.SFTPClient.from_transport(transport)
        assert first is not None
        with first.open("notes", "w") as file:
            file.write("by a code")
    with door.transport() as transport:
        transport.auth_publickey(person.name, person.key)
        again = paramiko.SFTPClient.from_transport(transport)
        assert again is not None
        assert again.listdir() == ["notes"]
        again.remove("notes")
    assert person.client.quick("--json", "inbox").ok().json() == []


def test_a_key_that_drops_opens_nothing_else(door, person, scanner):
    key = paramiko.Ed25519Key.from_private_key_file(str(scanner))
    with door.transport() as transport:
        transport.auth_publickey(person.name, key)
        channel = transport.open_session(timeout=PATIENCE_S)
        channel.settimeout(PATIENCE_S)
        channel.invoke_subsystem("fs")
        assert b"may drop files, and nothing else" in channel.makefile_stderr("rb").read()
        assert channel.recv_exit_status() == 1
    assert not [each for each in door.doors(person.name) if each.startswith("ssh")]


def test_a_key_drops_for_one_person_alone(door, person, scanner, tmp_path):
    other = Visitor.enrolled(door.server, f"o{tmp_path.name[-8:]}".lower(), tmp_path / "other")
    key = paramiko.Ed25519Key.from_private_key_file(str(scanner))
    with door.transport() as transport:
        # The key is proved, and the server still requires a code.
        transport.auth_publickey(other.name, key)
        assert not transport.is_authenticated()
        assert not is_in(transport)


def ended(transport: paramiko.Transport) -> bool:
    return not transport.is_active()


@pytest.mark.parametrize("how", ["removed", "disabled"])
def test_a_removed_drop_key_ends_its_open_sessions(door, person, scanner, how):
    key = paramiko.Ed25519Key.from_private_key_file(str(scanner))
    with door.transport() as transport:
        transport.auth_publickey(person.name, key)
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        file = client.open("half", "wb")
        file.write(b"what will never be whole")
        if how == "removed":
            (known,) = admin(door.server, "list-drop-keys", "--user", person.name)
            admin(door.server, "remove-drop-key", known["fingerprint"])
        else:
            admin(door.server, "disable-user", person.name)
        until(lambda: ended(transport), "its connection ended")
    with door.transport() as transport:
        transport.auth_publickey(person.name, key)
        assert not transport.is_authenticated()
    if how == "removed":
        assert person.client.quick("--json", "inbox").ok().json() == []


def test_a_program_that_is_killed_in_mid_upload_has_dropped_nothing(door, person, scanner):
    needed("sftp")
    where = f"{person.name}@{door.address.host}"
    (scanner.parent / "whole").write_bytes(b"1")
    with (scanner.parent / "endless").open("wb") as file:
        file.truncate(1 << 40)
    process = subprocess.Popen(
        ["sftp", *options(door, scanner), "-b", "-", where],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=scanner.parent,
        env=environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"put whole\nput endless\n")
    process.stdin.flush()
    until(lambda: person.client.quick("--json", "inbox").ok().json(), "one file came")
    until(lambda: staged(door), "the other one has started")
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE_S)
    until(lambda: not staged(door), "the incomplete file was deleted")
    waits = person.client.quick("--json", "inbox").ok().json()
    assert [one["name"] for one in waits] == ["whole"]


def staged(door: SshServer) -> list[Path]:
    return list((door.server.home / "blobs" / "staging").iterdir())


def test_a_server_stops_in_order_while_files_arrive(person, door, tmp_path):
    home = tmp_path / "home"
    own = SshServer.start(home, "--set", "drop_box=true")
    with own.server:
        one = Visitor.enrolled(own.server, "one", tmp_path / "one")
        with own.transport() as transport:
            give_code(transport, "one", one.code())
            client = paramiko.SFTPClient.from_transport(transport)
            assert client is not None
            client.open("half", "wb").write(b"half")
            own.server.process.send_signal(signal.SIGTERM)
            assert own.server.process.wait(PATIENCE_S) == 0
    assert not list((home / "blobs" / "staging").iterdir())


def test_without_a_drop_box_a_client_gets_an_error(tmp_path):
    own = SshServer.start(tmp_path / "home")
    with own.server:
        one = Visitor.enrolled(own.server, "one", tmp_path / "one")
        new_key(tmp_path)
        admin(own.server, "add-drop-key", "one", str(tmp_path / "ssh_key.pub"))
        with own.transport() as transport:
            transport.auth_publickey("one", paramiko.Ed25519Key.from_private_key_file(
                str(tmp_path / "ssh_key")))  # fmt: skip
            assert not transport.is_authenticated()
            give_code(transport, "one", one.code())
            channel = transport.open_session(timeout=PATIENCE_S)
            channel.settimeout(PATIENCE_S)
            channel.invoke_subsystem("sftp")
            assert b"drop box is off" in channel.makefile_stderr("rb").read()
