"""The logged-in connections of each user: how many there are, and how many requests they make.

All calls are on the event loop, except `check`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from fsd.policies import PersonPolicy
from fsproto.errors import OutOfSpaceError

WAIT_S = 30.0
"""Seconds that a request waits for the user's earlier requests, before it is refused."""


class Closable(Protocol):
    """A connection that can make room for others."""

    def idle_for(self) -> float:
        """Return the seconds since the last request; 0 while one is being served."""

    def hang_up(self) -> None:
        """Close the connection."""


class Elsewhere(Protocol):
    """The connections of users at other workers of the same server."""

    def of_others(self, user_id: int) -> int:
        """Return how many connections a user has at other workers; in any thread."""

    def entered(self, user_id: int, change: int) -> None:
        """Count a connection here that was opened (1) or closed (-1)."""


class Person:
    """One user with at least one connection."""

    def __init__(self, requests: int) -> None:
        """Take how many requests may be under way."""
        self.connections: dict[Closable, None] = {}
        self._most = requests
        self._requests = asyncio.Semaphore(requests)
        self.turns = asyncio.Semaphore(requests)
        """Held while a thread moves segments. That never waits for the client, so nothing that the
        client leaves unread stops an upload or download of the same user."""

    def hang_up_others(self, connection: Closable) -> None:
        """Close all connections but one, whatever they wait for."""
        for other in [one for one in self.connections if one is not connection]:
            other.hang_up()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Hold one of the requests; `OutOfSpaceError` if none becomes free for a long time."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._requests.acquire()
        except TimeoutError:
            raise OutOfSpaceError(
                f"{self._most} earlier requests of yours have unread answers; that is the limit.",
                hint="Another program of yours does not read its answers. End it, or try later.",
            ) from None
        try:
            yield
        finally:
            self._requests.release()


class LoggedIn:
    """The logged-in connections, by user."""

    def __init__(
        self, policy: PersonPolicy | None = None, elsewhere: Elsewhere | None = None
    ) -> None:
        """Take the policy, and what counts the connections at other workers, if there are any."""
        self._elsewhere = elsewhere
        self.policy = policy or PersonPolicy()
        """The current policy; it is replaced when the settings are reloaded."""
        self._people: dict[int, Person] = {}

    def check(self, user_id: int) -> None:
        """Raise `OutOfSpaceError` if a user has as many connections as allowed; in any thread."""
        person, most = self._people.get(user_id), self.policy.connections
        here = 0 if person is None else len(person.connections)
        if here + self._of_others(user_id) >= most:
            raise OutOfSpaceError(
                f"You have {most} connections to this server already; that is the limit.",
                hint="End a program that uses one; 'fsclient logout --everywhere' ends all.",
            )

    def enter(self, user_id: int, connection: Closable, *, by_code: bool) -> Person:
        """Add a connection of a user; raise what `check` raises.

        At the limit, a login with a code closes the connection that was idle for the longest time:
        a thief of a session cannot keep the person with the codes out by using all connections.
        If all of them are at other workers, it is above the limit.
        """
        person = self._people.get(user_id) or Person(self.policy.requests)
        here, others = len(person.connections), self._of_others(user_id)
        if not by_code:
            self.check(user_id)
        elif person.connections and here + others >= self.policy.connections:
            idlest = max(person.connections, key=lambda each: each.idle_for())
            self._remove(user_id, person, idlest)
            idlest.hang_up()
        self._people[user_id] = person
        person.connections[connection] = None
        self._count(user_id, 1)
        return person

    def leave(self, user_id: int, connection: Closable) -> None:
        """Remove a connection; harmless if it is not there."""
        person = self._people.get(user_id)
        if person is not None and connection in person.connections:
            self._remove(user_id, person, connection)

    def _remove(self, user_id: int, person: Person, connection: Closable) -> None:
        del person.connections[connection]
        self._count(user_id, -1)
        if not person.connections:
            self._people.pop(user_id, None)

    def _of_others(self, user_id: int) -> int:
        return 0 if self._elsewhere is None else self._elsewhere.of_others(user_id)

    def _count(self, user_id: int, change: int) -> None:
        if self._elsewhere is not None:
            self._elsewhere.entered(user_id, change)

    @property
    def largest(self) -> int:
        """The number of connections of the user with the most."""
        return max((len(each.connections) for each in self._people.values()), default=0)

    def make_room(self) -> bool:
        """Close the longest idle connection of the user with the most; return whether one is."""
        most_first = sorted(self._people.items(), key=lambda each: -len(each[1].connections))
        for user_id, person in most_first:
            idle = [(each.idle_for(), each) for each in person.connections]
            longest_s, idlest = max(idle, key=lambda one: one[0], default=(0.0, None))
            if idlest is not None and longest_s > 0:
                self._remove(user_id, person, idlest)
                idlest.hang_up()
                return True
        return False
