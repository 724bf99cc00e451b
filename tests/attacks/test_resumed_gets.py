"""Gets are interrupted, and the next command resumes them, whatever has changed in between."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsclient.profile import Profile
from fsproto import labels
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.files import Sent
from fsproto.sealed.stream import plain_start
from fsproto.wire.connection import Control, Data
from tests.attacks.test_cut_transfers import AT_ONCE, LARGE, LOST, NEVER, hidden
from tests.attacks.test_resumed_puts import GOES_ON, INTERRUPTED
from tests.support import proxy
from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.fixed_keys import stretch
from tests.support.hostile_server import HostileServer, Lie, Said
from tests.support.proxy import Holds, Proxy, To
from tests.support.world import Person, World, finish, until

HALF = 3 * SEGMENT_SIZE + SEGMENT_SIZE // 2
WHOLE_IN_HALF = 3
NEWER = stretch("newer", len(LARGE))


@pytest.fixture(scope="module")
def world_with_large(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world to copy, in which alice has a large file."""
    world = first_world.copy(tmp_path_factory.mktemp("large"))
    with HostileServer(world.home) as server:
        world.meet(server.address)
        world.alice.put("large", LARGE).succeeds()
    return world


@pytest.fixture
def world(request: pytest.FixtureRequest, first_world: World, tmp_path: Path) -> World:
    """A fresh copy of the world, in which `alice` has a large file."""
    if "alice" in request.fixturenames:
        made: World = request.getfixturevalue("world_with_large")
        return made.copy(tmp_path)
    return first_world.copy(tmp_path)


@pytest.fixture
def alice(world: World, liar: HostileServer) -> Person:
    """Alice, with a large file in her tree and a client that gives up at a lost connection."""
    world.alice.patience = NEVER
    return world.alice


@pytest.fixture
def target(alice: Person) -> Path:
    """The local path that the file is got to."""
    target = alice.write("here", b"what is here")
    interrupted_get(alice, target)
    return target


def interrupted_get(person: Person, target: Path, *options: str) -> str:
    """Get half of the file; return the output of the command."""
    server = Profile(person.client, "default").facts().link.address
    with CuttingProxy(server, [Cut(To.CLIENT, HALF)]) as between:
        person.meet(between.address)
        told = person.run("get", *options, "large", target).fails(LOST)
    person.meet(server)
    assert target.read_bytes() == b"what is here"
    return told


def partial(person: Person) -> Path:
    """Return the kept partial file."""
    (path,) = hidden(person)
    return path


def received(person: Person, server: HostileServer, target: Path, name: str = "large") -> int:
    """Get the whole file; return how many bytes of it were received."""
    with CuttingProxy(server.address) as between:
        person.meet(between.address)
        person.run("get", name, target).succeeds()
    person.meet(server.address)
    assert hidden(person) == []
    return between.passed[To.CLIENT]


def test_the_same_command_resumes_where_it_stopped(
    alice: Person, liar: HostileServer, target: Path
) -> None:
    kept = partial(alice)
    assert kept.stat().st_size == plain_start(WHOLE_IN_HALF)
    assert kept.stat().st_mode & 0o777 == 0o600
    most = len(LARGE) - WHOLE_IN_HALF * SEGMENT_SIZE + SEGMENT_SIZE // 2
    assert received(alice, liar, target) < most
    assert target.read_bytes() == LARGE


