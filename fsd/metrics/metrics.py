"""The parts of monitoring put together; imported only if monitoring is enabled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fsd.metrics.counters import Counters, Gauges, GaugeSource, healthy
from fsd.metrics.dispatch import CountingDispatcher
from fsd.metrics.listener import Listener

if TYPE_CHECKING:
    from fsd.home.home import Home
    from fsd.net.dispatch import Dispatcher
    from fsd.net.server import NativeServer
    from fsd.net.ssh.server import SshServer
    from fsd.store.engine import Database
    from fsproto.link import Address


class Metrics:
    """The metrics of one running server, and their listener."""

    def __init__(self, home: Home, database: Database, stopping: Callable[[], bool]) -> None:
        """Initialise with the measured parts, and a function that reports a stopping server."""
        self._home = home
        self._database = database
        self._stopping = stopping
        self._numbers = Counters()
        self._listener = Listener(self._numbers.page, self._wrong)

    def beside(self, dispatcher: Dispatcher) -> Dispatcher:
        """Return a dispatcher that counts the answers of the given one."""
        parts = (
            dispatcher.accounts,
            dispatcher.files,
            dispatcher.transfers,
            dispatcher.sharing,
            dispatcher.log,
            dispatcher.histories,
            dispatcher.drops,
        )
        others = dispatcher.changes, dispatcher.links, dispatcher.requests
        return CountingDispatcher(*parts, *others, self._numbers)

    def login_over_ssh(self, result: str) -> None:
        """Count a login at the SSH listener: `ok`, `refused` or `failed`."""
        self._numbers.logins.labels(result).inc()

    def hook(self, target: str, result: str, count: int) -> None:
        """Count events at a hook: `ok`, `failed`, `given-up` or `dropped`."""
        self._numbers.hooks.labels(target, result).inc(count)

    def web(self, kind: str, status: int, size: int) -> None:
        """Count an answer of the web listener: kind of request, status, bytes of content."""
        self._numbers.web.labels(kind, str(status)).inc()
        self._numbers.web_sent.inc(size)

    async def open(self, where: Address, door: NativeServer, ssh: SshServer | None) -> Address:
        """Open the listener; return its address. `OSError` if it cannot listen there."""
        watched = GaugeSource(
            self._home,
            self._database,
            lambda: door.connections,
            lambda: door.accepted,
            None if ssh is None else lambda: ssh.connections,
        )
        self._numbers.registry.register(Gauges(watched))
        return await self._listener.open(where)

    async def close(self) -> None:
        """Close the listener."""
        await self._listener.close()

    def _wrong(self) -> str | None:
        return "The server is stopping." if self._stopping() else healthy(self._database)
