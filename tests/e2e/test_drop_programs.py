"""Stock programs drop files for a person, who accepts them.

OpenSSH's own programs and lftp talk over pipes to a server that they start. The other programs use
an SSH server of this test alone, which accepts every login: authentication is tested at the real
SSH listener.
"""

from __future__ import annotations

import asyncio
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import asyncssh
import paramiko
import pytest
from sqlalchemy import func, select

from fsd import factory
from fsd.audit.log import AuditLog
from fsd.blobs.local import LocalBlobs
from fsd.check.scan import Scan
from fsd.home.home import Home
from fsd.master_key import open_vault
from fsd.net.dropbox.sftp_session import SftpSession
from fsd.policies import DropPolicy
from fsd.services.drops.service import DropService
from fsd.store.drop_models import Drop
from fsd.store.engine import Database
from fskit.clock import now_ms
from tests.support.client_processes import Client
from tests.support.drop_server import SOURCE
from tests.support.gateways import needed
from tests.support.relay import relayed
from tests.support.sample_tree import MIB, OLD_NS, files_in, make_mixed
from tests.support.servers import ROOT, environment
from tests.support.world import until


@pytest.fixture(scope="module")
def person(newcomer) -> Client:
    enrolled: Client = newcomer().enrol()
    return enrolled


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with one of each kind of file that can be dropped."""
    return make_mixed(tmp_path / "mixed")


def accepted(person: Client, folder: str, to: Path) -> dict[str, bytes]:
    """Accept all waiting drops; return the files in a folder of the inbox."""
    person.quick("inbox", "accept", "--all").ok()
    person.quick("get", f"inbox/{folder}", str(to)).ok()
    person.quick("rm", "-r", "inbox").ok()
    return files_in(to)


def box(person: Client) -> tuple[str, ...]:
    """Return the module that serves a person's drop box over pipes, and its arguments."""
    return "tests.support.drop_server", str(person.server.home), person.name


def program(person: Client, *policy: str) -> str:
    """Return the command that serves a person's drop box over pipes."""
    return shlex.join(relayed(*box(person), *policy))


def run(*command: str, given: str = "", fails: bool = False) -> str:
    ran = subprocess.run(
        command, input=given, capture_output=True, encoding="utf-8", timeout=120, check=False,
        cwd=ROOT, env=environment(),
    )  # fmt: skip
    assert (ran.returncode != 0) is fails, (ran.returncode, ran.stdout, ran.stderr)
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran.stdout + ran.stderr


def sftp(person: Client, *lines: str, policy: tuple[str, ...] = (), fails: bool = False) -> str:
    given = "".join(f"{line}\n" for line in lines)
    return run("sftp", "-b", "-", "-D", program(person, *policy), "x", given=given, fails=fails)


class _Subsystem(paramiko.SubsystemHandler):  # type: ignore[misc]
    def __init__(self, channel, name, server, drops: DropService, user: str) -> None:
        super().__init__(channel, name, server)
        self._box = drops.enter(user, SOURCE, "of this key")

    def start_subsystem(self, name, transport, channel) -> None:
        SftpSession(self._box).serve(lambda: channel.recv(1 << 18), channel.sendall)
        self._box.leave()


@contextmanager
def ssh_server(person: Client) -> Iterator[int]:
    """Yield the port of an SSH server that accepts every login and serves a person's drop box."""
    home = Home(person.server.home)
    key = paramiko.RSAKey.generate(2048)
    with (
        closing(factory.open_database(home, None)) as database,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        audit = AuditLog(open_vault(home, database), now_ms)
        drops = DropService(
            database, LocalBlobs(home.blobs), policy=DropPolicy(box=True), audit=audit,
            now_ms=now_ms, random=os.urandom,
        )  # fmt: skip
        transports: list[paramiko.Transport] = []

        def accept() -> None:
            while True:
                try:
                    came, _ = listening.accept()
                except OSError:
                    return
                transport = paramiko.Transport(came)
                transport.add_server_key(key)
                transport.set_subsystem_handler("sftp", _Subsystem, drops, person.name)
                transports.append(transport)
                with suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=_Server())

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        for transport in transports:
            transport.close()
            transport.join()


class _Server(paramiko.ServerInterface):  # type: ignore[misc]
    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)


# --- whole trees


def test_sftp(person, mixed, tmp_path):
    said = sftp(
        person,
        f"put -rp {mixed} sftp",
        "ls -l sftp/deep",
        "cd sftp",
        "pwd",
        "rename small.txt small.done",
        "rm empty",
        "mkdir q",
        "rmdir q",
        "-get small.done",
        "-ln -s a b",
        "-rm nothing",
    )
    assert "Remote working directory: /sftp" in said
    assert "cannot be read back" in said or "ermission denied" in said
    expected = files_in(mixed)
    expected["small.done"] = expected.pop("small.txt")
    del expected["empty"]
    assert accepted(person, "sftp", tmp_path / "own") == expected
    seconds = (tmp_path / "own" / "small.done").stat().st_mtime_ns // 10**9
    assert seconds == OLD_NS // 10**9


@pytest.mark.soak
def test_scp(person, mixed, tmp_path):
    wrapper = tmp_path / "server"
    wrapper.write_text(f"#!/bin/sh\ncd {ROOT} && exec {program(person)}\n")
    wrapper.chmod(0o755)
    run("scp", "-p", "-r", "-D", str(wrapper), str(mixed), "x:scp")
    assert accepted(person, "scp", tmp_path / "own") == files_in(mixed)


