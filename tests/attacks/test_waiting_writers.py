"""Requests that change the database and wait for it: others that only read are still answered."""

from __future__ import annotations

import contextlib
import sqlite3

from fsd.net.dispatch import reads_only
from fsd.policies import PersonPolicy
from fsproto.messages.account import GetStatus, Status
from fsproto.messages.history import Forget
from tests.support.hostile_server import HostileServer
from tests.support.raw_client import RawClient
from tests.support.world import World

WRITERS = 40
"""More than the server has threads."""


def test_writers_that_wait_leave_threads_for_readers(world: World) -> None:
    person = PersonPolicy(connections=WRITERS + 2, requests=WRITERS + 2)
    with (
        HostileServer(world.home, person=person) as server,
        contextlib.closing(sqlite3.connect(world.home / "fsd.db")) as other,
        contextlib.ExitStack() as opened,
    ):
        writers = [
            opened.enter_context(RawClient.of(world.alice, server.address)) for _ in range(WRITERS)
        ]
        with RawClient.of(world.alice, server.address) as reader:
            other.execute("BEGIN IMMEDIATE")  # as a long transaction of another process
            for writer in writers:
                writer.send(Forget([]))
            with RawClient.of(world.alice, server.address) as newcomer:
                assert isinstance(newcomer.ask(GetStatus()), Status)
            assert isinstance(reader.ask(GetStatus()), Status)
            other.rollback()
        for writer in writers:
            writer.receive()


def test_only_known_messages_count_as_reading() -> None:
    assert reads_only(GetStatus())
    assert not reads_only(Forget([]))
