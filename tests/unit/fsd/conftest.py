"""Fixtures of the server's own tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fsd.home.home import Home
from fsd.store.engine import Database
from tests.support.rsa_pool import RsaPool
from tests.support.services import Clock, Services


@pytest.fixture(autouse=True)
def _new_rsa_keys_are_pooled(pooled_rsa_keys: None) -> None:
    """Take new RSA keys from the pool of the test run."""


@pytest.fixture
def clock() -> Clock:
    """A fake clock that a test moves."""
    return Clock()


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory: pytest.TempPathFactory, rsa_keys: RsaPool) -> Path:
    """A data directory to copy: generating a host key takes longer than most tests."""
    made = Home(tmp_path_factory.mktemp("prepared") / "home")
    with pytest.MonkeyPatch.context() as patch:
        rsa_keys.use(patch)
        made.prepare()
    return made.path


@pytest.fixture
def home(prepared_home: Path, tmp_path: Path) -> Home:
    """A data directory that is ready for use."""
    made = Home(shutil.copytree(prepared_home, tmp_path / "home"))
    made.prepare()
    return made


@pytest.fixture
def office(database: Database, tmp_path: Path, clock: Clock) -> Services:
    """The server's services over a new database of each kind."""
    return Services(database, tmp_path / "blobs", clock)
