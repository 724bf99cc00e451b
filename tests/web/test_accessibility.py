"""axe-core finds nothing serious on the web page, in light and in dark."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Page
from tests.support.request_server import RequestServer
from tests.support.servers import ROOT

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
RUN = "axe.run().then(arguments[0], (error) => arguments[0]({ violations: [String(error)] }))"


@pytest.mark.soak
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(chromium: WebDriver, tmp_path, scheme: str):
    if not AXE.exists():
        pytest.skip("no axe-core: the page is not checked (run scripts/check_web_types)")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    (tmp_path / "a.txt").write_bytes(b"a")
    page = Page(chromium, tmp_path / "downloads")
    with RequestServer("Your scans, please.") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            page.open(server.url[:-7])
            page.wait_for("This link is not complete.")
            check(chromium)
            page.open(server.url)
            page.wait_for("Send files to alice")
            page.choose(tmp_path / "a.txt")
            check(chromium)
            page.press_send()
            page.wait_for("The file was sent.")
            check(chromium)
        finally:
            server.shutdown()
            thread.join()


def check(chromium: WebDriver) -> None:
    chromium.execute_script(AXE.read_text("utf-8"))
    found = chromium.execute_async_script(RUN)["violations"]
    assert [one for one in found if one["impact"] in {"serious", "critical"}] == []