@pytest.mark.soak
def test_lftp(person, mixed, tmp_path):
    needed("lftp")
    # lftp gives the program a terminal, and waits busily if another process has it.
    serve = shlex.join([sys.executable, "-m", *box(person)])
    script = (
        f'set sftp:connect-program "{serve}"; set cmd:fail-exit true; '
        f"open sftp://x:x@host; mirror -R --parallel=4 {mixed} lftp; cls -l lftp"
    )
    run("lftp", "-c", script)
    assert accepted(person, "lftp", tmp_path / "own") == files_in(mixed)


def test_rclone(person, mixed, tmp_path):
    needed("rclone")
    secret = run("rclone", "obscure", "x").strip()
    with ssh_server(person) as port:
        common = [
            "--config", "/dev/null", "--sftp-host", "127.0.0.1", "--sftp-port", str(port),
            "--sftp-user", "x", "--sftp-pass", secret, "--sftp-shell-type", "none",
        ]  # fmt: skip
        run("rclone", "copy", "--transfers", "4", *common, str(mixed), ":sftp:rclone")
    assert accepted(person, "rclone", tmp_path / "own") == files_in(mixed)


def test_paramiko_and_asyncssh(person, mixed, tmp_path):
    with ssh_server(person) as port:
        transport = paramiko.Transport(("127.0.0.1", port))
        with closing(transport):
            transport.connect(username="x", password="x")
            client = paramiko.SFTPClient.from_transport(transport)
            assert client is not None
            client.mkdir("libraries")
            seen = client.put(str(mixed / "deep/er/large.bin"), "libraries/paramiko", confirm=True)
            assert seen.st_size == 5 * MIB + 3
            with pytest.raises(PermissionError):
                client.open("libraries/paramiko").read()

        async def go() -> None:
            async with (
                asyncssh.connect(
                    "127.0.0.1", port, username="x", password="x", known_hosts=None
                ) as connection,
                connection.start_sftp_client() as sftp,
            ):
                await sftp.put(str(mixed / "deep/er/large.bin"), "asyncssh")
                assert await sftp.getsize("asyncssh") == 5 * MIB + 3

        asyncio.run(go())
    whole = (mixed / "deep/er/large.bin").read_bytes()
    found = accepted(person, "", tmp_path / "own")
    assert found == {"libraries/paramiko": whole, "asyncssh": whole}


# --- errors


def test_a_program_that_is_killed_leaves_no_drop(person, tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(2_000 * MIB)
    staging = person.server.home / "blobs" / "staging"
    others = set(staging.iterdir())  # uploads of other tests that were interrupted
    process = subprocess.Popen(
        ["sftp", "-b", "-", "-D", program(person), "x"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd=ROOT, env=environment(), text=True,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(f"put {large} cut\n")
    process.stdin.flush()
    until(
        lambda: any(path.stat().st_size > 8 * MIB for path in set(staging.iterdir()) - others),
        "a part has arrived",
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    until(lambda: others.issuperset(staging.iterdir()), "nothing of it is left")
    assert person.quick("--json", "inbox").ok().json() == []


@pytest.mark.cases(1)
@pytest.mark.parametrize("after", [1, 10, 25])
def test_a_server_that_is_killed_has_whole_drops_and_no_others(person, tmp_path, after):
    draw = random.Random(after)
    source = tmp_path / "killed"
    source.mkdir()
    for number in range(60):
        (source / f"{number}").write_bytes(draw.randbytes(200_000 + number))
    pid, wrapper = tmp_path / "pid", tmp_path / "server"
    wrapper.write_text(f"#!/bin/sh\necho $$ > {pid}; cd {ROOT} && exec {program(person)}\n")
    wrapper.chmod(0o755)
    process = subprocess.Popen(
        ["sftp", "-b", "-", "-D", str(wrapper), "x"], stdin=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment(),
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(f"put -r {source} killed\n")
    process.stdin.close()
    with closing(Database(Home(person.server.home).database_url)) as database:

        def dropped() -> int:
            with database.read() as db:
                return db.scalar(select(func.count()).select_from(Drop)) or 0

        until(lambda: dropped() >= after, "so many drops are there")
        os.kill(int(pid.read_text()), signal.SIGKILL)
        assert process.wait(timeout=60) != 0
        blobs = LocalBlobs(Home(person.server.home).blobs)
        assert [one for one in Scan(database, blobs).findings() if one.loses] == []
    found = accepted(person, "killed", tmp_path / "own")
    assert len(found) >= after
    assert found.items() <= files_in(source).items()


def test_a_limit_is_reported_and_no_partial_drop_stays(person, tmp_path):
    (tmp_path / "large").write_bytes(bytes(2 * MIB))
    said = sftp(person, f"put {tmp_path / 'large'} large", policy=("largest_mib=1",), fails=True)
    assert "larger than what may be dropped" in said or "ailure" in said
    assert person.quick("--json", "inbox").ok().json() == []


def test_names_that_cannot_be_are_refused(person, tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    for name in ("y" * 256, "/".join(["z"] * 33)):
        sftp(person, f"put {tmp_path / 'x'} {name}", fails=True)
    sftp(person, f"put {tmp_path / 'x'} ../../../etc/passwd")
    (one,) = person.quick("--json", "inbox").ok().json()
    assert one["name"] == "etc/passwd"
    person.quick("inbox", "reject", "etc/passwd").ok()


def test_going_on_with_a_drop_is_refused(person, tmp_path):
    (tmp_path / "x").write_bytes(b"0123456789")
    (tmp_path / "half").write_bytes(b"01234")
    said = sftp(person, f"put {tmp_path / 'half'} x", f"reput {tmp_path / 'x'} x", fails=True)
    assert "denied" in said or "complete" in said
    (one,) = person.quick("--json", "inbox").ok().json()
    assert one["size"] == 5
    person.quick("inbox", "reject", "x").ok()
