"""The disk is full: at the server or at the client, in the middle of an operation.

Most tests need the right to mount a small file system (Linux, root); without it they are skipped
with a message. In the last two tests a limit on the size of files replaces a full disk.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsproto.errors import ConnectionLost
from fsproto.wire.connection import Data
from tests.attacks.test_bounded_memory import NOWHERE
from tests.support.disks import fill, small_disk
from tests.support.fixed_keys import stretch
from tests.support.hostile_server import HostileServer
from tests.support.raw_client import RawClient
from tests.support.servers import NotReadyError, RunningServer, run
from tests.support.sqlite_files import opened
from tests.support.world import DRAFT, FILES, NOTES, PLAN, World, until

LARGE = stretch("large", 1 << 20) * 20
NO_SPACE = 9
SIZE_MB = 14
"""Size of the small disk: a little more than the first world needs."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system for one test."""
    with small_disk(tmp_path / "small disk", SIZE_MB) as folder:
        yield folder


# --- backups


def test_a_backup_that_does_not_fit_leaves_nothing(world: World, disk: Path) -> None:
    fill(disk, leave=1 << 20)
    phrase = {"FSADMIN_PASSPHRASE": "x"}
    done = run("fsadmin", "--home", str(world.home), "backup", str(disk / "backup"), env=phrase)
    assert (done.returncode, done.stdout) == (NO_SPACE, "")
    assert "Traceback" not in done.stderr
    assert [path.name for path in disk.iterdir()] == ["filler"]
    assert not list(world.home.glob(".held-*"))


def test_a_backup_that_does_not_fit_back_leaves_nothing(world: World, disk: Path) -> None:
    phrase = {"FSADMIN_PASSPHRASE": "x"}
    file = str(world.home.parent / "backup")
    assert not run("fsadmin", "--home", str(world.home), "backup", file, env=phrase).returncode
    fill(disk, leave=2 << 20)
    done = run("fsadmin", "--home", str(disk / "new"), "restore", file, env=phrase)
    assert (done.returncode, done.stdout) == (NO_SPACE, "")
    assert "Traceback" not in done.stderr
    assert [path.name for path in disk.iterdir()] == ["filler"]


# --- the server's


@pytest.fixture
def cramped(world: World, disk: Path) -> World:
    """The world with its server on the small disk."""
    shutil.copytree(world.home, disk / "fsd")
    shutil.rmtree(world.home)
    world.home.symlink_to(disk / "fsd")  # the log stays in the parent folder, on the large disk
    return world


@pytest.fixture
def server(cramped: World) -> Iterator[RunningServer]:
    """The real program on the small disk."""
    with cramped.process() as running:
        yield running
        assert running.process.poll() is None
        assert "Traceback" not in running.log


def test_a_file_that_does_not_fit_on_the_server_is_refused_and_costs_nothing(
    cramped: World, server: RunningServer
) -> None:
    alice = cramped.alice
    assert "no space" in alice.put("draft.bin", LARGE).fails(NO_SPACE)
    until(lambda: not cramped.staged(), "what was received of it was deleted")
    assert cramped.kept() == cramped.known()
    assert alice.cat("draft.bin") == DRAFT
    alice.put("draft.bin", LARGE[: len(DRAFT)]).succeeds()
    assert alice.cat("draft.bin") == LARGE[: len(DRAFT)]
    assert cramped.bob.run("ls").status == 0


def test_a_full_database_refuses_changes_and_still_serves_reads(
    cramped: World, server: RunningServer, disk: Path
) -> None:
    alice = cramped.alice
    code = alice.app.fresh()
    filler = fill(disk)
    for _ in range(3):
        assert "no space" in alice.put("notes.txt", bytes(60_000)).fails(NO_SPACE)
        assert "no space" in alice.put("plan.bin", bytes(len(PLAN))).fails(NO_SPACE)
        assert alice.run("mkdir", "new").status == NO_SPACE
    assert "no space left for the database" in server.log
    assert alice.cat("notes.txt") == NOTES
    assert alice.cat("plan.bin") == PLAN
    # A login writes too. It is not reported as a wrong code, and the code is not consumed.
    assert "no space" in alice.run("--otp", code, "login").fails(NO_SPACE)
    filler.unlink()
    alice.run("--otp", code, "login").succeeds()
    alice.put("notes.txt", b"newer").succeeds()
    assert alice.cat("notes.txt") == b"newer"


