"""A member is removed whatever a member has done: no act of theirs is a precondition of it.

The server is honest. A writer makes garbage, nests folders too deep, or uses up the keys of a
folder below the shared one; a reader rotates to keys that are none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsclient.tree.commit import Committer
from fsproto.errors import RemoteProtocolError
from fsproto.keys.identity import VerifiedBundle, verify_bundle
from fsproto.messages.shares import GetShared
from fsproto.names import parse_path
from fsproto.signed import Signed
from fsproto.wire.connection import Control, Event
from tests.support.garbage import GarbageWriter
from tests.support.hostile_server import HostileServer, Lie
from tests.support.servers import RunningServer
from tests.support.world import World

TEAM = "alice:team"
LATER = b"later secret"


@pytest.fixture(scope="module")
def shared_world(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world where alice shares `team` with bob, who writes, and what is in it with carol."""
    world = first_world.copy(tmp_path_factory.mktemp("shared"))
    alice = world.alice
    with world.process():
        for folder in ("team", "team/m", "team/m/f", "team/z"):
            alice.run("mkdir", folder).succeeds()
        alice.run("put", alice.write("x.txt", b"x"), "team/").succeeds()
        alice.run("put", alice.write("y.txt", b"y"), "team/z/").succeeds()
        alice.run("share", "team", "bob", "--write").succeeds()
        alice.run("share", "team/m/f", "carol").succeeds()
        alice.run("share", "archive", "carol").succeeds()
        world.bob.run("ls", TEAM).succeeds()
    return world


@pytest.fixture
def world(shared_world: World, tmp_path: Path) -> World:
    return shared_world.copy(tmp_path)


@pytest.fixture
def server(world: World) -> Iterator[RunningServer]:
    """The real server of the world."""
    with world.process() as server:
        yield server


def is_removed(world: World) -> None:
    """Check that bob is out: he neither writes nor reads what is written from now on."""
    alice, bob = world.alice, world.bob
    bob.run("put", bob.write("still", b"still here"), f"{TEAM}/still.txt").fails(5)
    alice.run("put", alice.write("later", LATER), "team/later.txt").succeeds()
    bob.run("cat", f"{TEAM}/later.txt").fails(5)
    assert alice.cat("team/later.txt") == LATER


def others_are_served(world: World) -> None:
    """Check that shares which have nothing to do with it are given and ended."""
    world.alice.run("share", "reports", "carol").succeeds()
    world.alice.run("unshare", "archive", "carol").succeeds()
    assert world.carol.run("ls", "alice:archive").status == 5
    assert world.carol.run("ls", "alice:reports").status == 0


def spoil(world: World, folder: str = TEAM, name: str = "m") -> str:
    with world.bob.session() as session:
        return GarbageWriter(session, folder).spoils(name)


def test_garbage_below_blocks_neither_a_removal_nor_any_other_share(
    world: World, server: RunningServer
) -> None:
    alice, id_ = world.alice, spoil(world)
    told = alice.run("shares")
    assert told.status == 7
    assert "'team/m/f', which you share, cannot be verified" in told.err
    assert "server" not in told.err.lower()
    assert b"archive" in told.out
    others_are_served(world)
    ran = alice.run("unshare", "team", "bob")
    assert ran.status == 0, ran.err
    assert "'team/m/f' with everything in it keeps its old keys" in ran.err
    assert "signed by bob" in ran.err
    is_removed(world)
    # The rest takes new keys at once, and the report names each node without a new key.
    done = alice.run("--json", "unshare", "--now", "team", "bob")
    assert done.status == 7
    left = json.loads(done.out)["left"]
    assert left[0]["path"] == "team/m/f"
    assert id_[:8] in left[1]["message"]
    assert not world.alice.find("team/z/y.txt").is_due
    alice.run("rm", "--id", id_[:8], "team").succeeds()
    alice.run("shares").succeeds()
    alice.run("unshare", "--now", "team", "bob").succeeds()


@pytest.mark.parametrize("role", ["reader", "writer"])
def test_the_shares_below_take_new_keys_whatever_lies_beside_them(
    world: World, server: RunningServer, role: str
) -> None:
    alice = world.alice
    alice.run("mkdir", "team/z/g").succeeds()
    alice.run("share", "team/z/g", "carol").succeeds()
    id_ = spoil(world)
    if role == "reader":
        alice.run("share", "team", "bob").succeeds()
    before = [alice.find(path).keyed.generation for path in ("team/z", "team/z/g")]
    ran = alice.run("unshare", "team", "bob")
    assert ran.status == 0
    assert id_[:8] in ran.err
    after = [alice.find(path).keyed.generation for path in ("team/z", "team/z/g")]
    assert after == [one + 1 for one in before]
    assert world.carol.run("ls", "alice:g").status == 0
    with alice.session() as session:
        members = session.context.authors.list_of(
            session.tree.find(parse_path("team/z/g")).keyed.node
        )
    assert members is not None
    assert [one.user for one in members.body.above] == []


