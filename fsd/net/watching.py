"""Watches that wait for changes: one query for all of them, and no thread while they wait.

A change that this server commits, or that another node pushes (`fsd.cluster.pushes`), wakes them at
once. The regular query asks the database, so a watch also sees changes of which nothing was heard.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Executor

from fsd.services.files.changes import Look
from fsproto.errors import FsError
from fsproto.limits import MAX_WATCH_S, MAX_WATCHED
from fsproto.messages.files import Watch
from fsproto.types import NodeId

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""Seconds between two queries while a watch waits."""


class Watching:
    """The watches of all connections that wait; all calls are on the event loop."""

    def __init__(self, numbers: Callable[[Sequence[int]], dict[int, int]], pool: Executor) -> None:
        """`numbers` blocks: it returns the numbers of the last changes in the quotas of users."""
        self._numbers = numbers
        self._pool = pool
        self._waiting: dict[asyncio.Event, Look] = {}
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, look: Look, more: asyncio.Event, for_s: float) -> None:
        """Wait until there may be a change since a look, until `more` is set, or for a time."""
        changed = asyncio.Event()
        self._waiting[changed] = look
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        ends = [asyncio.create_task(event.wait()) for event in (changed, more)]
        try:
            await asyncio.wait(ends, timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            del self._waiting[changed]

    def hear(self, payers: Collection[int] | None) -> None:
        """Wake the watches on trees in the quotas of some users; None: all watches."""
        for changed, look in self._waiting.items():
            if payers is None or look.last.payer_id in payers:
                changed.set()

    def close(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        """Look for changes while a watch waits."""
        try:
            while self._waiting:
                await asyncio.sleep(LOOK_EVERY_S)
                await self._wake()
        finally:
            self._looking = None

    async def _wake(self) -> None:
        """Set the events of all watches that may have seen a change."""
        payers = {look.last.payer_id for look in self._waiting.values()}
        loop = asyncio.get_running_loop()
        try:
            now = await loop.run_in_executor(self._pool, self._numbers, sorted(payers))
        except FsError as error:  # the next query may succeed
            log.warning("looking for changes failed: %s", error.sentence)
            return
        for changed, look in self._waiting.items():
            last = look.last
            if now.get(last.payer_id, last.number) != last.number:
                changed.set()


class FolderWatches:
    """The folders that one connection watches."""

    def __init__(
        self,
        watching: Watching,
        look: Callable[[NodeId, Look | None], Awaitable[Look]],
        more: asyncio.Event,
    ) -> None:
        """`look` looks at a folder again; `more` is set while the client's next request waits."""
        self._watching = watching
        self._look = look
        self._more = more
        self._last: dict[NodeId, Look] = {}
        self.waits_since: float | None = None
        """When the present wait began, by the monotonic clock; None while there is none."""

    async def changed(self, ask: Watch) -> bool:
        """Return whether something under a folder has changed; wait for it."""
        ends = time.monotonic() + min(ask.wait_s, MAX_WATCH_S)
        look = await self._look(ask.folder, self._last.pop(ask.folder, None))
        while not look.changed and not self._more.is_set():
            left_s = ends - time.monotonic()
            if left_s <= 0:
                break
            self.waits_since = time.monotonic()
            try:
                await self._watching.wait(look, self._more, left_s)
            finally:
                self.waits_since = None
            look = await self._look(ask.folder, look)
        self._last[ask.folder] = look
        if len(self._last) > MAX_WATCHED:
            del self._last[next(iter(self._last))]
        return look.changed
