"""Too little memory: at the server, which must go on, and at the client, which must say so.

The limit is that of the system for one process (RLIMIT_DATA, and RLIMIT_AS for threads), and is set
while the real program runs, at what the program has at that moment.
"""

from __future__ import annotations

import contextlib
import itertools
import resource
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from fsproto.errors import ConnectionLost, InternalError
from fsproto.messages.account import GetStatus, Status
from fsproto.messages.base import Failure
from fsproto.wire.connection import Control, Data
from tests.attacks.test_bounded_memory import DENSE
from tests.conftest import TIER
from tests.support.fixed_keys import stretch
from tests.support.hostile_server import HostileServer, Meanwhile, Said
from tests.support.programs import Process
from tests.support.raw_client import RawClient
from tests.support.servers import RunningServer
from tests.support.world import FILES, NOTES, Person, Ran, World, finish, until

pytestmark = pytest.mark.skipif(
    TIER != "soak", reason="what a limit of memory meets depends on the load: `make soak` only"
)
UNEXPECTED, UNREACHABLE = 1, 3
MIB = 1 << 20
LARGE = stretch("large", 5 * MIB)
GROUPS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)
"""Where the control groups of memory are in their two versions, and the file of the limit."""
KINDS = ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize"))
CONNECTIONS = 4
"""Most of one person: a connection that is not counted off would soon keep its person out."""


