"""The running server: start, reload and stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsd import logs
from fsd.blobs.janitor import Janitor
from fsd.cluster.registry import BEAT_S
from fsd.factory import open_server, server_keys
from fsd.home.host_keys import HostKeys
from fsd.listeners import Kind, Listeners, Sockets, address_of
from fsd.parts import Parts
from fsd.services.files.quotas import RENEW_S
from fsd.settings.reload import compare
from fsd.store.engine import Database
from fsd.supervisor import Ready, Supervisor, Worker
from fsd.systemd.notify import READY, STOPPING, notify, reloading
from fsd.worker_share import Share, SharedCounts, worker_count
from fskit.descriptors import raise_limit
from fskit.malloc import return_freed_memory
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
"""So often a node looks whether another one has changed the keys of the server; on PostgreSQL, a
notice also makes it look at once."""
_COLLECT_AFTER = 10_000
"""New objects before Python's garbage collector looks for reference cycles."""


def serve(
    settings: Settings, ready: Callable[[Listeners], None], again: Callable[[], Loaded]
) -> int:
    """Run the server until a signal stops it; `ready` is called when it accepts connections.

    The data directory is prepared. `again` loads all settings again. Return the exit status: 0, or
    that of a worker that could not start and has said why.
    """
    raise_limit()
    return_freed_memory()
    home = settings.home
    with home.lock():
        database = open_server(home, settings.database)
        count = worker_count(
            settings.workers, is_sqlite=database.url.get_backend_name() == "sqlite"
        )
        try:
            if count == 1:
                _run(_Server(settings, database, again).run(ready))
                return 0
            if settings.ssh_listen is not None:  # once, before several processes look for the keys
                home.prepare_ssh()
                server_keys(home, database).renew()
        finally:
            database.close()  # also before a fork: a connection cannot be shared
        return _serve_with_workers(settings, count, ready, again)


def _serve_with_workers(
    settings: Settings,
    count: int,
    ready: Callable[[Listeners], None],
    again: Callable[[], Loaded],
) -> int:
    """Run workers, or one of them: this returns in every process."""
    sockets = Sockets.bound(settings)
    inner = Sockets.for_workers(count) if settings.metrics_listen is not None else []
    counts = SharedCounts(count)

    def started(told: Ready) -> None:
        ready(sockets.listeners(told["host_key"][0], told["ssh_keys"]))

    with contextlib.ExitStack() as opened:
        opened.callback(sockets.close)
        for sock in inner:
            opened.callback(sock.close)
        worker = Supervisor(count, started, sockets.close).run()
        if isinstance(worker, int):
            return worker
        counts.clear(worker.number)
        if not worker.is_first:
            settings = _settings_now(settings, again)
        share = Share(worker.number, count, counts)
        database = open_server(settings.home, settings.database, share.connections)
        opened.callback(database.close)
        _run(_Server(settings, database, again, share, Place(worker, sockets, inner)).run(ready))
    return 0


def _settings_now(settings: Settings, again: Callable[[], Loaded]) -> Settings:
    """Return the settings of a worker that replaces another, which may have reloaded them."""
    try:
        return compare(settings, again().checked()).settings
    except FsError:  # as in the other workers, which have logged it
        return settings


@dataclass(frozen=True)
class Place:
    """What a worker gets from its supervisor."""

    worker: Worker
    sockets: Sockets
    inner: Sequence[socket.socket]
    """The sockets at which each worker serves its own metrics to the others; maybe none."""


def _run(main: Coroutine[object, None, None]) -> None:
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


