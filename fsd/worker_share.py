"""How many workers there are, and what one of them may have of the server's limits.

Limits of what a worker cannot see in another one are divided. Connections of a user are counted
over all workers, in memory that they share.
"""

from __future__ import annotations

import mmap
import os
import platform
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsd.settings.model import Settings

_AUTOMATIC = 4
_ENOUGH_MEMORY = 2 << 30
"""Bytes of a machine on which several workers are started without being asked for."""
_CONNECTIONS, _FEWEST_CONNECTIONS = 48, 8
"""Connections to PostgreSQL for all workers together, and at least for each."""
_USERS = 1 << 16
_COUNT = struct.Struct("<H")
_LARGEST = 0xFFFF


def worker_count(wanted: int, *, is_sqlite: bool) -> int:
    """Return the number of workers; `wanted` 0 means as many as are useful.

    That is one a core, at most four, with PostgreSQL. With SQLite it is one: writers of several
    processes wait for each other without a queue. It is also one on a machine with little memory.
    """
    if not hasattr(os, "fork"):
        return 1
    if wanted:
        return wanted
    if is_sqlite or _memory() < _ENOUGH_MEMORY:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(_AUTOMATIC, cores or 1))


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):  # not known: as on a large machine
        return _ENOUGH_MEMORY


class SharedCounts:
    """A number for each user and worker, in memory that all workers share.

    A worker writes its own numbers alone. Two users whose ids are equal modulo 65,536 have one
    number, so that a user may be counted too high on very large servers, never too low.
    """

    def __init__(self, workers: int) -> None:
        """Make it before the workers are forked."""
        self._workers = workers
        self._memory = mmap.mmap(-1, workers * _USERS * _COUNT.size)

    def add(self, worker: int, user_id: int, change: int) -> None:
        """Change the number of a worker for a user."""
        at = self._at(worker, user_id)
        count = _COUNT.unpack_from(self._memory, at)[0] + change
        _COUNT.pack_into(self._memory, at, min(_LARGEST, max(0, count)))

    def of_others(self, worker: int, user_id: int) -> int:
        """Return the sum over the other workers for a user."""
        return sum(
            _COUNT.unpack_from(self._memory, self._at(other, user_id))[0]
            for other in range(self._workers)
            if other != worker
        )

    def clear(self, worker: int) -> None:
        """Set all numbers of a worker to zero, before it starts."""
        size = _USERS * _COUNT.size
        self._memory[worker * size : (worker + 1) * size] = bytes(size)

    def _at(self, worker: int, user_id: int) -> int:
        return (worker * _USERS + user_id % _USERS) * _COUNT.size


@dataclass(frozen=True)
class Share:
    """What one worker is among the workers of a server."""

    number: int = 0
    """From 0 on."""
    count: int = 1
    counts: SharedCounts | None = None

    @property
    def connections(self) -> int:
        """How many connections to PostgreSQL this worker may have; it allows 100 by default."""
        return max(_FEWEST_CONNECTIONS, _CONNECTIONS // self.count)

    @property
    def node_name(self) -> str | None:
        """The name among the nodes of the database; None: that of the machine."""
        return None if self.count == 1 else f"{platform.node()} worker {self.number + 1}"

    def of(self, settings: Settings) -> Settings:
        """Return the settings of this worker, with its part of what all workers may have."""
        if self.count == 1:
            return settings
        door, ssh, web = settings.door, settings.ssh, settings.web
        return replace(
            settings,
            door=replace(
                door,
                waiting=self._part(door.waiting),
                waiting_of_one=self._part(door.waiting_of_one),
                handshakes_a_second=self._part(door.handshakes_a_second),
                handshakes_a_second_of_one=self._part(door.handshakes_a_second_of_one),
                handshakes_at_once=self._part(door.handshakes_at_once),
                buffers_mib=self._part(door.buffers_mib),
            ),
            ssh=replace(ssh, all_connections=self._part(ssh.all_connections)),
            web=replace(
                web,
                connections=self._part(web.connections),
                connections_of_one=self._part(web.connections_of_one),
            ),
        )

    def _part(self, limit: int) -> int:
        return -(-limit // self.count)

    def entered(self, user_id: int, change: int) -> None:
        """Count a connection of a user that was opened (1) or closed (-1)."""
        if self.counts is not None:
            self.counts.add(self.number, user_id, change)

    def of_others(self, user_id: int) -> int:
        """Return how many connections a user has at other workers."""
        return 0 if self.counts is None else self.counts.of_others(self.number, user_id)
