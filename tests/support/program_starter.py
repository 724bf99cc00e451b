"""The helper process of `programs`: imports the project's modules, then forks the programs."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
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
import tempfile
import threading
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fsadmin.cli import command as fsadmin
from fsadmin.context import Admin
from fsd.server import serve
from fsd.settings.load import Wanted, load
from fsd.store import schema
from fsd.store.engine import Database
from fsproto import messages
from fsproto.errors import RemoteProtocolError
from fsproto.packing import Record, decoder_of
from tests.support import fixed_keys, light_argon2, ready_schema
from tests.support.compiled_sql import share_compiled_sql
from tests.support.programs import FORKED, PROGRAMS, take_terminal
from tests.support.rsa_pool import RsaPool
from tests.support.servers import LOOPBACK
from tests.support.services import Clock, Services

_HUGE_PAGE = 2 << 20
_MADV_COLLAPSE = 25
"""Advice of madvise(2) since Linux 6.1; older kernels refuse it, and forks take longer there."""


def import_all() -> None:
    """Import every module of the programs; optional packages may be missing."""
    for program in PROGRAMS:
        package = importlib.import_module(program)
        for module in pkgutil.walk_packages(package.__path__, f"{program}."):
            if not module.name.endswith("__main__"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
    importlib.import_module("sqlalchemy.orm").configure_mappers()
    for program in FORKED:
        importlib.import_module(program)
    for optional in ("uvloop", "psycopg"):
        with contextlib.suppress(ImportError):
            importlib.import_module(optional)


def make_decoders() -> None:
    """Make the decoder of each record: that took most of the CPU time of a short command."""
    with contextlib.suppress(RemoteProtocolError):
        messages.decode(b"")  # the decoder of all messages
    kinds: list[type[Record]] = [Record]
    for kind in kinds:
        kinds += kind.__subclasses__()
        decoder_of(kind)


def prepare_databases() -> None:
    """Have the SQL compiled that most programs use and the schema made, once for all of them."""
    share_compiled_sql()
    unseen = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(unseen),
        contextlib.redirect_stderr(unseen),
    ):
        for command in (["add-user", "alice"], ["list-users"], ["show-user", "alice"]):
            arguments = ["--home", f"{folder}/home", *command, "--json"]
            fsadmin.main(arguments, standalone_mode=False, obj=Admin())
        with contextlib.closing(Database(f"sqlite:///{folder}/schema.db")) as database:
            schema.upgrade(database)
        ready_schema.use(Path(folder, "schema.db"))
        with contextlib.closing(Database(f"sqlite:///{folder}/services.db")) as database:
            schema.upgrade(database)
            office = Services(database, Path(folder) / "blobs", Clock())
            bob = office.add("bob")
            bob.enrol(office, fixed_keys.TIME_MS)
            bob.put(office, "file", b"content")


def serve_once() -> None:
    """Start and stop a server: what it prepares at its first start is then ready in each fork."""
    thresholds = gc.get_threshold()
    with tempfile.TemporaryDirectory() as folder:
        wanted = Wanted(Path(folder, "home"), options={"listen": LOOPBACK})
        settings = load(wanted).checked()
        settings.home.prepare()
        serve(settings, lambda _: signal.raise_signal(signal.SIGTERM), lambda: load(wanted))
    gc.set_threshold(*thresholds)
    if threading.active_count() > 1:
        raise AssertionError("a fork would lack these threads", threading.enumerate())


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


def run_program(command: list[str]) -> None:
    """Run a program as `python -m` does, in a process that was forked for it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    sys.argv = command
    sys.path[0] = str(Path.cwd())
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, int | None):
            _status.append(ended.code or 0)
        raise


def use_huge_pages() -> None:
    """Put the memory of this process into huge pages: a fork copies its page table.

    Memory that a program takes later is as it would be without the helper.
    """
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, access, *_, inode = line.split()[:5]
        first, end = (int(one, 16) for one in place.split("-"))
        first, end = -(-first // _HUGE_PAGE) * _HUGE_PAGE, end // _HUGE_PAGE * _HUGE_PAGE
        if access.startswith("rw") and inode == "0" and first < end:
            advise(first, end - first, _MADV_COLLAPSE)  # without success, all stays as it was


_status: list[int] = []
"""The exit status, once the program has decided on one."""


def end_at_once() -> None:
    """End the process before the interpreter destroys all modules of the fork, one by one."""
    if _status:
        with contextlib.suppress(OSError):  # which the interpreter reports, and it takes its time
            for stream in (sys.stdout, sys.stderr):
                if stream is not None and not stream.closed:
                    stream.flush()
            os._exit(_status[0])


def main() -> None:
    """Run the helper, and in each of its forks a program."""
    atexit.register(end_at_once)  # registered first: it is called last
    # Ctrl-C is meant for the test run, which closes the socket at its end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import_all()
    light_argon2.use()
    if sys.argv[2]:
        pool = RsaPool(Path(sys.argv[2]))
        rsa.generate_private_key = pool.generate
        serialization.load_der_private_key = pool.load
    make_decoders()
    prepare_databases()
    serve_once()
    # Forks then do not visit or free the objects of these modules, which would copy their pages.
    gc.collect()
    gc.freeze()
    use_huge_pages()
    run_program(requested(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
