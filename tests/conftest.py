"""Fixtures that all tests share."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import text

from fsd.store import schema
from fsd.store.engine import Database
from fsd.store.models import Base
from tests.support import rsa_pool
from tests.support.compiled_sql import share_compiled_sql
from tests.support.rsa_pool import RsaPool
from tests.support.servers import WEB, RunningServer

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

    from tests.support.object_store import ObjectStore
    from tests.support.postgres import Cluster
    from tests.support.world import World

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

share_compiled_sql()

_LINT = os.environ.pop("FS_LINT", "")
"""The folder with the output of lint, which `make test` runs beside the tests."""
TIER = os.environ.get("FS_TESTS", "test")
"""`test`: both databases where the tested SQL differs; `soak`: all on both, at full count."""
_EXAMPLES = {"test": 25, "soak": 1000}
if TIER not in _EXAMPLES:
    raise pytest.UsageError(f"FS_TESTS must be one of {', '.join(_EXAMPLES)}, not '{TIER}'.")
settings.register_profile(
    "tier",
    # A slow machine or a strategy that filters a few examples must not fail a test.
    deadline=None,
    max_examples=_EXAMPLES[TIER],
    suppress_health_check=[HealthCheck.too_slow],
    # The same examples each time, so that a change is not blamed for another fault: `make soak`
    # looks for new examples.
    derandomize=TIER == "test",
)
settings.load_profile("tier")


def examples(in_test: int) -> int:
    """Return the number of examples of a costly property, given that of the tier `test`."""
    return in_test * _EXAMPLES[TIER] // _EXAMPLES["test"]


KINDS = ("sqlite", "postgresql")
_TESTS = Path(__file__).resolve().parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `soak` runs; run the tests first that take long, so that none ends last.

    `soak` marks a test of which the tier `test` has a cheaper one, `cases(n)` a test of which it
    runs n cases, spread evenly.
    """
    if TIER != "soak":
        kept = _without_what_soak_runs(items)
        config.hook.pytest_deselected(items=[one for one in items if one not in kept])
        items[:] = kept
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def _without_what_soak_runs(items: list[pytest.Item]) -> dict[pytest.Item, None]:
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("soak") is None:
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept: dict[pytest.Item, None] = {}
    for of_one_test in cases.values():
        mark = of_one_test[0].get_closest_marker("cases")
        most = min(mark.args[0], len(of_one_test)) if mark else len(of_one_test)
        for number in range(most):
            at = (len(of_one_test) - 1) * number // max(1, most - 1)
            kept[of_one_test[at]] = None
    return kept


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect without garbage collection: what is imported and collected stays."""
    gc.disable()
    try:
        _import_all_from_different_places(session.config)
        return (yield)
    finally:
        gc.enable()


def _import_all_from_different_places(config: pytest.Config) -> None:
    """In a worker of a whole run, import the test modules, starting at another one than the others.

    The first to import a module compiles it for all. All workers start at the same time: in the
    same order, each would compile every module of a fresh clone.
    """
    worker = getattr(config, "workerinput", None)
    if worker is None or [Path(one).resolve() for one in config.args] != [_TESTS]:
        return
    names = [".".join(one.with_suffix("").parts) for one in _modules()]
    start = len(names) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for name in names[start:] + names[:start]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # the collection reports it
            importlib.import_module(name)


def _modules() -> list[Path]:
    return sorted(one.relative_to(_TESTS.parent) for one in _TESTS.rglob("test_*.py"))


def pytest_collection_finish() -> None:
    """Exempt the modules and the collected tests from garbage collection.

    They stay until the end of the run, and a collection that visits them all took a fifth of the
    CPU time of many tests.
    """
    gc.collect()
    gc.freeze()
    # Each later collection visits what all tests before have left.
    gc.set_threshold(50_000, 20, 100)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode
) -> None:
    """Wait for lint and show its output; the makefile does so if this run was interrupted."""
    if _LINT and exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        status = Path(_LINT, "status")
        while not status.exists():
            time.sleep(0.1)
        terminalreporter.section("lint" if int(status.read_text()) == 0 else "LINT FAILED")
        terminalreporter.write(Path(_LINT, "lint").read_text())
        Path(_LINT, "shown").touch()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers `-n auto` starts: more than cores, because many tests only wait.

    They wait for processes, for the disk and for refused logins. A worker takes 400 MB of memory.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return cores + max(2, cores // 2)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on SQLite; also on PostgreSQL if it is marked or the tier is `soak`."""
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    on_both = TIER == "soak" or ("both_databases" in marks and "one_database" not in marks)
    for fixture in ("database_url", "url_at_head"):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, KINDS if on_both else KINDS[:1], indirect=True)


