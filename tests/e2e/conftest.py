"""People with the real client, for tests that run the client as a process."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client_processes import Client
from tests.support.servers import RunningServer

Newcomer = Callable[[], Client]


@pytest.fixture(scope="session")
def newcomer(shared_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """A maker of people who have an account and an enrolment link, and have not enrolled yet."""
    numbers = itertools.count(1)

    def make() -> Client:
        name = f"person{next(numbers)}"
        return Client(shared_server, name, tmp_path_factory.mktemp(name))

    return make


@pytest.fixture(scope="session")
def _enrolled(newcomer: Newcomer) -> Client:
    return newcomer().enrol()


_ROOMS = itertools.count(1)


@pytest.fixture
def client(_enrolled: Client, tmp_path: Path) -> Client:
    """A person who is logged in, with a local folder for this test alone.

    All tests share the person's tree: a test puts its files into `client.room`.
    """
    own = copy.copy(_enrolled)
    own.folder = tmp_path / "work"
    own.folder.mkdir()
    own.room = f"room{next(_ROOMS)}"
    return own
