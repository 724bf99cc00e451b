"""A server that lies about the past: about older versions, and about removed files.

Known from: Haber and Stornetta, "How to Time-Stamp a Digital Document" (1991), for chains of
hashes; Li, Krohn, Mazières, Shasha, "Secure Untrusted Data Repository (SUNDR)" (OSDI 2004); Hofmann
and Truong, "End-to-End Encrypted Cloud Storage in the Wild" (CCS 2024).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from fsproto.messages import Message
from fsproto.messages.base import Failure
from fsproto.messages.files import Fetched
from fsproto.messages.history import Gone, History, Removed
from fsproto.packing import pack, unpack
from fsproto.sealed.manifest import Manifest
from fsproto.signed import Signed
from tests.support.fixed_keys import turned
from tests.support.hostile_server import HostileServer, Lie, Rewrites, assert_refused
from tests.support.world import NOTES, Person, World, finish, until

ANOTHER = "another version of it\n"


@dataclass
class Past:
    """True answers of the server, as material for lies."""

    notes: list[Signed]
    """The manifests of `notes.txt` before the newest one, in descending order of version."""
    other: list[Signed]
    """Older manifests of another file."""


class Listens(Lie):
    """A server that keeps its own answers of one kind."""

    def __init__(self, kind: type[Message]) -> None:
        self._kind = kind
        self.said: list[Any] = []

    def says(self, said):
        if isinstance(getattr(said, "message", None), self._kind):
            self.said.append(said.message)
        yield said


def overheard(liar: HostileServer, kind: type[Message], do: Callable[[], object]) -> Any:
    """Return the one answer of a kind that the server sends during an action."""
    liar.lie = listens = Listens(kind)
    do()
    liar.lie = Lie()
    (said,) = listens.said
    return said


@pytest.fixture(scope="module")
def first_past(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Past]:
    """A world to copy, in which alice has four versions of two files."""
    world = first_world.copy(tmp_path_factory.mktemp("past"))
    alice = world.alice
    with HostileServer(world.home) as liar:
        world.meet(liar.address)
        for number in range(2, 5):
            alice.put("notes.txt", ANOTHER.encode() + b"%d" % number).succeeds()
            alice.run("put", alice.write("q", b"q1 %d" % number), "reports/q1.txt").succeeds()
        notes = overheard(liar, History, lambda: alice.run("history", "notes.txt").succeeds())
        other = overheard(liar, History, lambda: alice.run("history", "reports/q1.txt").succeeds())
    assert len(notes.manifests) == len(other.manifests) == 3
    return world, Past(notes.manifests, other.manifests)


@pytest.fixture
def past(first_past: tuple[World, Past]) -> Past:
    """Four versions of two files, which are in `world`."""
    return first_past[1]


@pytest.fixture(scope="module")
def first_gone(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Gone]:
    """A world to copy, in which alice has removed `notes.txt`."""
    world = first_world.copy(tmp_path_factory.mktemp("gone"))
    with HostileServer(world.home) as liar:
        world.meet(liar.address)
        world.alice.put("notes.txt", b"newer").succeeds()
        world.alice.run("rm", "notes.txt").succeeds()
        removed = overheard(liar, Removed, lambda: world.alice.run("history", "/").succeeds())
    (gone,) = removed.gone
    return world, gone


@pytest.fixture
def gone(first_gone: tuple[World, Gone]) -> Gone:
    """The removal of `notes.txt` from `world`, as an honest server reports it."""
    return first_gone[1]


@pytest.fixture
def world(request: pytest.FixtureRequest, first_world: World, tmp_path: Path) -> World:
    """A fresh copy of the world of `past` or `gone`, or of the first world."""
    for name in ("past", "gone"):
        if name in request.fixturenames:
            made: World = request.getfixturevalue(f"first_{name}")[0]
            return made.copy(tmp_path)
    return first_world.copy(tmp_path)


def says(liar: HostileServer, *manifests: Signed, more: bool = False) -> None:
    liar.lie = Rewrites(History, lambda _: History(list(manifests), more))


def changed(signed: Signed, **how: Any) -> Signed:
    return Signed(pack(replace(unpack(signed.payload, Manifest), **how)), signed.signature)


def everything_is_refused(alice: Person) -> None:
    """Check that no command accepts the chain."""
    alice.run("history", "notes.txt").fails(7)
    assert_refused(alice, "get", "--version", "2", "notes.txt", str(alice.folder / "here"))
    alice.run("cat", "--version", "1", "notes.txt").fails(7)
    alice.run("restore", "notes.txt", "--version", "1").fails(7)


# --- older versions


def test_an_older_version_cannot_be_altered(world: World, liar: HostileServer, past: Past) -> None:
    first, *rest = past.notes
    says(liar, changed(first, time_ms=1), *rest)
    everything_is_refused(world.alice)
    liar.lie = Lie()
    assert world.alice.run("cat", "--version", "1", "notes.txt").succeeds() == NOTES


def test_older_versions_cannot_be_swapped_or_reordered(
    world: World, liar: HostileServer, past: Past
) -> None:
    three, two, one = past.notes
    for order in ((two, three, one), (three, one, two), (one, two, three)):
        says(liar, *order)
        everything_is_refused(world.alice)


def test_no_version_in_the_middle_can_be_left_out(
    world: World, liar: HostileServer, past: Past
) -> None:
    three, _, one = past.notes
    says(liar, three, one)
    everything_is_refused(world.alice)


def test_an_older_version_cannot_be_served_as_another(
    world: World, liar: HostileServer, past: Past
) -> None:
    # Version 1, under its true author's signature, is sent as version 2.
    three, _, one = past.notes
    says(liar, three, changed(one, version=2), one)
    everything_is_refused(world.alice)
    says(liar, three, one, one)
    everything_is_refused(world.alice)


def test_the_version_of_another_file_is_refused(
    world: World, liar: HostileServer, past: Past
) -> None:
    three, _, one = past.notes
    says(liar, three, past.other[1], one)
    everything_is_refused(world.alice)
    says(liar, *past.other)
    everything_is_refused(world.alice)


def test_no_version_can_be_made_up(world: World, liar: HostileServer, past: Past) -> None:
    says(liar, *past.notes, past.notes[-1])  # one version before the first
    everything_is_refused(world.alice)
    says(liar, more=True)
    world.alice.run("history", "notes.txt").fails(7)


def test_withheld_older_versions_are_reported(
    world: World, liar: HostileServer, past: Past
) -> None:
    says(liar, past.notes[0])
    told = world.alice.run("history", "notes.txt").succeeds()
    assert b"no longer has versions before 3" in told
    complaint = world.alice.run("cat", "--version", "2", "notes.txt").fails(5)
    assert "The server no longer has version 2" in complaint
    says(liar)
    assert b"before 4" in world.alice.run("history", "notes.txt").succeeds()
    liar.lie = Rewrites(History, lambda _: Failure("not-found", "There is no such file.", "", 0))
    world.alice.run("history", "notes.txt").fails(8)


def test_the_content_of_another_version_is_refused(
    world: World, liar: HostileServer, past: Past
) -> None:
    newest = overheard(liar, Fetched, lambda: world.alice.cat("notes.txt"))
    two = ("get", "--version", "2", "notes.txt", str(world.alice.folder / "here"))
    liar.lie = Rewrites(Fetched, lambda _: newest)
    assert_refused(world.alice, *two)
    liar.lie = Rewrites(Fetched, lambda _: Fetched([None]))
    assert_refused(world.alice, *two, status=8)


# --- removed files


def is_refused(world: World, liar: HostileServer, *gone: Gone, status: int = 7) -> str:
    liar.lie = Rewrites(Removed, lambda _: Removed(list(gone), more=False))
    told = world.alice.run("history", "/").fails(status)
    world.alice.run("restore", "notes.txt").fails(status)
    liar.lie = Lie()
    world.alice.run("cat", "notes.txt").fails(5)
    return told


def test_a_removed_node_never_comes_back_by_itself(
    world: World, liar: HostileServer, gone: Gone
) -> None:
    world.alice.run("history", "/").succeeds()
    world.alice.run("cat", "notes.txt").fails(5)
    assert b"notes.txt" not in world.alice.run("ls").succeeds()
    world.alice.run("restore", "notes.txt").succeeds()
    assert world.alice.cat("notes.txt") == b"newer"


def test_a_removed_node_cannot_come_back_as_an_older_version(
    world: World, liar: HostileServer, gone: Gone
) -> None:
    history = overheard(liar, History, lambda: world.alice.run("history", "notes.txt").succeeds())
    is_refused(world, liar, replace(gone, manifest=history.manifests[0]))


def test_a_removal_cannot_be_altered(world: World, liar: HostileServer, gone: Gone) -> None:
    for part in ("before_proof", "after_proof"):
        is_refused(world, liar, replace(gone, **{part: turned(getattr(gone, part))}))
    is_refused(world, liar, replace(gone, before_proof=gone.after_proof))
    is_refused(world, liar, replace(gone, after=gone.before, after_proof=gone.before_proof))
    is_refused(world, liar, replace(gone, before=gone.after, after=gone.before))
    forged = Signed(gone.after.payload, gone.before.signature)
    is_refused(world, liar, replace(gone, after=forged))


def test_the_states_of_a_removal_must_follow_each_other(
    world: World, liar: HostileServer, gone: Gone
) -> None:
    world.alice.put("another", b"").succeeds()
    world.alice.run("rm", "another").succeeds()
    removed = overheard(liar, Removed, lambda: world.alice.run("history", "/").succeeds())
    later = removed.gone[0]
    # The file would seem to have been removed later, or by another person.
    is_refused(world, liar, replace(gone, after=later.after, after_proof=later.after_proof))


def test_an_existing_node_cannot_be_reported_as_removed(
    world: World, liar: HostileServer, gone: Gone
) -> None:
    world.alice.run("restore", "notes.txt").succeeds()
    liar.lie = Rewrites(Removed, lambda _: Removed([gone], more=False))
    # The answer was true once, but the client has seen a newer version.
    assert "OLDER STATE" in world.alice.run("history", "/").fails(7)
    world.alice.run("restore", "notes.txt", "--as", "twice").fails(7)


def test_a_node_removed_in_another_folder_cannot_come_back_here(
    world: World, liar: HostileServer, gone: Gone
) -> None:
    liar.lie = Rewrites(Removed, lambda _: Removed([gone], more=False))
    world.alice.run("history", "reports").fails(7)
    world.alice.run("restore", "reports/notes.txt").fails(7)


def test_removed_nodes_can_be_withheld_but_not_changed(
    world: World, liar: HostileServer, gone: Gone
) -> None:
    is_refused_not_found(world, liar)
    liar.lie = Rewrites(Removed, lambda _: Removed([], more=True))
    world.alice.run("history", "/").fails(7)


def is_refused_not_found(world: World, liar: HostileServer) -> None:
    liar.lie = Rewrites(Removed, lambda _: Removed([], more=False))
    assert b"no longer has it" in world.alice.run("history", "/").succeeds()
    assert "is kept" in world.alice.run("restore", "notes.txt").fails(5)


# --- crashes


def test_a_server_that_is_killed_while_versions_are_put_keeps_a_whole_chain(world: World) -> None:
    with world.process() as server:
        put = world.alice.start("shell", "--quiet")
        assert put.stdin is not None
        for number in range(20):
            source = world.alice.write(f"v{number}", b"%d" % (number % 10) * 30_000)
            put.stdin.write(f"put {source} notes.txt\n".encode())
        put.stdin.write(b"exit\n")
        put.stdin.flush()
        for killed_at in (3, 9):
            until(partial(has_come_to, world, killed_at), "some versions were put")
            server.kill()
            server = server.restart()  # noqa: PLW2901 - the same one, and no other is left
        assert finish(put).status == 0
        told = json.loads(world.alice.run("history", "notes.txt", "--json").succeeds())
        numbers = [one["version"] for one in told["versions"]]
        assert numbers == list(range(21, 10, -1))
        for number in numbers:
            content = b"%d" % ((number - 2) % 10) * 30_000
            assert world.alice.run("cat", "--version", str(number), "notes.txt").out == content
        assert server.stop() == 0
    assert world.kept() == world.known()


def has_come_to(world: World, version: int) -> bool:
    """Return whether the newest version of any node is at least `version`."""
    with world.database() as db:
        newest: int = db.execute("SELECT max(version) FROM manifests").fetchone()[0]
        return newest >= version
