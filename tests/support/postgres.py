"""A PostgreSQL for tests: a temporary cluster that listens only on a Unix socket."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_DEBIAN = Path("/usr/lib/postgresql")
_SUPERUSER = "postgres"
_PREFIX = "fs-pg-"
_LOCK = "in-use"
"""A file in the folder of a cluster, which the test process keeps locked."""
_CHEAP = "-F -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0 -c autovacuum=off"
"""The data is small and need not survive the machine: nothing is tidied in the background."""


class Cluster:
    """A running cluster; each call of `new_database` returns the URL of an empty database."""

    def __init__(self) -> None:
        """Create and start the cluster; where that is impossible, skip the test with the reason."""
        pytest.importorskip("psycopg", reason="the 'postgresql' extra is not installed")
        self._bin = _binaries()
        self._user = _server_user()
        self._numbers = itertools.count(1)
        self._delete_abandoned()
        # Not in pytest's own folder, which pytest would delete later: PostgreSQL's user cannot open
        # that, and the path of a Unix socket may have about 100 characters.
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = (self.folder / f"{_LOCK}.new").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.folder / f"{_LOCK}.new").rename(self.folder / _LOCK)
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Create the cluster and wait until it answers."""
        self._run(
            *("initdb", "--pgdata", str(self._data), "--username", _SUPERUSER, "--auth", "trust"),
            *("--no-sync", "--encoding", "UTF8", "--locale", "C"),
        )
        self.start_again()

    def crash(self) -> None:
        """Stop the cluster at once, like a crash; its data stays."""
        self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "immediate")

    def start_again(self) -> None:
        """Start the cluster after `crash`, and wait until it answers."""
        settings = f"{_CHEAP} -k {self.folder} -h '' -c max_connections=200"
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-l", log, "-o", settings)

    def new_database(self) -> str:
        """Return the SQLAlchemy URL of a new, empty database."""
        import psycopg

        name = f"fs{next(self._numbers)}"
        where = f"host={self.folder} user={_SUPERUSER} dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return f"postgresql+psycopg://{_SUPERUSER}@/{name}?host={self.folder}"

    def stop(self) -> None:
        """Stop the cluster and delete everything; its data needs no orderly shutdown."""
        self.crash()
        self.delete()

    def delete(self) -> None:
        """Delete the files."""
        shutil.rmtree(self.folder)
        self._lock.close()

    def _delete_abandoned(self) -> None:
        """Stop and delete the clusters of test runs that were killed: nothing else deletes them."""
        for self.folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            # The lock is held, or another process deletes the folder, or the file is not there yet.
            with contextlib.suppress(OSError), (self.folder / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(AssertionError):  # its server has ended as well
                    self.crash()
                shutil.rmtree(self.folder)

    def _run(self, program: str, *args: str) -> None:
        user = self._user
        with (self.folder / "made").open("a+b") as said:  # the server would keep a pipe open
            ended = subprocess.run(
                [str(self._bin / program), *args],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else [],
                check=False,
            )
        if ended.returncode:
            told = "".join(
                path.read_text()
                for path in (self.folder / "made", self.folder / "log")
                if path.exists()
            )
            raise AssertionError(f"{program} failed: {told}")


def _binaries() -> Path:
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    if on_path is not None:
        return Path(on_path).resolve().parent
    pytest.skip(f"no PostgreSQL here: no initdb in {_DEBIAN}/*/bin nor on the PATH")


def _server_user() -> pwd.struct_passwd | None:
    """Return the user to run it as, because PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody'")
