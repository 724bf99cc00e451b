"""The helper process of `programs`: imports the project's modules, then forks the programs."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import pickle
import pkgutil
import resource
import runpy
import signal
import socket
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.programs import PROGRAMS, take_terminal
from tests.support.rsa_pool import RsaPool


def import_all() -> None:
    """Import every module of the programs; optional packages may be missing."""
    for program in PROGRAMS:
        package = importlib.import_module(program)
        for module in pkgutil.walk_packages(package.__path__, f"{program}."):
            if not module.name.endswith("__main__"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
    importlib.import_module("sqlalchemy.orm").configure_mappers()
    for optional in ("uvloop", "psycopg"):
        with contextlib.suppress(ImportError):
            importlib.import_module(optional)


def requested(requests: socket.socket) -> list[str]:
    """Answer requests until the socket closes; in a forked process, return its command."""
    while True:
        ask, streams, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        if not ask:
            os._exit(0)
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:
            program = os.fork()
            if program == 0:
                for each in (reading, writing):
                    os.close(each)
                requests.close()
                return become(streams, *pickle.loads(ask))
            os.write(writing, str(program).encode())
            os._exit(0)
        os.close(writing)
        for stream in streams:
            os.close(stream)
        number = os.read(reading, 100)
        os.close(reading)
        os.waitpid(between, 0)
        requests.send(number)


def become(
    streams: list[int],
    command: list[bytes],
    env: dict[str, str],
    cwd: str,
    new_session: bool,
    terminal: bool,
    limits: dict[int, tuple[int, int]],
) -> list[str]:
    """Set up this process as a newly executed one; return the command."""
    if new_session:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    if terminal:
        take_terminal()
    os.chdir(cwd)
    for which, limit in limits.items():
        resource.setrlimit(which, limit)
    os.environ.clear()
    os.environ.update(env)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        opened = reopened(number, getattr(sys, name))
        setattr(sys, name, opened)
        setattr(sys, f"__{name}__", opened)
    return [os.fsdecode(one) for one in command]


def reopened(number: int, old: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a standard stream as the interpreter opens it, for the current file descriptor."""
    opened = open(number, "rb" if number == 0 else "wb", closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(
        opened,
        encoding=old.encoding,
        errors=old.errors,
        line_buffering=number == 2 or os.isatty(number),
        write_through=old.write_through,
    )


def main() -> None:
    """Run the helper, and in each of its forks a program."""
    # Ctrl-C is meant for the test run, which closes the socket at its end.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    import_all()
    if sys.argv[2]:
        rsa.generate_private_key = RsaPool(Path(sys.argv[2])).generate
    # Forks then do not visit or free the objects of these modules, which would copy their pages.
    gc.collect()
    gc.freeze()
    command = requested(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGINT, interrupt)
    sys.argv = command
    sys.path[0] = str(Path.cwd())
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
