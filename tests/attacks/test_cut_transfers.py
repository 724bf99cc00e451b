"""Connections are cut at any byte, in either direction, any number of times.

After any cut the received content equals the sent content, and no pair of a key and a nonce ever
seals two plaintexts.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsclient.connection.retry import WORTH_KEEPING, Timeouts
from fsclient.transfer.up import batch
from fsclient.transfer.up.batch import BATCH_BYTES, COMMITS_AHEAD
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.files import Resume, Upload
from fsproto.types import Salt
from fsproto.wire.connection import Control, Data, Event
from tests.conftest import TIER
from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.fixed_keys import stretch
from tests.support.hostile_server import HostileServer, Lie
from tests.support.proxy import To
from tests.support.world import Person, World

LARGE = stretch("large", WORTH_KEEPING + 700_001)
"""Five full segments, and a shorter sixth one."""
AT_ONCE = Timeouts(silence_s=20, give_up_s=30, first_pause_s=0.001, longest_pause_s=0.01)
NEVER = Timeouts(give_up_s=0)
LOGGED_IN = 8_000
"""A client needs fewer bytes than this in each direction to log in and find its folder."""
LOST = 3


class Witness(Lie):
    """An observer that remembers every sealed segment that ever arrived, by upload."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._salts: dict[tuple[object, int], Salt] = {}
        self.seen: dict[tuple[Salt, int], set[bytes]] = defaultdict(set)
        """The ciphertexts by salt and number; a salt is drawn with each file key."""

    def hears(self, connection: object, event: Event) -> None:
        """Remember which upload a segment belongs to, and its hash."""
        match event:
            case Control(request, Upload(salt) | Resume(salt)):
                self._salts[connection, request] = salt
            case Data(stream, index, payload):
                salt = self._salts[connection, stream]
                digest = hashlib.sha256(payload).digest()
                self.seen[salt, index].add(digest)

    def check(self) -> None:
        """Check that under each key each segment had one ciphertext."""
        assert self.seen
        twice = {which: of for which, of in list(self.seen.items()) if len(of) > 1}
        assert not twice

    @property
    def salts(self) -> set[Salt]:
        """Return the salt of each key under which a segment arrived."""
        return {salt for salt, _ in self.seen}


@pytest.fixture
def witness(liar: HostileServer) -> Iterator[Witness]:
    """An observer of everything that the server receives."""
    liar.lie = seen = Witness()
    yield seen
    seen.check()


def first_cuts(most: int) -> st.SearchStrategy[Cut]:
    """Return cuts of a connection on which a transfer has started."""
    return st.builds(Cut, st.sampled_from(To), st.integers(LOGGED_IN, most))


def cuts() -> st.SearchStrategy[list[Cut]]:
    """Return cuts of successive connections; later ones may also be cut before the transfer."""
    later = st.builds(
        Cut,
        st.sampled_from(To),
        st.one_of(st.integers(0, LOGGED_IN), st.integers(LOGGED_IN, 3 * SEGMENT_SIZE)),
    )
    return st.tuples(first_cuts(len(LARGE)), st.lists(later, max_size=4)).map(
        lambda both: [both[0], *both[1]]
    )


