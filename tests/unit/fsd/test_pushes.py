"""Notices between nodes: what one has committed, the others hear at once."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TypeAlias

import pytest
from sqlalchemy import text

from fsd.cluster.pushes import Pushes
from fsd.net import watching
from fsd.net.watching import Watching
from fsd.services.files.changes import Look
from fsd.store.cluster_models import ServerKey
from fsd.store.engine import Database, note_change
from fsd.store.models import table
from fsd.store.repos import cluster as rows
from fsd.store.repos.quotas import Change
from fsd.workers import started_pool
from tests.support.postgres import Cluster

WITHIN_S = 30.0
Heard: TypeAlias = "queue.Queue[list[int] | None]"


@contextmanager
def node(url: str) -> Iterator[tuple[Pushes, Heard]]:
    heard: Heard = queue.Queue()
    with closing(Database(url)) as database:
        pushes = Pushes(database, lambda one: heard.put(None if one is None else sorted(one)))
        pushes.start()
        try:
            assert heard.get(timeout=WITHIN_S) is None, "it is connected"
            yield pushes, heard
        finally:
            pushes.close()


def next_with(heard: Heard, payer: int) -> list[int]:
    """Return the next notice that names a payer; notices are joined as they come."""
    while True:
        found = heard.get(timeout=WITHIN_S)
        if found is not None and payer in found:
            return found


def test_a_notice_reaches_every_other_node(postgres: Cluster) -> None:
    url = postgres.new_database()
    with node(url) as (first, _), node(url) as (_, second), node(url) as (_, third):
        first.send([7, 3])
        assert next_with(second, 7) == [3, 7]
        assert next_with(third, 7) == [3, 7]
        first.send(range(100_000, 110_000))
        assert second.get(timeout=WITHIN_S) is None, "too many to name"
        first.send([8])
        assert next_with(second, 8) == [8]


def test_a_lost_connection_is_made_again_and_counts_as_a_change_of_anything(
    postgres: Cluster,
) -> None:
    url = postgres.new_database()
    with node(url) as (first, _), node(url) as (_, second), closing(Database(url)) as other:
        with other.write() as db:
            db.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        assert second.get(timeout=WITHIN_S) is None
        first.send([5])  # kept until its own connection is back
        assert next_with(second, 5) == [5]


def test_a_new_key_is_noticed_by_every_node_once_it_is_committed(postgres: Cluster) -> None:
    url, heard = postgres.new_database(), threading.Semaphore(0)
    with closing(Database(url)) as database:
        table(ServerKey).create(database.engine)
        pushes = Pushes(database, lambda _: None, heard.release)
        pushes.start()
        try:
            assert heard.acquire(timeout=WITHIN_S), "it is connected"
            with database.write() as db:
                rows.put_key(db, "host.key", b"sealed")
                assert not heard.acquire(timeout=0.2)
            assert heard.acquire(timeout=WITHIN_S)
        finally:
            pushes.close()


def test_what_a_transaction_notes_is_reported_only_after_its_commit(database: Database) -> None:
    told: list[set[int]] = []
    database.on_change = told.append
    with database.write() as db:
        note_change(db, 7)
        note_change(db, 9)
        assert told == []
    with contextlib.suppress(ZeroDivisionError), database.write() as db:
        note_change(db, 8)
        raise ZeroDivisionError
    with database.write():
        pass
    assert told == [{7, 9}]


@pytest.mark.parametrize(("payers", "wakes"), [([7], True), (None, True), ([8], False)])
def test_a_notice_wakes_the_watches_that_it_concerns(
    monkeypatch: pytest.MonkeyPatch, payers: list[int] | None, wakes: bool
) -> None:
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 3600.0)
    asyncio.run(_wait_for(lambda one: one.hear(payers), wakes=wakes))


async def _wait_for(notice: Callable[[Watching], None], *, wakes: bool) -> None:
    pool = started_pool(1, "test")
    watches = Watching(lambda _: {}, pool)
    look = Look(Change(7, 1), changed=False)
    waiting = asyncio.create_task(watches.wait(look, asyncio.Event(), 3600.0))
    await asyncio.sleep(0)
    notice(watches)
    for _ in range(10):
        await asyncio.sleep(0)
    assert waiting.done() is wakes
    waiting.cancel()
    watches.close()
    pool.shutdown()
