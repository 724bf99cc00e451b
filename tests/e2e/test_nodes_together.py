"""Many people at two nodes at the same time: one key log, one audit chain, exact quotas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import TIER
from tests.support.client_processes import LOGIN, SPACE, Client
from tests.support.clusters import added
from tests.support.nodes import RoundRobin, second_home
from tests.support.postgres import Cluster
from tests.support.servers import RunningServer

PEOPLE = 200 if TIER == "soak" else 6
PUTS = 30 if TIER == "soak" else 8
AT_ONCE = 8
MIB = 1 << 20

Nodes = tuple[RunningServer, RunningServer, RoundRobin]


@pytest.fixture
def nodes(tmp_path: Path, postgres: Cluster) -> Iterator[Nodes]:
    home, url = tmp_path / "fsd", postgres.new_database()
    with ExitStack() as stack:
        first = stack.enter_context(RunningServer.start(home, database=url))
        other = second_home(home)
        second = stack.enter_context(RunningServer.start(other, database=url))
        yield first, second, stack.enter_context(RoundRobin(first.address, second.address))
    for one in (first, second):
        assert "Traceback" not in one.log


def arriving(nodes: Nodes, folder: Path, *names: str) -> list[Client]:
    """Add people whose clients reach both nodes in turn; they have not enrolled yet."""
    return added(nodes[0], nodes[2].address, folder, *names)


def with_code(person: Client, *words: str) -> None:
    """Run a command with a fresh code; again if it took so long that the code became too old."""
    person.app.SAFE_S = 30.0  # always a code that is valid for at least so long
    while True:
        ran = person.run(*words, "--otp", person.app.fresh())
        if ran.status != LOGIN or not person.app.is_too_late:
            ran.ok()
            return


@pytest.mark.long
@pytest.mark.timeout(10 * PEOPLE + 240)
def test_people_enrol_and_rotate_keys_at_two_nodes_and_all_verify_one_log(
    nodes: Nodes, tmp_path: Path
) -> None:
    people = arriving(nodes, tmp_path, *(f"person{number}" for number in range(PEOPLE)))

    def arrives(person: Client) -> None:
        with_code(person, "enroll", person.link, "--no-passphrase")
        with_code(person, "keys", "rotate")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(arrives, people))
        for ran in pool.map(lambda person: person.run("verify", people[0].name), people[1:]):
            ran.ok()
    for server in nodes[:2]:
        done = server.admin("audit", "verify", "--json")
        assert done.returncode == 0, done.stdout
        assert json.loads(done.stdout)["right"]


@pytest.mark.long
def test_puts_at_two_nodes_never_exceed_a_quota(nodes: Nodes, tmp_path: Path) -> None:
    (person,) = arriving(nodes, tmp_path, "alice")
    person.enrol()
    most = PUTS // 2
    done = nodes[0].admin("change-user", "alice", "--quota-bytes", f"{most}M")
    assert done.returncode == 0, done.stderr
    for number in range(PUTS):
        person.write(f"{number}", bytes(MIB - 100_000))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ran = list(pool.map(lambda number: person.run("put", f"{number}"), range(PUTS)))
    assert {one.status for one in ran} == {0, SPACE}
    stored = sum(one.status == 0 for one in ran)
    shown = json.loads(nodes[1].admin("show-user", "alice", "--json").stdout)
    assert shown["files"] == stored
    assert shown["used_bytes"] <= most * MIB
    assert nodes[0].admin("check").returncode == 0
