"""A small world to attack: a data directory and three people with files, copied for each test.

The people are enrolled once by the real programs. In a test the real client runs on real sockets
and disks: inside the test's process where a test runs it often (`Person.run`), as a separate
process where that matters (`Person.start`).
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsclient.app import App
from fsclient.cli import run as run_client
from fsclient.connection.retry import Timeouts
from fsclient.session.session import Session
from fsclient.tree.nodes import TreeNode
from fsclient.trust.pins import PinStore
from fsclient.trust.seen import SeenVersions
from fsd.blobs.janitor import Janitor
from fsd.blobs.local import LocalBlobs
from fsd.home.home import Home
from fsd.store.engine import Database
from fskit.clock import now_ms
from fsproto.link import Address
from fsproto.names import parse_path
from tests.support import rsa_pool
from tests.support.fixed_keys import stretch
from tests.support.programs import Process, start_program
from tests.support.servers import (
    ROOT,
    Authenticator,
    Clock,
    RunningServer,
    enrol_person,
    environment,
)
from tests.support.sqlite_files import opened

NOTES = b"what alice had written before\n"
PLAN = stretch("plan", 2_400_000)
"""Three segments."""
DRAFT = stretch("draft", 1_200_000)
"""Two segments, with the same length as bob's file."""
FILES = {
    "alice": {
        "notes.txt": NOTES,
        "plan.bin": PLAN,
        "draft.bin": DRAFT,
        "reports/q1.txt": b"the first quarter\n",
        "reports/q2.txt": b"the other quarter\n",
        "archive/old.txt": b"long ago\n",
    },
    "bob": {
        "notes.txt": b"what bob had written before..\n",
        "draft.bin": stretch("bob's", 1_200_000),
    },
    "carol": {"notes.txt": b"what carol had written before\n"},
}
READY = "ready.json"
"""Exists once the people and their files are complete."""
WITHIN_S = 60.0


def until(condition: Callable[[], object], what: str, within_s: float = WITHIN_S) -> None:
    """Check repeatedly until `condition` is true; fail after `within_s`.

    A check that takes long is made less often, so that it leaves the CPU to what it waits for.
    """
    started = time.monotonic()
    while True:
        checked = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        if now - started > within_s:
            raise AssertionError(f"it never came true that {what}")
        time.sleep(min(max(0.002, 4 * (now - checked)), 0.25))


@dataclass(frozen=True)
class Ran:
    """The result of one run of the client."""

    status: int
    out: bytes
    err: str

    def succeeds(self) -> bytes:
        """Check that the command succeeded; return its stdout."""
        assert self.status == 0, (self.status, self.err)
        return self.out

    def fails(self, *statuses: int) -> str:
        """Check for one of these exit statuses and exactly one error sentence; return stderr."""
        assert self.status in statuses, (self.status, self.out, self.err)
        assert "Traceback" not in self.err
        told = [line for line in self.err.splitlines() if line.startswith("fsclient: ")]
        assert len(told) == 1, self.err
        assert told[0].endswith((".", "!", "?")), told
        return self.err


def ran(app: App, *args: str | Path) -> Ran:
    """Run a command of the client to its end, in this process; return what it printed."""
    said, complained = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(one, "utf-8", write_through=True) for one in (said, complained))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run_client(app, [str(one) for one in args])
    return Ran(status, said.getvalue(), complained.getvalue().decode())


class Person:
    """A person with an authenticator app, a folder for the client's data, and a local folder."""

    def __init__(
        self, home: Path, added: Mapping[str, Any], app: Authenticator | None = None
    ) -> None:
        """Take the folder for the person's files, and the output of `fsadmin add-user`."""
        self.name: str = added["user"]
        self.added = added
        self.home = home
        self.client = home / "client"
        self.folder = home / "folder"
        self.app = app or Authenticator(added)
        self.patience = Timeouts(give_up_s=0)
        """How long commands in this process try to restore a lost connection."""

    def copy(self, to: Path) -> Person:
        """Return the same person with a copy of everything."""
        shutil.copytree(self.home, to)
        return Person(to, self.added, copy(self.app))

    @property
    def profile(self) -> Path:
        """The profile: the client's own folder."""
        return self.client / "profiles" / "default"

    def meet(self, address: Address) -> None:
        """Let the client connect to another address of its server."""
        path = self.profile / "profile.json"
        facts = json.loads(path.read_text())
        path.write_text(json.dumps(facts | {"host": address.host, "port": address.port}))

    def write(self, name: str, content: bytes) -> Path:
        """Create a local file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def run(self, *args: str | Path, client: Path | None = None, **options: str) -> Ran:
        """Run a command of the client to its end, in this process.

        `options` replace settings that the client would read from its environment.
        """
        app = App(self.patience)
        for name, value in options.items():
            setattr(app.options, name, value)
        return ran(app, "--home", client or self.client, *args)

    def start(self, *args: str | Path, client: Path | None = None) -> Process:
        """Start a command of the client as a process; its stdin is a pipe."""
        pipe = subprocess.PIPE
        return start_program(
            [sys.executable, "-m", "fsclient", "--home", client or self.client, *args],
            env=environment(),
            cwd=ROOT,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )

    def put(self, name: str, content: bytes) -> Ran:
        """Put content under a name at the top of the tree."""
        return self.run("put", self.write(f"put-{name}", content), name)

    def cat(self, path: str) -> bytes:
        """Return the content of a remote file, which must exist."""
        return self.run("cat", path).succeeds()

    def forget(self) -> None:
        """Delete the client's memory of seen versions."""
        path = self.profile / "memory.db"
        path.unlink()
        SeenVersions(path).close()
        with closing(PinStore(self.profile / "people.db")) as people:
            people.reset_memory(0)  # the client does not notice the loss

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Log in with the running session, to speak to the server as this person."""
        app = App()
        app.options.home = self.client
        with app.session() as session:
            yield session

    def find(self, path: str) -> TreeNode:
        """Return the node at a path of the person's tree."""
        with self.session() as session:
            return session.tree.find(parse_path(path))

    def half_written(self) -> list[Path]:
        """Return the temporary files that a transfer may have left in the folder."""
        return [path for path in self.folder.rglob("*") if path.name.startswith(".fs-")]


