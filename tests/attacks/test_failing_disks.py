"""Disks that freeze, become read-only, or cannot read: at the server and at the client.

All tests mount a real disk (Linux, root); without that right they are skipped with a message.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from fsd.net.dispatch import Dispatcher
from fsd.net.waiting import WaitingBytes
from fsproto.messages import Message
from fsproto.messages.base import Done
from fsproto.messages.files import Download
from fsproto.types import Root
from fsproto.wire.connection import Control, Data
from tests.attacks.test_bounded_memory import does_not_read, stops_in_a_segment
from tests.conftest import TIER
from tests.support.disks import Disk, disk, fill, small_disk
from tests.support.fixed_keys import stretch
from tests.support.hostile_server import Answers, HostileServer, Lie, Meanwhile, Said
from tests.support.raw_client import RawClient
from tests.support.servers import RunningServer
from tests.support.world import DRAFT, FILES, NOTES, PLAN, World, finish, until

UNEXPECTED, NOT_ALLOWED, NO_SPACE = 1, 6, 9
LONG = stretch("long", 6 << 20)
"""Content that the socket buffers of both ends do not hold."""
EVERY = 1 if TIER == "soak" else 2
"""Of so many messages or requests, the disk fails before one."""
AWHILE_S = 1.0
"""More than a command takes on a disk that works."""
SOON_S = 15.0
"""Much less than the time that the disk stays frozen, which is until the test is over."""


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "disk") as mounted:
        yield mounted


# --- the server's


@pytest.fixture
def stored(world: World, real: Disk) -> World:
    """The world with the whole data directory of its server on the disk."""
    shutil.copytree(world.home, real.folder / "fsd")
    shutil.rmtree(world.home)
    world.home.symlink_to(real.folder / "fsd")  # the log is in the parent folder, elsewhere
    return world


@pytest.fixture
def apart(world: World, real: Disk) -> World:
    """The world with the blobs of its server on the disk, and its database elsewhere."""
    blobs = world.home / "blobs"
    shutil.copytree(blobs, real.folder / "blobs")
    shutil.rmtree(blobs)
    blobs.symlink_to(real.folder / "blobs")
    return world


def test_a_frozen_disk_of_blobs_delays_nothing_that_needs_no_blob(apart: World, real: Disk) -> None:
    with apart.process("--set", "door.buffers_mib=1") as server, contextlib.ExitStack() as opened:
        apart.alice.put("long", LONG).succeeds()
        body = apart.alice.find("long").manifest.body
        assert body.content is not None
        ask = Download(body.node, body.content.root, 0)

        def slow_clients() -> None:
            for stops in (does_not_read, stops_in_a_segment) * 4:
                stops(opened.enter_context(RawClient.of(apart.alice, server.address)), ask)

        with contextlib.closing(opened):
            with real.frozen():  # while the file of what waits is made
                slow_clients()
                bob_reads(apart)
            until(lambda: without_names(server) == 1, "something waits in the file")
            with real.frozen():  # while it is written
                slow_clients()
                bob_reads(apart)
        until(lambda: without_names(server) == 0, "the file is closed")
        assert apart.alice.cat("long") == LONG
        assert "Traceback" not in server.log


def test_places_of_what_waits_are_given_back_without_waiting_for_a_frozen_disk(real: Disk) -> None:
    with ThreadPoolExecutor() as threads:
        waiting = WaitingBytes(real.folder, 0, lambda file: threads.submit(file.close))
        used, unused = waiting.slot(), waiting.slot()
        with real.frozen():
            writing = threads.submit(used.write, bytes(1 << 20))
            with pytest.raises(TimeoutError):
                writing.result(AWHILE_S)
            for slot in (used, unused):
                threads.submit(slot.give_back).result(SOON_S)
            threads.submit(waiting.hold, 0).result(SOON_S)
        writing.result()
        assert list(real.folder.iterdir()) == [real.folder / "lost+found"]
        waiting.slot().write(b"more")  # in a new file


def bob_reads(world: World) -> None:
    read = world.bob.start("cat", "notes.txt")
    assert finish(read, SOON_S).succeeds() == FILES["bob"]["notes.txt"]


def without_names(server: RunningServer) -> int:
    """Return how many files without a name the server has open in its staging folder."""
    links = Path(f"/proc/{server.process.pid}/fd").iterdir()
    named = [str(link.readlink()) for link in links if link.is_symlink()]
    return sum("staging" in name and name.endswith("(deleted)") for name in named)


def test_what_a_frozen_disk_delays_is_done_when_it_runs_again(stored: World, real: Disk) -> None:
    alice = stored.alice
    with stored.process() as server:
        alice.run("ls").succeeds()
        small, large = alice.write("small", b"newer"), alice.write("large", DRAFT)
        with real.frozen():
            putting = [alice.start("put", small, "notes.txt"), alice.start("put", large, "new")]
            for one in putting:
                with pytest.raises(subprocess.TimeoutExpired):
                    one.wait(AWHILE_S)
        for one in putting:
            finish(one).succeeds()
        assert alice.cat("notes.txt") == b"newer"
        assert alice.cat("new") == DRAFT
        assert "Traceback" not in server.log


def test_a_disk_that_becomes_read_only_refuses_changes_and_still_serves_reads(
    stored: World, real: Disk
) -> None:
    alice = stored.alice
    with stored.process() as server:
        alice.run("ls").succeeds()
        code = alice.app.fresh()
        real.fail()
        alice.put("notes.txt", b"newer").fails(UNEXPECTED)
        assert "The disk of the database fails." in alice.put("draft.bin", PLAN).fails(UNEXPECTED)
        alice.run("mkdir", "new").fails(UNEXPECTED)
        alice.run("--otp", code, "login").fails(UNEXPECTED)
        assert alice.cat("notes.txt") == NOTES
        assert alice.cat("plan.bin") == PLAN
        assert "Traceback" not in server.log
        assert "the database failed" in server.log
        assert "the database failed" in server.log
        assert server.process.poll() is None


def test_an_upload_whose_disk_becomes_read_only_is_refused_and_costs_the_user_no_connection(
    apart: World, real: Disk
) -> None:
    alice, most = apart.alice, 2
    with apart.process("--set", f"person.connections={most}") as server:
        raw = RawClient.of(alice, server.address)
        stops_in_a_segment(raw, Download(alice.find("plan.bin").keyed.node, Root(b""), 0))
        real.fail()
        raw.socket.close()
        for _ in range(2 * most):  # each connection that is not counted off would count for ever
            assert "Read-only" in alice.put("draft.bin", PLAN).fails(UNEXPECTED)
        assert alice.cat("draft.bin") == DRAFT
        assert "Traceback" not in server.log


def test_a_blob_that_the_disk_cannot_read_fails_alone(apart: World, real: Disk) -> None:
    alice = apart.alice
    with apart.process() as server:
        real.lose(apart.blob(root_of(apart, "plan.bin")))
        target = alice.folder / "all"
        target.mkdir()
        told = alice.run("get", "plan.bin", "draft.bin", "notes.txt", target).fails(UNEXPECTED)
        assert "plan.bin" in told
        assert sorted(path.name for path in target.iterdir()) == ["draft.bin", "notes.txt"]
        assert "Traceback" not in server.log
        assert "the disk for files fails" in server.log


def root_of(world: World, path: str) -> bytes:
    content = world.alice.find(path).manifest.body.content
    assert content is not None
    return content.root


class BeforeRequest(Lie):
    """An honest server, to which something happens before it answers one of the requests."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self._left = number
        self._act = act

    def serve(self, ask: Message, by: Callable[[Dispatcher | None], Answers]) -> Answers:
        self._left -= 1
        if self._left == 0:
            self._act()
        return by(None)

    @property
    def happened(self) -> bool:
        return self._left <= 0


