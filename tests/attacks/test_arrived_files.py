"""Files of a folder that have arrived are kept, whatever ends the upload of the folder."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable

import pytest

from fsclient.transfer.up import batch
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.files import Commit, Upload, UploadEnd
from fsproto.wire.connection import Control, Data, Event
from tests.attacks.test_quotas import allow
from tests.support.cutting_proxy import CuttingProxy
from tests.support.fixed_keys import stretch
from tests.support.hostile_server import HostileServer, Lie
from tests.support.proxy import Frame, Proxy, Tamper, To
from tests.support.world import Person, World, finish, until

SIZE = 2 * SEGMENT_SIZE - 9
FILES = {f"f{n}": stretch(f"arrived {n}", SIZE) for n in range(6)}
SPACE = 9


@pytest.fixture
def alice(world: World) -> Person:
    for name, content in FILES.items():
        world.alice.write(f"many/{name}", content)
    return world.alice


def arrived(alice: Person, folder: str = "many") -> list[str]:
    """Return the names of the files in a remote folder, each of which must be whole."""
    names = alice.run("ls", folder).succeeds().decode().split()
    for name in names:
        assert alice.cat(f"{folder}/{name}") == FILES[name]
    return names


class HoldsOnce(Tamper):
    """A hold of everything that the client sends after the third file, on all connections once."""

    def __init__(self) -> None:
        self.held, self.let_go = threading.Event(), threading.Event()
        self._left = 3 * SIZE + SEGMENT_SIZE

    def passes(self, frame: Frame) -> Iterable[bytes]:
        """Wait at the message that is too much."""
        if frame.to is To.SERVER and not self.held.is_set():
            self._left -= len(frame.data)
            if self._left < 0:
                self.held.set()
                self.let_go.wait(60)
        return [frame.data]


def stopped(
    world: World, verb: str, number: signal.Signals, *, resumes: bool = True
) -> tuple[int, str]:
    """Upload through a proxy that stops after the third file, then end the client by a signal."""
    alice, before = world.alice, len(world.kept())
    with world.process() as server:
        hold = HoldsOnce()
        with Proxy(server.address, lambda: hold) as between:
            alice.meet(between.address)
            options = [] if resumes else ["--no-resume"]
            process = alice.start(verb, *options, alice.folder / "many", "many")
            assert hold.held.wait(60)
            until(lambda: len(world.kept()) >= before + 3, "three files came")
            process.send_signal(number)
            ran = finish(process)
            hold.let_go.set()
        alice.meet(server.address)
        names = arrived(alice)
        assert names[:3] == ["f0", "f1", "f2"]
        if not resumes:
            return ran.status, ran.err
        with CuttingProxy(server.address) as counted:
            alice.meet(counted.address)
            alice.run(verb, alice.folder / "many", "many").succeeds()
        assert counted.passed[To.SERVER] < (len(FILES) - len(names) + 1) * SIZE
        alice.meet(server.address)
        assert arrived(alice) == sorted(FILES)
    return ran.status, ran.err


@pytest.mark.cases(1)
@pytest.mark.parametrize("verb", ["put", "sync"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_arrived_files_are_kept_when_the_client_is_terminated(
    world: World, alice: Person, verb: str, number: signal.Signals
) -> None:
    status, err = stopped(world, verb, number)
    assert status == 128 + number
    assert "Storing what has arrived" in err


@pytest.mark.cases(1)
@pytest.mark.parametrize("verb", ["put", "sync"])
def test_what_has_arrived_is_kept_without_resuming_too(
    world: World, alice: Person, verb: str
) -> None:
    status, err = stopped(world, verb, signal.SIGINT, resumes=False)
    assert status == 128 + signal.SIGINT
    assert "Storing what has arrived" in err


class Order(Lie):
    """A record of what the server receives, in order."""

    def __init__(self) -> None:
        self.heard: list[type] = []

    def hears(self, connection: object, event: Event) -> None:
        """Record the kind of a message or segment."""
        self.heard.append(type(event.message) if isinstance(event, Control) else type(event))


@pytest.fixture
def _due_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "FLUSH_AFTER_S", 0.0)


@pytest.mark.cases(1)
@pytest.mark.usefixtures("_due_at_once")
@pytest.mark.parametrize("verb", ["put", "sync"])
def test_each_file_is_committed_when_its_time_has_come(
    alice: Person, liar: HostileServer, verb: str
) -> None:
    liar.lie = order = Order()
    alice.run(verb, alice.folder / "many", "many").succeeds()
    assert order.heard.count(Commit) >= len(FILES)
    assert order.heard.count(Upload) == len(FILES)  # nothing was sent twice
    assert arrived(alice) == sorted(FILES)


@pytest.mark.usefixtures("_due_at_once")
def test_small_files_do_not_wait_for_the_end_of_a_large_one(
    alice: Person, liar: HostileServer
) -> None:
    liar.lie = order = Order()
    for name in FILES:
        alice.write(f"many/{name}", b"small")
    large = alice.write("many/g", stretch("large", 8 * SEGMENT_SIZE))
    alice.run("put", alice.folder / "many", "many").succeeds()
    at, end = order.heard.index(Data), order.heard.index(UploadEnd)
    last = max(n for n, kind in enumerate(order.heard[:end]) if kind is Commit)
    assert last < end - 6, "before the last segments of the large file"
    assert at < end
    assert alice.cat("many/g") == large.read_bytes()
    assert alice.cat("many/f5") == b"small"


@pytest.mark.cases(1)
@pytest.mark.parametrize("verb", ["put", "sync"])
def test_arrived_files_are_kept_when_the_quota_is_used_up(
    world: World, alice: Person, verb: str
) -> None:
    with world.process() as server:
        allow(server, "alice", 4 * SIZE)
        alice.run(verb, alice.folder / "many", "many").fails(SPACE)
        assert arrived(alice) == ["f0", "f1", "f2"]
