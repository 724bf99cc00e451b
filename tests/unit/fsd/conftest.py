"""Fixtures of the server's own tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsd.home.home import Home
from fsd.store.engine import Database
from tests.support.services import Clock, Services


@pytest.fixture
def clock() -> Clock:
    """A clock that moves when it is told to."""
    return Clock()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home folder that is ready for use."""
    made = Home(tmp_path / "home")
    made.prepare()
    return made


@pytest.fixture
def office(database: Database, tmp_path: Path, clock: Clock) -> Services:
    """The server's services over a new database, once of each kind."""
    return Services(database, tmp_path / "blobs", clock)
