"""A large download of the page is not held in memory, also when a connection is lost."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.attacks.test_hostile_links import Lie, Made, Server
from tests.support.browser import Page
from tests.support.browser_memory import needed_mib
from tests.support.fixed_keys import stretch

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

COMPLETE = "is complete. Every part was checked."
SIZE = 300_000_000
MOST_MIB = 180
"""A page that holds the file takes 286 MiB or more. One that writes it to the disk takes what is
under way, and the segments that the worker has written and its garbage collector has not freed yet:
114 MiB when this was measured."""
PATIENCE_S = 300.0


@pytest.mark.soak
def test_a_large_file_is_not_held_in_memory(chromium: WebDriver, page: Page):
    content = stretch("large", SIZE)
    with Server(Made("large", "large.bin", content)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            server.lie = Lie(stops_after=SIZE // 2)
            page.open(server.url(server.links[0]))
            page.wait_for("large.bin")
            before, most = needed_mib(chromium), 0.0
            deadline = time.monotonic() + PATIENCE_S
            page.press()
            while COMPLETE not in page.shown:
                most = max(most, needed_mib(chromium) - before)
                assert time.monotonic() < deadline, page.shown
            assert len(server.lie.first_bytes) == 2
            assert most < MOST_MIB
            assert page.saved("large.bin") == content
        finally:
            server.shutdown()
            thread.join()
