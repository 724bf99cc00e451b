"""Downloads of the page that go on after the page was closed, from what the browser has stored."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from fsproto.limits import SEGMENT_SIZE
from tests.attacks.test_hostile_links import LARGE, Lie, Made, Server
from tests.support.browser import Page

REFUSED = "The server is busy."
COMPLETE = "is complete. Every part was checked."
CUT = 2 * SEGMENT_SIZE + 500_000
CHANGE = """
const folder = await navigator.storage.getDirectory();
for await (const handle of folder.values()) {
  const stream = await handle.createWritable({ keepExistingData: true });
  await stream.write({ type: "write", position: 5000, data: "changed" });
  await stream.close();
}
"""
STORED = """
const sizes = [];
for await (const handle of (await navigator.storage.getDirectory()).values()) {
  sizes.push((await handle.getFile()).size);
}
return sizes;
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(Made("large", "large.bin", LARGE)) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def stored(page: Page) -> int:
    """Return the size of the largest file that the page has stored."""
    sizes = page.run(STORED)
    assert isinstance(sizes, list)
    return max(sizes, default=0)


def interrupted(server: Server, page: Page) -> str:
    """Download until the server ends the connection; return the URL."""
    url = server.url(server.links[0])
    page.open(url)
    page.wait_for("large.bin")
    server.lie = Lie(stops_after=CUT, status_then=503)
    page.press()
    # The browser tries again when it has given to its worker what had arrived.
    page.wait_until(lambda: len(server.lie.first_bytes) > 1)
    page.wait_until(lambda: stored(page) > 2 * SEGMENT_SIZE - 200)
    return url


def test_a_download_goes_on_after_the_page_was_closed(server: Server, page: Page):
    url = interrupted(server, page)
    server.lie = Lie()
    page.open(url)
    page.wait_for("large.bin")
    page.press()
    page.wait_for(COMPLETE)
    assert page.saved("large.bin") == LARGE
    assert server.lie.first_bytes == [2 * SEGMENT_SIZE]
    assert server.lie.started == 0  # it is the same download


def test_a_stored_part_that_was_changed_is_not_used(server: Server, page: Page):
    url = interrupted(server, page)
    page.open(url)
    page.wait_for(REFUSED)
    page.run(CHANGE)
    server.lie = Lie()
    page.open(url)
    page.wait_for("large.bin")
    page.press()
    page.wait_for(COMPLETE)
    assert page.saved("large.bin") == LARGE
    assert server.lie.first_bytes == [2 * SEGMENT_SIZE, 0]


def test_a_download_that_was_cancelled_leaves_nothing(server: Server, page: Page):
    interrupted(server, page)
    page.press_cancel()
    page.wait_for("The download was stopped. Nothing was saved.")
    page.wait_until(lambda: page.run(STORED) == [])
    assert list(page.downloads.iterdir()) == []
