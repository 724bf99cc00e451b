"""Puts are interrupted, and the next command resumes them.

It puts the same file or another one, its journal is intact or damaged, and the server is honest or
lies.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsclient.connection.retry import WORTH_KEEPING, Timeouts
from fsclient.transfer import journal
from fsproto import crypto
from fsproto.errors import ConnectionLost
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages import Message
from fsproto.messages.files import Commit, Kept, Resume
from fsproto.sealed import stream
from fsproto.wire.connection import Control, Event
from tests.attacks.test_cut_transfers import AT_ONCE, LARGE, LOST, NEVER, Witness
from tests.support import proxy
from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.hostile_server import HostileServer, Lie, Said
from tests.support.programs import Process
from tests.support.proxy import Holds, Proxy, To
from tests.support.servers import RunningServer
from tests.support.world import Person, World, finish, until

GOES_ON = "The same command goes on where it stopped."
HALF = 4 * SEGMENT_SIZE
"""Bytes that pass: three whole segments. A lost connection may lose the last two of them."""
INTERRUPTED = 130


@pytest.fixture
def witness(liar: HostileServer) -> Iterator[Witness]:
    """An observer of everything that the server receives."""
    liar.lie = seen = Witness()
    yield seen
    seen.check()


@pytest.fixture
def alice(world: World) -> Person:
    """Alice, with a client that gives up at the first lost connection."""
    world.alice.patience = NEVER
    return world.alice


@pytest.fixture
def source(alice: Person) -> Path:
    """A large local file."""
    return alice.write("large", LARGE)


def journals(person: Person) -> list[Path]:
    """Return what a person's client keeps of its uploads."""
    folder = person.profile / "transfers"
    return list(folder.iterdir()) if folder.exists() else []


def interrupt(world: World, server: HostileServer, source: Path, *options: str) -> str:
    """Put half of a file; return the output of the command."""
    with CuttingProxy(server.address, [Cut(To.SERVER, HALF)]) as between:
        world.alice.meet(between.address)
        told = world.alice.run("put", *options, source, "large").fails(LOST)
    world.alice.meet(server.address)
    until(lambda: not server.connections, "the server knows that the connection has ended")
    return told


def leaves(path: Path) -> int:
    """Return how many segments a journal records."""
    data = path.read_bytes()
    return (len(data) - 4 - int.from_bytes(data[:4], "big")) // crypto.HASH_SIZE


def suspended(world: World) -> int:
    """Return the bytes that the server has kept of the interrupted upload."""
    (path,) = world.staged()
    size = path.stat().st_size
    assert size >= SEGMENT_SIZE
    assert size % SEGMENT_SIZE == 0
    return size


def sent_by(world: World, server: HostileServer, source: Path) -> int:
    """Put the whole file again; return how many bytes that took."""
    with CuttingProxy(server.address) as between:
        world.alice.meet(between.address)
        world.alice.run("put", source, "large").succeeds()
    world.alice.meet(server.address)
    return between.passed[To.SERVER]


def test_the_same_command_resumes_where_it_stopped(
    world: World, liar: HostileServer, witness: Witness, source: Path
) -> None:
    assert GOES_ON in interrupt(world, liar, source)
    kept = suspended(world)
    assert len(journals(world.alice)) == 1
    assert sent_by(world, liar, source) < len(LARGE) - kept + SEGMENT_SIZE // 2
    assert world.alice.cat("large") == LARGE
    assert not journals(world.alice)
    assert len(witness.salts) == 1


def test_a_new_version_of_a_file_resumes_as_well(
    world: World, liar: HostileServer, witness: Witness, source: Path
) -> None:
    world.alice.put("large", b"the version before").succeeds()
    interrupt(world, liar, source)
    kept = suspended(world)
    assert sent_by(world, liar, source) < len(LARGE) - kept + SEGMENT_SIZE // 2
    assert world.alice.cat("large") == LARGE


def test_without_resume_nothing_is_kept_and_what_there_was_is_gone(
    world: World, liar: HostileServer, witness: Witness, source: Path
) -> None:
    assert GOES_ON not in interrupt(world, liar, source, "--no-resume")
    assert not journals(world.alice)
    until(lambda: not world.staged(), "the server has kept nothing")
    interrupt(world, liar, source)
    assert journals(world.alice)
    world.alice.run("put", "--no-resume", source, "large").succeeds()
    assert not journals(world.alice)
    assert world.alice.cat("large") == LARGE
    assert len(witness.salts) == 3