def test_a_session_whose_last_use_cannot_be_noted_still_reads(
    cramped: World, server: RunningServer, disk: Path
) -> None:
    alice = cramped.alice
    assert alice.cat("notes.txt") == NOTES
    # The session was not used for an hour, so its time must be noted.
    with opened(cramped.home / "fsd.db") as db:
        db.execute("UPDATE sessions SET used_ms = used_ms - 3600000")
        before = db.execute("SELECT max(used_ms) FROM sessions").fetchone()
    fill(disk)
    assert "no space" in alice.put("notes.txt", bytes(60_000)).fails(NO_SPACE)
    assert alice.cat("notes.txt") == NOTES
    assert alice.cat("plan.bin") == PLAN
    with opened(cramped.home / "fsd.db") as db:
        assert db.execute("SELECT max(used_ms) FROM sessions").fetchone() == before


def test_a_server_without_disk_space_to_start_reports_it(cramped: World, disk: Path) -> None:
    filler = fill(disk)
    with pytest.raises(NotReadyError, match="no space left"), cramped.process():
        pass
    filler.unlink()
    with cramped.process():
        assert cramped.alice.cat("plan.bin") == PLAN


def test_what_waits_for_slow_clients_on_a_full_disk_ends_these_clients_alone(
    cramped: World, disk: Path
) -> None:
    with cramped.process("--set", "door.buffers_mib=1") as server, contextlib.ExitStack() as opened:

        def slow_clients() -> list[RawClient]:
            """Send most of a request of 1 MiB, several times."""
            slow = [RawClient.of(cramped.alice, server.address) for _ in range(3)]
            for raw in slow:
                opened.enter_context(raw)
                raw.socket.sendall(raw.connection.send(7, NOWHERE)[:-1])
            return slow

        filler = fill(disk)
        assert any(is_ended_soon(raw) for raw in slow_clients())
        assert cramped.bob.cat("notes.txt") == FILES["bob"]["notes.txt"]
        assert "no space left for files" in server.log
        assert "Traceback" not in server.log
        filler.unlink()
        assert not any(is_ended_soon(raw) for raw in slow_clients())


def is_ended_soon(raw: RawClient) -> bool:
    """Return whether the server ends a connection within moments, or says why it does."""
    raw.socket.settimeout(2)
    try:
        return not isinstance(raw.receive(), Data)
    except ConnectionLost:
        return True
    except TimeoutError:
        return False


# --- the client's


def test_a_file_that_does_not_fit_here_leaves_the_old_one(world: World, disk: Path) -> None:
    alice, target = world.alice, disk / "here"
    target.write_bytes(b"what is here")
    with world.process() as server:
        alice.put("large", LARGE).succeeds()
        assert "no space" in alice.run("get", "large", target).fails(NO_SPACE)
        assert target.read_bytes() == b"what is here"
        assert list(disk.iterdir()) == [target]
        # Of several files, those that fit are stored, although one does not fit.
        alice.run("get", "notes.txt", target).succeeds()
        assert target.read_bytes() == NOTES
        assert "Traceback" not in server.log


def test_a_client_whose_own_files_do_not_fit_says_so(world: World, disk: Path) -> None:
    alice = world.alice
    home = disk / "client"
    with world.process() as server:
        shutil.copytree(alice.client, home)
        code = alice.app.fresh()
        filler = fill(disk)
        put = alice.run("put", alice.write("new", b"new"), "notes.txt", client=home)
        assert "no space" in put.fails(NO_SPACE)
        assert "no space" in alice.run("--otp", code, "login", client=home).fails(NO_SPACE)
        filler.unlink()
        alice.run("ls", client=home).succeeds()
        assert "Traceback" not in server.log


# --- files larger than the limit


@pytest.fixture
def large(world: World) -> Path:
    """A local file of three megabytes."""
    return world.alice.write("large", LARGE[: 3 << 20])


@pytest.fixture
def limited(large: Path) -> Iterator[None]:
    """Limit every file to one megabyte, here and at a server in this process."""
    resource = pytest.importorskip("resource", reason="A LIMIT ON FILES IS NOT TESTED HERE")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_larger_than_the_disk_takes_leaves_the_old_one(
    world: World, liar: HostileServer, limited: None
) -> None:
    target = world.alice.write("here", b"what is here")
    world.alice.run("get", "plan.bin", target).fails(NO_SPACE)
    assert target.read_bytes() == b"what is here"
    assert not world.alice.half_written()
    world.alice.run("get", "notes.txt", target).succeeds()


def test_a_file_larger_than_the_servers_disk_takes_is_refused(
    world: World, liar: HostileServer, large: Path, limited: None
) -> None:
    alice = world.alice
    alice.run("put", large, "draft.bin").fails(NO_SPACE)
    assert not world.staged()
    assert alice.cat("draft.bin") == DRAFT
    alice.put("draft.bin", b"small").succeeds()
