"""A logged-in person takes as much of the server as possible: the others notice nothing.

Known from: MaxSessions and MaxStartups of OpenSSH, RLIMIT_NOFILE exhaustion (CWE-774), clients that
do not read their answers (CWE-770).
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsd.policies import LoginPolicy, PersonPolicy
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.limits import MAX_METADATA
from fsproto.messages.account import EndSessions, GetStatus, Login, Status, Welcome
from fsproto.messages.base import Done, Failure
from fsproto.messages.files import Commit, Entries, List, Listed
from fsproto.names import parse_path
from fsproto.wire.connection import Control
from tests.attacks.test_sessions import host_key
from tests.support.hostile_server import HostileServer
from tests.support.raw_client import Forger, RawClient
from tests.support.world import NOTES, Person, World, until

MIB = 1 << 20


@contextlib.contextmanager
def crowd(person: Person, server: HostileServer, count: int) -> Iterator[list[RawClient]]:
    """Open connections of one person, all logged in."""
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(RawClient.of(person, server.address)) for _ in range(count)]


def too_many(answer: object) -> bool:
    """Return whether an answer says that a limit is reached, with exit status 9."""
    return isinstance(answer, Failure) and answer.code == "out-of-space"


# --- connections


def test_a_person_at_the_connection_limit_affects_no_other(
    world: World,
) -> None:
    with HostileServer(world.home, person=PersonPolicy(connections=4)) as server:
        world.meet(server.address)
        with crowd(world.carol, server, 4) as held:
            with RawClient(server.address, host_key(world.carol)) as more:
                answer = more.ask(more.login(world.carol))
                assert too_many(answer)
                assert more.is_ended()
            assert "4 connections" in world.carol.run("ls").fails(9)
            assert world.alice.cat("notes.txt") == NOTES
            assert all(isinstance(each.ask(GetStatus()), Status) for each in held)
            held[0].socket.close()
            until(lambda: world.carol.run("ls").status == 0, "there is room for one again")


def test_all_connections_of_a_thief_do_not_keep_out_the_person_with_the_codes(
    world: World, long_listing: int
) -> None:
    with HostileServer(world.home, person=PersonPolicy(connections=4, requests=2)) as server:
        world.meet(server.address)
        big = fill(world.carol, long_listing)
        with crowd(world.carol, server, 4) as held:
            for stalled in held[:2]:  # so all her requests are under way, too
                stalled.send(List(big.node))
                assert isinstance(stalled.receive(), Control)
            assert "4 connections" in world.carol.run("ls").fails(9)
            code = world.carol.app.fresh()
            with RawClient(server.address, host_key(world.carol)) as owner:
                assert isinstance(
                    owner.ask(owner.login(world.carol, ticket=None, otp=code)), Welcome
                )
                assert owner.ask(EndSessions()) == Done()
            until(lambda: server.connections == 0, "all of them are closed")


def answer_to_code(person: Person, server: HostileServer, code: str) -> object:
    """Log in with a code; return the answer."""
    with RawClient(server.address, host_key(person)) as raw:
        ask: Login = raw.login(person, ticket=None, otp=code)
        return raw.ask(ask)


def test_the_session_that_was_unused_for_longest_ends_for_a_new_one(world: World) -> None:
    def sessions() -> int:
        with world.database() as db:
            (count,) = db.execute(
                "SELECT count(*) FROM sessions WHERE user_id = "
                "(SELECT id FROM users WHERE name = 'carol')"
            ).fetchone()
            return int(count)

    with HostileServer(world.home, logins=LoginPolicy(most_sessions=2)) as server:
        world.meet(server.address)
        before = sessions()
        for _ in range(2):
            assert isinstance(answer_to_code(world.carol, server, world.carol.app.fresh()), Welcome)
        assert (before, sessions()) == (1, 2)
        world.carol.run("ls").fails(4)  # the oldest one ended


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits another process, as Linux can")
def test_descriptors_never_run_out_for_others(world: World) -> None:
    with world.process("--set", "person.connections=1000") as server:
        pid = server.process.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (160, 160))
        with contextlib.ExitStack() as opened:
            for _ in range(200):
                opened.enter_context(RawClient.of(world.carol, server.address))
            assert world.alice.cat("notes.txt") == NOTES
            world.alice.run("put", str(world.alice.write("new", b"new")), "new.txt").succeeds()
            for _ in range(200):
                opened.enter_context(socket.create_connection(tuple_of(server.address)))
            assert world.alice.cat("new.txt") == b"new"
        assert len(list(Path(f"/proc/{pid}/fd").iterdir())) < 160


def tuple_of(address: object) -> tuple[str, int]:
    """Return an address as sockets take it."""
    return address.host, address.port  # type: ignore[attr-defined]


def test_fsd_raises_its_limit_of_open_files_at_start(world: World) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with world.process() as server:
            limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    (line,) = (line.split() for line in limits.splitlines() if line.startswith("Max open files"))
    assert line[3] == line[4]


# --- answers that are not read


@pytest.fixture(scope="module")
def long_listing() -> int:
    """Return how many entries a listing has that no socket buffer holds."""
    return 1200


def fill(person: Person, entries: int) -> KeyedNode:
    """Make a folder with the largest entries that the server takes; return it."""
    person.run("mkdir", "big").succeeds()
    with person.session() as session:
        forger, big = Forger(session), session.tree.find(parse_path("big")).keyed
        for at in range(0, entries, 50):
            made = [new_node(os.urandom) for _ in range(50)]
            manifests = [
                forger.manifest(
                    big, f"{at + n}", None, None, node=node, metadata=os.urandom(MAX_METADATA)
                )
                for n, node in enumerate(made)
            ]
            states = [forger.state(big, *manifests), *map(forger.first_state, made)]
            commit = Commit(states, [m.signed for m in manifests], [], [], [])
            assert session.connection.call(commit, Done) == Done()
    return big


def memory(pid: int) -> int:
    """Return the bytes of memory that a process uses."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_answers_that_the_client_does_not_read_are_not_made(
    world: World, long_listing: int
) -> None:
    with world.process() as server:
        big = fill(world.carol, long_listing)
        idle = memory(server.process.pid)
        with contextlib.ExitStack() as opened:
            raws = [
                opened.enter_context(RawClient.of(world.carol, server.address)) for _ in range(12)
            ]
            for raw in raws:
                raw.send(List(big.node))
            # A listing has 20 MiB; the test reads only the first part of each.
            first = [raw.receive() for raw in raws[:8]]
            assert all(isinstance(one, Control) for one in first)
            assert world.alice.cat("notes.txt") == NOTES
            assert memory(server.process.pid) - idle < 64 * MIB


