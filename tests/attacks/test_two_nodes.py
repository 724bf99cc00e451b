"""Two servers on one database and one blob store: one is frozen, or starts, during an upload."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsproto.limits import SEGMENT_SIZE
from tests.attacks.test_crashes import ENOUGH, NEW, Putting
from tests.support.fixed_keys import stretch
from tests.support.nodes import Balancer, is_writing, start_second, two_nodes
from tests.support.programs import Process
from tests.support.servers import RunningServer
from tests.support.world import World, finish, until

HALF = 4 * SEGMENT_SIZE
NEARLY_ALL = 2 * SEGMENT_SIZE
"""Of what the second server gets: less than the rest of the file."""


@pytest.fixture
def nodes(world: World) -> Iterator[tuple[RunningServer, RunningServer]]:
    with two_nodes(world.home) as both:
        yield both
        for one in both:
            assert "Traceback" not in one.log


@pytest.fixture
def between(world: World, nodes: tuple[RunningServer, RunningServer]) -> Iterator[Balancer]:
    with Balancer(nodes[0].address) as balancer:
        world.meet(balancer.address)
        yield balancer


def half_put(world: World, server: RunningServer, between: Balancer) -> Process:
    """Start a put, and freeze its server after half of the file."""
    source = world.alice.write("large", NEW)
    between.hold_after(HALF)
    putting = world.alice.start("put", source, "large")
    assert between.held.wait(60)
    until(lambda: sum(path.stat().st_size for path in world.staged()) >= SEGMENT_SIZE, "it came")
    server.process.send_signal(signal.SIGSTOP)
    return putting


def wakes(server: RunningServer) -> None:
    """Let a frozen server run until it has ended what it did for the lost connection."""
    assert is_writing(server)
    server.process.send_signal(signal.SIGCONT)
    until(lambda: not is_writing(server), "it has closed the file of the upload")


def is_whole(world: World, server: RunningServer) -> None:
    assert world.alice.cat("large") == NEW
    checked = server.admin("check")
    assert checked.returncode == 0, checked.stdout


def test_a_server_that_was_frozen_in_an_upload_leaves_the_file_that_another_finished(
    world: World, nodes: tuple[RunningServer, RunningServer], between: Balancer
) -> None:
    first, second = nodes
    putting = half_put(world, first, between)
    try:
        between.let_go()
        between.switch(second.address)
        finish(putting).succeeds()
    finally:
        wakes(first)
    is_whole(world, first)


def test_a_server_that_wakes_in_an_upload_that_another_continues_changes_nothing(
    world: World, nodes: tuple[RunningServer, RunningServer], between: Balancer
) -> None:
    first, second = nodes
    putting = half_put(world, first, between)
    try:
        between.hold_after(NEARLY_ALL)
        between.switch(second.address)
        assert between.held.wait(60)
        until(lambda: is_writing(second), "the other server continues it")
    finally:
        wakes(first)
    between.let_go()
    finish(putting).succeeds()
    is_whole(world, second)


def test_an_upload_comes_back_to_the_server_that_was_frozen(
    world: World, nodes: tuple[RunningServer, RunningServer], between: Balancer
) -> None:
    first, second = nodes
    putting = half_put(world, first, between)
    try:
        between.hold_after(NEARLY_ALL)
        between.switch(second.address)
        assert between.held.wait(60)
        until(lambda: is_writing(second), "the other server continues it")
        second.process.send_signal(signal.SIGSTOP)
    finally:
        first.process.send_signal(signal.SIGCONT)
    between.let_go()
    between.switch(first.address)
    try:
        finish(putting).succeeds()
    finally:
        wakes(second)
    is_whole(world, second)


def test_a_server_that_starts_leaves_what_another_receives(world: World) -> None:
    with world.process() as first:
        put = Putting(world, "piped")
        for _ in range(2):
            start_second(world.home).stop()
        put.go_on()
        finish(put.process).succeeds()
        assert world.alice.cat("piped") == NEW
        assert "Traceback" not in first.log
    assert len(NEW) > ENOUGH


def test_a_server_that_starts_leaves_what_others_commit(world: World, tmp_path: Path) -> None:
    many = {f"{number}": stretch(f"of many {number}", 100_000) for number in range(40)}
    with world.process() as first:
        sources = [world.alice.write(f"many/{name}", data) for name, data in many.items()]
        putting = world.alice.start("put", sources[0].parent, "many")
        while putting.poll() is None:
            start_second(world.home).stop()
        finish(putting).succeeds()
        world.alice.run("get", "many", tmp_path / "back").succeeds()
        assert {p.name: p.read_bytes() for p in (tmp_path / "back").iterdir()} == many
        assert first.admin("check").returncode == 0
