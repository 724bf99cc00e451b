"""One entry that does not verify costs one entry: its neighbours are shown, got and kept.

The server is honest. A writer in a shared folder signs an entry that no client can open, which the
server cannot know. The entry is named by its id and by its author, and the exit status is 7.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsclient.gateway.edits import Edits
from fsclient.gateway.lookup import PathLookup
from fsclient.gateway.paths import GatewayPath
from fsclient.ui import Ui
from fsproto.errors import ConflictError, FsError, IntegrityError
from fsproto.messages.files import Commit, Entries
from fsproto.sealed.manifest import seal_metadata, sign_manifest
from fsproto.signed import Signed
from tests.support.garbage import KINDS, GarbageWriter
from tests.support.hostile_server import HostileServer, Rewrites
from tests.support.team import Accomplice
from tests.support.world import Person, World

X = b"precious"
TEAM = "alice:team"


@pytest.fixture(scope="module")
def shared_world(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world where alice shares `team` with bob as a writer."""
    world = first_world.copy(tmp_path_factory.mktemp("shared"))
    alice = world.alice
    with world.process():
        alice.run("mkdir", "team").succeeds()
        alice.run("mkdir", "team/m").succeeds()
        alice.run("put", alice.write("x.txt", X), "team/").succeeds()
        alice.run("put", alice.write("y.txt", b"y"), "team/m/").succeeds()
        alice.run("share", "team", "bob", "--write").succeeds()
        world.bob.run("ls", TEAM).succeeds()
    return world


