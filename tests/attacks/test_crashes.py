"""Programs are killed, interrupted and stopped in the middle of their work.

Known from: Pillai and others, "All File Systems Are Not Created Equal" (OSDI 2014).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fsd.blobs.local import LocalBlobs
from fsd.blobs.places import Places
from fsd.blobs.stream import BlobStream
from fsd.home.home import Home
from fsd.net.server import DRAIN_IDLE_S
from fsd.store.engine import Database
from fskit.clock import now_ms
from tests.support import proxy
from tests.support.fixed_keys import stretch
from tests.support.programs import Process
from tests.support.proxy import Holds, Proxy, To
from tests.support.servers import RunningServer
from tests.support.world import DRAFT, NOTES, Person, World, finish, until

SEGMENT = 1 << 20
NEW = stretch("new", 11 * SEGMENT)
ENOUGH = 9 * SEGMENT
"""The client seals a few segments before it sends the first one."""
INTERRUPTED = 130


@pytest.fixture
def server(world: World) -> Iterator[RunningServer]:
    """The real program on the world."""
    with world.process() as running:
        yield running


def is_receiving(world: World) -> bool:
    """Return whether the server has received a part of an upload."""
    return any(path.stat().st_size > 0 for path in world.staged())


class Putting:
    """A put that reads from a pipe; it stays unfinished while the pipe is open."""

    def __init__(self, world: World, name: str) -> None:
        """Start the put, and wait until the server has received a part."""
        self.process = world.alice.start("put", "-", name)
        assert self.process.stdin is not None
        self._pipe = self.process.stdin
        self._pipe.write(NEW[:ENOUGH])
        self._pipe.flush()
        until(lambda: is_receiving(world), "the server has received a part")

    def go_on(self) -> None:
        """Write the rest of the content and close the pipe."""
        self._pipe.write(NEW[ENOUGH:])
        self._pipe.flush()


def nothing_is_left_behind(world: World) -> None:
    """Check that the server keeps the blobs that its database names, and no others."""
    until(lambda: not world.staged(), "nothing is staged")
    assert world.kept() == world.known()


# --- the server


def test_a_server_that_is_killed_in_the_middle_of_a_put_has_the_old_content(
    world: World, server: RunningServer
) -> None:
    put = Putting(world, "draft.bin")
    server.kill()
    assert finish(put.process).status == 3
    (staged,) = world.staged()  # the server had no time to delete it
    server.restart().stop()
    assert world.staged() == [staged]  # another server might be receiving it
    world.collect()
    again = server.restart()
    try:
        nothing_is_left_behind(world)
        assert world.alice.cat("draft.bin") == DRAFT
        world.alice.put("draft.bin", NEW).succeeds()
        assert world.alice.cat("draft.bin") == NEW
        assert again.stop() == 0
        nothing_is_left_behind(world)
    finally:
        again.process.kill()


def test_a_server_that_is_killed_between_upload_and_commit_has_the_old_content(
    world: World, server: RunningServer
) -> None:
    # The client's last message, the commit, is held back until the server has been killed.
    sizes = [len(frame.data) for frame in recorded_put(world, server)]
    hold = Holds(To.SERVER, len(sizes) - 1)
    with Proxy(server.address, lambda: hold) as between:
        world.alice.meet(between.address)
        source = str(world.alice.write("source", NEW))
        put = world.alice.start("put", "--no-resume", source, "draft.bin")
        assert hold.held.wait(60)
        server.kill()
        hold.let_go.set()
        assert finish(put).status == 3
    again = server.restart()
    try:
        world.alice.meet(again.address)
        # The uploaded blob is in the database; it is deleted a day later.
        nothing_is_left_behind(world)
        assert world.alice.cat("draft.bin") == DRAFT
        world.alice.put("draft.bin", NEW).succeeds()
        assert world.alice.cat("draft.bin") == NEW
    finally:
        again.stop()


def recorded_put(world: World, server: RunningServer) -> list[proxy.Frame]:
    """Return what a client sends to put a file of this size in the place of another."""
    with Proxy(server.address) as between:
        world.alice.meet(between.address)
        world.alice.put("plan.bin", NEW).succeeds()
    return between.frames(To.SERVER)


def test_a_blob_whose_row_was_never_written_is_gone_a_day_after_a_crash(world: World) -> None:
    with closing(Database(Home(world.home).database_url)) as database:
        blobs = LocalBlobs(world.home / "blobs")
        stream = BlobStream(blobs, Places(database, now_ms).take())
        stream.write(b"complete, and then the power failed")
        stream.finish()
        place = stream.place
    world.collect(a_day_later=False)
    assert (world.home / "blobs" / place).exists()
    world.collect()
    with world.process():
        nothing_is_left_behind(world)
        assert world.alice.cat("draft.bin") == DRAFT


def test_a_server_that_is_stopped_finishes_the_put_under_way(
    world: World, server: RunningServer
) -> None:
    put = Putting(world, "draft.bin")
    server.process.send_signal(signal.SIGTERM)
    until(lambda: "stopping" in server.log, "the server knows that it is to stop")
    stopping = time.monotonic()
    slow_s = 2 * DRAIN_IDLE_S  # as over a slow line; the server would disconnect an idle client
    until(lambda: time.monotonic() > stopping + slow_s, "some time has passed")
    put.go_on()
    finish(put.process).succeeds()
    assert server.process.wait(60) == 0
    assert "Traceback" not in server.log
    with world.process():
        assert world.alice.cat("draft.bin") == NEW
        nothing_is_left_behind(world)


# --- the client


def interrupted(process: Process) -> None:
    """Press Ctrl-C and check the exit status and the output."""
    process.send_signal(signal.SIGINT)
    finish(process).fails(INTERRUPTED)


def test_an_interrupted_put_leaves_no_data_at_the_server(
    world: World, server: RunningServer
) -> None:
    put = Putting(world, "draft.bin")
    interrupted(put.process)
    nothing_is_left_behind(world)
    assert world.alice.cat("draft.bin") == DRAFT
    assert "Traceback" not in server.log


def test_a_client_that_is_killed_in_a_put_leaves_nothing_behind(
    world: World, server: RunningServer
) -> None:
    put = Putting(world, "draft.bin")
    put.process.kill()
    put.process.communicate()
    nothing_is_left_behind(world)
    assert world.alice.cat("draft.bin") == DRAFT
    assert "Traceback" not in server.log


def getting(person: Person, target: Path, between: Proxy, hold: Holds) -> Process:
    """Start a get and hold it in the middle, when a part is on the disk."""
    person.meet(between.address)
    process = person.start("get", "plan.bin", str(target))
    assert hold.held.wait(60)
    until(person.half_written, "a part was written")
    return process


@pytest.mark.parametrize("before", [None, b"what is here"])
def test_an_interrupted_get_keeps_the_existing_file(
    world: World, server: RunningServer, before: bytes | None
) -> None:
    alice = world.alice
    target = alice.folder / "here"
    if before is not None:
        target.write_bytes(before)
    # Pass an answer and one segment; hold the next segment.
    hold = Holds(To.CLIENT, proxy.WELCOME + 3)
    with Proxy(server.address, lambda: hold) as between:
        process = getting(alice, target, between, hold)
        interrupted(process)
        hold.let_go.set()
    assert not alice.half_written()
    assert (target.read_bytes() if target.exists() else None) == before
    assert "Traceback" not in server.log


def test_clients_that_vanish_in_the_middle_of_a_get_cost_the_server_nothing(
    world: World, server: RunningServer
) -> None:
    alice = world.alice
    for number in range(4):
        hold = Holds(To.CLIENT, proxy.WELCOME + 2 + number % 2)
        with Proxy(server.address, lambda hold=hold: hold) as between:  # type: ignore[misc]
            process = getting(alice, alice.folder / "here", between, hold)
            process.kill()
            process.communicate()
            hold.let_go.set()
    alice.meet(server.address)
    assert alice.cat("notes.txt") == NOTES
    assert server.stop() == 0
    assert "Traceback" not in server.log
    assert "failed" not in server.log