def used(pid: int, what: str) -> int:
    """Return a number of bytes of a process, from the kernel's status file."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{what}:")).split()[1]) * 1024


def starve(pid: int, more: int = 0) -> None:
    """Let a process take only `more` bytes in addition to what it has."""
    for kind, what in KINDS:
        resource.prlimit(pid, kind, (used(pid, what) + more, resource.RLIM_INFINITY))


@contextlib.contextmanager
def starved(pid: int, more: int) -> Iterator[None]:
    """Do that until the block ends."""
    before = [resource.prlimit(pid, kind) for kind, _ in KINDS]
    starve(pid, more)
    try:
        yield
    finally:
        for (kind, _), limits in zip(KINDS, before, strict=True):
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, kind, limits)


@pytest.fixture
def server(world: World) -> Iterator[RunningServer]:
    with world.process("--set", f"person.connections={CONNECTIONS}") as running:
        yield running


@pytest.mark.parametrize("more", [0, MIB, 4 * MIB, 16 * MIB])
def test_a_server_without_memory_refuses_what_needs_it_and_goes_on(
    world: World, server: RunningServer, more: int
) -> None:
    alice, bob = world.alice, world.bob
    alice.run("ls").succeeds()
    large = alice.write("large", LARGE)
    many = [alice.write(f"many/{number}", stretch(f"{number}", 9000)) for number in range(100)]
    with starved(server.process.pid, more):
        commands = [
            alice.start("put", "--no-resume", large, "large"),
            alice.start("put", "--no-resume", many[0].parent, "many"),
            alice.start("get", "--no-resume", "plan.bin", alice.folder / "got"),
            bob.start("put", "--no-resume", large, "draft.bin"),
            bob.start("cat", "notes.txt"),
        ]
        ends = [finish(one) for one in commands]
    for end in ends:
        says_so(end)
    assert server.process.poll() is None
    assert "Traceback" not in server.log
    for _ in range(2 * CONNECTIONS):
        assert bob.cat("notes.txt") == FILES["bob"]["notes.txt"]
    alice.run("put", large, "large").succeeds()
    alice.run("put", many[0].parent, "many").succeeds()
    assert alice.cat("large") == LARGE
    assert alice.cat("notes.txt") == NOTES
    assert bob.cat("draft.bin") in (FILES["bob"]["draft.bin"], LARGE)
    until(lambda: not world.staged(), "nothing is staged")
    assert world.kept() == world.known()


def test_a_request_that_memory_does_not_suffice_for_is_refused_and_the_connection_goes_on(
    world: World,
) -> None:
    with world.process() as server, contextlib.ExitStack() as opened:
        raws = [
            opened.enter_context(RawClient.of(one, server.address))
            for one in world.everybody
            for _ in range(3)
        ]
        with starved(server.process.pid, 6 * MIB):  # for the records, and not for what is in them
            for raw in raws:
                raw.send(DENSE)
            refused = [raw for raw in raws if is_refused(raw)]
        assert refused
        for raw in refused:
            assert isinstance(raw.ask(GetStatus()), Status)
        assert server.log.count("request refused: out of memory") == len(refused)
        assert "Traceback" not in server.log


def is_refused(raw: RawClient) -> bool:
    """Return whether a request was refused for lack of memory, and not for another reason."""
    try:
        answer = raw.receive()
    except ConnectionLost:
        return False
    assert isinstance(answer, Control)
    assert isinstance(answer.message, Failure)
    return answer.message.code == InternalError.code and "memory" in answer.message.sentence


@contextlib.contextmanager
def killed_for_memory(process: Process, most: int) -> Iterator[None]:
    """Let the kernel kill a process when it takes `most` more bytes, by a control group."""
    first, limit = next(
        ((place, name) for place, name in GROUPS if place.is_dir()), (Path("/nowhere"), "")
    )
    group = first / f"fs-tests-{process.pid}"
    try:
        group.mkdir()
        (group / limit).write_text(str(most))
        (group / "cgroup.procs").write_text(str(process.pid))
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip("WHAT A KILL FOR MEMORY DOES IS NOT TESTED: control groups cannot be made here")
    try:
        yield
    finally:
        process.kill()
        process.wait()
        until(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")
        group.rmdir()


def test_a_server_that_the_kernel_kills_for_its_memory_loses_nothing(
    world: World, server: RunningServer
) -> None:
    alice = world.alice
    alice.run("ls").succeeds()
    large = alice.write("large", LARGE * 4)
    with killed_for_memory(server.process, MIB):
        putting = [alice.start("put", "--no-resume", large, f"large {n}") for n in range(4)]
        ends = [finish(one) for one in putting]
        assert server.process.wait() == -signal.SIGKILL
    for end in ends:
        says_so(end)
    with server.restart():
        assert alice.cat("notes.txt") == NOTES
        for number, end in enumerate(ends):
            if end.status == 0:
                assert alice.cat(f"large {number}") == LARGE * 4
        alice.run("put", large, "large").succeeds()
        assert alice.cat("large") == LARGE * 4
        until(lambda: not world.staged(), "nothing is staged")
        assert world.kept() == world.known()


def says_so(ended: Ran) -> None:
    if ended.status:
        ended.fails(UNEXPECTED, UNREACHABLE)


COMMANDS: dict[str, Callable[[Person], list[str | Path]]] = {
    "put a large file": lambda alice: ["put", alice.write("large", LARGE), "large"],
    "put many": lambda alice: ["put", many_files(alice), "many"],
    "get a large file": lambda alice: ["get", "plan.bin", alice.folder / "got"],
    "get many": lambda alice: ["get", "reports", alice.folder / "got"],
    "cat": lambda _: ["cat", "plan.bin"],
    "sync": lambda alice: ["sync", "--two-way", many_files(alice), "many"],
}


def start_until(
    server: HostileServer, when: Callable[[Said], bool], person: Person, *command: str | Path
) -> Process:
    """Start a command that gets no more memory from a message of the server on."""
    started: Future[int] = Future()
    server.lie = Meanwhile(when, lambda: starve(started.result()))
    process = person.start(*command)
    started.set_result(process.pid)
    return process


def many_files(alice: Person) -> Path:
    for number in range(100):
        alice.write(f"many/{number}", stretch(f"{number}", 9000))
    return alice.folder / "many"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("message", [1, 3])
def test_a_client_without_memory_ends_with_one_sentence_and_leaves_nothing(
    world: World, liar: HostileServer, name: str, message: int
) -> None:
    alice = world.alice
    alice.run("ls").succeeds()
    command = COMMANDS[name](alice)
    before = {path: path.read_bytes() for path in alice.folder.rglob("*") if path.is_file()}
    numbers = itertools.count(1)
    process = start_until(liar, lambda _: next(numbers) == message, alice, *command)
    ended = finish(process)
    if ended.status:
        assert "not enough memory" in ended.fails(UNEXPECTED)
        now = [path for path in alice.folder.rglob("*") if path.is_file()]
        assert {path: path.read_bytes() for path in now} == before
    alice.run(*command).succeeds()


def test_a_download_without_memory_says_so(world: World, liar: HostileServer) -> None:
    """Some commands need no more memory than they have at their first message; this one does."""
    world.alice.run("ls").succeeds()
    command = "get", "plan.bin", world.alice.folder / "got"
    process = start_until(liar, lambda said: isinstance(said, Data), world.alice, *command)
    assert "not enough memory" in finish(process).fails(UNEXPECTED)
    assert not (world.alice.folder / "got").exists()
