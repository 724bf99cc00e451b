"""Nodes: their entries, their heartbeat, and what a start frees of nodes that have ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from fsd.cluster.presence import FOLDER
from fsd.cluster.registry import NodeLoad, Registry, nodes
from fsd.home.home import Home
from fsd.services.accounts.terms import AccountTerms, NewValue
from fsd.services.files.quotas import Quotas
from fsd.services.files.transfers import TransferService
from fsd.store.cluster_models import ClusterNode
from fsd.store.models import User
from fsd.store.repos import quotas as quota_rows
from fsd.store.repos.cluster import DEAD_S
from fsd.store.upload_models import Upload
from fsproto.messages.files import Room
from fsproto.types import Salt
from tests.support import fixed_keys
from tests.support.services import Clock, Services, ServiceUser
from tests.unit.fsd.test_resumed_uploads import add, started

pytestmark = pytest.mark.both_databases

KB = 1000


@pytest.fixture
def node(office: Services, clock: Clock, tmp_path: Path) -> Callable[[str], Registry]:
    """A maker of nodes, each on the data directory with the given name."""

    def make(home: str) -> Registry:
        path = tmp_path / home
        path.mkdir(exist_ok=True)
        return Registry(office.database, Home(path), clock, name=home)

    return make


@pytest.fixture
def alice(office: Services, clock: Clock) -> ServiceUser:
    person = office.add("alice")
    person.enrol(office, clock())
    office.people.change("alice", AccountTerms(quota_bytes=NewValue(100_000 * KB)))
    return person


def start_upload(
    office: Services, clock: Clock, one: Registry, alice: ServiceUser, name: str
) -> None:
    """Reserve 20 kB for an upload of a user at a node."""
    quotas = Quotas(office.database, now_ms=clock, server=one.text)
    at = TransferService(office.database, office.blobs, now_ms=clock, quotas=quotas)
    salt = Salt(fixed_keys.stretch(name, 32))
    at.begin(alice.who, salt, Room(None, None, 20 * KB), line=name.encode().ljust(32))


def reserved(office: Services, clock: Clock) -> int:
    with office.database.read() as db:
        owner = db.scalars(select(User.id).where(User.name == "alice")).one()
        return quota_rows.reserved(db, owner, clock(), 0).size


def seen_earlier(office: Services, one: Registry, seconds: float) -> None:
    """Move the last heartbeat of a node to an earlier time."""
    with office.database.write() as db:
        earlier = ClusterNode.seen_ms - int(seconds * 1000)
        db.execute(update(ClusterNode).where(ClusterNode.id == one.id).values(seen_ms=earlier))


def names(office: Services, clock: Clock) -> list[str]:
    return [one.name for one in nodes(office.database, clock())]


def test_nodes_are_listed_with_their_load_until_they_stop(office, clock, node):
    one, other = node("one"), node("other")
    for each in (one, other):
        each.free_dead()
        each.join(f"{each._name}:1")
    one.beat(NodeLoad(connections=7, requests=1000))
    first, second = nodes(office.database, clock())
    assert (first.name, first.address, first.connections) == ("one", "one:1", 7)
    assert first.requests_a_second > 0
    assert first.is_alive
    assert (second.name, second.connections, second.requests_a_second) == ("other", 0, 0)
    one.leave()
    assert names(office, clock) == ["other"]
    one.beat(NodeLoad())
    assert names(office, clock) == ["other"], "a heartbeat that was late makes no entry again"


def test_a_node_that_is_not_seen_for_a_minute_is_not_alive_until_its_next_heartbeat(
    office, clock, node
):
    one = node("one")
    one.free_dead()
    one.join("")
    seen_earlier(office, one, DEAD_S + 1)
    assert [each.is_alive for each in nodes(office.database, clock())] == [False]
    one.beat(NodeLoad())
    assert [each.is_alive for each in nodes(office.database, clock())] == [True]


def test_a_start_frees_nothing_of_a_node_that_was_seen(office, clock, node, alice):
    one, other = node("one"), node("other")
    one.free_dead()
    one.join("")
    start_upload(office, clock, one, alice, "1")
    seen_earlier(office, one, DEAD_S - 10)
    other.free_dead()
    assert reserved(office, clock) == 20 * KB


def test_a_start_frees_what_a_node_held_that_was_not_seen_for_a_minute(office, clock, node, alice):
    one, other, third = node("one"), node("other"), node("third")
    for each in (one, other):
        each.free_dead()
        each.join("")
        start_upload(office, clock, each, alice, each._name)
    seen_earlier(office, one, DEAD_S + 1)
    third.free_dead()
    assert reserved(office, clock) == 20 * KB


def test_a_start_ends_the_leases_of_uploads_that_a_dead_node_received(office, clock, node, alice):
    one, other = node("one"), node("other")
    one.free_dead()
    one.join("")
    at = TransferService(office.database, office.blobs, now_ms=clock, node=one.text)
    blob = started(at, alice.who, 1)
    blob._recorded_s -= 10
    add(blob, 1, 2)

    def leases() -> list[int]:
        with office.database.read() as db:
            return list(db.scalars(select(Upload.lease_until_ms)))

    other.free_dead()
    assert [lease > clock() for lease in leases()] == [True]
    seen_earlier(office, one, DEAD_S + 1)
    node("third").free_dead()
    assert leases() == [0]


def test_a_killed_node_holds_nothing_once_its_data_directory_has_a_new_process(
    office, clock, node, alice
):
    one = node("one")
    one.free_dead()
    one.join("")
    start_upload(office, clock, one, alice, "1")
    again = node("one")
    again.free_dead()
    assert reserved(office, clock) == 20 * KB, "its process runs"
    again.leave()
    _killed(one)
    node("one").free_dead()
    assert reserved(office, clock) == 0
    assert names(office, clock) == []


def test_a_copied_data_directory_says_nothing_about_the_processes_of_the_original(
    office, clock, node, alice, tmp_path
):
    one = node("one")
    one.free_dead()
    one.join("")
    start_upload(office, clock, one, alice, "1")
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    node("copy").free_dead()
    assert reserved(office, clock) == 20 * KB
    assert names(office, clock) == ["one"]


def _killed(one: Registry) -> None:
    """End the lock of a node, as the end of its process does."""
    assert one._presence._own is not None
    one._presence._own[1].close()


def test_what_nodes_of_earlier_releases_hold_ends_by_itself(office, clock, node, alice):
    one = node("one")
    start_upload(office, clock, one, alice, "1")
    with office.database.write() as db:
        db.execute(text("UPDATE reservations SET server = :name"), {"name": "a" * 64})
    node("other").free_dead()
    assert reserved(office, clock) == 20 * KB


def test_an_entry_that_was_not_seen_for_a_day_is_deleted_by_a_start(office, clock, node):
    one, other = node("one"), node("other")
    for each in (one, other):
        each.free_dead()
        each.join("")
    seen_earlier(office, one, 25 * 3600)
    seen_earlier(office, other, 23 * 3600)
    node("third").free_dead()
    assert names(office, clock) == ["other"]


def test_the_folder_of_processes_is_closed_to_others(node, tmp_path):
    one = node("one")
    one.free_dead()
    assert (tmp_path / "one" / FOLDER).stat().st_mode & 0o077 == 0
    one.leave()
    assert [path.name for path in (tmp_path / "one" / FOLDER).iterdir()] == ["lock"]
