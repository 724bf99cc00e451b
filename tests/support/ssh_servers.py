"""A server with SSH access, and SSH clients that connect to it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import paramiko
import pytest

from fsproto.link import Address, parse_address
from tests.support.client_processes import PATIENCE_S, Client, admin
from tests.support.servers import RunningServer, environment

REFUSAL_S = 0.2
_SSH = re.compile(
    r"fsd ssh on (?P<address>\S+) host-key (?P<ed25519>SHA256:\S+) \(ED25519\) "
    r"(?P<rsa>SHA256:\S+) \(RSA\)\n"
)
PATIENT = (
    *("--set", f"door.refusal={REFUSAL_S}"),
    *("--set", "login.free_tries=1000", "--set", "login.source_free_tries=10000"),
)
"""Options of a server that answers soon, and does not throttle repeated refusals."""


@dataclass
class SshServer:
    """A running `fsd` and the address of its SSH listener."""

    server: RunningServer
    address: Address
    fingerprints: tuple[str, str]

    @classmethod
    def start(cls, home: Path, *options: str, listen: str = "127.0.0.1:0") -> Self:
        server = RunningServer.start(home, "--ssh-listen", listen, *PATIENT, *options)
        if server.process.stdout is None:
            raise AssertionError("it was asked for")
        line = server.process.stdout.readline()
        match = _SSH.fullmatch(line)
        if match is None:
            server.kill()
            raise AssertionError(line)
        return cls(server, parse_address(match["address"]), (match["ed25519"], match["rsa"]))

    @property
    def threads(self) -> int:
        """Return the number of the server's threads."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(status.split("Threads:")[1].split()[0])

    def knock(self) -> socket.socket:
        """Connect and send nothing."""
        return socket.create_connection((self.address.host, self.address.port), PATIENCE_S)

    @contextmanager
    def transport(self) -> Iterator[paramiko.Transport]:
        """Yield a connection of paramiko's client after the key exchange and before the login."""
        transport = paramiko.Transport(self.knock())
        try:
            transport.start_client(timeout=PATIENCE_S)
            yield transport
        finally:
            transport.close()

    def doors(self, user: str | None = None) -> list[str]:
        """Return the listeners through which the running sessions were opened."""
        asked = [] if user is None else ["--user", user]
        return [each["door"] for each in admin(self.server, "sessions", *asked)]

    def events(self, user: str) -> list[tuple[str, str]]:
        """Return the audit records about a person, with details."""
        return [(each["event"], each["detail"]) for each in admin(
            self.server, "audit", "--user", user)]  # fmt: skip


@dataclass
class Visitor:
    """An enrolled person with recovery codes, which are valid codes without waiting."""

    client: Client
    codes: list[str]

    @classmethod
    def enrolled(cls, server: RunningServer, name: str, folder: Path) -> Self:
        client = Client(server, name, folder)
        client.quick("enroll", client.link, "--no-passphrase", "--otp", client.app.fresh()).ok()
        return cls(client, admin(server, "recovery-codes", name)["recovery_codes"])

    @property
    def name(self) -> str:
        return self.client.name

    def code(self) -> str:
        return self.codes.pop()

    @cached_property
    def key(self) -> paramiko.Ed25519Key:
        """An unregistered SSH public key of this person."""
        return new_key(self.client.home)

    @property
    def key_file(self) -> Path:
        _ = self.key
        return self.client.home / "ssh_key"


def new_key(folder: Path) -> paramiko.Ed25519Key:
    path = folder / "ssh_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return paramiko.Ed25519Key.from_private_key_file(str(path))


def give_code(transport: paramiko.Transport, user: str, code: str) -> list[str]:
    """Answer the question for a code; raise paramiko's errors."""
    told: list[str] = transport.auth_interactive(
        user, lambda _title, _why, asked: [code] * len(asked)
    )
    return told


def is_in(transport: paramiko.Transport) -> bool:
    """Return whether the server lets the client open a session, whatever the client assumes."""
    transport.auth_handler.authenticated = True  # makes paramiko send the request
    with contextlib.suppress(paramiko.SSHException, EOFError):
        transport.open_session(timeout=PATIENCE_S).close()
        return True
    return False


class OpenSsh:
    """OpenSSH's client with a person who answers its question for a code."""

    def __init__(self, door: SshServer, visitor: Visitor) -> None:
        if shutil.which("ssh") is None:
            pytest.skip("no ssh on this machine")
        self.door = door
        self.visitor = visitor
        self.answer = visitor.client.home / "answer"
        self._ask = visitor.client.home / "ask"
        self._ask.write_text(f"#!/bin/sh\ncat '{self.answer}' && rm -f '{self.answer}'\n")
        self._ask.chmod(0o700)

    def options(self, *, key: bool = True) -> list[str]:
        """Return the command line up to the host."""
        known = self.visitor.client.home / "known_hosts"
        ours = ["-o", "IdentitiesOnly=yes", "-i", str(self.visitor.key_file)] if key else [
            "-o", "PubkeyAuthentication=no"]  # fmt: skip
        return [
            *("-F", "none", "-p", str(self.door.address.port), *ours),
            *("-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={known}"),
        ]

    @property
    def where(self) -> str:
        return f"{self.visitor.name}@{self.door.address.host}"

    @property
    def environment(self) -> dict[str, str]:
        return environment(
            {"SSH_ASKPASS": str(self._ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "none"}
        )

    def run(self, *args: str, code: str = "", key: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; `code` answers OpenSSH's question once, if it asks."""
        self.answer.write_text(f"{code}\n")
        return subprocess.run(
            ["ssh", *self.options(key=key), *args],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_S,
            check=False,
            preexec_fn=os.setsid,
        )
