"""The metrics of a server put together; imported only if metrics are enabled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fsd.metrics.counters import CONTENT_TYPE, Counters, Gauges, GaugeSource
from fsd.metrics.dispatch import CountingDispatcher

if TYPE_CHECKING:
    from fsd.home.home import Home
    from fsd.net.dispatch import Dispatcher
    from fsd.net.server import NativeServer
    from fsd.net.ssh.server import SshServer
    from fsd.store.engine import Database


class Metrics:
    """The metrics of one running server."""

    def __init__(self, home: Home, database: Database) -> None:
        """Initialise with the measured parts."""
        self._home = home
        self._database = database
        self._numbers = Counters()

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

    def measure(self, door: NativeServer, ssh: SshServer | None) -> None:
        """Add what is read at each request: the connections of the listeners, and the database."""
        watched = GaugeSource(
            self._home,
            self._database,
            lambda: door.connections,
            lambda: door.accepted,
            None if ssh is None else lambda: ssh.connections,
        )
        self._numbers.registry.register(Gauges(watched))

    async def page(self) -> tuple[int, str, bytes]:
        """Return the page: status, content type, body."""
        return 200, CONTENT_TYPE, await asyncio.to_thread(self._numbers.page)
