"""Fixtures of the attacks."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsclient.tree.nodes import TreeNode
from fsproto.names import parse_path
from tests.support import light_argon2
from tests.support.hostile_server import HostileServer
from tests.support.team import gathered
from tests.support.world import FILES, World


@pytest.fixture
def world(first_world: World, tmp_path: Path) -> World:
    """A fresh copy of the world for one test; no server is running on it."""
    return first_world.copy(tmp_path)


@pytest.fixture
def liar(world: World) -> Iterator[HostileServer]:
    """A server on the world, in this process; it is honest until its `lie` is set."""
    with HostileServer(world.home, now_ms=world.movable_clock().now_ms) as server:
        world.meet(server.address)
        yield server


@pytest.fixture(scope="session")
def first_team(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The team that all other teams are copied from."""
    return gathered(first_world.copy(tmp_path_factory.mktemp("first team")))


@pytest.fixture
def team(first_team: World, tmp_path: Path) -> World:
    """A world where alice shares `reports` with bob (a writer) and with carol (a reader)."""
    return first_team.copy(tmp_path)


@pytest.fixture
def server(team: World) -> Iterator[HostileServer]:
    """A server on the team's world, in this process; it is honest until its `lie` is set."""
    with HostileServer(team.home, now_ms=team.movable_clock().now_ms) as server:
        team.meet(server.address)
        yield server


@pytest.fixture(autouse=True)
def _keys_cost_little(pooled_rsa_keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take new RSA keys from the pool, and keys from passphrases at the lowest cost."""
    light_argon2.use(monkeypatch.setattr)


@pytest.fixture(autouse=True)
def _no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = [name for name in os.environ if name.startswith("FS") and "TEST" not in name]
    for name in ours:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_server_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that no attack makes a server in this process log a traceback."""
    caplog.set_level(logging.INFO, "fsd")
    yield
    failed = [record for record in caplog.get_records("call") if record.exc_info]
    assert not failed, [record.getMessage() for record in failed]


@pytest.fixture(scope="session")
def places(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TreeNode]:
    """Alice's files and folders by their paths; they are the same in every world."""
    world = first_world.copy(tmp_path_factory.mktemp("looked at"))
    paths = ["/", "reports", "archive", *FILES["alice"]]
    with HostileServer(world.home) as server:
        world.meet(server.address)
        with world.alice.session() as session:
            return {path: session.tree.find(parse_path(path)) for path in paths}