@pytest.fixture(scope="module")
def kinds(shared_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world, with the real server, for all tests that only look at garbage."""
    world = shared_world.copy(tmp_path_factory.mktemp("garbage"))
    with world.process():
        yield world


@pytest.fixture
def world(shared_world: World, tmp_path: Path) -> Iterator[World]:
    """The world, with the real server, for one test."""
    world = shared_world.copy(tmp_path)
    with world.process():
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


@pytest.mark.cases(3)
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


def test_a_two_way_sync_removes_nothing_because_an_entry_does_not_verify(world: World) -> None:
    alice, copy = world.alice, local(world.alice, "copy")
    copy.mkdir()
    sync = "sync", "--two-way", "--max-delete", "100%", copy, "team"
    alice.run(*sync).succeeds()
    id_ = spoiled(world, "m")
    (copy / "x.txt").unlink()
    (copy / "new.txt").write_bytes(b"new")
    ran = alice.run(*sync)
    assert ran.status == 7, ran
    named(ran.err, id_)
    assert (copy / "m" / "y.txt").read_bytes() == b"y"
    assert b"new.txt" in alice.run("ls", "team").out, "its neighbours are copied"
    assert b"x.txt" in alice.run("ls", "team").out, "nothing is removed"
    alice.run("rm", "--id", id_, "team").succeeds()
    alice.run(*sync).succeeds()
    assert [path.name for path in copy.iterdir()] == ["new.txt"]


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
        writer.session.tree.start_command()
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
        session.tree.start_command()
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


def test_a_folder_that_lies_in_itself_is_refused(world: World) -> None:
    # Carol shares a folder, and the server sides with her.
    carol, bob = world.carol, world.bob
    carol.run("mkdir", "A").succeeds()
    carol.run("mkdir", "A/B").succeeds()
    carol.run("share", "A", "bob").succeeds()
    bob.run("ls", "carol:A/B").succeeds()
    a, b = carol.find("A"), carol.find("A/B")
    accomplice = Accomplice(world, carol)
    body, point = a.manifest.body, a.manifest.point
    version = body.version + 1
    sealed = seal_metadata(
        a.keyed.metadata_key, body.node, version, 1, a.metadata, random=os.urandom
    )
    inside = replace(
        body,
        version=version,
        lineage=point.next_lineage,
        parent=b.keyed.node,
        token=b.keyed.token("A"),
        link=b.keyed.seal_link(a.keyed, os.urandom),
        link_generation=1,
        metadata=sealed,
    )
    accomplice.writes(b.keyed, sign_manifest(accomplice.key, inside))
    told = bob.run("ls", "carol:A/B").fails(7)
    assert f"The entry {a.keyed.node.hex()[:8]} of 'carol:A/B'" in told
    assert "A folder lies in itself." in told
    assert "lies in itself" in bob.run("get", "carol:A", local(bob, "got")).fails(7)


def test_an_author_is_shown_only_after_the_signature_was_verified(world: World) -> None:
    # Bob's state names a good manifest of alice's in which he has put carol's name.
    team, x = world.bob.find(TEAM).keyed, world.bob.find(f"{TEAM}/x.txt")
    with world.bob.session() as session:
        content = x.manifest.body.content
        assert content is not None
        metadata = seal_metadata(
            x.keyed.metadata_key,
            x.keyed.node,
            x.manifest.body.version + 1,
            1,
            x.metadata,
            random=os.urandom,
        )
        writer = GarbageWriter(session, TEAM)
        forged = writer.next_version(x, author="carol", metadata=metadata)
        m = world.bob.find(f"{TEAM}/m")
        version, key = m.manifest.body.version + 1, m.keyed.metadata_key
        metadata = seal_metadata(key, m.keyed.node, version, 1, m.metadata, random=os.urandom)
        folder = writer.next_version(m, author="carol", metadata=metadata)
    Accomplice(world, world.bob).writes(team, forged, folder)
    ran = world.alice.run("--json", "ls", "team")
    assert ran.status == 7, ran
    shown = {one["name"]: one["author"] for one in json.loads(ran.out)}
    assert shown == {"x.txt": None, "m": None}
    assert "'team/m': " in ran.err


@pytest.mark.parametrize("how", ["too long", "malformed"])
def test_a_listing_with_junk_is_refused_and_not_kept(world: World, how: str) -> None:
    def longer(said: Entries) -> Entries:
        first = said.manifests[0]
        payload = first.payload + bytes(100_000) if how == "too long" else b"\x90"
        return Entries([*said.manifests, Signed(payload, first.signature)])

    told = {"too long": "too long"}.get(how, "")
    with HostileServer(world.home) as liar:
        world.meet(liar.address)
        liar.lie = Rewrites(Entries, longer)
        assert told in world.alice.run("ls", "team").fails(7)


def test_the_gateway_shows_the_rest_and_says_so_once(world: World) -> None:
    warned: list[FsError] = []
    with world.alice.session() as session:
        session.tree.children(session.tree.root)
        id_ = spoiled(world, "m")
        session.tree.start_command()
        lookup = PathLookup(warned.append)
        folder = lookup.find(session, GatewayPath(("team",)), follow=True)
        for _ in range(2):
            assert [one.place.name for one in lookup.inside(session, folder)] == ["x.txt"]
        with pytest.raises(IntegrityError, match=id_[:8]):
            lookup.find(session, GatewayPath(("team", "m")), follow=True)
        changes = Edits(lookup, Ui(quiet=True))
        with pytest.raises(IntegrityError):
            changes.make_folder(session, GatewayPath(("team", "m")))
    [told] = warned
    named(told.sentence, id_)


def test_the_gateway_takes_no_folder_for_empty_that_has_such_an_entry(world: World) -> None:
    with world.bob.session() as session:
        GarbageWriter(session, f"{TEAM}/m").spoils("y.txt")
    with world.alice.session() as session:
        changes = Edits(PathLookup(), Ui(quiet=True))
        with pytest.raises(ConflictError, match="is not empty"):
            changes.remove(session, GatewayPath(("team", "m")), folder=True)


def test_history_omits_removed_nodes_and_versions_that_do_not_open(
    world: World,
) -> None:
    alice = world.alice
    alice.run("put", alice.write("gone.txt", b"gone"), "team/").succeeds()
    alice.run("rm", "team/gone.txt").succeeds()
    id_ = spoiled(world, "m")
    alice.run("rm", "--id", id_, "team").succeeds()
    ran = alice.run("history", "team")
    assert f"The entry {id_[:8]}, removed from 'team' by alice" in ran.fails(7)
    assert b"gone.txt" in ran.out
    ran = alice.run("trash", "list", "team")
    assert f"The entry {id_[:8]}, removed from 'team' by alice" in ran.fails(7)
    assert b"team/gone.txt" in ran.out
    alice.run("trash", "empty", "--yes", "--id", id_).succeeds()
    alice.run("history", "team").succeeds()
    alice.run("restore", "team/gone.txt").succeeds()
    assert alice.cat("team/gone.txt") == b"gone"
    # A garbage version of a file, and a good one after it.
    before = world.bob.find(f"{TEAM}/x.txt")
    with world.bob.session() as session:
        writer = GarbageWriter(session, TEAM)
        bad = writer.next_version(before, metadata=bytes(300))
        writer.sends(Commit([writer.signs(bad)], [bad.signed], [], [], []))
        session.tree.start_command()
        good = sign_manifest(
            writer.key,
            replace(
                bad.body,
                version=bad.body.version + 1,
                lineage=bad.point.next_lineage,
                metadata=seal_metadata(
                    before.keyed.metadata_key,
                    before.keyed.node,
                    bad.body.version + 1,
                    1,
                    before.metadata,
                    random=os.urandom,
                ),
            ),
        )
        writer.sends(Commit([writer.signs(good)], [good.signed], [], [], []))
    ran = alice.run("history", "team/x.txt")
    assert "Version 2 of 'team/x.txt', signed by bob, does not verify" in ran.fails(7)
    assert len(ran.out.splitlines()) == 2
    assert alice.run("get", "--version", "1", "team/x.txt", local(alice, "old")).status == 0