def test_a_file_whose_header_another_client_drew_is_got_whole(
    world: World, liar: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = world.alice
    with monkeypatch.context() as another_client:
        another_client.setattr(labels, "CONTENT_HEADER", b"drawn in some other way")
        alice.put("large", LARGE).succeeds()
    target = alice.write("here", b"what is here")
    interrupted_get(alice, target)
    partial(alice)
    assert received(alice, liar, target) > len(LARGE)
    assert target.read_bytes() == LARGE


def test_the_client_says_that_the_same_command_resumes(alice: Person) -> None:
    target = alice.write("here", b"what is here")
    assert GOES_ON in interrupted_get(alice, target)


def test_without_resume_nothing_is_kept_and_what_there_was_is_gone(
    alice: Person, liar: HostileServer
) -> None:
    target = alice.write("here", b"what is here")
    assert GOES_ON not in interrupted_get(alice, target, "--no-resume")
    assert hidden(alice) == []
    interrupted_get(alice, target)
    assert hidden(alice)
    alice.run("get", "--no-resume", "large", target).succeeds()
    assert hidden(alice) == []
    assert target.read_bytes() == LARGE


def flipped(at: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    return change


def truncated(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.cases(4)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(flipped(0), id="first byte"),
        pytest.param(flipped(SEGMENT_SIZE + 7), id="a byte"),
        pytest.param(flipped(plain_start(WHOLE_IN_HALF) - 1), id="last byte"),
        pytest.param(truncated(0), id="nothing left"),
        pytest.param(truncated(5), id="hardly anything left"),
        pytest.param(truncated(SEGMENT_SIZE + 5), id="cut"),
        pytest.param(truncated(len(LARGE)), id="zeros to the very size"),
        pytest.param(truncated(len(LARGE) + 1), id="too long"),
        pytest.param(lambda path: path.write_bytes(LARGE), id="all of it"),
        pytest.param(lambda path: path.write_bytes(NEWER), id="another file"),
        pytest.param(lambda path: path.chmod(0o644), id="readable by others"),
        pytest.param(linked, id="a link"),
    ],
)
def test_a_kept_partial_file_is_verified_again(
    alice: Person, target: Path, change: Callable[[Path], None]
) -> None:
    change(partial(alice))
    alice.run("get", "large", target).succeeds()
    assert target.read_bytes() == LARGE


def test_what_was_kept_of_another_version_is_deleted(alice: Person, target: Path) -> None:
    assert hidden(alice)
    alice.put("large", NEWER).succeeds()
    alice.run("get", "large", target).succeeds()
    assert target.read_bytes() == NEWER
    assert hidden(alice) == []


def test_what_another_process_works_on_is_left_alone(
    alice: Person, liar: HostileServer, target: Path
) -> None:
    kept = partial(alice)
    before = kept.read_bytes()
    with kept.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        alice.run("get", "large", target).succeeds()
    assert target.read_bytes() == LARGE
    assert kept.read_bytes() == before
    assert alice.half_written() == []


def test_a_file_with_the_longest_name_can_be_resumed(alice: Person) -> None:
    target = alice.write("ä" * 127, b"what is here")
    interrupted_get(alice, target)
    assert hidden(alice)
    alice.run("get", "large", target).succeeds()
    assert target.read_bytes() == LARGE
    assert hidden(alice) == []


# --- a server that sends false content


class Shifts(Lie):
    """A server that sends other segments under the numbers that the client requested."""

    def __init__(self, by: int) -> None:
        self._by = by

    def says(self, said: Said) -> Iterator[Said]:
        if isinstance(said, Data) and said.index >= WHOLE_IN_HALF:
            said = Data(said.stream, said.index + self._by, said.payload)
        yield said


class Adds(Lie):
    """A server that sends one segment more than the client requested."""

    def __init__(self) -> None:
        self._last: Data | None = None

    def says(self, said: Said) -> Iterator[Said]:
        if isinstance(said, Data):
            self._last = Data(said.stream, said.index + 1, memoryview(bytes(said.payload)))
        elif isinstance(said, Control) and isinstance(said.message, Sent) and self._last:
            yield self._last
        yield said


class Damages(Lie):
    """A server that overwrites nine bytes of every segment."""

    def says(self, said: Said) -> Iterator[Said]:
        if isinstance(said, Data):
            damaged = bytes(said.payload[:50]) + bytes(9) + bytes(said.payload[59:])
            said = Data(said.stream, said.index, memoryview(damaged))
        yield said


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    "lie", [Shifts(1), Shifts(-1), Adds(), Damages()], ids=lambda x: type(x).__name__
)
def test_a_lie_about_the_rest_is_noticed_and_nothing_of_it_stays(
    alice: Person, liar: HostileServer, target: Path, lie: Lie
) -> None:
    liar.lie = lie
    assert alice.run("get", "large", target).status == 7
    assert target.read_bytes() == b"what is here"
    assert hidden(alice) == []
    liar.lie = Lie()
    alice.run("get", "large", target).succeeds()
    assert target.read_bytes() == LARGE


def test_a_server_that_stalls_is_left_and_asked_again(alice: Person, liar: HostileServer) -> None:
    target = alice.write("here", b"what is here")
    alice.patience = replace(AT_ONCE, silence_s=0.3)
    hold = Holds(To.CLIENT, proxy.WELCOME + 4)
    with Proxy(liar.address, lambda: hold) as between:
        alice.meet(between.address)
        told = alice.run("get", "large", target)
        hold.let_go.set()
    alice.meet(liar.address)
    # Each connection holds back the same message, so each makes some progress.
    told.succeeds()
    assert target.read_bytes() == LARGE


# --- programs that are killed and interrupted


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_get_whose_client_ends_resumes_with_the_same_command(
    alice: Person, liar: HostileServer, how: signal.Signals
) -> None:
    alice.put("larger", LARGE + LARGE).succeeds()
    target = alice.write("here", b"what is here")
    hold = Holds(To.CLIENT, proxy.WELCOME + 9)
    with Proxy(liar.address, lambda: hold) as between:
        alice.meet(between.address)
        process = alice.start("get", "larger", target)
        assert hold.held.wait(60)
        # The client decrypts some segments before it writes the earlier ones.
        until(
            lambda: [p for p in hidden(alice) if p.stat().st_size > 2 * SEGMENT_SIZE],
            "a part was written",
        )
        process.send_signal(how)
        ran = finish(process)
        hold.let_go.set()
    if how == signal.SIGINT:
        assert GOES_ON in ran.fails(INTERRUPTED)
    assert target.read_bytes() == b"what is here"
    partial(alice)
    # At least two segments are on the disk.
    assert received(alice, liar, target, "larger") < 2 * len(LARGE) - SEGMENT_SIZE // 2
    assert target.read_bytes() == LARGE + LARGE
