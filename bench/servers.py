"""The two servers of a run, both thrown away after it: an `fsd`, and an `sshd` of its own keys."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import FailedError, end, run

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
LOOPBACK = "127.0.0.1"
STARTS_WITHIN_S = 20.0
HOST = "bench"
"""What the ssh_config of a run calls its server."""


class MissingError(Exception):
    """There is no OpenSSH to compare with here; says why."""


def environment(**more: str) -> dict[str, str]:
    """Return what our programs are started with: this checkout, none of the caller's settings."""
    # Without the interpreter's settings, too: an installed program keeps what it has compiled.
    settings = ("FS", "PYTHON")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(settings)}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@dataclass
class Fsd:
    """A running `fsd` and the first person enrolled at it."""

    home: Path
    process: subprocess.Popen[str]
    address: str
    env: dict[str, str] = field(default_factory=dict)
    """What the person's `fsclient` is started with."""

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def client(self, *words: object) -> list[str]:
        """Return a command line of `fsclient`."""
        return [str(BIN / "fsclient"), "--quiet", *(str(word) for word in words)]

    def restart(self) -> None:
        """Begin anew with the memory of a server that has done nothing yet."""
        end(self.process)
        self.process, self.address = _start(self.home, self.address)

    def enrol(self, name: str) -> dict[str, str]:
        """Make a person known, give them keys and a session; return what they set to be them."""
        done = subprocess.run(
            [str(BIN / "fsadmin"), "--home", str(self.home), "add-user", name, "--json"],
            env=environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise FailedError(f"fsadmin add-user: {done.stderr}")
        added = json.loads(done.stdout)
        person = self.home.with_name(name)
        secret = person.with_suffix(".otp")
        secret.touch(mode=0o600)
        secret.write_text(added["secret"], encoding="ascii")
        env = environment(FSCLIENT_HOME=str(person), FSCLIENT_OTP_SECRET_FILE=str(secret))
        run(self.client("enroll", added["enroll_link"], "--no-passphrase"), env=env)
        return env


@contextlib.contextmanager
def fsd(work: Path) -> Iterator[Fsd]:
    """Run an `fsd` with one person enrolled."""
    home = work / "fsd"
    process, address = _start(home, f"{LOOPBACK}:0")
    server = Fsd(home, process, address)
    try:
        server.env = server.enrol("alice")
        yield server
    finally:
        end(server.process)


def _start(home: Path, listen: str) -> tuple[subprocess.Popen[str], str]:
    log = home.with_name("fsd.log")
    with log.open("ab") as file:
        process = subprocess.Popen(
            [str(BIN / "fsd"), "--home", str(home), "--listen", listen],
            env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file,
            text=True,
        )  # fmt: skip
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith("fsd ready on "):
            raise FailedError(f"fsd did not start: {log.read_text()[-2000:]}")
    except BaseException:
        end(process)
        raise
    return process, line.split()[3]


@dataclass
class Sshd:
    """A running `sshd` and the ssh_config that reaches it."""

    config: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """The process that listens; those of ended connections are counted with it."""
        return self.process.pid


@contextlib.contextmanager
def sshd(work: Path) -> Iterator[Sshd]:
    """Run an `sshd` for this user on a free port; `MissingError` where that cannot be."""
    program = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    for needed, found in {"sshd": program, **{n: shutil.which(n) for n in ("ssh", "sftp")}}.items():
        if found is None:
            raise MissingError(f"{needed} is not installed")
    folder = work / "ssh"
    folder.mkdir(mode=0o700)
    port = _free_port()
    for name in ("host_key", "user_key"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
        subprocess.run(make, check=True, stdin=subprocess.DEVNULL)
    config = _write_configs(folder, port)
    with _separation_folder(), (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "-D", "-e", "-f", str(folder / "sshd_config")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _await_ssh(process, config, folder / "log", port)
            yield Sshd(config, process)
        finally:
            end(process)


def _write_configs(folder: Path, port: int) -> Path:
    public = (folder / "user_key.pub").read_text(encoding="ascii")
    host = (folder / "host_key.pub").read_text(encoding="ascii")
    (folder / "authorized_keys").write_text(public, encoding="ascii")
    (folder / "known_hosts").write_text(f"[{LOOPBACK}]:{port} {host}", encoding="ascii")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress {LOOPBACK}\nHostKey {folder}/host_key\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nUsePAM no\nStrictModes no\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nUseDNS no\nPrintMotd no\nLogLevel ERROR\n"
        "MaxStartups 100\nSubsystem sftp internal-sftp\n",  # by itself it turns away some of 16
        encoding="utf-8",
    )
    config = folder / "ssh_config"
    config.write_text(
        f"Host {HOST}\n HostName {LOOPBACK}\n Port {port}\n User {getpass.getuser()}\n"
        f" IdentityFile {folder}/user_key\n IdentitiesOnly yes\n IdentityAgent none\n"
        f" UserKnownHostsFile {folder}/known_hosts\n GlobalKnownHostsFile /dev/null\n"
        " StrictHostKeyChecking yes\n BatchMode yes\n LogLevel ERROR\n",
        encoding="utf-8",
    )
    return config


@contextlib.contextmanager
def _separation_folder() -> Iterator[None]:
    """Give an sshd that root starts the empty folder it insists on, if a service never made it."""
    folder = Path("/run/sshd")
    if os.geteuid() != 0 or folder.exists():
        yield
        return
    folder.mkdir(mode=0o755)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _await_ssh(process: subprocess.Popen[bytes], config: Path, log: Path, port: int) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection((LOOPBACK, port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    try:
        run(["ssh", "-F", str(config), HOST, "true"])
    except FailedError as error:
        raise MissingError(f"sshd does not let us in: {error} {log.read_text()}") from None


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
        return port
