"""Several workers behind one address: served, counted, reloaded and stopped like one server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsproto.errors import OutOfSpaceError
from tests.attacks.test_crashes import NEW
from tests.e2e.test_metrics import ask, listener, numbers
from tests.support.nodes import Balancer
from tests.support.servers import LOOPBACK, NotReadyError, RunningServer
from tests.support.world import NOTES, World, finish, until

OPTIONS = ("--workers", "2", "--metrics-listen", LOOPBACK)


def workers(server: RunningServer) -> list[int]:
    """Return the process ids of the workers."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def running(world: World) -> Iterator[RunningServer]:
    with world.process(*OPTIONS) as server:
        yield server
        assert "Traceback" not in server.log


def test_clients_are_served_by_all_workers_and_counted_on_one_page(
    world: World, running: RunningServer
) -> None:
    done = running.admin("nodes", "--json")
    assert len({one["id"] for one in json.loads(done.stdout)}) == 2
    where = listener(running)
    place = running.address.host, running.address.port
    with contextlib.ExitStack() as opened:
        for _ in range(20):
            opened.enter_context(socket.create_connection(place, 10))
        until(lambda: numbers(where)["fsd_connections"] == 20, "both workers' are added up")
        assert numbers(where)["fsd_accepted"] == 20
    assert numbers(where)["fsd_people"] == 3
    assert ask(where, "/healthz") == (200, "ok\n")
    assert ask(where, "/metrics")[1].count("# TYPE fsd_connections ") == 1
    assert world.alice.cat("notes.txt") == NOTES


def test_a_worker_that_is_killed_is_replaced_and_its_client_goes_on(
    world: World, running: RunningServer
) -> None:
    with Balancer(running.address) as between:
        world.meet(between.address)
        between.hold_after(4 << 20)
        putting = world.alice.start("put", world.alice.write("large", NEW), "large")
        assert between.held.wait(60)
        until(lambda: len(receiving(running)) == 1, "one of them writes the upload")
        (killed,) = receiving(running)
        os.kill(killed, signal.SIGKILL)
        between.let_go()
        assert finish(putting).status == 0
        until(lambda: len(workers(running)) == 2, "another has started")
        assert killed not in workers(running)
    world.meet(running.address)
    assert world.alice.cat("large") == NEW
    assert "ended by signal 9" in running.log


def receiving(server: RunningServer) -> list[int]:
    """Return the workers that have a file of the blob store open."""
    return [pid for pid in workers(server) if any("/blobs/" in one for one in open_files(pid))]


def open_files(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(link.readlink())


def test_connections_of_one_user_count_over_all_workers(world: World) -> None:
    options = ("--workers", "2", "--set", "person.connections=2")
    with world.process(*options), contextlib.ExitStack() as opened:
        for _ in range(2):
            opened.enter_context(world.alice.session())
        for _ in range(4):  # whichever worker accepts it
            with pytest.raises(OutOfSpaceError, match="2 connections"):
                opened.enter_context(world.alice.session())
        assert world.bob.run("ls").status == 0
        opened.close()
        until(lambda: world.alice.run("ls").status == 0, "the count goes down again")


def test_all_workers_reload_and_stop(world: World, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(path)
        told.settimeout(60)
        options = ("--workers", "2")
        world.home.joinpath("fsd.toml").write_text("log_level = 'warning'\n")
        environment = {"NOTIFY_SOCKET": path}
        with RunningServer.start(world.home, *options, env=environment) as server:
            assert told.recv(200) == b"READY=1"
            world.home.joinpath("fsd.toml").write_text("log_level = 'info'\n")
            server.process.send_signal(signal.SIGHUP)
            assert told.recv(200).startswith(b"RELOADING=1\n")
            assert told.recv(200) == b"READY=1"
            assert server.log.count("reloaded") == 2
            pids = workers(server)
            assert server.stop() == 0
            assert told.recv(200) == b"STOPPING=1"
            assert not any(map(is_running, pids))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((server.address.host, server.address.port), 5)


def test_workers_stop_when_their_supervisor_is_killed(world: World, running: RunningServer) -> None:
    pids = workers(running)
    running.kill()
    until(lambda: not any(map(is_running, pids)), "the workers have ended")
    with running.restart() as again:
        world.meet(again.address)
        assert world.alice.cat("notes.txt") == NOTES
        assert len(json.loads(again.admin("nodes", "--json").stdout)) == 2


def test_a_worker_that_cannot_start_says_why_and_ends_the_server(tmp_path: Path) -> None:
    options = ("--workers", "2", "--web-listen", LOOPBACK)
    broken = (*options, "--set", f"web.certificate={tmp_path / 'none'}")
    with pytest.raises(NotReadyError, match="certificate of the web listener") as failed:
        RunningServer.start(tmp_path / "home", *broken)
    assert "Traceback" not in str(failed.value)
