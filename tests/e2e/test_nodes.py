"""Two nodes on one database: `fsadmin nodes`, and a node that is killed."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from fsd.server import KEYS_EVERY_S
from fsd.store.cluster_models import ClusterNode
from fsd.store.engine import Database
from fsproto import __version__
from tests.support.client_processes import Client
from tests.support.nodes import RoundRobin, second_home
from tests.support.postgres import Cluster
from tests.support.servers import RunningServer, enrol_person, run


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


def test_a_node_is_set_up_by_an_export_and_clients_follow_a_new_host_key_over_both(
    tmp_path: Path, postgres: Cluster
):
    """Each connection of a client goes to the other node."""
    url, home, exported = postgres.new_database(), tmp_path / "fsd", tmp_path / "node"
    phrase = tmp_path / "phrase"
    phrase.write_text("words of a test")
    phrase.chmod(0o600)
    with RunningServer.start(home, database=url) as first:
        option = ("--passphrase-file", str(phrase))
        assert first.admin("node", "export", str(exported), *option).returncode == 0
        other = tmp_path / "other"
        done = run("fsadmin", "--home", str(other), "node", "import", str(exported), *option)
        assert done.returncode == 0, done.stderr
        (other / "blobs").rmdir()
        (other / "blobs").symlink_to(home / "blobs")
        with (
            RunningServer.start(other, database=url) as second,
            RoundRobin(first.address, second.address) as between,
        ):
            assert second.host_key == first.host_key
            added = enrol_person(first, "alice")
            link = added["enroll_link"].replace(str(first.address), str(between.address))
            alice = Client(first, "alice", tmp_path / "alice", {**added, "enroll_link": link})
            alice.enrol()
            notes = alice.folder / "notes"
            rotations: list[subprocess.CompletedProcess[str]] = []

            def rotates() -> None:
                rotations.extend(first.admin("rotate-host-key", "--yes") for _ in range(2))

            rotating = threading.Thread(target=rotates)
            rotating.start()
            moved, shown_s = [], None
            for number in itertools.count():
                notes.write_text(f"version {number}")
                ran = alice.quick("put", str(notes)).ok()
                moved += ["vouches" in ran.err]
                if shown_s is None and not rotating.is_alive():
                    shown_s = time.monotonic() + 2 * KEYS_EVERY_S  # both nodes show the last key
                if number >= 30 and shown_s is not None and time.monotonic() > shown_s:
                    break
            rotating.join()
            assert [done.returncode for done in rotations] == [0, 0], rotations
            # Once for each new key that it has met; a slow client meets only the last one.
            assert 1 <= sum(moved) <= 2
            assert not moved[-1]
            assert first.admin("host-key").stdout == second.admin("host-key").stdout
            assert first.admin("host-key").stdout.strip() != first.host_key
    for one in (first, second):
        assert "Traceback" not in one.log


def test_a_node_that_was_frozen_while_the_master_key_was_rotated_stops_when_it_wakes(nodes):
    first, second = nodes
    second.process.send_signal(signal.SIGSTOP)
    try:
        assert first.stop() == 0
        refused = first.admin("rotate-master-key")
        assert refused.returncode == 1
        assert str(second.address) in refused.stderr
        with closing(Database(str(first.database))) as database, database.write() as db:
            earlier = ClusterNode.seen_ms - 3_600_000
            db.execute(update(ClusterNode).values(seen_ms=earlier))
        done = first.admin("rotate-master-key")
        assert done.returncode == 0, done.stderr
    finally:
        second.process.send_signal(signal.SIGCONT)
    assert second.process.wait(60) == 0
    assert "does not open with this master key" in second.log
