"""The parts of the native listener that all its connections use."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from fsd.net.dispatch import Dispatcher
from fsd.net.limits import HandshakeLimiter
from fsd.net.logged_in import LoggedIn
from fsd.policies import ListenerPolicy
from fsd.workers import IdleWorkers

TURNS_OF_EXCHANGE = 2
"""Messages of the client that cost the server a computation with keys."""


@dataclass(frozen=True)
class Services:
    """The services that a connection uses."""

    desk: Dispatcher
    policy: ListenerPolicy
    pool: Executor
    spare: IdleWorkers
    turns: HandshakeLimiter
    """The limiter of key exchanges."""
    people: LoggedIn
    """The connections of each user."""

    @classmethod
    def of(
        cls,
        desk: Dispatcher,
        policy: ListenerPolicy,
        pool: Executor,
        spare: IdleWorkers,
        people: LoggedIn,
    ) -> Services:
        """Build the services for a policy."""
        turns = HandshakeLimiter.by(policy, turns=TURNS_OF_EXCHANGE)
        return cls(desk, policy, pool, spare, turns, people)