few = settings(
    max_examples=200 if TIER == "soak" else 5,  # each takes half a second
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def through(person: Person, server: HostileServer, cut: list[Cut]) -> CuttingProxy:
    """Let a person reach the server only through a proxy that cuts the connection."""
    between = CuttingProxy(server.address, cut)
    person.meet(between.address)
    return between


@given(cut=cuts())
@few
def test_a_put_that_is_cut_anywhere_resumes_by_itself(
    world: World, liar: HostileServer, witness: Witness, cut: list[Cut]
) -> None:
    alice = world.alice
    alice.patience = AT_ONCE
    source = alice.write("large", LARGE)
    with through(alice, liar, cut):
        alice.run("put", source, "large").succeeds()
    alice.meet(liar.address)
    assert alice.cat("large") == LARGE
    witness.check()
    assert not world.staged()
    assert world.kept() == world.known()
    assert not list((alice.profile / "transfers").iterdir())


@given(cut=cuts())
@few
def test_a_put_that_is_cut_anywhere_resumes_with_the_next_command(
    world: World, liar: HostileServer, witness: Witness, cut: list[Cut]
) -> None:
    alice = world.alice
    alice.patience = NEVER
    source = alice.write("large", LARGE)
    with through(alice, liar, cut):
        for _ in range(len(cut) + 1):
            if alice.run("put", source, "large").status == 0:
                break
        else:
            pytest.fail("it never came to its end")
    alice.meet(liar.address)
    assert alice.cat("large") == LARGE
    witness.check()
    assert not list((alice.profile / "transfers").iterdir())


@given(cut=cuts(), stops=st.booleans())
@few
def test_a_get_that_is_cut_anywhere_resumes(
    world: World, liar: HostileServer, large: str, cut: list[Cut], stops: bool
) -> None:
    alice = world.alice
    alice.patience = NEVER if stops else AT_ONCE
    target = alice.folder / "here"
    target.unlink(missing_ok=True)
    with through(alice, liar, cut):
        for _ in range(len(cut) + 1):
            status = alice.run("get", large, target).status
            if status == 0:
                break
            assert (stops, status) == (True, LOST)
            assert not target.exists()
    assert target.read_bytes() == LARGE
    assert hidden(alice) == []


@given(cut=cuts())
@few
def test_a_download_to_a_pipe_resumes_without_repeating_bytes(
    world: World, liar: HostileServer, large: str, cut: list[Cut]
) -> None:
    alice = world.alice
    alice.patience = AT_ONCE
    with through(alice, liar, cut):
        assert alice.run("cat", large).succeeds() == LARGE


@given(cut=cuts(), flush_after_s=st.sampled_from([0.0, batch.FLUSH_AFTER_S]))
@few
def test_a_folder_of_small_and_large_files_resumes_in_both_directions(
    world: World,
    liar: HostileServer,
    witness: Witness,
    monkeypatch: pytest.MonkeyPatch,
    cut: list[Cut],
    flush_after_s: float,
) -> None:
    monkeypatch.setattr(batch, "FLUSH_AFTER_S", flush_after_s)
    alice = world.alice
    alice.patience = AT_ONCE
    files = {f"many/{n}/small-{m}": stretch(f"{n} {m}", 9_000) for n in range(2) for m in range(9)}
    files |= {"many/large": LARGE, "many/medium": stretch("medium", 1_500_000)}
    for name, content in files.items():
        alice.write(name, content)
    with through(alice, liar, list(cut)):
        alice.run("put", alice.folder / "many", "/").succeeds()
    target = alice.folder / "back"
    with through(alice, liar, list(cut)):
        alice.run("get", "many", target).succeeds()
    for name, content in files.items():
        assert (target / Path(name).relative_to("many")).read_bytes() == content
    witness.check()


MANY = {f"{n % 3}/{n}": stretch(f"file {n}", 50_000) for n in range(108)}
"""Enough for more commits than are sent before the first one is answered."""
assert len(MANY) * 50_000 > (COMMITS_AHEAD + 2) * BATCH_BYTES


@given(cut=st.lists(first_cuts(5_500_000), min_size=1, max_size=5), data=st.data())
@few
def test_commits_that_were_sent_ahead_are_made_once_wherever_they_are_cut(
    world: World, liar: HostileServer, cut: list[Cut], data: st.DataObject
) -> None:
    alice = world.alice
    alice.patience = AT_ONCE
    many = alice.folder / "many"
    shutil.rmtree(many, ignore_errors=True)
    files = {name: content + data.draw(st.binary(max_size=2)) for name, content in MANY.items()}
    for name, content in files.items():
        alice.write(f"many/{name}", content)
    with through(alice, liar, cut):
        told = alice.run("put", many, "/")
    assert told.status == 0, told.err
    with through(alice, liar, [Cut(To.SERVER, 9_000), Cut(To.SERVER, 30_000)]):
        alice.run("sync", "--delete", many, "many").succeeds()
    alice.meet(liar.address)
    target = alice.folder / f"back {os.urandom(4).hex()}"
    alice.run("get", "many", target).succeeds()
    got = {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()}
    assert got == files


def hidden(person: Person) -> list[Path]:
    """Return the hidden files that a get has left next to its target."""
    return [path for path in person.folder.iterdir() if path.name.startswith(".")]


@pytest.fixture
def large(world: World, liar: HostileServer) -> str:
    """The name of a large file that is already stored."""
    world.alice.put("large", LARGE).succeeds()
    return "large"


def test_a_first_connection_that_is_ended_at_once_is_made_again_a_few_times(world: World) -> None:
    alice = world.alice
    with HostileServer(world.home) as server, CuttingProxy(server.address) as between:
        world.meet(between.address)
        alice.patience = AT_ONCE
        between.cuts = [Cut(To.CLIENT, 0)] * 3
        alice.run("ls").succeeds()
        between.cuts = [Cut(To.CLIENT, after) for after in (1000, 2500, 4000)]
        alice.run("ls").succeeds()
        between.connections = 4
        between.cuts = [Cut(To.CLIENT, 0)] * 4
        assert "ended the connection at once" in alice.run("ls").fails(LOST)
        assert between.connections == 8
        alice.patience = NEVER
        between.cuts = [Cut(To.CLIENT, 0)]
        alice.run("ls").fails(LOST)
