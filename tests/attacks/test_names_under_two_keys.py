"""In a folder that took a new key, names still have their tokens under the key before.

Each change moves the names that it touches to the newest key. A name has one entry at all times,
whatever takes its place: two entries of one name look like a forgery, and neither is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fsclient.gateway.filesystem import Filesystem
from tests.support.gateways import at
from tests.support.hostile_server import HostileServer
from tests.support.team_gateway import GatewayDevice
from tests.support.world import Person, World

Q2 = b"the other quarter\n"


@pytest.fixture
def alice(team: World, server: HostileServer) -> Person:
    """Alice, whose folder `reports` has just taken a new key."""
    team.alice.run("put", team.alice.write("empty", b""), "reports/empty/file").succeeds()
    team.alice.run("rm", "reports/empty/file").succeeds()
    team.alice.run("unshare", "reports", "carol").succeeds()
    return team.alice


@pytest.fixture
def files(alice: Person) -> Iterator[Filesystem]:
    """Alice's gateway."""
    device = GatewayDevice(alice, "alice")
    yield device.files
    device.close()


def one_of_each(alice: Person, name: str) -> None:
    """Check that `reports` has one entry of a name, and all other entries."""
    shown = alice.run("ls", "reports").succeeds().decode().split()
    assert sorted(shown) == sorted(set(shown))
    assert name in shown


def test_a_file_is_moved_onto_another(alice: Person) -> None:
    alice.run("mv", "-f", "reports/q2.txt", "reports/q1.txt").succeeds()
    one_of_each(alice, "q1.txt")
    assert alice.cat("reports/q1.txt") == Q2


def test_a_file_is_moved_onto_another_from_elsewhere(alice: Person) -> None:
    alice.run("mv", "-f", "archive/old.txt", "reports/q1.txt").succeeds()
    one_of_each(alice, "q1.txt")
    assert alice.cat("reports/q1.txt") == b"long ago\n"


def test_a_file_is_moved_onto_another_through_the_gateway(alice: Person, files: Filesystem) -> None:
    files.rename(at("reports/q2.txt"), at("reports/q1.txt"), replacing=True)
    one_of_each(alice, "q1.txt")
    assert alice.cat("reports/q1.txt") == Q2


def test_a_folder_is_moved_onto_an_empty_one_through_the_gateway(
    alice: Person, files: Filesystem
) -> None:
    files.rename(at("reports/deep"), at("reports/empty"), replacing=True)
    one_of_each(alice, "empty/")
    assert alice.cat("reports/empty/d.txt") == b"further down\n"


def as_folder(path: Path) -> None:
    path.mkdir()
    (path / "in it").write_bytes(Q2)


def as_link(path: Path) -> None:
    path.symlink_to("q2.txt")


def as_file(path: Path) -> None:
    path.write_bytes(Q2)


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("name", "become", "shown"),
    [
        ("q1.txt", as_folder, "q1.txt/"),
        ("q1.txt", as_link, "q1.txt@"),
        ("q1.txt", as_file, "q1.txt"),
        ("empty", as_file, "empty"),
        ("empty", as_link, "empty@"),
    ],
)
def test_a_sync_puts_something_else_in_its_place(
    alice: Person, name: str, become: Callable[[Path], None], shown: str
) -> None:
    local = alice.home / "local"
    alice.run("sync", "--down", local, "reports").succeeds()
    path = local / name
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    become(path)
    alice.run("sync", "--delete", local, "reports").succeeds()
    one_of_each(alice, shown)
    if become is as_file:
        assert alice.cat(f"reports/{name}") == Q2


def test_new_keys_for_all_in_a_folder_that_is_due_itself_hide_none_of_its_names(
    team: World, server: HostileServer
) -> None:
    """The first commit gives the folder a key; then the name under the key before is due, too."""
    alice, bob = team.alice, team.bob
    alice.run("unshare", "reports", "carol").succeeds()
    bob.run("put", bob.write("a", b"by bob"), "alice:reports/deep/a").succeeds()
    alice.run("share", "reports", "carol").succeeds()
    alice.run("unshare", "reports", "carol").succeeds()
    assert alice.find("reports/deep").is_due
    assert not alice.find("reports/deep/a").is_due
    assert alice.find("reports/deep/d.txt").is_due
    alice.run("unshare", "--now", "reports/deep", "carol").succeeds()
    for path in ("reports/deep", "reports/deep/a", "reports/deep/d.txt"):
        assert not alice.find(path).is_due_on_path
    for one, owner in ((alice, ""), (bob, "alice:")):
        assert one.cat(f"{owner}reports/deep/a") == b"by bob"
        assert one.run("ls", f"{owner}reports/deep").succeeds() == b"a\nd.txt\n"
