"""One entry that does not verify costs one entry: its neighbours are shown, got and kept.

The server is honest. A writer in a shared folder signs an entry that nobody can open, which the
server cannot know. The entry is named by its id and by its author, and the exit status is 7.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.garbage import KINDS, GarbageWriter
from tests.support.team import Accomplice
from tests.support.world import Person, World

X = b"precious"
TEAM = "alice:team"


@pytest.fixture(scope="module")
def kinds(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world where alice shares `team` with bob, who may write; the real server runs on it."""
    with shared(first_world.copy(tmp_path_factory.mktemp("garbage"))) as world:
        yield world


@pytest.fixture
def world(first_world: World, tmp_path: Path) -> Iterator[World]:
    with shared(first_world.copy(tmp_path)) as world:
        yield world


@contextmanager
def shared(world: World) -> Iterator[World]:
    """Run the real server on a world, with a folder in which bob may write."""
    alice = world.alice
    with world.process():
        alice.run("mkdir", "team").succeeds()
        alice.run("mkdir", "team/m").succeeds()
        alice.run("put", alice.write("x.txt", X), "team/").succeeds()
        alice.run("put", alice.write("y.txt", b"y"), "team/m/").succeeds()
        alice.run("share", "team", "bob", "--write").succeeds()
        world.bob.run("ls", TEAM).succeeds()
        yield world


def spoiled(world: World, name: str) -> str:
    """Have bob sign garbage as the next version of what is in the folder; return the id."""
    with world.bob.session() as session:
        return GarbageWriter(session, TEAM).spoils(name)


def named(told: str, id_: str, author: str = "bob") -> None:
    """Check that an error names an entry and its author."""
    assert f"The entry {id_[:8]} of 'team', signed by {author}, does not verify" in told, told


def local(person: Person, name: str) -> Path:
    return person.folder / name


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_that_does_not_open_is_named_and_its_neighbours_are_shown(
    kinds: World, kind: str
) -> None:
    alice = kinds.alice
    with kinds.bob.session() as session:
        id_ = GarbageWriter(session, TEAM).adds_as(KINDS[kind])
    ran = alice.run("ls", "team")
    named(ran.fails(7), id_)
    assert ran.out.split() == [b"m/", b"x.txt"]
    to = local(alice, f"got {kind.replace(' ', '-')}")
    named(alice.run("get", "team", to).fails(7), id_)
    assert (to / "x.txt").read_bytes() == X
    assert (to / "m" / "y.txt").read_bytes() == b"y"
    assert alice.cat("team/x.txt") == X
    alice.run("rm", "--id", id_[:8], "team").succeeds()
    assert alice.run("ls", "team").succeeds().split() == [b"m/", b"x.txt"]


def test_the_listing_of_programs_has_the_entry_too(world: World) -> None:
    id_ = spoiled(world, "m")
    ran = world.alice.run("--json", "ls", "team")
    assert ran.status == 7
    shown = json.loads(ran.out)
    assert [(one["name"], one["kind"], one["author"]) for one in shown] == [
        ("x.txt", "file", "alice"),
        (None, "refused", "bob"),
    ]
    assert shown[0]["refused"] is None
    refused = shown[1]["refused"]
    assert (refused["id"], refused["folder"], refused["state_author"]) == (id_, "team", None)
    assert "metadata" in refused["message"]


def test_the_person_blamed_is_one_whose_signature_was_verified(world: World) -> None:
    # Bob's state names a manifest that says it is carol's: her name must not be shown.
    team, m = world.bob.find(TEAM).keyed, world.bob.find(f"{TEAM}/m")
    with world.bob.session() as session:
        carols = {"author": "carol", "metadata": bytes(300)}
        manifest = GarbageWriter(session, TEAM).next_version(m, **carols)
    Accomplice(world, world.bob).writes(team, manifest)
    told = world.alice.run("ls", "team").fails(7)
    assert "newest state bob has signed" in told
    assert "carol" not in told


def test_nothing_local_is_removed_because_an_entry_does_not_verify(world: World) -> None:
    alice, copy = world.alice, local(world.alice, "copy")
    alice.run("sync", "--down", copy, "team").succeeds()
    assert (copy / "m" / "y.txt").read_bytes() == b"y"
    (copy / "mine").write_bytes(b"only here")
    id_ = spoiled(world, "m")
    told = alice.run("sync", "--down", "--delete", copy, "team")
    assert told.status == 7
    named(told.err, id_)
    assert (copy / "m" / "y.txt").read_bytes() == b"y"
    assert (copy / "mine").read_bytes() == b"only here"
    alice.run("rm", "--id", id_, "team").succeeds()
    alice.run("sync", "--down", "--delete", copy, "team").succeeds()
    assert not (copy / "m").exists()


