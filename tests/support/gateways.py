"""A gateway in this process, over a real server, and stock programs that use it."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko
import pytest

from fsclient.app import App
from fsclient.connection.retry import Timeouts
from fsclient.gateway.filesystem import Filesystem
from fsclient.gateway.gateway import Gateway, running
from fsclient.gateway.keys import ALIAS
from fsclient.gateway.paths import GatewayPath, place_of
from fsproto.link import Address
from tests.support.client_processes import Client

PATIENCE_S = 60


@dataclass
class RunningGateway:
    """A running gateway, and the person who owns it."""

    client: Client
    parts: Gateway

    @property
    def address(self) -> Address:
        address = self.parts.server.address
        assert isinstance(address, Address)
        return address

    @property
    def config(self) -> Path:
        return self.parts.files.ssh_config

    def filesystem(self) -> Filesystem:
        """Return the file system that one client of the gateway sees, without SSH."""
        return Filesystem(self.parts.backend)

    @contextmanager
    def ssh(self) -> Iterator[paramiko.Transport]:
        """Yield a connection of paramiko's client, logged in."""
        transport = paramiko.Transport((self.address.host, self.address.port))
        with closing(transport):
            key = paramiko.Ed25519Key.from_private_key_file(str(self.parts.keys.client_key))
            transport.connect(username=self.client.name, pkey=key)
            yield transport

    @contextmanager
    def sftp(self) -> Iterator[paramiko.SFTPClient]:
        """Yield paramiko's SFTP client."""
        with self.ssh() as transport:
            client = paramiko.SFTPClient.from_transport(transport)
            assert client is not None
            yield client

    def run(self, *command: str | Path, given: str = "", fails: bool = False) -> str:
        """Run a program that must be installed; return its output."""
        needed(str(command[0]))
        done = subprocess.run(
            list(map(str, command)),
            input=given,
            cwd=self.client.folder,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_S,
            check=False,
        )
        said = done.stdout + done.stderr
        assert bool(done.returncode) == fails, (command, done.returncode, said)
        return said

    def batch(self, *lines: str, fails: bool = False) -> str:
        """Run OpenSSH's sftp with some commands."""
        given = "".join(f"{line}\n" for line in lines)
        return self.run("sftp", "-q", "-F", self.config, "-b", "-", ALIAS, given=given, fails=fails)


@contextmanager
def gateway(
    client: Client, *, read_only: bool = False, patience: Timeouts | None = None
) -> Iterator[RunningGateway]:
    """Yield a gateway on a free loopback port; the client is logged in."""
    app = App(patience)
    app.options.home, app.options.quiet = client.home, True
    where = Address("127.0.0.1", 0)
    with running(app, where, read_only=read_only, aside=True) as parts:
        threading.Thread(target=parts.server.serve, daemon=True).start()
        yield RunningGateway(client, parts)


def needed(program: str) -> None:
    """Skip the test with the reason if a program is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed here, so nothing is known of it")


def at(*parts: str) -> GatewayPath:
    """Return the place with these path components."""
    return place_of("/".join(parts))
