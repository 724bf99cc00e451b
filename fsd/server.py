"""The running server: start, reload and stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

from fsd import logs
from fsd.blobs.janitor import Janitor
from fsd.cluster.registry import BEAT_S
from fsd.factory import open_server
from fsd.home.host_keys import HostKeys
from fsd.listeners import Kind, Listeners, Sockets
from fsd.malloc import return_freed_memory
from fsd.parts import Parts
from fsd.services.files.quotas import RENEW_S
from fsd.settings.reload import compare
from fsd.store.engine import Database
from fsd.systemd.notify import READY, STOPPING, notify, reloading
from fskit.descriptors import raise_limit
from fsproto import crypto
from fsproto.errors import FsError, IntegrityError
from fsproto.link import Address

if TYPE_CHECKING:
    from fsd.metrics.listener import Listener
    from fsd.settings.load import Loaded
    from fsd.settings.model import Settings

log = logging.getLogger(__name__)

TIDY_EVERY_S = 600.0
KEYS_EVERY_S = 2.0
"""So often a node looks whether another one has changed the keys of the server."""
_COLLECT_AFTER = 10_000
"""New objects before Python's garbage collector looks for reference cycles."""


def serve(
    settings: Settings, ready: Callable[[Listeners], None], again: Callable[[], Loaded]
) -> None:
    """Run the server until a signal stops it; `ready` is called when it accepts connections.

    The data directory is prepared. `again` loads all settings again.
    """
    raise_limit()
    return_freed_memory()
    home = settings.home
    with home.lock():
        database = open_server(home, settings.database)
        try:
            _run(_Server(settings, database, again).run(ready))
        finally:
            database.close()


def _run(main: Coroutine[object, None, None]) -> None:
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


