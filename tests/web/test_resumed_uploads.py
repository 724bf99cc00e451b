"""Uploads of the page that go on after the page was closed, when the same file is chosen again."""

from __future__ import annotations

import os
from pathlib import Path

from fsproto.limits import SEGMENT_SIZE
from tests.support.browser import Page
from tests.support.fixed_keys import stretch
from tests.support.request_server import Behaviour, RequestServer

LARGE = stretch("resumed", 10 * SEGMENT_SIZE)
SEGMENTS = 11
STORED = """
const names = [];
for await (const name of (await navigator.storage.getDirectory()).keys()) {
  if (name.startsWith("send-")) names.push(name);
}
return names;
"""


def send(server: RequestServer, page: Page, path: Path) -> None:
    page.open(server.url)
    page.wait_for("Send files to alice")
    page.choose(path)
    page.press_send()


def interrupted(server: RequestServer, page: Page, path: Path) -> None:
    """Send a file to a server that takes three segments of it."""
    path.write_bytes(LARGE)
    server.does = Behaviour(
        refuses=lambda method, before: (503, "busy") if method == "PUT" and before > 1 else None
    )
    send(server, page, path)
    page.wait_until(lambda: server.asked.count("PUT") > 2)
    server.does = Behaviour()


def test_an_upload_goes_on_after_the_page_was_closed(serve, page: Page, tmp_path: Path):
    server = serve()
    interrupted(server, page, tmp_path / "large.bin")
    send(server, page, tmp_path / "large.bin")
    page.wait_for("The file was sent.")
    assert [plain for _, plain in server.received()] == [LARGE]
    assert len(server.uploads) == 1
    assert server.segments_sent == SEGMENTS
    page.wait_until(lambda: page.run(STORED) == [])


def test_a_file_that_was_changed_meanwhile_is_sealed_under_new_keys(
    serve, page: Page, tmp_path: Path
):
    server, path = serve(), tmp_path / "large.bin"
    interrupted(server, page, path)
    before, changed = path.stat(), b"x" + LARGE[1:]
    path.write_bytes(changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    send(server, page, path)
    page.wait_for("The file was sent.")
    assert [plain for _, plain in server.received()] == [changed]
    first, second = server.uploads.values()
    assert first.start.salt != second.start.salt
    assert first.finished is None


def test_an_upload_that_was_cancelled_leaves_nothing(serve, page: Page, tmp_path: Path):
    server = serve()
    interrupted(server, page, tmp_path / "large.bin")
    page.press_cancel()
    page.wait_for("The upload was stopped.")
    page.wait_until(lambda: not server.uploads)
    page.wait_until(lambda: page.run(STORED) == [])


def test_a_server_that_claims_more_than_was_sent_gets_nothing(serve, page: Page, tmp_path: Path):
    server = serve()
    interrupted(server, page, tmp_path / "large.bin")
    server.does.state = lambda method, state: (
        type(state)(state.ticket, SEGMENTS, finished=True) if method == "START" else state
    )
    send(server, page, tmp_path / "large.bin")
    page.wait_for("What the server sent does not belong to this link.")
    assert "Receipt" not in page.shown
