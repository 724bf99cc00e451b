"""People with the real client, for tests that run the client as a process."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import light_argon2
from tests.support.client_processes import Client, admin
from tests.support.gateways import RunningGateway, gateway
from tests.support.servers import RunningServer

Newcomer = Callable[[], Client]
AT_ONCE = 25


@pytest.fixture(autouse=True)
def _keys_cost_little(pooled_rsa_keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take new RSA keys from the pool, and keys from passphrases at the lowest cost."""
    light_argon2.use(monkeypatch.setattr)


@pytest.fixture(scope="session")
def newcomer(shared_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """A maker of people who have an account and an enrolment link, and have not enrolled yet.

    The administrator adds many of them at once, because each run of `fsadmin` takes its time.
    """
    numbers = itertools.count(1)
    added: list[dict[str, Any]] = []

    def make() -> Client:
        if not added:
            roster = tmp_path_factory.mktemp("roster") / "people.csv"
            names = [f"person{next(numbers)}" for _ in range(AT_ONCE)]
            roster.write_text("\n".join(["name", *names]))
            added.extend(reversed(admin(shared_server, "add-users", str(roster))["added"]))
        one = added.pop()
        name: str = one["user"]
        return Client(shared_server, name, tmp_path_factory.mktemp(name), one)

    return make


@pytest.fixture(scope="session")
def _enrolled(newcomer: Newcomer) -> Client:
    return newcomer().enrol()


_ROOMS = itertools.count(1)


@pytest.fixture
def client(_enrolled: Client, tmp_path: Path) -> Client:
    """A logged-in person, with a local folder for this test alone.

    All tests share the person's tree: a test puts its files into `client.room`.
    """
    own = copy.copy(_enrolled)
    own.folder = tmp_path / "work"
    own.folder.mkdir()
    own.room = f"room{next(_ROOMS)}"
    return own


@pytest.fixture(scope="module")
def served(newcomer: Newcomer) -> Iterator[RunningGateway]:
    """A gateway for the tests of one module."""
    with gateway(newcomer().enrol()) as running:
        yield running


@pytest.fixture
def running(served: RunningGateway, tmp_path: Path) -> RunningGateway:
    """The gateway of the module, with a local folder for this test alone."""
    served.client.folder = tmp_path
    return served