@pytest.mark.parametrize("full", [True, False], ids=["full", "read-only"])
def test_a_disk_that_fails_at_any_request_of_a_put_leaves_the_old_files_or_the_new_ones(
    first_world: World, tmp_path: Path, full: bool
) -> None:
    for at in itertools.count(1, EVERY):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        if not put_fails_at(first_world.copy(folder), folder / "disk", at, full=full):
            break


def put_fails_at(world: World, where: Path, at: int, *, full: bool) -> bool:
    """Let the server's disk fail before a request; return whether there were so many."""
    alice = world.alice
    newer = {"notes.txt": b"newer", "plan.bin": DRAFT, "reports/q1.txt": b"newer"}
    for name, content in newer.items():
        alice.write(f"new/{name}", content)
    put: list[str | Path] = ["put", *sorted((alice.folder / "new").iterdir()), "/"]
    with contextlib.ExitStack() as disks:
        act: Callable[[], object] = partial(fill, where)
        if full:
            disks.enter_context(small_disk(where, 16))
        else:
            act = disks.enter_context(disk(where)).fail
        shutil.copytree(world.home, where / "fsd")
        with HostileServer(where / "fsd", now_ms=world.movable_clock().now_ms) as server:
            world.meet(server.address)
            server.lie = lie = BeforeRequest(at, act)
            ran = alice.run(*put)
            if not lie.happened:
                ran.succeeds()
                return False
            assert ran.status in (0, UNEXPECTED, NO_SPACE)
            assert "Traceback" not in ran.err
            assert "unexpected" not in ran.err
        shutil.rmtree(world.home)
        shutil.copytree(where / "fsd", world.home)
    with world.process():
        for name, content in newer.items():
            old = FILES["alice"][name]
            assert alice.cat(name) in ((old, content) if ran.status else (content,))
        alice.run(*put).succeeds()
        assert all(alice.cat(name) == content for name, content in newer.items())
        until(lambda: not world.staged(), "nothing is staged")
        assert world.kept() == world.known()
    return True


