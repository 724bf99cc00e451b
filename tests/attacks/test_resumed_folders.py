"""Puts and gets of folders are interrupted: the same command resumes, and uses the same target."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsclient.transfer import resume
from fsclient.transfer.up import batch
from fsproto.limits import SEGMENT_SIZE
from tests.attacks.test_cut_transfers import LARGE, LOST, NEVER
from tests.attacks.test_resumed_puts import GOES_ON
from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.fixed_keys import stretch
from tests.support.hostile_server import HostileServer
from tests.support.proxy import To
from tests.support.world import Person, World, until

OTHER = stretch("other", len(LARGE))
HALF = 4 * SEGMENT_SIZE
FILES = {"first.bin": LARGE, "inner/second.bin": OTHER, "small": b"small"}


@pytest.fixture
def alice(world: World, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Alice, with a folder of large files and a client that gives up at a lost connection."""
    monkeypatch.chdir(world.alice.folder)
    # Each large file is committed together with the next one, as if it were larger.
    monkeypatch.setattr(batch, "FLUSH_AFTER_BYTES", len(LARGE) - 1)
    for name, content in FILES.items():
        world.alice.write(f"box/{name}", content)
    world.alice.patience = NEVER
    return world.alice


def interrupt(person: Person, server: HostileServer, cut: Cut, *command: str) -> None:
    """Start a command, and lose the connection in the middle of it."""
    with CuttingProxy(server.address, [cut]) as between:
        person.meet(between.address)
        assert GOES_ON in person.run(*command).fails(LOST)
    person.meet(server.address)
    until(lambda: not server.connections, "the server knows that the connection has ended")


def moved(person: Person, server: HostileServer, to: To, *command: str) -> int:
    """Run the command to its end; return how many bytes that moved."""
    with CuttingProxy(server.address) as between:
        person.meet(between.address)
        person.run(*command).succeeds()
    person.meet(server.address)
    return between.passed[to]


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def parts(person: Person) -> list[Path]:
    """Return the partial files that are kept."""
    return list(person.folder.rglob(".*.fs-part"))


def remote(person: Person, path: str) -> dict[str, bytes]:
    place = f"seen-{os.urandom(4).hex()}"
    person.run("get", path, place).succeeds()
    return content(person.folder / place)


@pytest.mark.parametrize("at", [HALF, len(LARGE) + HALF], ids=["in the first", "in the second"])
def test_a_folder_upload_under_a_new_name_resumes_under_that_name(
    world: World, alice: Person, liar: HostileServer, at: int
) -> None:
    command = ("put", "box", "new")
    interrupt(alice, liar, Cut(To.SERVER, at), *command)
    (kept,) = world.staged()
    left = (2 - at // len(LARGE)) * len(LARGE) - kept.stat().st_size
    assert moved(alice, liar, To.SERVER, *command) < left + SEGMENT_SIZE // 2
    assert remote(alice, "new") == FILES


@pytest.mark.parametrize("at", [HALF, len(LARGE) + HALF], ids=["in the first", "in the second"])
def test_a_folder_download_under_a_new_name_resumes_under_that_name(
    alice: Person, liar: HostileServer, at: int
) -> None:
    alice.run("put", "box").succeeds()
    command = ("get", "box", "new")
    interrupt(alice, liar, Cut(To.CLIENT, at), *command)
    (kept,) = parts(alice)
    left = (2 - at // len(LARGE)) * len(LARGE) - kept.stat().st_size
    assert moved(alice, liar, To.CLIENT, *command) < left + SEGMENT_SIZE // 2
    assert content(alice.folder / "new") == FILES
    assert parts(alice) == []


def test_files_that_were_already_transferred_are_skipped(
    alice: Person, liar: HostileServer
) -> None:
    command = ("put", "box", "/")
    interrupt(alice, liar, Cut(To.SERVER, len(LARGE) + HALF), *command)
    version = alice.find("box/first.bin").manifest.body.version
    moved(alice, liar, To.SERVER, *command)
    assert alice.find("box/first.bin").manifest.body.version == version
    assert remote(alice, "box") == FILES


def test_a_file_that_changed_in_the_meantime_is_put_again(
    alice: Person, liar: HostileServer
) -> None:
    command = ("put", "box", "new")
    interrupt(alice, liar, Cut(To.SERVER, len(LARGE) + HALF), *command)
    alice.write("box/first.bin", OTHER)
    moved(alice, liar, To.SERVER, *command)
    assert remote(alice, "new") == {**FILES, "first.bin": OTHER}


def test_a_file_from_before_the_command_is_replaced(alice: Person, liar: HostileServer) -> None:
    alice.run("put", "box").succeeds()
    times = (alice.folder / "box/first.bin").stat()
    alice.write("box/first.bin", OTHER)
    os.utime(alice.folder / "box/first.bin", ns=(times.st_atime_ns, times.st_mtime_ns))
    interrupt(alice, liar, Cut(To.SERVER, HALF), "put", "box")
    moved(alice, liar, To.SERVER, "put", "box")
    assert remote(alice, "box") == {**FILES, "first.bin": OTHER}


@pytest.mark.cases(2)
@pytest.mark.parametrize("way", ["after it ended", "after a day", "in another place", "not kept"])
def test_another_command_means_what_it_says(
    alice: Person, liar: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    command = ["put", str(alice.folder / "box"), "new"]
    if way == "after it ended":
        alice.run(*command).succeeds()
    else:
        interrupt(alice, liar, Cut(To.SERVER, len(LARGE) + HALF), *command)
    match way:
        case "after a day":
            monkeypatch.setattr(resume, "_OLDEST_S", -1.0)
        case "in another place":
            monkeypatch.chdir(alice.home)
        case "not kept":
            command.append("--no-resume")
    alice.run(*command).succeeds()
    monkeypatch.chdir(alice.folder)
    assert remote(alice, "new/box") == FILES