def test_a_person_who_does_not_read_answers_delays_no_other(
    world: World, long_listing: int
) -> None:
    with HostileServer(world.home, person=PersonPolicy(requests=2)) as server:
        world.meet(server.address)
        big = fill(world.carol, long_listing)
        with crowd(world.carol, server, 3) as (one, other, third):
            for stalled in (one, other):
                stalled.send(List(big.node))
                assert isinstance(stalled.receive(), Control)
            third.send(GetStatus())
            third.socket.settimeout(0.3)
            with pytest.raises(TimeoutError):
                third.receive()
            assert world.alice.cat("notes.txt") == NOTES
            while isinstance(message(one), Entries):
                pass
            third.socket.settimeout(30)
            assert isinstance(message(third), Status)


def message(raw: RawClient) -> object:
    """Return the next message that arrives."""
    event = raw.receive()
    assert isinstance(event, Control)
    return event.message


def test_a_listing_is_of_one_moment_however_slowly_it_is_read(
    world: World, long_listing: int
) -> None:
    with HostileServer(world.home) as server:
        world.meet(server.address)
        big = fill(world.carol, long_listing)
        with RawClient.of(world.carol, server.address) as raw:
            raw.send(List(big.node))
            seen = len(message(raw).manifests)  # type: ignore[attr-defined]
            with world.carol.session() as session:
                forger = Forger(session)
                made = new_node(os.urandom)
                manifest = forger.manifest(big, "late", None, None, node=made)
                states = [forger.state(big, manifest), forger.first_state(made)]
                commit = Commit(states, [manifest.signed], [], [], [])
                assert session.connection.call(commit, Done) == Done()
            while isinstance(part := message(raw), Entries):
                seen += len(part.manifests)
            assert isinstance(part, Listed)
            assert seen == long_listing
