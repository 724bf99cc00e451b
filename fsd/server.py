"""The running server: start, reload and stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fsd import logs
from fsd.audit.log import AuditLog
from fsd.blobs.janitor import Janitor
from fsd.blobs.opening import check_store, open_store
from fsd.blobs.places import Places
from fsd.factory import open_database, server_name
from fsd.home.host_keys import HostKeys
from fsd.home.ssh_host_keys import SshHostKey, ssh_host_keys
from fsd.malloc import return_freed_memory
from fsd.master_key import open_vault
from fsd.net.dispatch import Dispatcher
from fsd.net.logged_in import LoggedIn
from fsd.net.server import NativeServer
from fsd.services.drops.service import DropService
from fsd.services.files.changes import ChangeService
from fsd.services.files.commits import FileService
from fsd.services.files.history import HistoryService
from fsd.services.files.key_log import KeyLogService, KeyLogWriter
from fsd.services.files.quotas import RENEW_S, Quotas
from fsd.services.files.shares import ShareService
from fsd.services.files.transfers import TransferService
from fsd.services.links.owner import LinkService
from fsd.services.login.login import LoginService
from fsd.settings.reload import compare
from fsd.store.engine import Database
from fsd.systemd.notify import READY, STOPPING, notify, reloading
from fsd.workers import IdleWorkers
from fskit.clock import now_ms
from fskit.descriptors import raise_limit
from fsproto import crypto, labels
from fsproto.errors import FsError
from fsproto.link import Address

if TYPE_CHECKING:
    from fsd.hooks.worker import HookWorker
    from fsd.metrics.metrics import Metrics
    from fsd.net.ssh.server import SshServer
    from fsd.net.web.server import WebServer
    from fsd.services.links.receiver import LinkReceivers
    from fsd.settings.load import Loaded
    from fsd.settings.model import Settings

log = logging.getLogger(__name__)

TIDY_EVERY_S = 600.0
_COLLECT_AFTER = 10_000
"""New objects before Python's garbage collector looks for reference cycles."""


class ListenError(FsError):
    """The server cannot listen there."""

    code = "listen"


