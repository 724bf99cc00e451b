"""`python -m bench.inside N`: CPU seconds of the server's services with N files in one folder.

The services run in this process, without a network and without a client, over a new SQLite
database. The rows of the files are inserted directly.
"""

from __future__ import annotations

import contextlib
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import event, insert

from fsd.blobs.janitor import Janitor
from fsd.policies import KeepPolicy
from fsd.principal import Principal
from fsd.services.files.commits import FileService
from fsd.store import schema
from fsd.store.engine import Database
from fsd.store.models import Blob, Manifest, Node, table
from fsd.store.repos import nodes, quotas
from fsproto.messages.base import Done
from fsproto.messages.files import Commit, Stale
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.types import Hash, NodeId, Token
from tests.support.services import Clock, Services
from tests.support.shared_folder import make_folder
from tests.support.writers import Writer

ROUNDS = 20
CONTENT = bytes(2000)
YEAR_S = 366 * 86_400


class Longest:
    """The longest write transaction since the last look, in CPU seconds."""

    def __init__(self, database: Database) -> None:
        """Observe a database."""
        self._began, self.seconds = 0.0, 0.0
        event.listen(database.engine, "begin", self._begin)
        event.listen(database.engine, "commit", self._end)

    def _begin(self, _: object) -> None:
        self._began = time.process_time()

    def _end(self, _: object) -> None:
        self.seconds = max(self.seconds, time.process_time() - self._began)


class TimedFiles(FileService):
    """Folders whose commits are timed, in CPU seconds; what the client does is not."""

    def __init__(self, made: Services, clock: Clock) -> None:
        """Take the services of `office`."""
        super().__init__(made.database, made.blobs, now_ms=clock, audit=made.audit)
        self.seconds = list[float]()

    def commit(self, who: Principal, ask: Commit) -> Done | Stale:
        """Commit, and note the CPU seconds."""
        started = time.process_time()
        answer = super().commit(who, ask)
        self.seconds.append(time.process_time() - started)
        return answer


def spent(act: Callable[[], object]) -> float:
    """Return the CPU seconds of an act."""
    started = time.process_time()
    act()
    return time.process_time() - started


@contextlib.contextmanager
def office() -> Iterator[tuple[Services, Clock, Writer]]:
    """Make services with one user and three files."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(Database(f"sqlite:///{folder}/db")) as database,
    ):
        schema.upgrade(database)
        clock = Clock()
        made = Services(database, Path(folder) / "blobs", clock)
        person = made.add("alice")
        person.enrol(made, clock())
        writer = Writer(made, person, made.files)
        for name in "abc":
            writer.write(name, b"x")
        yield made, clock, writer


def fill(made: Services, alice: Writer, folder: bytes, count: int) -> list[FolderEntry]:
    """Insert the rows of files into a folder; return the entries."""
    owner = alice.person.who.user_id
    entries = [
        FolderEntry(Token(os.urandom(32)), NodeId(os.urandom(16)), Hash(os.urandom(32)))
        for _ in range(count)
    ]
    files, manifests, blobs = list[Any](), list[Any](), list[Any]()
    for token, node, digest in entries:
        row = {"id": node, "parent_id": folder, "token": token, "manifest_hash": digest}
        root = os.urandom(32)
        files.append(row | {"owner_id": owner, "kind": 1, "version": 1, "blob": root})
        files[-1]["next_lineage"] = b""
        manifests.append({"node_id": node, "version": 1, "payload": bytes(700), "signature": b""})
        blobs.append({"root": root, "owner_id": owner, "node_id": node, "salt": bytes(32)})
        blobs[-1] |= {"size": len(CONTENT), "created_ms": 1, "data": CONTENT}
    with made.database.write() as db:
        for model, rows in ((Node, files), (Manifest, manifests), (Blob, blobs)):
            db.connection().execute(insert(table(model)), rows)
        quotas.hold(db, owner)
        quotas.start_over(db, owner)
    return entries


def one_change(count: int) -> Iterator[tuple[str, float]]:
    """Measure a look-up and a change in a folder with many files."""
    with office() as (made, clock, alice):
        person, who = alice.person, alice.person.who
        entries = fill(made, alice, person.root.node, count)
        person.entries = PrefixTree.build([*person.entries, *entries])
        state = person.root_state(person.version + 1)
        with made.database.write() as db:
            nodes.put_states(db, [state], who.user_id, 0)
        person.version, person.next_lineage = person.version + 1, state.point.next_lineage
        token = alice.chains["a"][-1].body.token
        gc.collect()
        gc.freeze()  # as a server does when it has started

        def start() -> None:
            alice.files = made.files = FileService(made.database, made.blobs, now_ms=clock)

        def look() -> None:
            made.files.lookup(who, person.root.node, [token])

        yield "first look-up, of a folder without pages", spent(look)
        start()
        yield "look-up after a start", spent(look)
        yield "look-up", spent(look)
        longest = Longest(made.database)
        for _ in range(ROUNDS):
            start()
            alice.write("a", b"y")
        yield "commit of one file after a start, longest transaction", longest.seconds
        longest.seconds = 0.0
        for _ in range(ROUNDS):
            alice.write("a", b"y")
        yield "commit of one file, longest transaction", longest.seconds


def small_commits(count: int) -> Iterator[tuple[str, float]]:
    """Measure commits of one small file each, in a folder with a few files."""
    with office() as (made, clock, alice):
        alice.files = timed = TimedFiles(made, clock)
        names = [f"file {number}" for number in range(min(count, 300))]
        gc.collect()
        gc.freeze()
        for what in ("a new file", "a new version"):
            timed.seconds.clear()
            for name in names:
                alice.write(name, what.encode() * 300)
            yield f"commit of {what}, median", statistics.median(timed.seconds)
            yield f"commit of {what}, fastest", min(timed.seconds)


def removal(count: int) -> Iterator[tuple[str, float]]:
    """Measure the removal of a folder with many files, and its deletion for good."""
    with office() as (made, clock, alice):
        folder = make_folder(made, alice.person, "dir")
        alice.chains["dir"] = [folder.manifest]
        fill(made, alice, folder.node, count)
        yield "status", spent(lambda: made.accounts.own.status(alice.person.who))
        longest = Longest(made.database)
        yield "rm -r", spent(lambda: alice.remove("dir"))
        yield "rm -r, longest transaction", longest.seconds
        longest.seconds = 0.0
        clock.forward(YEAR_S)
        janitor = Janitor(made.database, made.blobs, clock, KeepPolicy())
        yield "deletion after the retention", spent(janitor.run)
        yield "that deletion, longest transaction", longest.seconds


def main() -> None:
    """Print all figures for the number of files in the command line."""
    count = int(sys.argv[1])
    for figures in (small_commits(count), one_change(count), removal(count)):
        for name, seconds in figures:
            print(f"{name}: {seconds:.4f} s", flush=True)


if __name__ == "__main__":
    main()
