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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRAMS = ("fsd", "fsadmin", "fsclient")
_READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ")
"""Variables that an interpreter reads at its start: in a fork they would have no effect."""
_PR_SET_CHILD_SUBREAPER = 36


def take_terminal() -> None:
    """Make the terminal on stderr the controlling terminal of this new session (`preexec_fn`)."""
    import fcntl
    import termios

    fcntl.ioctl(2, termios.TIOCSCTTY, 0)


class Program(subprocess.Popen):
    """A process like any other `Popen`: forked where that makes no difference, else executed."""

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, *rest: Any) -> None:
        """Replace the part of `Popen` that starts the process."""
        close_fds, pass_fds, cwd, env, _, _, shell, *pipes_and_rest = rest
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *others = pipes_and_rest
        new_session = others[5]
        command = [os.fsencode(one) for one in args]
        if (
            shell
            or pass_fds
            or not close_fds
            or preexec_fn not in {None, take_terminal}
            or command[:2] != [os.fsencode(sys.executable), b"-m"]
            or command[2].decode() not in PROGRAMS
            or (starter := _Starter.get()) is None
            or not starter.suits(env)
        ):
            super()._execute_child(args, executable, preexec_fn, *rest)  # type: ignore[misc]
            return
        streams = [
            given if given != -1 else number
            for number, given in enumerate((p2cread, c2pwrite, errwrite))
        ]
        self.pid = starter.start(
            command[2:], env, cwd, streams, new_session, preexec_fn is not None
        )
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


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
        if sys.platform != "linux" or not hasattr(subprocess.Popen, "_close_pipe_fds"):
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
