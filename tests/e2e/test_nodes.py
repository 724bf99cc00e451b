"""Two nodes on one database: `fsadmin nodes`, and a node that is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsproto import __version__
from tests.support.nodes import second_home
from tests.support.servers import RunningServer


@pytest.fixture(params=["sqlite", "postgresql"])
def nodes(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[RunningServer, RunningServer]]:
    home = tmp_path / "fsd"
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    with (
        RunningServer.start(home, database=url) as first,
        RunningServer.start(second_home(home), database=url) as second,
    ):
        yield first, second
    for one in (first, second):
        assert "Traceback" not in one.log


def listed(server: RunningServer) -> list[dict[str, Any]]:
    done = server.admin("nodes", "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_nodes_are_listed_by_each_until_they_stop_or_are_replaced_after_a_kill(nodes):
    first, second = nodes
    for server in nodes:
        found = listed(server)
        addresses = {one["address"] for one in found}
        assert addresses == {str(first.address), str(second.address)}
        assert {one["alive"] for one in found} == {True}
        assert {one["version"] for one in found} == {__version__}
        assert len({one["id"] for one in found}) == 2
    first.kill()
    assert len(listed(second)) == 2, "nothing says yet that it has ended"
    with first.restart() as again:
        found = listed(second)
        assert sorted(one["address"] for one in found) == sorted(
            [str(again.address), str(second.address)]
        )
        assert again.stop() == 0
    assert [one["address"] for one in listed(second)] == [str(second.address)]
    assert second.stop() == 0
    done = second.admin("nodes")
    assert done.stdout == "No fsd is running on this database.\n"
