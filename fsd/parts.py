"""The services and listeners of a running server, built from its settings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from fsd.audit.log import AuditLog
from fsd.blobs.janitor import Janitor
from fsd.blobs.opening import check_store, open_store
from fsd.blobs.places import Places
from fsd.cluster.export import check_contents, server_name
from fsd.cluster.pushes import Pushes
from fsd.cluster.registry import NodeLoad, Registry
from fsd.factory import server_keys
from fsd.home.host_keys import HostKeys
from fsd.home.ssh_host_keys import SshHostKey, ssh_host_keys
from fsd.master_key import open_vault
from fsd.net.dispatch import Dispatcher
from fsd.net.logged_in import LoggedIn
from fsd.net.server import NativeServer
from fsd.services.drops.service import DropService
from fsd.services.files.changes import ChangeService
from fsd.services.files.commits import FileService
from fsd.services.files.history import HistoryService
from fsd.services.files.key_log import KeyLogService, KeyLogWriter
from fsd.services.files.quotas import Quotas
from fsd.services.files.shares import ShareService
from fsd.services.files.transfers import TransferService
from fsd.services.links.owner import LinkService
from fsd.services.login.login import LoginService
from fsd.services.requests.owner import RequestService
from fsd.store.engine import Database
from fsd.store.repos import cluster as rows
from fsd.worker_share import Share
from fsd.workers import IdleWorkers
from fskit.clock import now_ms
from fsproto import crypto, labels
from fsproto.host_key_moves import Move

if TYPE_CHECKING:
    from fsd.hooks.worker import HookWorker
    from fsd.metrics.metrics import Metrics
    from fsd.net.ssh.server import SshServer
    from fsd.net.web.server import WebServer
    from fsd.services.links.receiver import LinkReceivers
    from fsd.services.requests.uploader import RequestUploaders
    from fsd.settings.model import Settings

log = logging.getLogger(__name__)


class Parts:
    """The services and listeners of one running server."""

    def __init__(self, settings: Settings, database: Database, share: Share) -> None:
        """Build all of them, for one worker with its share of the limits."""
        settings = share.of(settings)
        self._share = share
        self._settings = settings
        self._database = database
        self._blobs = open_store(settings.home.blobs, settings.blobs)
        check_store(self._blobs, server_name(settings.home))
        check_contents(settings.home, database, self._blobs)
        self._vault = open_vault(settings.home, database)
        self._audit = AuditLog(self._vault, now_ms)
        self.keys = server_keys(settings.home, database)
        self._keys_version = 0
        self.pushes: Pushes | None = None
        """The notices of other nodes, if the database can send them."""
        self.node = Registry(database, settings.home, now_ms, name=share.node_name)
        # A reload keeps these services, because they know the running requests.
        self.quotas = Quotas(
            database,
            now_ms=now_ms,
            policy=settings.quota,
            server=self.node.text,
            audit=self._audit,
        )
        self._files = FileService(
            database,
            self._blobs,
            now_ms=now_ms,
            keep=settings.keep,
            audit=self._audit,
            room=self.quotas,
        )
        self.spare = IdleWorkers.of_this_machine()
        self._places = Places(database, now_ms)
        self._transfers = TransferService(
            database,
            self._blobs,
            now_ms=now_ms,
            limits=settings.uploads,
            quotas=self.quotas,
            spare=self.spare,
            places=self._places,
            node=self.node.text,
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
        self._requests = RequestService(
            database,
            self._audit,
            policy=settings.requests,
            url=settings.links.url,
            logins=settings.logins,
            now_ms=now_ms,
        )
        self._log = KeyLogWriter(settings.home.log_key(), now_ms=now_ms)
        self._log.catch_up(database)
        self.watch = _watch(settings, database)
        keys = HostKeys(settings.home)
        self._people = LoggedIn(settings.person, share)
        dispatcher = self._dispatcher()
        self.door = NativeServer(
            dispatcher,
            keys.current(),
            settings.door,
            keys.moves(),
            self.spare,
            people=self._people,
            folder=settings.home.blobs / "staging",
        )
        self.hooks = self._hook_worker() if share.number == 0 else None
        self._receivers: LinkReceivers | None = None
        self._uploaders: RequestUploaders | None = None
        self.web = self._web_door(settings)
        self.ssh_keys: list[SshHostKey] = []
        self.ssh = None if settings.ssh_listen is None else self._ssh_door(settings, dispatcher)

    def _ssh_door(self, settings: Settings, dispatcher: Dispatcher) -> SshServer:
        from fsd.net.ssh.server import SshServer

        settings.home.prepare_ssh()
        self.keys.renew()
        self.ssh_keys = ssh_host_keys(settings.home)
        counted = _nothing if self.watch is None else self.watch.login_over_ssh
        return SshServer(
            self.door,
            dispatcher.accounts.ssh,
            self._drops,
            self.ssh_keys,
            policy=settings.door,
            own=settings.ssh,
            counted=counted,
        )

    def _web_door(self, settings: Settings) -> WebServer | None:
        if settings.web_listen is None:
            return None
        from fsd.net.web.server import WebServer
        from fsd.services.links.receiver import LinkReceivers
        from fsd.services.requests.uploader import RequestUploaders

        self._receivers = receivers = LinkReceivers(
            self._database,
            self._blobs,
            self._audit,
            ticket_key=self._vault.derived(labels.SERVER_LINK_TICKETS),
            logins=settings.logins,
            now_ms=now_ms,
        )
        self._uploaders = uploaders = RequestUploaders(
            self._database,
            self._blobs,
            self._audit,
            ticket_key=self._vault.derived(labels.SERVER_REQUEST_TICKETS),
            policy=settings.requests,
            drops=settings.drops,
            logins=settings.logins,
            now_ms=now_ms,
            places=self._places,
            spare=self.spare,
        )
        if not settings.links.url:
            log.warning("web.url is empty, so people cannot make links")
        counted = _nothing if self.watch is None else self.watch.web
        refusal_s = settings.door.refusal_s
        return WebServer(receivers, uploaders, settings.web, refusal_s, counted)

    def _hook_worker(self) -> HookWorker | None:
        """Return what delivers events, if the settings have a target for them."""
        policy, home = self._settings.hooks, self._settings.home
        if not policy.command and not policy.url:
            return None
        from fsd.hooks.worker import HookWorker, make_outbox, prepare

        prepare(home, os.urandom)
        self.keys.renew()
        counted = _nothing if self.watch is None else self.watch.hook
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
            self._requests,
        )
        return dispatcher if self.watch is None else self.watch.beside(dispatcher)

    def start_pushes(self, loop: asyncio.AbstractEventLoop, new_keys: asyncio.Event) -> None:
        """Wake watches at once when this node, or another one on PostgreSQL, has changed a tree.

        `new_keys` is set when another node on PostgreSQL has changed a key of the server.
        """

        def heard_of_keys() -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(new_keys.set)

        def heard(payers: Collection[int] | None) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended already
                loop.call_soon_threadsafe(self.door.hear, payers)

        def changed(payers: set[int]) -> None:
            heard(payers)
            if self.pushes is not None:
                self.pushes.send(payers)

        if self._database.url.get_backend_name() != "sqlite":
            self.pushes = Pushes(self._database, heard, heard_of_keys)
            self.pushes.start()
        self._database.on_change = changed

    def janitor(self) -> Janitor:
        """Return what deletes waste and expired data."""
        settings = self._settings
        return Janitor(self._database, self._blobs, now_ms, settings.keep, settings.drops)

    def take_keys(self) -> None:
        """Load the host keys, if the database has newer ones; confirm that to the other nodes."""
        with self._database.read() as db:
            version = rows.keys_version(db)
        if version == self._keys_version:
            return
        version = self.keys.renew()
        keys, coming = HostKeys(self._settings.home), self.keys.next_host_key
        others = [] if coming is None else [crypto.RsaKey(coming)]
        shown, current = self.door.host_key.der, keys.current()
        self.door.take_keys(current, keys.moves(), others)
        self.node.confirm_keys(version)
        self._keys_version = version
        if current.der != shown:
            log.info("loaded a new host key")

    def beat(self) -> None:
        """Note in the database that this node is alive, and what it does."""
        self.node.beat(NodeLoad(self.door.connections, self.door.requests))

    def extend(self) -> None:
        """Extend what connections hold in the database, so that nothing else ends it.

        Free the memory that they no longer need.
        """
        self.door.free_buffers()
        self.quotas.renew()
        self._transfers.renew()
        self._places.renew()
        if self._uploaders is not None:
            self._uploaders.renew()

    def renew(self, settings: Settings, host_key: crypto.RsaKey, moves: Sequence[Move]) -> None:
        """Apply settings that need no restart, and a host key, to connections from now on."""
        self._settings = settings = self._share.of(settings)
        self.quotas.policy = settings.quota
        self._people.policy = settings.person
        self._links.policy, self._links.logins = settings.links, settings.logins
        self._requests.policy, self._requests.url = settings.requests, settings.links.url
        self._requests.logins = settings.logins
        if self._receivers is not None and self._uploaders is not None:
            self._receivers.proofs.logins = self._uploaders.proofs.logins = settings.logins
            self._uploaders.policy = settings.requests
        if self.web is not None:
            self.web.renew(settings.door.refusal_s)
        dispatcher = self._dispatcher()
        self.door.renew(dispatcher, host_key, settings.door, moves)
        if self.ssh is not None:
            self.ssh.renew(dispatcher.accounts.ssh, settings.door, settings.ssh)


def _nothing(*_: object) -> None:
    """Count nothing: metrics are not in use."""


def _watch(settings: Settings, database: Database) -> Metrics | None:
    if settings.metrics_listen is None:
        return None
    from fsd.metrics.metrics import Metrics

    return Metrics(settings.home, database)
