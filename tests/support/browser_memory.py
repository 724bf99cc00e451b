"""The memory that the processes of a browser need."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver


def needed_mib(driver: WebDriver) -> float:
    """Return what all processes of the browser have in memory of their own.

    The page's garbage is collected first. Memory that is a cache of files does not count.
    """
    driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    children: dict[int, list[int]] = {}
    kib: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            pid = int(fields["Pid"])
            children.setdefault(int(fields["PPid"]), []).append(pid)
            kib[pid] = sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem"))
    found, waiting = 0, [driver.service.process.pid]
    while waiting:
        pid = waiting.pop()
        found += kib.get(pid, 0)
        waiting += children.get(pid, [])
    return found / 1024
