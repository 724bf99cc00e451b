"""The parts of the native listener that all its connections use."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass

from fsd.net.dispatch import Dispatcher
from fsd.net.limits import HandshakeLimiter
from fsd.net.logged_in import LoggedIn
from fsd.net.waiting import WaitingBytes
from fsd.net.watching import Watching
from fsd.policies import ListenerPolicy
from fsd.workers import IdleWorkers
from fsproto.wire.frames import SpareBuffers

TURNS_OF_EXCHANGE = 2
"""Messages of the client that cost the server a computation with keys."""
SEGMENTS_AT_ONCE = 6
"""Threads that move segments, with about 3 MiB each; the other threads are left for requests."""
SPARE_BUFFERS = 16
"""Buffers of 1 MiB that stay for the next segments; those that are not needed are soon freed."""
DECODED_AT_ONCE = 3
"""Large requests that are decoded and answered concurrently; a decoded one may take 12 times its
size in memory."""

WRITERS_AT_ONCE = 16
"""Requests that change the database. They may all wait for one writer, and requests that only read
still find a thread."""
CODE_LOGINS_AT_ONCE = 4
"""Logins that record an attempt, and so change the database; those with a ticket only read."""


class Slots:
    """What only so many connections of a listener may do at once."""

    def __init__(self) -> None:
        self.segments = asyncio.Semaphore(SEGMENTS_AT_ONCE)
        """Held by a thread that moves segments, and never while it waits for a client."""
        self.decoded = asyncio.Semaphore(DECODED_AT_ONCE)
        """Held while a large request is decoded and answered."""
        self.rotations = asyncio.Semaphore(1)
        """Held while a key rotation with parts is decoded and answered."""
        self.writers = asyncio.Semaphore(WRITERS_AT_ONCE)
        """Held by a thread that changes the database, or waits for its turn to do so."""
        self.code_logins = asyncio.Semaphore(CODE_LOGINS_AT_ONCE)
        """Held by a thread that answers a login which is not by ticket."""
        self.requests = 0
        """Requests that were answered since the start, or failed."""


@dataclass(frozen=True)
class Services:
    """The services that a connection uses."""

    dispatcher: Dispatcher
    policy: ListenerPolicy
    pool: Executor
    spare: IdleWorkers
    turns: HandshakeLimiter
    """The limiter of key exchanges."""
    people: LoggedIn
    """The connections of each user."""
    buffers: SpareBuffers
    """The buffers for segments that no connection uses now."""
    waiting: WaitingBytes
    """The bytes that wait for slow clients."""
    slots: Slots
    watching: Watching
    """The watches that wait for changes."""
