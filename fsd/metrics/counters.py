"""The metrics. None of them names a user, a file or an address."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from fsd.store.models import Blob, Session, User
from fsd.store.repos import cluster
from fsproto import __version__
from fsproto.errors import FsError

if TYPE_CHECKING:
    from fsd.home.home import Home
    from fsd.store.engine import Database

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_COUNT_EVERY_S = 60.0
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Counters:
    """All counters of one process."""

    def __init__(self) -> None:
        """Start at zero, in a registry of its own."""
        self.registry = CollectorRegistry(auto_describe=True)
        self.logins = Counter(
            "fsd_logins", "Logins and enrolments, by result.", ["result"],
            registry=self.registry,
        )  # fmt: skip
        self.requests = Histogram(
            "fsd_request_seconds", "Time to answer a request, by its kind.", ["kind"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.failures = Counter(
            "fsd_request_failures", "Requests that failed, by kind and code of the error.",
            ["kind", "code"], registry=self.registry,
        )  # fmt: skip
        self.received = Counter(
            "fsd_received_bytes", "Sealed content received in streams.", registry=self.registry
        )
        self.sent = Counter(
            "fsd_sent_bytes", "Sealed content sent in streams.", registry=self.registry
        )
        self.hooks = Counter(
            "fsd_hook_deliveries", "Tries to deliver events to hooks, by result.",
            ["target", "result"], registry=self.registry,
        )  # fmt: skip
        self.web = Counter(
            "fsd_web_requests", "Requests of receivers of public links, by kind and status.",
            ["kind", "status"], registry=self.registry,
        )  # fmt: skip
        self.web_sent = Counter(
            "fsd_web_sent_bytes", "Sealed content sent to receivers of public links.",
            registry=self.registry,
        )  # fmt: skip
        for result in ("ok", "refused", "failed"):
            self.logins.labels(result)
        Info("fsd_build", "The running version.", registry=self.registry).info(
            {"version": __version__}
        )
        ProcessCollector(registry=self.registry)

    def page(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self.registry)


@dataclass(frozen=True)
class GaugeSource:
    """The source of values that are read at each request."""

    home: Home
    database: Database
    connections: Callable[[], int]
    accepted: Callable[[], int]
    over_ssh: Callable[[], int] | None
    """Connections of the SSH listener, if SSH access is enabled."""


class Gauges(Collector):
    """Gauges, read at each request; those in the database at most once a minute."""

    def __init__(self, watched: GaugeSource) -> None:
        self._watched = watched
        self._counted = (0, 0, 0, 0)
        self._counted_at: float | None = None

    def collect(self) -> Iterable[Metric]:
        """Yield all metrics; unavailable values are left out."""
        watched = self._watched
        yield _gauge("fsd_connections", "Connections there are.", watched.connections())
        yield _gauge("fsd_accepted", "Connections accepted since the start.", watched.accepted())
        if watched.over_ssh is not None:
            ssh = watched.over_ssh()
            yield _gauge("fsd_ssh_connections", "Connections of SSH there are.", ssh)
        try:
            free = shutil.disk_usage(watched.home.path).free
            yield _gauge(
                "fsd_disk_free_bytes", "Free space on the disk of the data directory.", free
            )
        except OSError:
            pass
        try:
            people, sessions, stored, backup = self._count()
        except FsError:
            return
        if backup:
            name = "fsd_last_backup_timestamp_seconds"
            yield _gauge(name, "When the last backup was made.", backup / 1000)
        yield _gauge("fsd_people", "Accounts there are.", people)
        yield _gauge("fsd_sessions", "Running sessions.", sessions)
        yield _gauge("fsd_stored_bytes", "Sealed content stored.", stored)

    def _count(self) -> tuple[int, int, int, int]:
        now = time.monotonic()
        if self._counted_at is None or now - self._counted_at > _COUNT_EVERY_S:
            with self._watched.database.read() as db:
                self._counted = (
                    db.scalar(select(func.count()).select_from(User)) or 0,
                    db.scalar(
                        select(func.count())
                        .select_from(Session)
                        .where(Session.expires_ms > time.time() * 1000)
                    )
                    or 0,
                    int(db.scalar(select(func.coalesce(func.sum(Blob.size), 0))) or 0),
                    cluster.last_backup_ms(db) or self._watched.home.last_backup_ms() or 0,
                )
            self._counted_at = now
        return self._counted


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value)