def finish(process: Process, timeout: float = 60) -> Ran:
    """Wait for a client's process to end."""
    out, err = process.communicate(timeout=timeout)
    return Ran(process.returncode, out, err.decode())


@dataclass(frozen=True)
class World:
    """A server's data directory and its people; the world itself runs no server."""

    home: Path
    alice: Person
    bob: Person
    carol: Person

    @classmethod
    def create(cls, folder: Path) -> World:
        """Enrol the people with the real programs and let them put their files."""
        server = RunningServer.start(folder / "fsd")
        try:
            people = []
            for name, files in FILES.items():
                person = Person(folder / name, enrol_person(server, name))
                link, code = person.added["enroll_link"], person.app.fresh()
                with rsa_pool.pooled():
                    person.run("--otp", code, "enroll", "--no-passphrase", link).succeeds()
                for path, content in files.items():
                    person.write(path, content)
                person.run("put", *sorted(person.folder.iterdir()), "/").succeeds()
                for large in person.folder.glob("*.bin"):
                    large.unlink()  # saves space, because copies of the world are made often
                people.append(person)
            for person in people:  # so that every client has seen everyone's keys
                person.run("ls").succeeds()
        finally:
            server.stop()
        made = {person.name: [person.added, person.app._last] for person in people}
        (folder / "people.json").write_text(json.dumps(made))
        (folder / "people.json").rename(folder / READY)
        return cls(server.home, *people)

    @classmethod
    def created(cls, folder: Path) -> World:
        """Return the world that `create` has made in a folder, in this or another process."""
        people = []
        for name, (added, last) in json.loads((folder / READY).read_text()).items():
            person = Person(folder / name, added)
            person.app._last = last
            people.append(person)
        return cls(folder / "fsd", *people)

    def copy(self, to: Path) -> World:
        """Return a copy of the world; no server may be running on this one."""
        shutil.copytree(self.home, to / "fsd")
        (to / "fsd" / "run.json").unlink(missing_ok=True)  # it names the database of the first one
        return World(to / "fsd", *(one.copy(to / one.name) for one in self.everybody))

    @property
    def everybody(self) -> tuple[Person, Person, Person]:
        """Return the people."""
        return self.alice, self.bob, self.carol

    def movable_clock(self) -> Clock:
        """Return a clock for a server in this process; the people take their codes by it."""
        clock = Clock()
        for one in self.everybody:
            one.app.clock = clock
        return clock

    def meet(self, address: Address) -> None:
        """Set the server's address for all people."""
        for one in self.everybody:
            one.meet(address)

    @contextlib.contextmanager
    def process(self, *options: str) -> Iterator[RunningServer]:
        """Run the real `fsd` on the data directory."""
        server = RunningServer.start(self.home, *options)
        try:
            self.meet(server.address)
            yield server
        finally:
            if server.process.poll() is None:
                server.stop()

    @contextlib.contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """Open the server's database as its operator could, without the server."""
        with opened(self.home / "fsd.db") as db:
            yield db

    def blob(self, root: bytes) -> Path:
        """Return the path of a large blob."""
        with self.database() as db:
            (place,) = db.execute("SELECT place FROM blobs WHERE root = ?", [root]).fetchone()
        return self.home / "blobs" / str(place)

    def staged(self) -> list[Path]:
        """Return the files of uploads in progress."""
        return list((self.home / "blobs" / "staging").iterdir())

    def kept(self) -> set[str]:
        """Return the name of each blob in the store."""
        return {path.name for path in (self.home / "blobs").glob("??/*")}

    def known(self) -> set[str]:
        """Return the name of each blob that the database expects in the store."""
        with self.database() as db:
            rows = db.execute("SELECT place FROM blobs WHERE place IS NOT NULL")
            return {place.rpartition("/")[2] for (place,) in rows}

    def collect(self, *, a_day_later: bool = True) -> None:
        """Run the server's garbage collection; no server may be running.

        `a_day_later`: as if a day had passed for all that no upload has claimed.
        """
        if a_day_later:
            with self.database() as db:
                db.execute("UPDATE doomed_places SET due_ms = 0")
        with closing(Database(Home(self.home).database_url)) as database:
            Janitor(database, LocalBlobs(self.home / "blobs"), now_ms).run()
