"""A PostgreSQL for tests: a temporary cluster that listens only on a Unix socket."""

from __future__ import annotations

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


class Cluster:
    """A running cluster; each call of `new_database` returns the URL of an empty database."""

    def __init__(self) -> None:
        """Create and start the cluster; where that is impossible, skip the test with the reason."""
        pytest.importorskip("psycopg", reason="the 'postgresql' extra is not installed")
        self._bin = _binaries()
        self._user = _server_user()
        # Not in pytest's own folder: PostgreSQL's user cannot open that, and the path of a Unix
        # socket
        # may have about 100 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="fs-pg-"))
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        self._numbers = itertools.count(1)
        self._data = self._folder / "data"

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
        settings = f"-F -k {self._folder} -h '' -c max_connections=200"
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-l", log, "-o", settings)

    def new_database(self) -> str:
        """Return the SQLAlchemy URL of a new, empty database."""
        import psycopg

        name = f"fs{next(self._numbers)}"
        where = f"host={self._folder} user={_SUPERUSER} dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return f"postgresql+psycopg://{_SUPERUSER}@/{name}?host={self._folder}"

    def stop(self) -> None:
        """Stop the cluster and delete everything; its data needs no orderly shutdown."""
        self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "immediate")
        self.delete()

    def delete(self) -> None:
        """Delete the files."""
        shutil.rmtree(self._folder)

    def _run(self, program: str, *args: str) -> None:
        user = self._user
        with (self._folder / "made").open("a+b") as said:  # the server would keep a pipe open
            ended = subprocess.run(
                [str(self._bin / program), *args],
                cwd=self._folder,
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
                for path in (self._folder / "made", self._folder / "log")
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