class _Server:
    """One running server."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        again: Callable[[], Loaded],
        share: Share | None = None,
        place: Place | None = None,
    ) -> None:
        """Take the parts; a worker also takes its share of the limits, and its place."""
        self._settings = settings
        self._share = share or Share()
        self._place = place
        self._database = database
        self._again = again
        self._stop = asyncio.Event()
        self._new_keys = asyncio.Event()
        self._parts = Parts(settings, database, self._share)
        self._janitor = self._parts.janitor() if self._share.number == 0 else None
        self._tidying: asyncio.Task[None] | None = None
        self._monitoring: list[Listener] = []

    async def run(self, ready: Callable[[Listeners], None]) -> None:
        """Serve until a signal stops the server."""
        settings = self._settings
        parts = self._parts
        await asyncio.to_thread(parts.node.free_dead)
        if self._janitor is not None:
            await asyncio.to_thread(self._janitor.tidy)
        _on_signals((signal.SIGTERM, signal.SIGINT), self._stop.set)
        sockets = Sockets.bound(settings) if self._place is None else self._place.sockets
        as_node = await self._joined(sockets.native)
        await self._open(sockets)
        parts.start_pushes(asyncio.get_running_loop(), self._new_keys)
        if parts.hooks is not None:
            await asyncio.to_thread(parts.hooks.start)
        if self._janitor is not None:
            self._tidying = asyncio.create_task(_tidy(self._janitor))
        renewing = asyncio.create_task(_now_and_then(parts.extend, RENEW_S))
        url = self._database.url.render_as_string(hide_password=True)
        bound_ssh = sockets.address(Kind.SSH)
        over_ssh = None if bound_ssh is None else str(bound_ssh)
        settings.home.note_run(str(sockets.native), url if settings.database else None, over_ssh)
        if hasattr(signal, "SIGHUP"):
            _on_signals((signal.SIGHUP,), self._reload)
        host_key = crypto.fingerprint(parts.door.host_key.public)
        _collect_seldom()
        listeners = sockets.listeners(host_key, list(map(str, parts.ssh_keys)))
        if self._place is None:
            ready(listeners)
            notify(READY)
        else:
            self._follow(self._place.worker, listeners)
        log.info("ready")
        await self._stop.wait()
        if self._place is None:
            notify(STOPPING)
        log.info("stopping: finishing what is in flight")
        await asyncio.sleep(self._settings.door.leave_s)
        await self._end(renewing, *as_node)
        log.info("stopped")

    async def _end(self, *tasks: asyncio.Task[None]) -> None:
        """Stop accepting, finish what is in flight, end the tasks, and close everything."""
        parts = self._parts
        if self._tidying is not None and self._janitor is not None:
            self._tidying.cancel()
            self._janitor.stop()
        if parts.ssh is not None:
            await parts.ssh.stop_accepting()
        if parts.web is not None:
            await parts.web.close()
        await parts.door.close()
        parts.spare.close()
        for task in tasks:
            task.cancel()
        await _attempt(parts.node.leave)
        if parts.pushes is not None:
            await asyncio.to_thread(parts.pushes.close)
        if parts.hooks is not None:
            await asyncio.to_thread(parts.hooks.close)
        if parts.ssh is not None:
            await parts.ssh.close()
        for listener in self._monitoring:
            await listener.close()

    def _follow(self, worker: Worker, listeners: Listeners) -> None:
        """Report to the supervisor, and stop when it is gone."""
        loop = asyncio.get_running_loop()

        def gone() -> None:
            loop.remove_reader(worker.alive)
            log.warning("the supervisor is gone")
            self._stop.set()

        loop.add_reader(worker.alive, gone)
        worker.ready({"host_key": [listeners.host_key], "ssh_keys": list(listeners.ssh_keys)})

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

        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._new_keys.wait(), KEYS_EVERY_S)
            self._new_keys.clear()
            await _attempt(take_keys)

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
        from fsd.metrics.together import Together

        page = health_page(Health(self._database, self._stop.is_set).wrong)
        watch = self._parts.watch
        if watch is not None:
            watch.measure(self._parts.door, self._parts.ssh)
            own, numbers = watch.page, watch.page
            if self._place is not None:
                inner, number = list(self._place.inner), self._share.number
                self._monitoring.append(Listener({METRICS: own}))
                await self._monitoring[-1].open_on([inner.pop(number)])
                numbers = Together(own, [address_of(sock) for sock in inner]).page
            self._monitoring.append(Listener({METRICS: numbers, HEALTH: page}))
            await self._monitoring[-1].open_on(of[Kind.METRICS])
        if Kind.HEALTH in of:
            self._monitoring.append(Listener({HEALTH: page}, any_host=True))
            await self._monitoring[-1].open_on(of[Kind.HEALTH])
        if self._share.number == 0:
            for kind, path in ((Kind.METRICS, METRICS), (Kind.HEALTH, HEALTH)):
                if kind in of:
                    name = path.decode()
                    log.info("%s on http://%s%s", kind.value, address_of(of[kind][0]), name)

    def _reload(self) -> None:
        """Reload, and notify systemd or the supervisor."""
        if self._place is not None:
            self._read_again()
            self._place.worker.reloaded()
            return
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
