"""The metrics of every worker on one page: a worker asks the others, and adds them up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from fsproto.link import Address

WITHIN_S = 2.0
"""Seconds for another worker to answer; after that, its numbers are left out."""
_LONGEST = 1 << 20
_OF_ALL = (
    "fsd_people",
    "fsd_sessions",
    "fsd_stored_bytes",
    "fsd_disk_free_bytes",
    "fsd_last_backup_timestamp_seconds",
    "fsd_build",
    "process_start_time_seconds",
    "process_max_fds",
)
"""Metrics that are not a worker's own; the largest value counts, and there is no sum."""

Answer = tuple[int, str, bytes]
_Key = tuple[str, tuple[tuple[str, str], ...]]


class Together:
    """The metrics of one worker and of the others."""

    def __init__(self, own: Callable[[], Awaitable[Answer]], others: Sequence[Address]) -> None:
        """Take the page of this worker, and where the others serve theirs."""
        self._own = own
        self._others = others

    async def page(self) -> Answer:
        """Return the page for all workers: status, content type, body."""
        status, kind, own = await self._own()
        pages = await asyncio.gather(*map(_page_of, self._others))
        told = [page for page in pages if page is not None]
        return status, kind, await asyncio.to_thread(added, [own, *told])


async def _page_of(where: Address) -> bytes | None:
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(WITHIN_S):
            reader, writer = await asyncio.open_connection(where.host, where.port, limit=_LONGEST)
            with contextlib.closing(writer):
                writer.write(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
                head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200"):
            return body
    return None


def added(pages: Iterable[bytes]) -> bytes:
    """Return one page with the sums of some pages."""
    registry = CollectorRegistry()
    registry.register(_Sums(list(pages)))
    return generate_latest(registry)


class _Sums(Collector):
    def __init__(self, pages: list[bytes]) -> None:
        self._pages = pages

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        values: dict[str, dict[_Key, float]] = {}
        for page in self._pages:
            for family in text_string_to_metric_families(page.decode()):
                families.setdefault(family.name, family)
                of_family = values.setdefault(family.name, {})
                for sample in family.samples:
                    key = sample.name, tuple(sample.labels.items())
                    before = of_family.get(key)
                    if before is None:
                        of_family[key] = sample.value
                    elif family.name in _OF_ALL:
                        of_family[key] = max(before, sample.value)
                    else:
                        of_family[key] = before + sample.value
        for name, family in families.items():
            metric = Metric(name, family.documentation, family.type)
            for (sample_name, labels), value in values[name].items():
                metric.add_sample(sample_name, dict(labels), value)
            yield metric