@dataclass(frozen=True)
class Listeners:
    """The addresses on which a server listens, and its host keys."""

    address: Address
    host_key: str
    ssh: Address | None
    """The address of the SSH listener; None if SSH access is off."""
    web: Address | None
    """The address of the web listener; None if it is off."""
    ssh_keys: Sequence[SshHostKey]


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
        database = open_database(home, settings.database)
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
        self._blobs = open_store(settings.home.blobs, settings.blobs)
        check_store(self._blobs, server_name(settings.home))
        self._vault = open_vault(settings.home, database)
        self._audit = AuditLog(self._vault, now_ms)
        # A reload keeps these services, because they know the running requests.
        self._quotas = Quotas(
            database,
            now_ms=now_ms,
            policy=settings.quota,
            server=settings.home.name_among_others,
            audit=self._audit,
        )
        self._files = FileService(
            database,
            self._blobs,
            now_ms=now_ms,
            keep=settings.keep,
            audit=self._audit,
            room=self._quotas,
        )
        self._spare = IdleWorkers.of_this_machine()
        self._places = Places(database, now_ms)
        self._transfers = TransferService(
            database,
            self._blobs,
            now_ms=now_ms,
            limits=settings.uploads,
            quotas=self._quotas,
            spare=self._spare,
            places=self._places,
        )
        self._drops = DropService(
            database,
            self._blobs,
            policy=settings.drops,
            audit=self._audit,
            now_ms=now_ms,
            random=os.urandom,
            places=self._places,
        )
        self._links = LinkService(
            database,
            self._audit,
            policy=settings.links,
            logins=settings.logins,
            now_ms=now_ms,
        )
        self._log = KeyLogWriter(settings.home.log_key(), now_ms=now_ms)
        self._log.catch_up(database)
        self._stop = asyncio.Event()
        self._watch = _watch(settings, database, self._stop)
        keys = HostKeys(settings.home)
        self._people = LoggedIn(settings.person)
        dispatcher = self._dispatcher()
        self._door = NativeServer(
            dispatcher,
            keys.current(),
            settings.door,
            keys.moves(),
            self._spare,
            people=self._people,
            folder=settings.home.blobs / "staging",
        )
        self._hooks = self._hook_worker()
        self._web, self._receivers = self._web_door(settings)
        self._ssh_keys: list[SshHostKey] = []
        self._ssh = None if settings.ssh_listen is None else self._ssh_door(settings, dispatcher)

    def _ssh_door(self, settings: Settings, dispatcher: Dispatcher) -> SshServer:
        from fsd.net.ssh.server import SshServer

        settings.home.prepare_ssh()
        self._ssh_keys = ssh_host_keys(settings.home)
        counted = _nothing if self._watch is None else self._watch.login_over_ssh
        return SshServer(
            self._door,
            dispatcher.accounts.ssh,
            self._drops,
            self._ssh_keys,
            policy=settings.door,
            own=settings.ssh,
            counted=counted,
        )

    def _web_door(self, settings: Settings) -> tuple[WebServer | None, LinkReceivers | None]:
        if settings.web_listen is None:
            return None, None
        from fsd.net.web.server import WebServer
        from fsd.services.links.receiver import LinkReceivers

        receivers = LinkReceivers(
            self._database,
            self._blobs,
            self._audit,
            ticket_key=self._vault.derived(labels.SERVER_LINK_TICKETS),
            logins=settings.logins,
            now_ms=now_ms,
        )
        if not settings.links.url:
            log.warning("web.url is empty, so people cannot make links")
        counted = _nothing if self._watch is None else self._watch.web
        return WebServer(receivers, settings.web, settings.door.refusal_s, counted), receivers

    def _hook_worker(self) -> HookWorker | None:
        """Return what delivers events, if the settings have a target for them."""
        policy, home = self._settings.hooks, self._settings.home
        if not policy.command and not policy.url:
            return None
        from fsd.hooks.worker import HookWorker, make_outbox, prepare

        prepare(home, os.urandom)
        counted = _nothing if self._watch is None else self._watch.hook
        return HookWorker(make_outbox(self._database, self._audit, policy), policy, home, counted)

    def _dispatcher(self) -> Dispatcher:
        accounts = LoginService(
            self._database,
            self._vault,
            audit=self._audit,
            policy=self._settings.logins,
            log=self._log,
            now_ms=now_ms,
            random=os.urandom,
            quota=self._settings.quota,
            admit=self._people.check,
        )
        dispatcher = Dispatcher(
            accounts,
            self._files,
            self._transfers,
            ShareService(self._database, self._audit, now_ms=now_ms),
            KeyLogService(self._database, self._log),
            HistoryService(self._database, self._blobs, self._audit),
            self._drops,
            ChangeService(self._database),
            self._links,
        )
        return dispatcher if self._watch is None else self._watch.beside(dispatcher)

    async def run(self, ready: Callable[[Listeners], None]) -> None:
        """Serve until a signal stops the server."""
        settings = self._settings
        janitor = Janitor(self._database, self._blobs, now_ms, settings.keep, settings.drops)
        await asyncio.to_thread(self._quotas.begin)
        await asyncio.to_thread(janitor.tidy)
        _on_signals((signal.SIGTERM, signal.SIGINT), self._stop.set)
        bound = await _opened(self._door, settings.listen, "--listen")
        bound_ssh = bound_web = None
        if self._ssh is not None and settings.ssh_listen is not None:
            bound_ssh = await _opened(self._ssh, settings.ssh_listen, "--ssh-listen", " for SSH")
        if self._web is not None and settings.web_listen is not None:
            bound_web = await _opened(self._web, settings.web_listen, "--web-listen", " for HTTP")
        await self._open_watch()
        if self._hooks is not None:
            await asyncio.to_thread(self._hooks.start)
        tidying = asyncio.create_task(_tidy(janitor))
        renewing = asyncio.create_task(_now_and_then(self._renew, RENEW_S))
        url = self._database.url.render_as_string(hide_password=True)
        over_ssh = None if bound_ssh is None else str(bound_ssh)
        settings.home.note_run(str(bound), url if settings.database else None, over_ssh)
        if hasattr(signal, "SIGHUP"):
            _on_signals((signal.SIGHUP,), self._reload)
        host_key = crypto.fingerprint(self._door.host_key.public)
        # The objects that exist now stay, and almost no later object is part of a cycle: repeated
        # collections over all objects took a tenth of the time and found no garbage.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER)
        ready(Listeners(bound, host_key, bound_ssh, bound_web, self._ssh_keys))
        notify(READY)
        log.info("ready")
        await self._stop.wait()
        notify(STOPPING)
        log.info("stopping: finishing what is in flight")
        tidying.cancel()
        janitor.stop()
        if self._ssh is not None:
            await self._ssh.stop_accepting()
        if self._web is not None:
            await self._web.close()
        await self._door.close()
        self._spare.close()
        renewing.cancel()
        if self._hooks is not None:
            await asyncio.to_thread(self._hooks.close)
        if self._ssh is not None:
            await self._ssh.close()
        if self._watch is not None:
            await self._watch.close()
        log.info("stopped")

    def _renew(self) -> None:
        """Extend what connections hold in the database, so that nothing else ends it."""
        self._quotas.renew()
        self._transfers.renew()
        self._places.renew()

    async def _open_watch(self) -> None:
        where = self._settings.metrics_listen
        if where is None or self._watch is None:
            return
        try:
            bound = await self._watch.open(where, self._door, self._ssh)
        except OSError as error:
            raise ListenError(
                f"Cannot serve metrics on {where}: {_reason(error)}.",
                hint="Give another address with --metrics-listen.",
            ) from None
        log.info("metrics on http://%s/metrics", bound)

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
        self._quotas.policy = self._settings.quota
        self._people.policy = self._settings.person
        self._links.policy, self._links.logins = self._settings.links, self._settings.logins
        if self._web is not None and self._receivers is not None:
            self._receivers.logins = self._settings.logins
            self._web.renew(self._settings.door.refusal_s)
        dispatcher = self._dispatcher()
        self._door.renew(dispatcher, host_key, self._settings.door, moves)
        if self._ssh is not None:
            self._ssh.renew(dispatcher.accounts.ssh, self._settings.door, self._settings.ssh)
        log.info("reloaded", extra={"changed": ", ".join(changes.taken) or "nothing"})
        if changes.waiting:
            log.warning("waits for a restart: %s", ", ".join(changes.waiting))


def _reason(error: OSError) -> str:
    """Return the reason of a listen error, without the address that asyncio adds."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _nothing(*_: object) -> None:
    """Count nothing: metrics are not in use."""


def _watch(settings: Settings, database: Database, stop: asyncio.Event) -> Metrics | None:
    if settings.metrics_listen is None:
        return None
    from fsd.metrics.metrics import Metrics

    return Metrics(settings.home, database, stop.is_set)


def _on_signals(numbers: tuple[signal.Signals, ...], act: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in numbers:
        try:
            loop.add_signal_handler(number, act)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(act))


class _Listener(Protocol):
    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Start to accept; return the address, with the actual port if 0 was requested."""


async def _opened(listener: _Listener, where: Address, option: str, what: str = "") -> Address:
    """Open a listener; `ListenError` names the option that chooses another address."""
    try:
        return Address(*await listener.open(where.host, where.port))
    except OSError as error:
        raise ListenError(
            f"Cannot listen{what} on {where}: {_reason(error)}.",
            hint=f"Give another address with {option}; port 0 picks a free one.",
        ) from None


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
