"""The real client as people use it: processes on a real server, with and without a terminal."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import io
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from fsadmin.cli import command as fsadmin
from fsadmin.context import Admin
from fsclient.app import App
from fsclient.cli import run as run_client
from fsproto.link import Address
from tests.support import rsa_pool
from tests.support.json_results import checked
from tests.support.programs import Process, start_program, take_terminal
from tests.support.servers import Authenticator, RunningServer, environment

PATIENCE_S = 60.0

USAGE, UNREACHABLE, LOGIN, NOT_FOUND, NOT_ALLOWED, SECURITY, CONFLICT, SPACE = range(2, 10)
INTERRUPTED = 130
READER_GONE = 141


@dataclass(frozen=True)
class Ran:
    """The result of one run of the client."""

    status: int
    out: bytes
    err: str
    words: Sequence[object] = ()
    """The command line, without the program."""

    def __post_init__(self) -> None:
        assert "Traceback" not in self.err, self.err

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def complaints(self) -> list[str]:
        """The error messages, each a sentence; hints are left out."""
        start = "fsclient: "
        return [line[len(start) :] for line in self.err.splitlines() if line.startswith(start)]

    def ok(self) -> Self:
        assert self.status == 0, (self.status, self.text, self.err)
        return self

    def fails(self, status: int, *words: str) -> Self:
        """Check the exit status, that errors are sentences, and that stderr has these words."""
        assert self.status == status, (self.status, self.text, self.err)
        assert self.complaints, self.err
        for sentence in self.complaints:
            assert sentence[0].isupper() or sentence[0] == "'", sentence
            assert sentence.endswith((".", "!", "?", "?)")) or " fsclient " in sentence, sentence
        for word in words:
            assert word in self.err, (word, self.err)
        return self

    def json(self) -> Any:
        """Parse stdout, which must be one JSON document and nothing else, and documented."""
        return checked("fsclient", self.words, self.text)


class Client:
    """A person with the client installed, an authenticator app, and a local folder."""

    def __init__(
        self, server: RunningServer, name: str, folder: Path, added: dict[str, Any] | None = None
    ) -> None:
        """Have the administrator add the person, unless `added` is the output of doing so.

        The person has not enrolled yet.
        """
        self.server = server
        self.name = name
        self.home = folder / "home"
        self.folder = folder / "work"
        self.folder.mkdir(parents=True)
        self.added: dict[str, Any] = added or admin(server, "add-user", name)
        self.app = Authenticator(self.added)
        self.room = ""
        """A remote folder for one test alone, for tests that share the person."""

    @property
    def link(self) -> str:
        return str(self.added["enroll_link"])

    @property
    def profile(self) -> Path:
        return self.home / "profiles" / "default"

    def new_secret(self) -> None:
        """Have the administrator replace the secret, so that the person has unused codes again."""
        self.added = self.added | admin(self.server, "rotate-secret", self.name, "--now")
        self.app = Authenticator(self.added)

    def enrol(self) -> Self:
        """Enrol, inside this process."""
        with rsa_pool.pooled():
            self.quick("enroll", self.link, "--no-passphrase", "--otp", self.app.fresh()).ok()
        return self

    def command(self, *args: str | Path | bytes) -> list[str | bytes | Path]:
        return [sys.executable, "-m", "fsclient", *args]

    def environment(self, **env: str) -> dict[str, str]:
        return environment({"FSCLIENT_HOME": str(self.home), **env})

    def run(
        self,
        *args: str | Path | bytes,
        given: bytes | None = None,
        cwd: Path | None = None,
        before: Callable[[], object] | None = None,
        **env: str,
    ) -> Ran:
        """Run a command to its end, without a terminal; `given` is its standard input."""
        process = self.start(*args, cwd=cwd, before=before, piped=given is not None, **env)
        return replace(finish(process, given), words=args)

    def start(
        self,
        *args: str | Path | bytes,
        cwd: Path | None = None,
        before: Callable[[], object] | None = None,
        piped: bool = False,
        **env: str,
    ) -> Process:
        """Start a command; its standard input is a pipe or nothing."""
        return start_program(
            self.command(*args),
            env=self.environment(**env),
            cwd=cwd or self.folder,
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=before,
        )

    def quick(self, *args: str | Path | bytes) -> Ran:
        """Run a command inside this process: for steps that the test is not about."""
        said, told = io.BytesIO(), io.BytesIO()
        out, err = (io.TextIOWrapper(one, "utf-8", write_through=True) for one in (said, told))
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            contextlib.chdir(self.folder),
        ):
            status = run_client(App(), ["--home", str(self.home), *map(os.fsdecode, args)])
        return Ran(status, said.getvalue(), told.getvalue().decode(), args)

    def script(self, *lines: str) -> Ran:
        """Run commands one after another in one session, given to the shell through a pipe."""
        return self.run("shell", "--quiet", given="".join(f"{line}\n" for line in lines).encode())

    def shell_line(self, script: str, **env: str) -> Ran:
        """Run a line of `sh` in which `fsclient` is the client."""
        client = " ".join(map(str, self.command()))
        process = subprocess.Popen(
            ["/bin/sh", "-c", f'fsclient() {{ {client} "$@"; }}\n{script}'],
            env=self.environment(**env),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return finish(process)

    def write(self, name: str | Path, content: bytes = b"") -> Path:
        """Create a local file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def cat(self, path: str) -> bytes:
        """Return the content of a remote file, which must exist."""
        return self.quick("cat", path).ok().out

    def names(self, path: str = "/") -> list[str]:
        """Return the lines that `ls` prints."""
        return self.quick("ls", path).ok().lines

    def half_written(self) -> list[Path]:
        """Return the temporary files that a transfer may have left in the folder."""
        return [path for path in self.folder.rglob("*") if path.name.startswith(".fs-")]


