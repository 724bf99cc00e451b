"""The two temporary servers of a run: an `fsd`, and an `sshd` with its own keys."""

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
"""Host alias of the server in the ssh_config of a run."""


class MissingError(Exception):
    """OpenSSH cannot be measured here; the message has the reason."""


def environment(**more: str) -> dict[str, str]:
    """Return the environment of our programs: this checkout, without the caller's settings."""
    # Without PYTHON* as well: an installed program may store its compiled modules.
    settings = ("FS", "PYTHON")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(settings)}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@dataclass
class Fsd:
    """A running `fsd` with its first enrolled user."""

    home: Path
    process: subprocess.Popen[str]
    address: str
    env: dict[str, str] = field(default_factory=dict)
    """Environment of the user's `fsclient`."""
    workers: int = 1
    options: tuple[str, ...] = ()

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def client(self, *words: object) -> list[str]:
        """Return a command line of `fsclient`."""
        return [str(BIN / "fsclient"), "--quiet", *(str(word) for word in words)]

    def restart(self) -> None:
        """Restart the server, so that its memory is that of an idle server."""
        end(self.process)
        self.process, self.address = _start(self.home, self.address, self.workers, self.options)

    def enrol(self, name: str) -> dict[str, str]:
        """Add a user, enrol and log in; return the environment for that user's commands."""
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
def fsd(work: Path, workers: int = 1, options: tuple[str, ...] = ()) -> Iterator[Fsd]:
    """Run an `fsd`, with further options, and one enrolled user."""
    home = work / "fsd"
    process, address = _start(home, f"{LOOPBACK}:0", workers, options)
    server = Fsd(home, process, address, workers=workers, options=options)
    try:
        server.env = server.enrol("alice")
        yield server
    finally:
        end(server.process)


def _start(
    home: Path, listen: str, workers: int, options: tuple[str, ...]
) -> tuple[subprocess.Popen[str], str]:
    log = home.with_name("fsd.log")
    with log.open("ab") as file:
        process = subprocess.Popen(
            # One person holds all idle sessions of the measurement.
            [str(BIN / "fsd"), "--home", str(home), "--listen", listen,
             "--workers", str(workers), "--set", "person.connections=5000",
             "--set", "person.sessions=5000", *options],
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
    """A running `sshd` and an ssh_config to reach it."""

    config: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Id of the listening process; its CPU time includes ended connections."""
        return self.process.pid


@contextlib.contextmanager
def sshd(work: Path) -> Iterator[Sshd]:
    """Run an `sshd` for this user on a free port; `MissingError` if that is impossible."""
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
        "MaxStartups 100\nSubsystem sftp internal-sftp\n",  # the default rejects some of 16
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
    """Create the empty folder that an sshd of root requires, if no service has created it."""
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
        raise MissingError(f"the login to sshd failed: {error} {log.read_text()}") from None


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
        return port
