"""Fixtures that all tests share."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, settings
from sqlalchemy import text

from fsd.store import schema
from fsd.store.engine import Database
from fsd.store.models import Base
from tests.support import rsa_pool
from tests.support.rsa_pool import RsaPool
from tests.support.servers import RunningServer

if TYPE_CHECKING:
    from tests.support.postgres import Cluster

# Programs inherit ignored signals. A test run that was started with signals ignored (by nohup,
# or in the background of a script) would pass that on to the programs that the tests stop by
# signals.
# The main process and each worker import this module before they start any program.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)

# Compiling the modules takes most of a program's start time. The tests therefore write bytecode
# files, even if the environment disables them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

TIER = os.environ.get("FS_TESTS", "test")
"""`test`: both databases where the tested SQL differs; `soak`: all on both, at full count."""
_EXAMPLES = {"test": 50, "soak": 1000}
if TIER not in _EXAMPLES:
    raise pytest.UsageError(f"FS_TESTS must be one of {', '.join(_EXAMPLES)}, not '{TIER}'.")
settings.register_profile(
    "tier",
    # A slow machine or a strategy that filters a few examples must not fail a test.
    deadline=None,
    max_examples=_EXAMPLES[TIER],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tier")

KINDS = ("sqlite", "postgresql")


def pytest_collection_finish() -> None:
    """Exempt the modules and the collected tests from garbage collection.

    They stay until the end of the run, and a collection that visits them all took a fifth of the
    CPU time of many tests.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers `-n auto` starts: more than cores, because many tests only wait."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return cores + (cores + 1) // 2


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on SQLite; also on PostgreSQL if it is marked or the tier is `soak`."""
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    on_both = TIER == "soak" or ("both_databases" in marks and "one_database" not in marks)
    for fixture in ("database_url", "url_at_head"):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, KINDS if on_both else KINDS[:1], indirect=True)


@pytest.fixture(scope="session", autouse=True)
def _rsa_pool(tmp_path_factory: pytest.TempPathFactory) -> RsaPool:
    """The RSA keys of this test run, which the workers and their programs share."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    rsa_pool.pool = RsaPool(base / "rsa-keys")
    return rsa_pool.pool


@pytest.fixture
def pooled_rsa_keys(_rsa_pool: RsaPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take new RSA keys from the pool."""
    monkeypatch.setattr(rsa, "generate_private_key", _rsa_pool.generate)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A running `fsd` with its own data directory, stopped after the test."""
    with RunningServer.start(tmp_path / "fsd-home") as running:
        yield running


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A running `fsd` shared by tests that only add their own users and never change the server."""
    with RunningServer.start(tmp_path_factory.mktemp("shared") / "fsd-home") as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A temporary PostgreSQL cluster, one per worker; skips the test if no binaries are found."""
    from tests.support.postgres import Cluster

    cluster = Cluster()
    try:
        cluster.start()
    except BaseException:
        cluster.delete()
        raise
    yield cluster
    cluster.stop()


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database of the kind that the test is parametrised for."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'fsd.db'}"
    cluster: Cluster = request.getfixturevalue("postgres")
    return cluster.new_database()


@pytest.fixture(scope="session")
def _sqlite_at_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: a copy is ten times faster than the migrations."""
    path = tmp_path_factory.mktemp("sqlite") / "head.db"
    with closing(Database(f"sqlite:///{path}")) as made:
        schema.upgrade(made)
    return path


@pytest.fixture(scope="session")
def _postgres_at_head(postgres: Cluster) -> str:
    """A migrated database that is emptied for each test: ten times faster than the migrations."""
    url = postgres.new_database()
    with closing(Database(url)) as made:
        schema.upgrade(made)
    return url


@pytest.fixture
def url_at_head(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated database without rows, of the kind the test is parametrised for."""
    if request.param == "sqlite":
        path = tmp_path / "fsd.db"
        shutil.copyfile(request.getfixturevalue("_sqlite_at_head"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("_postgres_at_head")
    tables = ", ".join(f'"{table}"' for table in Base.metadata.tables if table != "key_log_head")
    with closing(Database(url)) as opened, opened.write() as db:
        db.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        db.execute(
            text("UPDATE key_log_head SET size = 0, payload = '', signature = '', frontier = ''")
        )
    return url


@pytest.fixture
def database(url_at_head: str) -> Iterator[Database]:
    """A migrated database without rows, of the kind that the test is parametrised for."""
    with closing(Database(url_at_head)) as opened:
        yield opened
