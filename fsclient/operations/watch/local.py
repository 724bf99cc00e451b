"""Watches the local folder, in a thread: the operating system reports changes in it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from fsclient.operations.watch.news import News
from fsclient.transfer.filters import Filters
from fsclient.transfer.local.files import is_passing

_DEBOUNCE_MS, _STEP_MS = 1_600, 100
"""Changes are collected for this long, or until nothing changes for one step."""
_LOOK_EVERY_MS = 2_000
"""The time between two checks that the watched folder is still there."""


class LocalChanges:
    """The changes in a local folder and the folders below it."""

    def __init__(
        self, top: Path, filters: Filters, news: News, failed: Callable[[str], None]
    ) -> None:
        """`failed` is called with the reason if the folder cannot be watched."""
        self._top = top
        self._filters = filters
        self._news = news
        self._failed = failed
        self._stop = threading.Event()

    def start(self) -> None:
        """Start the thread; it ends with the program."""
        threading.Thread(target=self._run, name="local changes", daemon=True).start()

    def stop(self) -> None:
        """End the thread soon."""
        self._stop.set()

    def _run(self) -> None:
        try:
            before = self._identity()  # the first sync comes without a report
            while not self._stop.is_set():
                watched = self._identity()
                if watched != before:  # it is gone, or another one now, such as a mounted disk
                    self._news.note()
                before = watched
                if watched is None:
                    self._stop.wait(_LOOK_EVERY_MS / 1000)
                else:
                    self._watch(watched)
        except (OSError, RuntimeError) as error:
            self._failed(str(error))

    def _watch(self, watched: tuple[int, int]) -> None:
        """Report changes until the folder is gone or another one."""
        from watchfiles import watch

        changes = watch(
            self._top,
            watch_filter=lambda _, path: self._counts(path),
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=self._stop,
            rust_timeout=_LOOK_EVERY_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=False,  # else it also ignores that the system has no room
        )
        for found in changes:
            if self._identity() != watched:
                return
            if found:
                self._news.note()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._top.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _counts(self, path: str) -> bool:
        """Return whether a change of a path is a reason for a sync."""
        names = Path(os.path.relpath(path, self._top)).parts
        if any(map(is_passing, names)):
            return False
        if os.pardir in names:  # the system names the folder in another way
            return True
        ways = ("/".join(names[: at + 1]) for at in range(len(names)))
        last = len(names) - 1
        # Sizes and times are not asked for: the file may have just left the limits.
        leave_out = self._filters.leave_out
        return not any(
            leave_out(way, None if at < last else lambda: None) for at, way in enumerate(ways)
        )
