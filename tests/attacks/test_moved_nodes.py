"""A person with whom a folder is shared opens nothing of what had left it before.

The server gives this person every row that it has, also the manifests from before a move: their
links are sealed under keys that the folder's newest key opens.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fsclient.tree import moved_keys
from tests.support.hostile_server import HostileServer
from tests.support.opened_by import OpenedBy
from tests.support.team import identity
from tests.support.world import Person, World


class Reader:
    """A person to whom the server gives all that it ever had, also what it should have deleted."""

    def __init__(self, world: World, person: Person) -> None:
        self._world, self._opened = world, OpenedBy(identity(person))
        self.read()

    def read(self) -> None:
        """Take what the server has now; call it before each change."""
        with self._world.database() as db:
            self._opened.read_database(db)

    def opens(self, path: str) -> bool:
        """Return whether the person opens the newest version of alice's file."""
        self.read()
        found = self._world.alice.find(path)
        return self._opened.opens(found.keyed.node, found.manifest.body.version)


@pytest.fixture
def bob(drafts: World) -> Reader:
    return Reader(drafts, drafts.bob)


@pytest.fixture
def drafts(world: World, liar: HostileServer) -> World:
    """A world with files in `drafts`, which is not shared yet."""
    alice = world.alice
    alice.run("mkdir", "-p", "drafts/pay/more", "hidden").succeeds()
    for path in ("drafts/pay.txt", "drafts/pay/list", "drafts/pay/more/list"):
        alice.run("put", alice.write("x", b"before"), path).succeeds()
    return world


def written_later(world: World, path: str) -> None:
    world.alice.run("put", world.alice.write("x", b"later"), path).succeeds()
    assert world.alice.cat(path) == b"later"


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("moved", "path"),
    [
        ("pay.txt", "hidden/pay.txt"),
        ("pay", "hidden/pay/list"),
        ("pay", "hidden/pay/more/list"),
        ("pay", "hidden/pay/more/new"),
    ],
)
def test_what_was_moved_out_before_a_folder_is_shared_stays_closed(
    drafts: World, bob: Reader, moved: str, path: str
) -> None:
    drafts.alice.run("mv", f"drafts/{moved}", "hidden/").succeeds()
    drafts.alice.run("share", "drafts", "bob").succeeds()
    written_later(drafts, path)
    assert not bob.opens(path)


def test_what_was_restored_elsewhere_before_a_folder_is_shared_stays_closed(
    drafts: World, bob: Reader
) -> None:
    alice = drafts.alice
    alice.run("rm", "drafts/pay.txt").succeeds()
    alice.run("restore", "drafts/pay.txt", "--as", "hidden/pay.txt").succeeds()
    alice.run("share", "drafts", "bob").succeeds()
    written_later(drafts, "hidden/pay.txt")
    assert not bob.opens("hidden/pay.txt")


def test_what_a_sync_has_moved_out_before_a_folder_is_shared_stays_closed(
    drafts: World, bob: Reader, tmp_path: Path
) -> None:
    alice, local = drafts.alice, tmp_path / "local"
    local.mkdir()
    alice.run("sync", "--two-way", local, "/").succeeds()
    node = alice.find("drafts/pay.txt").keyed.node
    (local / "drafts/pay.txt").rename(local / "hidden/pay.txt")
    alice.run("sync", "--two-way", local, "/").succeeds()
    assert alice.find("hidden/pay.txt").keyed.node == node
    alice.run("share", "drafts", "bob").succeeds()
    written_later(drafts, "hidden/pay.txt")
    assert not bob.opens("hidden/pay.txt")


def test_a_file_that_a_member_has_moved_out_stays_closed_to_later_members(drafts: World) -> None:
    alice, bob = drafts.alice, drafts.bob
    alice.run("mkdir", "team", "team/in", "team/out").succeeds()
    alice.run("put", alice.write("x", b"before"), "team/in/pay.txt").succeeds()
    carol = Reader(drafts, drafts.carol)
    alice.run("share", "team", "bob", "--write").succeeds()
    bob.run("mv", "alice:team/in/pay.txt", "alice:team/out/").succeeds()
    alice.run("share", "team/in", "carol").succeeds()
    written_later(drafts, "team/out/pay.txt")
    assert not carol.opens("team/out/pay.txt")
    assert bob.cat("alice:team/out/pay.txt") == b"later"


def test_members_of_shares_in_a_moved_folder_keep_their_access(drafts: World) -> None:
    """Also of those that another device has made, and this one does not know of."""
    alice, bob, carol = drafts.everybody
    reader = Reader(drafts, carol)
    alice.run("share", "drafts/pay", "bob", "--write").succeeds()
    alice.run("share", "drafts/pay/more", "carol", "--write").succeeds()
    alice.run("mv", "drafts/pay", "hidden/").succeeds()
    for one, path in ((bob, "alice:pay/by bob"), (carol, "alice:more/by carol")):
        one.run("put", one.write("x", b"x"), path).succeeds()
    assert bob.cat("alice:pay/more/by carol") == b"x"
    alice.run("put", alice.write("x", b"x"), "hidden/pay/more/list").succeeds()
    assert carol.cat("alice:more/list") == b"x"
    alice.run("share", "drafts", "carol").succeeds()
    written_later(drafts, "hidden/pay/list")
    assert not reader.opens("hidden/pay/list")


def test_a_share_that_a_device_did_not_know_of_can_be_changed_after_the_move_above(
    drafts: World, tmp_path: Path
) -> None:
    alice, carol = drafts.alice, drafts.carol
    phone = alice.copy(tmp_path / "phone")
    alice.run("share", "drafts/pay/more", "carol", "--write").succeeds()
    phone.run("mv", "drafts/pay", "hidden/").succeeds()
    carol.run("put", carol.write("x", b"x"), "alice:more/by carol")
    alice.run("shares").succeeds()
    for one, path in ((carol, "alice:more/by carol"), (phone, "hidden/pay/more/by phone")):
        one.run("put", one.write("x", b"x"), path).succeeds()


def test_a_file_moves_more_often_than_it_has_keys(
    drafts: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moves leave most keys of a node for losses of access."""
    monkeypatch.setattr(moved_keys, "_LAST", 3)
    for here, there in (("drafts", "hidden"), ("hidden", "drafts")) * 2:
        drafts.alice.run("mv", f"{here}/pay.txt", f"{there}/").succeeds()
    assert drafts.alice.find("drafts/pay.txt").keyed.generation == 3