def with_a_room(people: list[Client], room: str, folder: Path) -> list[Client]:
    """Return people with local folders for one test, and `room`, a new folder of the first one."""
    own = [copy.copy(one) for one in people]
    for one in own:
        one.folder = folder / one.name
        one.folder.mkdir()
        one.room = room
    own[0].quick("mkdir", room).ok()
    return own


def finish(process: Process, given: bytes | None = None, *, within_s: float = PATIENCE_S) -> Ran:
    """Wait for a client's process to end."""
    out, err = process.communicate(given, timeout=within_s)
    return Ran(process.returncode, out, err.decode())


def without_root() -> None:
    """Remove root's right to read and write all files, in the process to be started.

    Other users do not have that right.
    """
    drop_from_bounding_set, read_and_write_all, read_all = 24, 1, 2
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (read_and_write_all, read_all):
            if libc.prctl(drop_from_bounding_set, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")


def admin(server: RunningServer, *args: str) -> Any:
    """Run `fsadmin` on a server's data directory, inside this process; return its answer."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), rsa_pool.pooled():
        fsadmin.main(
            ["--home", str(server.home), *args, "--json"], standalone_mode=False, obj=Admin()
        )
    return checked("fsadmin", args, out.getvalue())


def fingerprint_at(server: RunningServer, name: str) -> str | None:
    """Return a person's fingerprint as the server's administrator sees it."""
    found: str | None = admin(server, "show-user", name)["fingerprint"]
    return found


# --- on a terminal

_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\x1b\][^\x07]*\x07")


class Terminal:
    """The client on a terminal of its own, with a person who types."""

    def __init__(
        self,
        client: Client,
        *args: str,
        columns: int = 80,
        stdin: int | None = None,
        **env: str,
    ) -> None:
        """Start the client; standard input is the terminal too, unless `stdin` is given."""
        import fcntl
        import pty
        import termios

        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

        self.process = start_program(
            client.command(*args),
            env=client.environment(**{"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **env}),
            cwd=client.folder,
            stdin=slave if stdin is None else stdin,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(slave)
        self.raw = b""
        self._seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)

    @property
    def shown(self) -> str:
        """All output so far, without colours and cursor movements.

        Text that is drawn again at the same place follows a carriage return.
        """
        return _CONTROL.sub(b"", self.raw).replace(b"\r\n", b"\n").decode(errors="replace")

    def wait_for(self, text: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until a text is shown after the text that was last waited for."""
        deadline = time.monotonic() + patience_s
        while (at := self.shown.find(text, self._seen)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} was never shown: {self.shown[self._seen :]!r}")
        # The newline at the end of this text may also be the first character of the next text.
        self._seen = at + len(text.rstrip("\n"))

    def type(self, text: str) -> None:
        """Type a text; `\\r` is the return key, `\\x03` is Ctrl-C, `\\x04` is Ctrl-D."""
        os.write(self._master, text.encode())

    def insist(self, key: str, text: str) -> None:
        """Press a key until a text is shown; a signal just before a read has no effect yet."""
        for _ in range(int(PATIENCE_S)):
            self.type(key)
            with contextlib.suppress(AssertionError):
                return self.wait_for(text, patience_s=1)
        raise AssertionError(f"{text!r} was never shown: {self.shown[self._seen :]!r}")

    def ends(self) -> int:
        """Wait for the program's end; return its exit status."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        status = self.process.wait(PATIENCE_S)
        assert "Traceback" not in self.shown, self.shown
        return status

    def _read(self, deadline: float) -> bool:
        if not select.select([self._master], [], [], max(0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"nothing more was shown after {self.shown[self._seen :]!r}")
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # Linux raises EIO after the last writer has closed the terminal
            data = b""
        self.raw += data
        return bool(data)


# --- between client and server


class Cutter:
    """A proxy that passes everything except the server's n-th message, once.

    When that message arrives, `reached` is set, `at_cut` is called, and then the connection is
    closed on both sides. Messages are separated by their lengths, which precede them unencrypted.
    """

    def __init__(self, upstream: Address, message: int, at_cut: Callable[[], object]) -> None:
        self._upstream = upstream
        self._left = message
        self._at_cut = at_cut
        self.reached = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((self._upstream.host, self._upstream.port))
            for work in (self._up, self._down):
                threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for message in _messages(server):
                self._left -= 1
                if self._left == 0:
                    self.reached.set()
                    self._at_cut()
                    break
                client.sendall(message)
        for one in (client, server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _messages(server: socket.socket) -> Iterator[bytes]:
    while head := _exactly(server, 4):
        yield head + _exactly(server, int.from_bytes(head, "big"))


def _exactly(server: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := server.recv(size - len(data))):
        data += more
    return data


# --- trees on disk


def snapshot(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Return content, time and execute bit of each file in a folder, by path; links as links."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        where = path.relative_to(folder).as_posix()
        if path.is_symlink():
            target = os.readlink(os.fsencode(path))  # noqa: PTH115 - byte for byte
            found[where] = ("link", target, stat.st_mtime_ns)
        elif path.is_dir():
            found[where] = ("folder", stat.st_mtime_ns)
        else:
            found[where] = ("file", path.read_bytes(), stat.st_mtime_ns, bool(stat.st_mode & 0o100))
    return found
