"""The entry of this process among the nodes of its database.

A node registers at its start, repeats that as a heartbeat, and deletes its entry at its stop. A
start releases what ended nodes hold: those of the same data directory whose process is gone, and
those without a heartbeat for `rows.DEAD_S`. It leaves alone what others hold.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsd.cluster.presence import Presence
from fsd.home.home import JOINS
from fsd.store.cluster_models import ClusterNode
from fsd.store.repos import cluster as rows
from fsproto import __version__
from fsproto.errors import BadSettingError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as Db

    from fsd.home.home import Home
    from fsd.store.engine import Database
    from fsproto.types import Random

BEAT_S = 10.0
MOST_OFF_MS = 15_000
"""The most that the clock of a node may differ from the database's: half a step of a one-time code.

A node whose clock differs more does not start.
"""
_FORGET_MS = 24 * 3600 * 1000
"""After this time without a heartbeat, the entry of a node is deleted."""
_ID_SIZE = 16
_NAME_LENGTH = 255


@dataclass(frozen=True)
class NodeLoad:
    """What a node does at the moment."""

    connections: int = 0
    requests: int = 0
    """Since its start."""


@dataclass(frozen=True)
class NodeView:
    """A node as shown to administrators."""

    id: bytes
    name: str
    address: str
    version: str
    started_ms: int
    seen_ms: int
    seen_s: float
    """Seconds since it was last seen."""
    connections: int
    requests_a_second: float
    clock_ahead_ms: int = 0
    """How far its clock is ahead of the database's."""

    @property
    def is_alive(self) -> bool:
        """Whether it was seen lately."""
        return self.seen_s < rows.DEAD_S


class Registry:
    """The entry of one process; calls block."""

    def __init__(
        self,
        database: Database,
        home: Home,
        now_ms: Callable[[], int],
        *,
        random: Random = os.urandom,
        name: str | None = None,
    ) -> None:
        """Take the parts, and the name of the node (None: the host name); register nothing yet."""
        self.id = random(_ID_SIZE)
        self._database = database
        self._home = home
        self._presence = Presence(home.path)
        self._now_ms = now_ms
        self._name = (platform.node() if name is None else name)[:_NAME_LENGTH]
        self._address = ""
        self._started_ms = 0
        self._lock = threading.Lock()
        self._has_left = False
        self._load = NodeLoad()
        self._keys_version = 0
        self._counted_s = time.monotonic()

    @property
    def text(self) -> str:
        """The id as the rows name it that belong to this node."""
        return self.id.hex()

    def free_dead(self) -> None:
        """Free what nodes have left behind that did not stop cleanly; call it at the start."""
        with self._home.explained():
            gone = self._presence.take_gone()
            self._presence.enter(self.id)
        with self._database.write() as db:
            own_ms = self._now_ms()
            rows.remove(db, gone)
            rows.remove_before(db, rows.clock_ms(db, own_ms) - _FORGET_MS)
            alive = {node.id.hex() for node in rows.alive(db, own_ms)}
            # Other names are of releases before this one; what they hold ends by itself.
            known = {name for name in rows.holders(db) if len(name) == 2 * _ID_SIZE}
            rows.free(db, known - alive - {self.text})

    def join(self, address: str) -> None:
        """Register with the address of the native listener."""
        with self._database.read() as db:
            self._started_ms = rows.clock_ms(db, self._now_ms())
        self._address = address[:_NAME_LENGTH]
        self.beat(self._load)
        with self._home.explained():
            (self._home.path / JOINS).unlink(missing_ok=True)

    def beat(self, load: NodeLoad) -> None:
        """Note that this node is alive, and what it does; call it every `BEAT_S`."""
        with self._lock:
            if self._has_left:
                return
            now_s = time.monotonic()
            took_s = max(now_s - self._counted_s, 0.001)
            rate = (load.requests - self._load.requests) / took_s
            with self._database.write() as db:
                seen_ms, ahead_ms = clocks(db, self._now_ms)
                node = ClusterNode(
                    id=self.id,
                    name=self._name,
                    address=self._address,
                    version=__version__,
                    started_ms=self._started_ms,
                    seen_ms=seen_ms,
                    connections=load.connections,
                    requests_a_second=round(rate, 2),
                    keys_version=self._keys_version,
                    clock_ahead_ms=ahead_ms,
                )
                rows.put(db, node)
            self._load, self._counted_s = load, now_s

    def confirm_keys(self, version: int) -> None:
        """Note that this node uses the keys up to a version."""
        with self._lock:
            self._keys_version = version
            with self._database.write() as db:
                rows.set_keys_version(db, self.id, version)

    def leave(self) -> None:
        """Delete the entry, and release what this node holds; no later heartbeat writes it."""
        with self._lock:
            self._has_left = True
            with self._database.write() as db:
                rows.remove(db, [self.id])
                rows.free(db, [self.text])
        self._presence.leave()


def check_clock(database: Database, now_ms: Callable[[], int]) -> None:
    """Raise `BadSettingError` if this machine's clock differs too much from the database's."""
    with database.read() as db:
        _, ahead_ms = clocks(db, now_ms)
    if abs(ahead_ms) > MOST_OFF_MS:
        way = "ahead of" if ahead_ms > 0 else "behind"
        raise BadSettingError(
            f"The clock of this machine is {abs(ahead_ms) // 1000} s {way} the database's.",
            hint="Let chrony or systemd-timesyncd set the clocks: one-time passwords depend on "
            "them.",
        )


def clocks(db: Db, now_ms: Callable[[], int]) -> tuple[int, int]:
    """Return the time of the database, and how far this machine's clock is ahead of it."""
    before = now_ms()
    theirs = rows.clock_ms(db, before)
    if db.get_bind().dialect.name != "postgresql":
        return theirs, 0
    return theirs, (before + now_ms()) // 2 - theirs


def nodes(database: Database, now_ms: int) -> list[NodeView]:
    """Return all nodes of a database, also those that have not been seen for a while."""
    with database.read() as db:
        now = rows.clock_ms(db, now_ms)
        return [
            NodeView(
                id=node.id,
                name=node.name,
                address=node.address,
                version=node.version,
                started_ms=node.started_ms,
                seen_ms=node.seen_ms,
                seen_s=max(0, now - node.seen_ms) / 1000,
                connections=node.connections,
                requests_a_second=node.requests_a_second,
                clock_ahead_ms=node.clock_ahead_ms,
            )
            for node in rows.all_nodes(db)
        ]
