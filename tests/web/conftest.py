"""What the tests of the page of request links share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Page
from tests.support.request_server import RequestServer

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver


@pytest.fixture
def page(chromium: WebDriver, tmp_path: Path) -> Page:
    return Page(chromium, tmp_path / "downloads")


@pytest.fixture
def serve() -> Iterator[Callable[..., RequestServer]]:
    """Start a server of a request link."""
    running: list[tuple[RequestServer, threading.Thread]] = []

    def start(note: str = "", password: str | None = None) -> RequestServer:
        server = RequestServer(note, password)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()