def test_what_was_left_is_done_when_it_can_be(world: World, server: RunningServer) -> None:
    alice = world.alice
    id_ = spoil(world, f"{TEAM}/m", "f")
    alice.run("unshare", "team", "bob").succeeds()
    with alice.session() as session:
        m = session.tree.find(parse_path("team/m"))
        assert m.is_due
    # The owner removes the garbage and gives the folder back to carol.
    alice.run("rm", "--id", id_, "team/m").succeeds()
    alice.run("unshare", "--now", "team", "bob").succeeds()
    assert alice.find("team/m").keyed.generation == 2


def test_keys_that_are_used_up_below_do_not_block_it(
    world: World, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The limit is the client's own here, so that the test need not take 1,024 keys.
    monkeypatch.setattr("fsproto.keys.tree.MAX_GENERATION", 2)
    with world.alice.session() as session:  # a member could only if it were due
        changes = Committer(session.tree)
        changes.renew(session.tree.find(parse_path("team/m")))
        changes.commit()
    ran = world.alice.run("unshare", "team", "bob")
    assert ran.status == 0, ran.err
    assert "'team/m/f' with everything in it keeps its old keys" in ran.err
    is_removed(world)
    done = world.alice.run("unshare", "--now", "team", "bob")
    assert done.status == 6, done.err
    assert "'team/m' with everything in it keeps its old keys" in done.err
    assert not world.alice.find("team/z").is_due
    assert not world.alice.find("team/z/y.txt").is_due


def test_folders_that_lie_too_deep_do_not_block_it(world: World, server: RunningServer) -> None:
    alice = world.alice
    with world.bob.session() as session:
        made = GarbageWriter(session, TEAM).nests("deep", 140)
    assert made > 100
    ran = alice.run("unshare", "--now", "team", "bob")
    if made > 128:
        assert ran.status == 7, ran
        assert "deeper than 128 folders" in ran.err
    is_removed(world)
    assert not alice.find("team/z/y.txt").is_due
    alice.run("rm", "-r", "team/deep").succeeds()
    alice.run("unshare", "--now", "team", "bob").succeeds()


def test_a_share_that_was_moved_too_deep_blocks_no_other(
    world: World, server: RunningServer
) -> None:
    alice = world.alice
    alice.run("share", "team/x.txt", "carol").succeeds()
    with world.bob.session() as session:
        assert GarbageWriter(session, TEAM).nests("deep", 126) == 126
        tree = session.tree
        x, team = tree.find(parse_path(f"{TEAM}/x.txt")), tree.find(parse_path(TEAM))
        deep = tree.find(parse_path(f"{TEAM}/deep"))
        while (below := tree.look(deep, ["d"])["d"]) is not None:
            deep = below
        changes = Committer(tree)
        changes.move(x, team.keyed, deep.keyed, "x.txt", None)
        changes.commit()
    others_are_served(world)
    told = alice.run("shares")
    assert told.status in (0, 7)
    assert "server" not in told.err.lower()
    alice.run("unshare", "team", "bob").succeeds()
    is_removed(world)


def test_a_member_with_unusable_keys_does_not_block_the_removal_of_another(
    world: World, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verified(signed: Signed, user: str) -> VerifiedBundle:
        if user == "carol":
            raise RemoteProtocolError("Public keys of a person are unusable: not a public key.")
        return verify_bundle(signed, user)

    alice = world.alice
    alice.run("share", "team", "carol").succeeds()
    server.admin("add-group", "staff")
    server.admin("add-member", "staff", "bob", "carol")
    monkeypatch.setattr("fsclient.trust.key_directory.verify_bundle", verified)
    ran = alice.run("unshare", "team", "bob")
    assert ran.status == 0, ran.err
    assert "The keys of carol are unusable" in ran.err
    assert "'team' is no longer shared with them" in ran.err
    is_removed(world)
    shown = alice.run("--json", "shares")
    assert shown.status == 0, shown.err
    by_me = {one["path"]: one["members"] for one in json.loads(shown.out)["by_me"]}
    assert by_me.get("team", []) == []
    ran = alice.run("share", "reports", "@staff", "--yes")
    assert ran.status == 0, ran.err
    assert "carol  has unusable keys: left out" in ran.err
    assert "carol" in alice.run("share", "archive", "carol").fails(7)


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("command", "times"),
    [(["share", "reports", "carol"], 2), (["unshare", "archive", "carol"], 1), (["shares"], 1)],
    ids=["share", "unshare", "shares"],
)
def test_the_server_is_asked_for_shares_once_or_also_after_a_new_share(
    world: World, command: list[str], times: int
) -> None:
    asked = list[Event]()

    class Counts(Lie):
        def hears(self, connection: object, event: Event) -> None:
            if isinstance(event, Control) and isinstance(event.message, GetShared):
                asked.append(event)

    with HostileServer(world.home) as server:
        world.meet(server.address)
        world.alice.run("share", "archive", "carol").succeeds()
        server.lie = Counts()
        world.alice.run(*command).succeeds()
    assert len(asked) == times


def test_the_account_of_what_is_left_names_no_path_twice(
    world: World, server: RunningServer, tmp_path: Path
) -> None:
    spoil(world)
    done = world.alice.run("--json", "unshare", "--now", "team", "bob")
    paths = [one["path"] for one in json.loads(done.out)["left"] if one["path"]]
    assert len(paths) == len(set(paths))