def test_sync_puts_the_rest_and_neither_replaces_nor_removes_the_entry(world: World) -> None:
    alice, copy = world.alice, local(world.alice, "copy")
    alice.run("sync", "--down", copy, "team").succeeds()
    id_ = spoiled(world, "m")
    (copy / "x.txt").unlink()
    (copy / "new.txt").write_bytes(b"new")
    commands: list[list[str | Path]] = [
        ["sync", "--delete", copy, "team"],
        ["put", copy / "m", copy / "new.txt", "team/"],
    ]
    for command in commands:
        ran = alice.run(*command)
        assert ran.status == 7, ran
        assert id_[:8] in ran.err
    ran = alice.run("ls", "team")
    assert id_[:8] in ran.fails(7)
    assert b"new.txt" in ran.out
    assert b"x.txt" in ran.out, "after a failure nothing is removed"


def test_the_entry_is_removed_by_name_too_and_a_folder_with_it_goes_whole(world: World) -> None:
    alice = world.alice
    spoiled(world, "m")
    assert "does not verify" in alice.run("cat", "team/m/y.txt").fails(7)
    alice.run("rm", "team/m").fails(2)
    alice.run("rm", "-r", "team/m").succeeds()
    alice.run("ls", "team").succeeds()
    spoiled(world, "x.txt")
    alice.run("rm", "-r", "team").succeeds()


def test_an_id_is_of_one_entry_that_does_not_verify(world: World) -> None:
    alice, whole = world.alice, world.alice.find("team/x.txt").keyed.node.hex()
    with world.bob.session() as session:
        writer = GarbageWriter(session, TEAM)
        first, second = writer.adds("bad 1", metadata=b""), None
        writer.session.tree.begin()
        second = writer.adds("bad 2", metadata=b"")
    alice.run("rm", "--id", first[:7], "team").fails(2)
    alice.run("rm", "--id", whole[:8], "team").fails(5)
    alice.run("rm", "--id", first, "team", "archive").fails(2)
    alice.run("rm", "--id", first.upper()[:12], "team").succeeds()
    assert second[:8] in alice.run("ls", "team").fails(7)
    world.bob.run("rm", "--id", second[:8], TEAM).succeeds()
    alice.run("ls", "team").succeeds()
    assert alice.cat("team/x.txt") == X


def test_two_things_of_one_name_are_both_refused(world: World) -> None:
    alice = world.alice
    alice.run("share", "team", "carol").succeeds()
    alice.run("unshare", "team", "carol").succeeds()
    with world.bob.session() as session:
        writer = GarbageWriter(session, TEAM)
        keyed = writer.folder.keyed
        assert keyed.generation == 2
        old, new = keyed.tokens("bad")[::-1]
        ids = {writer.adds("bad", token=old)}
        session.tree.begin()
        ids |= {writer.adds("bad", token=new)}
    ran = alice.run("ls", "team")
    assert ran.status == 7
    assert all(id_[:8] in ran.err for id_ in ids)
    assert ran.out.split() == [b"m/", b"x.txt"]
    alice.run("put", alice.write("bad", b"mine"), "team/").fails(7)
    alice.run("rm", "--id", ids.pop(), "team").succeeds()
    assert alice.run("ls", "team").succeeds().split() == [b"bad", b"m/", b"x.txt"]


def test_a_share_that_does_not_open_does_not_hide_the_others_of_its_owner(world: World) -> None:
    # What alice shares with carol lies in a folder where bob writes.
    world.alice.run("share", "team/m", "carol").succeeds()
    world.alice.run("share", "archive", "carol").succeeds()
    world.carol.run("ls", "alice:").succeeds()
    id_ = spoiled(world, "m")
    ran = world.carol.run("ls", "alice:")
    assert f"The share {id_[:8]} of alice, signed by bob, does not verify" in ran.fails(7)
    assert ran.out.split() == [b"archive/"]
    assert world.carol.run("cat", "alice:archive/old.txt").status == 0
    world.carol.run("ls", "alice:m").fails(7)
