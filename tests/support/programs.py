"""Start the project's programs as processes without importing their modules each time.

Importing takes most of the CPU time of a short run. On Linux a helper process, one for each test
worker, imports the modules once; each program is then a fork of the helper, which runs `python -m`
in it. Everything else is as in any process: its own memory, descriptors, signals and exit status.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.support.forked import Forked

PROGRAMS = ("fsd", "fsadmin", "fsclient")
FORKED = (*PROGRAMS, "tests.support.drop_server")
"""What can be a fork of the helper."""
_READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ")
"""Variables that an interpreter reads at its start: in a fork they would have no effect."""
_PR_SET_CHILD_SUBREAPER = 36

Process = subprocess.Popen[Any] | Forked
"""A started program; a fork has the methods of `Popen` that the tests use."""
Stream = int | IO[Any] | None


def take_terminal() -> None:
    """Make the terminal on stderr the controlling terminal of this new session (`preexec_fn`)."""
    import fcntl
    import termios

    fcntl.ioctl(2, termios.TIOCSCTTY, 0)


def start_program(
    command: Sequence[str | bytes | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdin: Stream = None,
    stdout: Stream = None,
    stderr: Stream = None,
    encoding: str | None = None,
    start_new_session: bool = False,
    preexec_fn: Callable[[], object] | None = None,
) -> Process:
    """Start a program: forked where that makes no difference, else executed.

    The parameters are those of `Popen`.
    """
    words = [os.fsencode(one) for one in command]
    if (
        preexec_fn in {None, take_terminal}
        and words[:2] == [os.fsencode(sys.executable), b"-m"]
        and words[2].decode() in FORKED
        and (starter := _Starter.get()) is not None
        and starter.suits(env)
    ):

        def start(streams: list[int]) -> int:
            terminal = preexec_fn is take_terminal
            return starter.start(words[2:], env, cwd, streams, start_new_session, terminal)

        return Forked(words, start, stdin, stdout, stderr, encoding)
    return subprocess.Popen(
        words,
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        encoding=encoding,
        start_new_session=start_new_session,
        preexec_fn=preexec_fn,  # noqa: PLW1509 - as unsafe as where the tests ask for it
    )


def limits() -> dict[int, tuple[int, int]]:
    """Return the limits that a new process inherits and that tests change."""
    import resource

    return {
        which: resource.getrlimit(which)
        for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)
    }


class _Starter:
    """The helper process of this process."""

    _lock = threading.Lock()
    _one: _Starter | None = None

    def __init__(self) -> None:
        from tests.support import rsa_pool
        from tests.support.servers import ROOT, environment

        self._env = environment()
        self._socket, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its_end:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.support.program_starter"),
                    *(str(its_end.fileno()), str(rsa_pool.pool.folder) if rsa_pool.pool else ""),
                ],
                env=self._env,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[its_end.fileno()],
            )

    @classmethod
    def get(cls) -> _Starter | None:
        """Return the helper, started if necessary; None where no helper is possible."""
        if sys.platform != "linux":
            return None
        with cls._lock:
            if cls._one is None:
                cls._one = cls()
            return cls._one

    def suits(self, env: Mapping[str, str]) -> bool:
        """Return whether a program with this environment can be a fork of the helper."""
        return _read_at_start(env) == _read_at_start(self._env)

    def start(
        self,
        command: list[bytes],
        env: Mapping[str, str],
        cwd: str | os.PathLike | None,
        streams: list[int],
        new_session: bool,
        terminal: bool,
    ) -> int:
        """Start a program; return the id of the process, which is a child of this one."""
        ask = (command, dict(env), os.fspath(cwd or Path.cwd()), new_session, terminal, limits())
        with self._lock:
            # The program's parent ends at once; the program then becomes a child of this process.
            _adopt_orphans(True)
            try:
                socket.send_fds(self._socket, [pickle.dumps(ask)], streams)
                return int(self._socket.recv(100))
            finally:
                _adopt_orphans(False)


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_START)}


def _adopt_orphans(whether: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, int(whether), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
