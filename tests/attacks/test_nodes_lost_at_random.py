"""Nodes are killed, frozen and cut off at random while people write; then all files are compared.

Each put must succeed: at least one node is well at any time. A client does not repeat an `rm` whose
answer was lost with the connection: it may have been done or not.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import func, select

from fsd.blobs.base import BlobStore
from fsd.blobs.janitor import STAGED_S, Janitor
from fsd.blobs.local import LocalBlobs
from fsd.store.engine import Database
from fsd.store.models import Blob
from fsd.store.upload_models import DoomedPlace, Part, Upload
from tests.support.client_processes import UNREACHABLE, Client, finish
from tests.support.clusters import BalancedNodes, Loss, Node, added, balanced, on_database
from tests.support.fixed_keys import stretch
from tests.support.object_store import opened
from tests.support.postgres import Cluster
from tests.support.servers import Clock

LASTS_S = 300.0
"""How long nodes are lost, with each kind of store."""
NODES = 3
WRITERS = 3
NAMES = 10
SIZES = (300, 100_000, 3_000_000, 20_000_000)
LOST_S = (1.0, 20.0)
WELL_S = 20.0
"""A node that was given back so long ago is in use again: the balancer has noticed it."""
WITHIN_S = 240.0


@dataclass
class Writer:
    """A person who puts and removes files, and knows which ones the server has acknowledged."""

    client: Client
    chance: random.Random
    files: dict[str, set[str | None]] = field(default_factory=dict)
    """The seeds of each file's possible contents; None: it is removed."""
    failures: list[str] = field(default_factory=list)
    commands: int = 0

    def work(self, over: threading.Event) -> None:
        """Run commands until it is over."""
        while not over.is_set():
            self.step()

    def step(self) -> None:
        """Put a new content under a name, or remove it."""
        self.commands += 1
        name = f"file{self.chance.randrange(NAMES)}"
        before = self.files.get(name, {None})
        if None not in before and self.chance.random() < 0.2:
            seed, words = None, ["rm", f"files/{name}"]
        else:
            seed = f"{self.client.name} {self.commands}"
            size = self.chance.choice(SIZES) + self.chance.randrange(1000)
            self.client.write("source", content(seed, size))
            words = ["put", "source", f"files/{name}"]
            seed += f" {size}"
        ran = finish(self.client.start(*words), within_s=WITHIN_S)
        if ran.status == UNREACHABLE and seed is None:
            self.files[name] = before | {None}
            return
        if ran.status:
            self.failures.append(f"{' '.join(words)}: exit {ran.status}: {ran.err}")
        self.files[name] = {seed}

    def compare(self, folder: Path) -> None:
        """Compare what the server has with what it has acknowledged."""
        self.client.quick("get", "files", str(folder)).ok()
        found = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert found.keys() <= self.files.keys()
        for name, seeds in self.files.items():
            assert found.get(name) in [made(seed) for seed in seeds], name


def made(seed: str | None) -> bytes | None:
    """Return the content that a writer has made of a seed; None for none."""
    if seed is None:
        return None
    words, _, size = seed.rpartition(" ")
    return content(words, int(size))


def content(seed: str, size: int) -> bytes:
    """Return bytes that differ from segment to segment and from content to content."""
    piece = stretch(seed, 1 << 16)
    return b"".join(b"%08d" % number + piece for number in range(size // len(piece) + 1))[:size]


def lose_at_random(nodes: list[Node], chance: random.Random, until_s: float) -> dict[Loss, int]:
    """Lose nodes and give them back until a moment, never the last one that is well."""
    counts = dict.fromkeys(Loss, 0)
    well_since = [0.0 for _ in nodes]
    back_at: dict[int, float] = {}
    while (now := time.monotonic()) < until_s:
        for number in [one for one, due in back_at.items() if due <= now]:
            nodes[number].give_back()
            del back_at[number]
            well_since[number] = time.monotonic()
        lost = chance.randrange(len(nodes))
        others = [one for one in range(len(nodes)) if one != lost and one not in back_at]
        if lost not in back_at and any(now - well_since[one] > WELL_S for one in others):
            how = chance.choice(list(Loss))
            nodes[lost].lose(how)
            counts[how] += 1
            back_at[lost] = now + chance.uniform(*LOST_S)
        time.sleep(chance.uniform(0.5, 3))
    for node in nodes:
        node.give_back()
    return counts


@contextmanager
def writing(writers: list[Writer]) -> Iterator[None]:
    over = threading.Event()
    threads = [threading.Thread(target=one.work, args=(over,)) for one in writers]
    for one in threads:
        one.start()
    try:
        yield
    finally:
        over.set()
        for one in threads:
            one.join()


def nothing_is_left(database: Database, store: BlobStore) -> None:
    """Collect the garbage of two days; then the store has what rows of blobs name, and no more."""
    clock = Clock()
    for _ in range(3):
        clock.advance(STAGED_S)
        Janitor(database, store, clock.now_ms).run()
    with database.read() as db:
        named = set(db.scalars(select(Blob.place).where(Blob.place.is_not(None))))
        rows = [
            db.scalar(select(func.count()).select_from(of)) for of in (Upload, Part, DoomedPlace)
        ]
    assert rows == [0, 0, 0]
    assert {blob.place for blob in store.walk()} == named
    store.tidy(0)  # lists unfinished uploads of a bucket


@pytest.mark.soak
@pytest.mark.timeout(LASTS_S + 900)
@pytest.mark.usefixtures("store_key")
@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_no_acknowledged_file_is_lost_with_nodes(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Cluster, kind: str
) -> None:
    url, policy = postgres.new_database(), None
    if kind == "bucket":
        policy = request.getfixturevalue("bucket").policy(os.urandom(6).hex())
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with balanced(tmp_path, on_database(tmp_path, url, policy), NODES) as cluster:
        first = cluster.nodes[0]
        people = added(
            first.server, cluster.address, tmp_path, *(f"writer{n}" for n in range(WRITERS))
        )
        writers = [Writer(one.enrol(), random.Random(chance.random())) for one in people]
        for one in writers:
            one.client.quick("mkdir", "files").ok()
        with writing(writers):
            counts = lose_at_random(cluster.nodes, chance, time.monotonic() + LASTS_S)
        print(counts, [one.commands for one in writers])
        for one in writers:
            print("\n".join(one.failures))
        assert [one.failures for one in writers] == [[] for _ in writers]
        all_is_right(cluster, writers, tmp_path)
    local = LocalBlobs(tmp_path / "fsd" / "blobs")
    store = local if policy is None else opened(policy, tmp_path)
    with closing(Database(url)) as database:
        nothing_is_left(database, store)
    assert not list(local.staging.iterdir())


def all_is_right(cluster: BalancedNodes, writers: list[Writer], folder: Path) -> None:
    for number, one in enumerate(writers):
        one.compare(folder / f"back{number}")
    server = cluster.nodes[0].server
    for words in (["check"], ["audit", "verify"]):
        done = server.admin(*words, within_s=WITHIN_S)
        assert done.returncode == 0, done.stdout