@pytest.fixture(scope="session", autouse=True)
def rsa_keys(tmp_path_factory: pytest.TempPathFactory) -> RsaPool:
    """The RSA keys of this test run, which the workers and their programs share."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    rsa_pool.pool = RsaPool(base / "rsa-keys")
    return rsa_pool.pool


@pytest.fixture
def pooled_rsa_keys(rsa_keys: RsaPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take new RSA keys from the pool."""
    rsa_keys.use(monkeypatch)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A running `fsd` with its own data directory, stopped after the test."""
    with RunningServer.start(tmp_path / "fsd-home") as running:
        yield running


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A running `fsd` shared by tests that only add their own users and never change the server."""
    home = tmp_path_factory.mktemp("shared") / "fsd-home"
    with RunningServer.start(home, *WEB) as running:
        yield running


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """A Chromium without a window; skips the test, loudly, if it is not installed."""
    from tests.support.browser import started

    driver = started(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def first_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world that all others are copied from; one test worker makes it for all workers."""
    from tests.support.world import READY, World, until

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "first-world"
    try:
        folder.mkdir()
    except FileExistsError:
        until((folder / READY).exists, "another worker made the first world", within_s=240)
    else:
        World.create(folder)
    return World.created(folder)


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


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real object store, one per worker; skips the test if this machine has none."""
    from tests.support.object_store import object_store

    with object_store(tmp_path_factory.mktemp("weed")) as store:
        yield store


@pytest.fixture
def store_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the key of the object store into the environment."""
    from tests.support.object_store import KEY

    for name, value in KEY.items():
        monkeypatch.setenv(name, value)


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
def _postgres_at_head(postgres: Cluster) -> Iterator[Database]:
    """A migrated database that is emptied for each test: ten times faster than the migrations."""
    with closing(Database(postgres.new_database())) as made:
        schema.upgrade(made)
        yield made


@pytest.fixture
def url_at_head(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated database without rows, of the kind the test is parametrised for."""
    if request.param == "sqlite":
        path = tmp_path / "fsd.db"
        shutil.copyfile(request.getfixturevalue("_sqlite_at_head"), path)
        return f"sqlite:///{path}"
    opened: Database = request.getfixturevalue("_postgres_at_head")
    tables = [one.name for one in Base.metadata.sorted_tables if one.name != "key_log_head"]
    has_rows = " UNION ALL ".join(
        f"SELECT '{table}' WHERE EXISTS (SELECT FROM \"{table}\")" for table in tables
    )
    restart = (
        "SELECT setval(sequencename::regclass, 1, false) FROM pg_sequences "
        "WHERE last_value IS NOT NULL"
    )
    with opened.write() as db:
        # TRUNCATE takes longer than most tests.
        used = set(db.scalars(text(has_rows)))
        for table in reversed(tables):
            if table in used:
                db.execute(text(f'DELETE FROM "{table}"'))
        db.execute(text(restart))
        db.execute(
            text("UPDATE key_log_head SET size = 0, payload = '', signature = '', frontier = ''")
        )
    return opened.url.render_as_string(hide_password=False)


@pytest.fixture
def database(url_at_head: str) -> Iterator[Database]:
    """A migrated database without rows, of the kind that the test is parametrised for."""
    with closing(Database(url_at_head)) as opened:
        yield opened
