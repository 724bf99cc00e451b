"""A real Chromium for tests of the page: what a person sees there, and what arrives on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.world import until

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

PATIENCE_S = 60.0
_WITHOUT_PICKER = "delete globalThis.showSaveFilePicker"
"""No program can answer the dialogue of the file picker; without it, files go to the downloads."""
ELSEWHERE = "files.test"
"""A name of this machine for which browsers demand HTTPS, unlike `localhost`."""
_FIELD, _BUTTON = "input", "button"


def started(folder: Path) -> WebDriver:
    """Start Chromium without a window; skip the test, loudly, if it is not installed."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium: the page is not tested (Debian: apt install chromium-driver)")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = program
    arguments = ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}")
    for argument in (*arguments, f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"):
        options.add_argument(argument)
    made = Chrome(options=options, service=ChromeService(driver))
    made.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WITHOUT_PICKER})
    return made


class Page:
    """The page of a link in the browser of one person."""

    def __init__(self, driver: WebDriver, downloads: Path) -> None:
        downloads.mkdir(exist_ok=True)
        self._driver, self.downloads = driver, downloads
        driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)}
        )

    def open(self, url: str) -> None:
        """Open a URL in place of the page."""
        self._driver.get("about:blank")
        self._driver.get(url)

    @property
    def shown(self) -> str:
        """All text that a person sees."""
        return str(self._driver.find_element("tag name", "body").text)

    def wait_for(self, text: str, within_s: float = PATIENCE_S) -> None:
        """Wait until a text is shown."""
        self.wait_for_any(text, within_s=within_s)

    def wait_for_any(self, *texts: str, within_s: float = PATIENCE_S) -> None:
        """Wait until one of the texts is shown."""
        shown = ""

        def is_shown() -> bool:
            nonlocal shown
            shown = self.shown
            return any(text in shown for text in texts)

        try:
            until(is_shown, f"one of {texts} is shown", within_s)
        except AssertionError as error:
            raise AssertionError(shown) from error

    def type(self, text: str) -> None:
        """Fill in the only field, and press the button."""
        field = self._driver.find_element("tag name", _FIELD)
        field.clear()
        field.send_keys(text)
        self.press()

    def choose(self, *paths: Path) -> None:
        """Choose files to send."""
        self._driver.find_element("id", "files").send_keys("\n".join(map(str, paths)))

    def choose_folder(self, path: Path) -> None:
        """Choose a folder to send."""
        self._driver.find_element("id", "folder").send_keys(str(path))

    def drop(self, *paths: Path) -> None:
        """Drag files and folders from elsewhere onto the page, and let them go there."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            event = {"type": kind, "x": 200, "y": 200, "data": data}
            self._driver.execute_cdp_cmd("Input.dispatchDragEvent", event)

    def fill(self, name: str, text: str) -> None:
        """Fill in one of several fields."""
        self._driver.find_element("id", name).send_keys(text)

    def press_send(self) -> None:
        """Press the button that sends what was chosen."""
        self._driver.find_element("id", "send").click()

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait for something outside the page."""
        until(holds, "it holds", PATIENCE_S)

    def press(self, number: int = 0) -> None:
        """Press one of the buttons that are shown."""
        buttons = self._driver.find_elements("tag name", _BUTTON)
        [one for one in buttons if one.is_displayed()][number].click()

    def press_cancel(self) -> None:
        """Press the button that ends a download or an upload."""
        self._driver.find_element("css selector", "#progress button").click()

    def saved(self, name: str) -> bytes:
        """Return a download with content; it may take its name after the page has said so."""
        path = self.downloads / name

        def is_saved() -> bool:
            # Chromium reserves the name with an empty file first.
            there = list(self.downloads.iterdir())
            is_complete = not any(one.suffix == ".crdownload" for one in there)
            return path in there and is_complete and path.stat().st_size > 0

        until(is_saved, f"{name} was saved", PATIENCE_S)
        return path.read_bytes()

    def run(self, script: str) -> object:
        """Run a script in the page and return its value."""
        found: object = self._driver.execute_script(script)
        return found
