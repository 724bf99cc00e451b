"""Watches: who is told of which changes, and what a waiting watch costs the server and others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from fsclient.connection.refusals import SaidToBeAbsentError
from fsclient.session.session import Session
from fsd.policies import PersonPolicy
from fsproto.errors import ConnectionLost, RemoteProtocolError
from fsproto.limits import MAX_WATCH_S, MAX_WATCHED
from fsproto.messages.account import EndSessions, GetStatus, Status
from fsproto.messages.base import Done
from fsproto.messages.files import Changed, States, Watch
from fsproto.names import parse_path
from fsproto.types import NodeId
from tests.support.hostile_server import HostileServer, Rewrites
from tests.support.world import WITHIN_S, Person, World, until

LONG = MAX_WATCH_S
SOON_S = MAX_WATCH_S / 2


class Watcher:
    """A connection of a person that watches one folder; the first answer has come."""

    def __init__(self, session: Session, folder: NodeId) -> None:
        self.connection, self.folder = session.connection, folder
        assert self.changed(LONG)
        self.asked = 0

    def changed(self, wait_s: int) -> bool:
        return self.connection.call(Watch(self.folder, wait_s), Changed).changed

    def start(self) -> None:
        """Start a watch that waits."""
        self.asked = self.connection.send(Watch(self.folder, LONG))

    def answer(self) -> bool:
        return self.connection.answer(self.asked, Changed).changed

    def stop(self) -> bool:
        """End the watch with another request; return its answer."""
        other = self.connection.send(GetStatus())
        changed = self.answer()
        self.connection.answer(other, Status)
        return changed


@contextmanager
def watching(person: Person, path: str) -> Iterator[Watcher]:
    node = person.find(path).keyed.node
    with person.session() as session:
        yield Watcher(session, node)


def put(person: Person, path: str) -> None:
    person.run("put", person.write("new", str(time.monotonic_ns()).encode()), path).succeeds()


@pytest.mark.cases(1)
@pytest.mark.parametrize("path", ["/", "reports", "reports/deep"])
def test_a_change_below_a_folder_answers_its_watch(
    world: World, liar: HostileServer, path: str
) -> None:
    world.alice.run("mkdir", "-p", "reports/deep/er").succeeds()
    with watching(world.alice, path) as watcher:
        watcher.start()
        began = time.monotonic()
        put(world.alice, "reports/deep/er/new")
        assert watcher.answer()
        assert time.monotonic() - began < SOON_S
        assert not watcher.changed(0)
        world.alice.run("mv", "reports/deep/er/new", "reports/deep/er/other").succeeds()
        world.alice.run("rm", "reports/deep/er/other").succeeds()
        assert watcher.changed(LONG)
        assert not watcher.changed(0)


def test_other_changes_do_not_answer_it(world: World, liar: HostileServer) -> None:
    world.alice.run("mkdir", "-p", "reports/deep").succeeds()
    with watching(world.alice, "reports/deep") as watcher:
        watcher.start()
        put(world.alice, "reports/new")
        put(world.alice, "archive/new")
        put(world.bob, "new")
        assert not watcher.stop()
        watcher.start()
        world.alice.run("mv", "reports/new", "reports/deep/new").succeeds()
        assert watcher.answer()


def test_changes_between_two_watches_are_not_missed(world: World, liar: HostileServer) -> None:
    with watching(world.alice, "reports") as watcher:
        put(world.alice, "reports/new")
        assert watcher.changed(0)
        put(world.alice, "archive/new")
        assert not watcher.changed(0)


def test_a_watch_sees_what_another_server_on_the_database_does(
    world: World, liar: HostileServer
) -> None:
    with watching(world.alice, "reports") as watcher, HostileServer(world.home) as other:
        watcher.start()
        world.meet(other.address)
        put(world.alice, "reports/new")
        assert watcher.answer()


def test_a_connection_remembers_only_some_folders(world: World, liar: HostileServer) -> None:
    folders = [f"f{number}" for number in range(MAX_WATCHED)]
    world.alice.run("mkdir", *folders).succeeds()
    with world.alice.session() as session:
        nodes = [session.tree.find(parse_path(folder)).keyed.node for folder in folders]
    with watching(world.alice, "reports") as watcher:
        assert not watcher.changed(0)
        for node in nodes:
            assert watcher.connection.call(Watch(node, LONG), Changed).changed
        assert watcher.changed(LONG)


# --- members


def test_a_member_is_told_of_the_share_alone(team: World, server: HostileServer) -> None:
    with watching(team.bob, "alice:reports") as watcher:
        watcher.start()
        put(team.alice, "archive/new")
        assert not watcher.stop()
        watcher.start()
        put(team.alice, "reports/new")
        assert watcher.answer()


def test_a_watch_ends_when_the_share_is_taken_away(team: World, server: HostileServer) -> None:
    with watching(team.bob, "alice:reports") as watcher:
        watcher.start()
        team.alice.run("unshare", "reports", "bob", "--now").succeeds()
        with pytest.raises(SaidToBeAbsentError):
            watcher.answer()


def test_nothing_is_told_of_a_folder_that_is_not_shared(team: World, server: HostileServer) -> None:
    folder = team.alice.find("archive").keyed.node
    file = team.bob.find("notes.txt").keyed.node
    with team.bob.session() as session:
        for node in (folder, NodeId(bytes(16))):
            with pytest.raises(SaidToBeAbsentError, match="There is no such folder"):
                session.connection.call(Watch(node, LONG), Changed)
        with pytest.raises(RemoteProtocolError):
            session.connection.call(Watch(file, LONG), Changed)


# --- what a watch costs


def test_watches_hold_up_nobody_and_take_no_thread(world: World) -> None:
    people = PersonPolicy(connections=50, requests=2)
    with HostileServer(world.home, person=people) as server, ExitStack() as open_ones:
        world.meet(server.address)
        folder = world.alice.find("reports").keyed.node
        watchers = [
            Watcher(open_ones.enter_context(world.alice.session()), folder) for _ in range(48)
        ]
        for watcher in watchers:
            watcher.start()
        for person in (world.alice, world.bob):
            put(person, "elsewhere")
        threads = [one.name for one in threading.enumerate() if one.name.startswith("fsd_")]
        assert len(threads) <= 32
        put(world.alice, "reports/new")
        assert all(watcher.answer() for watcher in watchers)


def test_a_server_that_stops_waits_for_no_watch(world: World) -> None:
    with ExitStack() as running:
        server = running.enter_context(HostileServer(world.home))
        world.meet(server.address)
        with watching(world.alice, "reports") as watcher:
            watcher.start()
            began = time.monotonic()
            running.close()
            assert time.monotonic() - began < SOON_S
            with pytest.raises(ConnectionLost):
                watcher.answer()


def test_a_watch_ends_with_its_session(world: World, liar: HostileServer) -> None:
    with watching(world.alice, "reports") as watcher, world.alice.session() as other:
        watcher.start()
        other.connection.call(EndSessions(), Done)
        with pytest.raises(ConnectionLost):
            watcher.answer()


def test_an_alarm_ends_the_watch_of_a_sync(world: World) -> None:
    local = world.alice.write("local/first", b"first").parent
    with HostileServer(world.home) as server:
        world.meet(server.address)
        process = world.alice.start("sync", "--two-way", "--watch", local, "both")
        try:
            until(
                lambda: world.alice.run("cat", "both/first").out == b"first",
                "the first sync is done",
            )
            server.lie = Rewrites(States, lambda sent: States(sent.states[::-1]))
            world.alice.write("local/sub/second", b"second")
            world.alice.write("local/third", b"third")
            _, told = process.communicate(timeout=WITHIN_S)
        finally:
            process.kill()
        assert process.returncode == 7, told
        assert b"belongs to another folder" in told