# --- the client's


def is_middle(said: Said) -> bool:
    """Return whether a message is the second segment of a download."""
    return isinstance(said, Data) and said.index == 1


def test_a_download_to_a_frozen_disk_is_whole_when_it_runs_again(
    world: World, liar: HostileServer, real: Disk
) -> None:
    target = real.folder / "here"
    getting = world.alice.start("get", "plan.bin", target)
    with real.frozen():
        until(lambda: liar.connections, "the client has connected")
    finish(getting).succeeds()
    assert target.read_bytes() == PLAN


def test_a_download_to_a_disk_that_becomes_read_only_leaves_the_old_file(
    world: World, liar: HostileServer, real: Disk
) -> None:
    target = real.folder / "here"
    target.write_bytes(b"what is here")
    liar.lie = lie = Meanwhile(is_middle, real.fail)
    told = world.alice.run("get", "plan.bin", target).fails(NOT_ALLOWED)
    assert lie.happened
    assert str(real.folder) in told  # the file, or its folder if the new file could not be made
    assert target.read_bytes() == b"what is here"
    elsewhere = world.alice.folder / "elsewhere"
    world.alice.run("get", "plan.bin", elsewhere).succeeds()
    assert elsewhere.read_bytes() == PLAN


def test_files_that_the_server_has_are_not_said_to_be_lost(
    world: World, liar: HostileServer, real: Disk
) -> None:
    alice = world.alice
    profile = shutil.copytree(alice.client, real.folder / "client")
    few = [alice.write(f"few/{number}", stretch(f"{number}", 5000)).parent for number in range(3)]
    liar.lie = lie = Meanwhile(is_done, real.fail)
    told = alice.run("put", few[0], "few", client=profile).fails(NOT_ALLOWED)
    assert lie.happened
    assert "A profile must be writable" in told
    assert "was put" not in told
    assert alice.run("ls", "few").succeeds() == b"0\n1\n2\n"


def is_done(said: Said) -> bool:
    """Return whether a message is the answer to a commit."""
    return isinstance(said, Control) and isinstance(said.message, Done)


COMMANDS: dict[str, Callable[[World], list[str | Path]]] = {
    "put": lambda world: ["put", world.alice.write("tree/large", LONG).parent, "tree"],
    "sync": lambda world: ["sync", "--two-way", world.alice.write("tree/a", b"a").parent, "tree"],
    "mkdir": lambda _: ["mkdir", "-p", "new/folder"],
    "rotate": lambda world: ["--quiet", "--otp", world.alice.app.fresh(), "keys", "rotate"],
}


@pytest.mark.cases(3)
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("full", [True, False], ids=["full", "read-only"])
def test_a_profile_that_cannot_be_written_ends_a_command_with_one_sentence_and_loses_nothing(
    first_world: World, tmp_path: Path, name: str, full: bool
) -> None:
    for at in itertools.count(1, EVERY):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        if not fails_at(first_world.copy(folder), folder / "disk", COMMANDS[name], at, full=full):
            break


def fails_at(
    world: World, where: Path, command: Callable[[World], list[str | Path]], at: int, *, full: bool
) -> bool:
    """Let the disk of alice's profile fail before a message; return whether there was so many."""
    alice = world.alice
    with (
        HostileServer(world.home, now_ms=world.movable_clock().now_ms) as server,
        contextlib.ExitStack() as disks,
    ):
        world.meet(server.address)
        act: Callable[[], object] = partial(fill, where)
        if full:
            disks.enter_context(small_disk(where, 3))
        else:
            act = disks.enter_context(disk(where, 16)).fail
        profile = Path(shutil.copytree(alice.client, where / "client"))
        numbers = itertools.count(1)
        server.lie = lie = Meanwhile(lambda _: next(numbers) == at, act)
        ran = alice.run(*command(world), client=profile)
        if not lie.happened:
            ran.succeeds()
            return False
        if ran.status:
            ran.fails(NO_SPACE if full else NOT_ALLOWED)
        # With space again, or elsewhere, the profile is whole, and the command can be repeated.
        elsewhere = shutil.copytree(profile, alice.folder / "profile")
        alice.run(*command(world), client=elsewhere).succeeds()
        assert alice.run("cat", "notes.txt", client=elsewhere).succeeds() == NOTES
        return True