class _Server:
    """One running server."""

    def __init__(self, settings: Settings, database: Database, again: Callable[[], Loaded]) -> None:
        self._settings = settings
        self._database = database
        self._again = again
        self._stop = asyncio.Event()
        self._parts = Parts(settings, database)
        self._monitoring: list[Listener] = []

    async def run(self, ready: Callable[[Listeners], None]) -> None:
        """Serve until a signal stops the server."""
        settings = self._settings
        parts = self._parts
        janitor = parts.janitor()
        await asyncio.to_thread(parts.node.free_dead)
        await asyncio.to_thread(janitor.tidy)
        _on_signals((signal.SIGTERM, signal.SIGINT), self._stop.set)
        sockets = Sockets.bound(settings)
        as_node = await self._joined(sockets.native)
        await self._open(sockets)
        if (metrics := sockets.address(Kind.METRICS)) is not None:
            log.info("metrics on http://%s/metrics", metrics)
        if (health := sockets.address(Kind.HEALTH)) is not None:
            log.info("health on http://%s/healthz", health)
        if parts.hooks is not None:
            await asyncio.to_thread(parts.hooks.start)
        tidying = asyncio.create_task(_tidy(janitor))
        renewing = asyncio.create_task(_now_and_then(parts.extend, RENEW_S))
        url = self._database.url.render_as_string(hide_password=True)
        bound_ssh = sockets.address(Kind.SSH)
        over_ssh = None if bound_ssh is None else str(bound_ssh)
        settings.home.note_run(str(sockets.native), url if settings.database else None, over_ssh)
        if hasattr(signal, "SIGHUP"):
            _on_signals((signal.SIGHUP,), self._reload)
        host_key = crypto.fingerprint(parts.door.host_key.public)
        _collect_seldom()
        bound_web = sockets.address(Kind.WEB)
        ready(Listeners(sockets.native, host_key, bound_ssh, bound_web, parts.ssh_keys))
        notify(READY)
        log.info("ready")
        await self._stop.wait()
        notify(STOPPING)
        log.info("stopping: finishing what is in flight")
        tidying.cancel()
        janitor.stop()
        if parts.ssh is not None:
            await parts.ssh.stop_accepting()
        if parts.web is not None:
            await parts.web.close()
        await parts.door.close()
        parts.spare.close()
        renewing.cancel()
        for task in as_node:
            task.cancel()
        await _attempt(parts.node.leave)
        if parts.hooks is not None:
            await asyncio.to_thread(parts.hooks.close)
        if parts.ssh is not None:
            await parts.ssh.close()
        for listener in self._monitoring:
            await listener.close()
        log.info("stopped")

    async def _joined(self, bound: Address) -> list[asyncio.Task[None]]:
        """Register as a node; return the tasks of the heartbeat and of new keys."""
        await asyncio.to_thread(self._parts.node.join, str(bound))
        await asyncio.to_thread(self._parts.take_keys)
        beating = asyncio.create_task(_now_and_then(self._parts.beat, BEAT_S))
        return [beating, asyncio.create_task(self._follow_keys())]

    async def _follow_keys(self) -> None:
        """Load new keys of the server; stop if they are sealed under another master key."""
        loop = asyncio.get_running_loop()

        def take_keys() -> None:
            try:
                self._parts.take_keys()
            except IntegrityError as error:
                log.error("stopping: %s", error.sentence)  # noqa: TRY400 - the sentence is enough
                loop.call_soon_threadsafe(self._stop.set)

        await _now_and_then(take_keys, KEYS_EVERY_S)

    async def _open(self, sockets: Sockets) -> None:
        """Accept on all sockets; the ones for monitoring last."""
        parts, of = self._parts, sockets.of
        parts.door.open_on(of[Kind.NATIVE])
        if parts.ssh is not None:
            await parts.ssh.open_on(of[Kind.SSH])
        if parts.web is not None:
            await parts.web.open_on(of[Kind.WEB])
        if Kind.METRICS in of or Kind.HEALTH in of:
            await self._open_monitoring(of)

    async def _open_monitoring(self, of: dict[Kind, list[socket.socket]]) -> None:
        from fsd.metrics.health import Health
        from fsd.metrics.listener import HEALTH, METRICS, Listener, health_page

        page = health_page(Health(self._database, self._stop.is_set).wrong)
        watch = self._parts.watch
        if watch is not None:
            watch.measure(self._parts.door, self._parts.ssh)
            self._monitoring.append(Listener({METRICS: watch.page, HEALTH: page}))
            await self._monitoring[-1].open_on(of[Kind.METRICS])
        if Kind.HEALTH in of:
            self._monitoring.append(Listener({HEALTH: page}, any_host=True))
            await self._monitoring[-1].open_on(of[Kind.HEALTH])

    def _reload(self) -> None:
        """Reload, and notify systemd."""
        notify(reloading())
        self._read_again()
        notify(READY)

    def _read_again(self) -> None:
        """Load and apply the settings that need no restart; change nothing if one is invalid."""
        try:
            settings = self._again().checked()
            keys = HostKeys(self._settings.home)
            host_key, moves = keys.current(), keys.moves()
        except FsError as error:
            log.error("not reloaded: %s", error.sentence)  # noqa: TRY400 - the sentence is enough
            return
        changes = compare(self._settings, settings)
        self._settings = changes.settings
        logs.set_up(self._settings.log_format, self._settings.log_level)
        self._parts.renew(self._settings, host_key, moves)
        log.info("reloaded", extra={"changed": ", ".join(changes.taken) or "nothing"})
        if changes.waiting:
            log.warning("waits for a restart: %s", ", ".join(changes.waiting))


def _collect_seldom() -> None:
    """Let Python's garbage collector leave alone what exists now, and look seldom at the rest.

    The objects that exist now stay, and almost no later object is part of a cycle: repeated
    collections over all objects took a tenth of the time and found no garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


def _on_signals(numbers: tuple[signal.Signals, ...], act: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in numbers:
        try:
            loop.add_signal_handler(number, act)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(act))


async def _tidy(janitor: Janitor) -> None:
    """Delete expired data now, while the server accepts connections, and all waste regularly."""
    await _attempt(janitor.drop_expired)
    await _attempt(janitor.empty)
    await _now_and_then(janitor.run, TIDY_EVERY_S)


async def _now_and_then(work: Callable[[], None], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await _attempt(work)


async def _attempt(work: Callable[[], None]) -> None:
    try:
        await asyncio.to_thread(work)
    except FsError as error:
        log.warning("%s failed: %s", work.__qualname__, error.sentence)
    except Exception:  # the next run may succeed
        log.exception("%s failed", work.__qualname__)