# --- never the same key and nonce over different plaintext


def keeping_times(path: Path, change: Callable[[bytearray], None]) -> None:
    """Change a file's bytes, and restore its old times."""
    was = path.stat()
    content = bytearray(path.read_bytes())
    change(content)
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def flip_at(at: int) -> Callable[[Path], None]:
    def change(content: bytearray) -> None:
        content[at] ^= 1

    return lambda path: keeping_times(path, change)


def replaced(path: Path) -> None:
    """Replace a file by another one of the same size and times."""
    was = path.stat()
    path.rename(path.with_name("old"))
    path.write_bytes(bytes(reversed(LARGE)))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


CHANGES = {
    "the first byte": flip_at(0),
    "a sent byte": flip_at(SEGMENT_SIZE + 5),
    "a byte after it": flip_at(len(LARGE) - 5),
    "grown": lambda path: keeping_times(path, lambda content: content.extend(b"more")),
    "grown by segments": lambda path: path.write_bytes(LARGE + LARGE),
    "shrunk": lambda path: keeping_times(
        path, lambda content: content.__delitem__(slice(-9, None))
    ),
    "shrunk below the sent part": lambda path: path.write_bytes(LARGE[:WORTH_KEEPING]),
    "replaced": replaced,
}


@pytest.mark.cases(4)
@pytest.mark.parametrize("clock_lies", [False, True], ids=["", "with all facts as they were"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_that_changed_between_the_halves_is_sealed_with_another_key(
    world: World,
    liar: HostileServer,
    witness: Witness,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    clock_lies: bool,
) -> None:
    if clock_lies:  # nothing that the system reports distinguishes the two files
        facts = journal.facts_of_source

        def lying_facts(where: bytes, stat: os.stat_result, boot: str) -> journal.SourceStat:
            true = facts(where, stat, boot)
            return replace(true, size=1, mtime_ns=1, ctime_ns=1, inode=1, device=1)

        monkeypatch.setattr(journal, "facts_of_source", lying_facts)
    interrupt(world, liar, source)
    noted = leaves(*journals(world.alice))
    change(source)
    world.alice.run("put", source, "large").succeeds()
    assert world.alice.cat("large") == source.read_bytes()
    witness.check()
    # The client may have noticed the end of the connection before it noted or sent the last
    # segment. If the file has not changed up to there, the same key may seal that segment again.
    end = stream.plain_end(noted, len(LARGE))
    same = end < len(LARGE) and source.read_bytes()[:end] == LARGE[:end]
    assert len(witness.salts) == (1 if clock_lies and same else 2)


def test_a_file_that_did_not_change_is_believed_when_nothing_can_be_told_from_its_facts(
    world: World, liar: HostileServer, witness: Witness, source: Path
) -> None:
    interrupt(world, liar, source)
    assert suspended(world)
    sent_by(world, liar, source)
    assert len(witness.salts) == 1


def test_a_file_that_changes_while_the_connection_is_lost_is_not_put(
    world: World, liar: HostileServer, witness: Witness, source: Path
) -> None:
    class ChangesIt(Witness):
        def hears(self, connection: object, event: Event) -> None:
            if isinstance(event, Control) and isinstance(event.message, Resume):
                flip_at(HALF - 99)(source)
            super().hears(connection, event)

    liar.lie = seen = ChangesIt()
    world.alice.patience = Timeouts(first_pause_s=0.05, give_up_s=20)
    with CuttingProxy(liar.address, [Cut(To.SERVER, HALF)]) as between:
        world.alice.meet(between.address)
        ran = world.alice.run("put", source, "large")
    seen.check()
    world.alice.meet(liar.address)
    if ran.status == 0:  # the file's times did not change, so it was sealed again
        assert world.alice.cat("large") == source.read_bytes()
    else:
        ran.fails(8)
    witness.seen = seen.seen


# --- journals


def put_again(world: World, source: Path) -> None:
    """Put the interrupted file again, with a journal that is unusable."""
    world.alice.run("put", source, "large").succeeds()
    assert world.alice.cat("large") == LARGE
    assert not journals(world.alice)


@pytest.fixture
def kept(world: World, liar: HostileServer, witness: Witness, source: Path) -> Path:
    """The journal of an interrupted put."""
    interrupt(world, liar, source)
    (path,) = journals(world.alice)
    return path


@pytest.mark.cases(3)
@pytest.mark.parametrize("part", range(8))
def test_a_damaged_journal_is_not_resumed(
    world: World, witness: Witness, source: Path, kept: Path, part: int
) -> None:
    data = bytearray(kept.read_bytes())
    data[len(data) * part // 8 + 1] ^= 1
    kept.write_bytes(data)
    put_again(world, source)
    assert len(witness.salts) == 2


@pytest.mark.cases(2)
@pytest.mark.parametrize("left", [0, 3, 40, 200, -1, -33])
def test_a_truncated_journal_is_not_resumed(
    world: World, witness: Witness, source: Path, kept: Path, left: int
) -> None:
    kept.write_bytes(kept.read_bytes()[:left])
    put_again(world, source)
    assert len(witness.salts) == 2


def test_a_journal_with_fewer_segments_than_the_server_is_not_resumed(
    world: World, liar: HostileServer, witness: Witness, source: Path, kept: Path
) -> None:
    whole = kept.read_bytes()
    header = 4 + int.from_bytes(whole[:4], "big")
    kept.write_bytes(whole[: header + 32])  # one leaf remains
    liar.lie = lying = SaysItHas(Kept(2, whole=False))
    lying.seen = witness.seen
    put_again(world, source)
    assert len(witness.salts) == 2


def test_a_journal_without_leaves_is_not_resumed(
    world: World, witness: Witness, source: Path, kept: Path
) -> None:
    whole = kept.read_bytes()
    header = 4 + int.from_bytes(whole[:4], "big")
    kept.write_bytes(whole[:header])
    put_again(world, source)
    assert len(witness.salts) == 2


def test_a_journal_from_before_the_last_boot_is_not_resumed(
    world: World,
    witness: Witness,
    source: Path,
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = tmp_path / "boot_id"
    other.write_text("another boot\n")
    monkeypatch.setattr(journal, "_BOOT_ID", other)
    put_again(world, source)
    assert len(witness.salts) == 2


def test_without_a_boot_id_there_are_no_journals(
    world: World,
    liar: HostileServer,
    witness: Witness,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal, "_BOOT_ID", tmp_path / "nothing")
    assert GOES_ON not in interrupt(world, liar, source)
    assert not journals(world.alice)
    put_again(world, source)
    assert len(witness.salts) == 2


def test_the_journal_of_another_person_is_of_no_use(
    world: World, liar: HostileServer, witness: Witness, source: Path, kept: Path
) -> None:
    bob = world.bob
    # The first put makes the folder, and leaves no journal.
    bob.run("put", source, "large").succeeds()
    shutil.copy(kept, bob.profile / "transfers" / kept.name)
    bob.meet(liar.address)
    bob.run("put", source, "large").succeeds()
    assert bob.cat("large") == LARGE
    assert not journals(bob)
    assert kept.exists()


def test_a_journal_under_the_name_of_another_file_is_of_no_use(
    world: World, liar: HostileServer, witness: Witness, source: Path, kept: Path
) -> None:
    content = kept.read_bytes()
    with CuttingProxy(liar.address, [Cut(To.SERVER, HALF)]) as between:
        world.alice.meet(between.address)
        world.alice.run("put", source, "another").fails(LOST)
    world.alice.meet(liar.address)
    (other,) = set(journals(world.alice)) - {kept}
    other.write_bytes(content)
    world.alice.run("put", source, "another").succeeds()
    assert world.alice.cat("another") == LARGE
    assert kept.exists()
    assert len(witness.salts) == 3


def test_a_journal_reveals_nothing_without_the_passphrase(kept: Path, source: Path) -> None:
    data = kept.read_bytes()
    assert bytes(source) not in data
    assert b"large" not in data
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_journals_of_files_that_are_gone_are_tidied_up(
    world: World, liar: HostileServer, source: Path, kept: Path
) -> None:
    os.utime(kept, (1, 1))
    another = world.alice.write("another", LARGE)
    world.alice.run("put", another, "another").succeeds()
    assert not kept.exists()
    interrupt(world, liar, source)
    source.unlink()
    assert journals(world.alice)
    world.alice.run("put", another, "another").succeeds()
    assert not journals(world.alice)


def test_who_puts_the_same_file_at_the_same_time_goes_without_a_journal(
    world: World, witness: Witness, source: Path, kept: Path
) -> None:
    import fcntl

    with kept.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        world.alice.run("put", source, "large").succeeds()
        assert kept.exists()
    assert len(witness.salts) == 2
    assert world.alice.cat("large") == LARGE


# --- a server that lies about what it has received


class SaysItHas(Witness):
    """A server that gives a false answer about the kept part of an upload."""

    def __init__(self, lie: Kept) -> None:
        super().__init__()
        self._kept = lie
        self.told = 0

    def says(self, said: Said) -> Iterator[Said]:
        if isinstance(said, Control) and isinstance(said.message, Kept):
            self.told += 1
            said = Control(said.request, self._kept)
        yield said


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("lie", "statuses"),
    [
        # The next segment may differ from the segment that the server expects.
        (Kept(1, whole=False), (0, 7)),
        (Kept(3, whole=False), (0, 7)),
        (Kept(6, whole=False), (0, 7)),
        (Kept(99, whole=False), (0,)),
        (Kept(1 << 62, whole=False), (0,)),
        (Kept(-1, whole=False), (7,)),
        (Kept(6, whole=True), (0, 7)),
        (Kept(2, whole=True), (0,)),
        (Kept(0, whole=True), (0,)),
        (Kept(0, whole=False), (0,)),
    ],
    ids=str,
)
def test_a_server_that_lies_about_received_segments_learns_nothing(
    world: World, liar: HostileServer, source: Path, lie: Kept, statuses: tuple[int, ...]
) -> None:
    world.alice.patience = NEVER
    liar.lie = witness = SaysItHas(lie)
    interrupt(world, liar, source)
    assert suspended(world)
    ran = world.alice.run("put", source, "large")
    assert witness.told
    witness.check()
    assert ran.status in statuses, ran.err
    honest = Witness()
    honest.seen, honest._salts = (
        witness.seen,
        witness._salts,
    )  # the last connection may still be read
    liar.lie = honest
    if ran.status:
        world.alice.run("put", source, "large").succeeds()
    assert world.alice.cat("large") == LARGE
    honest.check()


def test_a_part_damaged_at_the_server_is_sent_again(
    world: World, witness: Witness, source: Path, kept: Path
) -> None:
    assert suspended(world)
    (staged,) = world.staged()
    staged.write_bytes(bytes(SEGMENT_SIZE))
    put_again(world, source)
    assert len(witness.salts) == 1  # the same sealed segments


def test_what_the_server_has_forgotten_is_sent_again(
    world: World, witness: Witness, source: Path, kept: Path
) -> None:
    assert suspended(world)
    (staged,) = world.staged()
    staged.unlink()
    put_again(world, source)
    assert len(witness.salts) == 1


def test_a_whole_upload_that_was_not_committed_is_not_sent_again(
    world: World, liar: HostileServer, witness: Witness, source: Path
) -> None:
    liar.lie = LosesCommits(1, done=False)
    world.alice.patience = NEVER
    assert GOES_ON in world.alice.run("put", source, "large").fails(LOST)
    liar.lie = witness
    assert not world.staged()
    assert sent_by(world, liar, source) < SEGMENT_SIZE
    assert world.alice.cat("large") == LARGE
    assert not journals(world.alice)
    again = world.alice.put("more", LARGE)  # give the witness something to see
    again.succeeds()


class LosesCommits(Lie):
    """A server that ends the connection instead of answering a commit, which it makes or drops."""

    def __init__(self, times: int, *, done: bool) -> None:
        """Take the number of commits to lose."""
        self._left = times
        self._done = done

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        """Answer everything except the commits."""
        if isinstance(ask, Commit) and self._left:
            self._left -= 1
            if self._done:
                honestly(ask)
            raise ConnectionLost
        return honestly(ask)


@pytest.mark.cases(2)
@pytest.mark.parametrize("done", [True, False], ids=["made", "not made"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_commit_whose_answer_was_lost_is_made_once(
    world: World, liar: HostileServer, source: Path, done: bool, times: int
) -> None:
    alice = world.alice
    alice.patience = AT_ONCE
    liar.lie = LosesCommits(times, done=done)
    small = alice.write("small", b"small")
    inside = alice.write("folder/inside", b"inside")
    before = alice.find("notes.txt").manifest.body.version
    notes = alice.write("notes.txt", b"newer")
    alice.run("put", source, small, inside.parent, notes, "/").succeeds()
    assert alice.cat("large") == LARGE
    assert alice.cat("small") == b"small"
    assert alice.cat("folder/inside") == b"inside"
    assert alice.cat("notes.txt") == b"newer"
    assert alice.find("notes.txt").manifest.body.version == before + 1
    assert alice.find("large").manifest.body.version == 1
    assert world.kept() == world.known()


# --- programs that are killed, interrupted, stopped


@pytest.fixture
def server(world: World) -> Iterator[RunningServer]:
    """The real program on the world."""
    with world.process() as running:
        yield running


def putting(world: World, between: Proxy, hold: Holds, source: Path) -> Process:
    """Start a put, and hold it after some segments were sent."""
    world.alice.meet(between.address)
    process = world.alice.start("put", source, "large")
    assert hold.held.wait(60)
    until(lambda: any(path.stat().st_size for path in world.staged()), "a part came")
    return process


def holds() -> Holds:
    """Return a hold that stops a put after three of its segments."""
    return Holds(To.SERVER, proxy.LOGIN + 6)


def test_an_interrupted_put_says_how_to_resume_and_resumes(
    world: World, server: RunningServer, source: Path
) -> None:
    hold = holds()
    with Proxy(server.address, lambda: hold) as between:
        process = putting(world, between, hold, source)
        process.send_signal(signal.SIGINT)
        assert GOES_ON in finish(process).fails(INTERRUPTED)
        hold.let_go.set()
    assert len(journals(world.alice)) == 1
    goes_on(world, server, source)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_put_whose_client_is_killed_resumes_with_the_same_command(
    world: World, server: RunningServer, source: Path, how: signal.Signals
) -> None:
    hold = holds()
    with Proxy(server.address, lambda: hold) as between:
        process = putting(world, between, hold, source)
        process.send_signal(how)
        process.communicate()
        hold.let_go.set()
    assert len(journals(world.alice)) == 1
    goes_on(world, server, source)


def goes_on(world: World, server: RunningServer, source: Path) -> None:
    """Check that only the rest is sent."""
    until(lambda: [p for p in world.staged() if p.stat().st_size >= SEGMENT_SIZE], "it is kept")
    with CuttingProxy(server.address) as between:
        world.alice.meet(between.address)
        world.alice.run("put", source, "large").succeeds()
    assert between.passed[To.SERVER] < len(LARGE) - SEGMENT_SIZE // 2
    world.alice.meet(server.address)
    assert world.alice.cat("large") == LARGE
    assert not journals(world.alice)
    assert not world.staged()


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_put_outlives_its_server(
    world: World, server: RunningServer, source: Path, how: str
) -> None:
    hold = holds()
    with Proxy(server.address, lambda: hold) as between:
        process = putting(world, between, hold, source)
        server.kill()
        hold.let_go.set()
        again = server.restart()
        try:
            if how == "stopped":
                assert again.stop() == 0
                again = again.restart()
            told = finish(process)
            told.succeeds()
            assert told.err.count("was lost") == told.err.count("again.") == 1, told.err
            world.alice.meet(again.address)
            assert world.alice.cat("large") == LARGE
        finally:
            again.stop()
    world.collect()
    assert not world.staged()
    assert sum(len(frame.data) for frame in between.frames(To.SERVER)) < 2 * len(LARGE)


def test_a_pipe_cannot_be_resumed_and_the_client_says_so(
    world: World, server: RunningServer
) -> None:
    with CuttingProxy(server.address, [Cut(To.SERVER, 2 * SEGMENT_SIZE)]) as between:
        world.alice.meet(between.address)
        process = world.alice.start("put", "-", "piped")
        try:
            out, err = process.communicate(LARGE, timeout=60)
        except BrokenPipeError:
            out, err = process.communicate(timeout=60)
    assert process.returncode == LOST, (out, err)
    assert b"pipe" in err
    until(lambda: not world.staged(), "nothing was kept")
