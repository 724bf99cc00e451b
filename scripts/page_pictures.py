"""Take the pictures of the page in docs/ with Chromium: on a desktop in light, on a phone in dark.

    python -m scripts.page_pictures [FOLDER]

The servers are those of the tests; nothing is sent to others.
"""

from __future__ import annotations

import base64
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tests.attacks.test_hostile_links import Made, Server
from tests.support.browser import Page, started
from tests.support.request_server import RequestServer

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

S = TypeVar("S", bound=ThreadingHTTPServer)
DOCS = Path(__file__).parent.parent / "docs"
SIZES = {"desktop": (900, 780, "light"), "phone": (390, 780, "dark")}
"""Width and height in CSS pixels, and the colour scheme."""
WIDE = 600
"""A device with less is a phone."""


def take(folder: Path) -> list[Path]:
    """Write all pictures; return their paths."""
    taken = []
    with (
        tempfile.TemporaryDirectory() as made,
        _running(RequestServer("Please send me your scans.")) as asking,
        _running(Server(Made("picture", "holiday.mp4", bytes(3_000_000)))) as giving,
    ):
        driver = started(Path(made) / "chromium")
        try:
            page = Page(driver, Path(made) / "downloads")
            for name, (width, height, scheme) in SIZES.items():
                _look(driver, width, height, scheme)
                page.open(giving.url(giving.links[0]))
                page.wait_for("holiday.mp4")
                taken.append(_taken(driver, folder / f"page-link-{name}.webp"))
                page.open(asking.url)
                page.wait_for("Send files to")
                page.choose(_file(Path(made), "contract.pdf"), _file(Path(made), "scan.png"))
                page.press_send()
                page.wait_for("All 2 files were sent.")
                taken.append(_taken(driver, folder / f"page-request-{name}.webp"))
        finally:
            driver.quit()
    return taken


def _look(driver: WebDriver, width: int, height: int, scheme: str) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < WIDE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def _taken(driver: WebDriver, path: Path) -> Path:
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 80})
    path.write_bytes(base64.b64decode(shot["data"]))
    return path


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(bytes(250_000))
    return path


@contextmanager
def _running(server: S) -> Iterator[S]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    for written in take(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS):
        print(written)
