"""A Chromium that downloads public links with the library in `web/`, for the benchmark."""

from __future__ import annotations

import contextlib
import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from bench.measure import FailedError, Sample
from bench.servers import LOOPBACK, ROOT, MissingError

_TIMEOUT_S = 300
_DOWNLOAD = """
const [text, toDisk, done] = arguments;
(async () => {
  const { linkIn } = await import("/lib/url.js");
  const { linkKeys, openDescription, secretIn } = await import("/lib/link.js");
  const { LinkApi } = await import("/lib/api.js");
  const { base, fragment } = linkIn(text);
  const keys = await linkKeys(secretIn(fragment));
  const { signal } = new AbortController();
  const api = new LinkApi(base, keys);
  const started = performance.now();
  const { files: [linked] } = await openDescription(keys, await api.description(signal));
  await api.start(signal);
  let size = 0, file = null;
  if (toDisk) {
    const { PrivateFile } = await import("/page/private.js");
    file = await PrivateFile.open("download");
    for await (const plaintext of api.content(linked, signal)) {
      const at = size;
      size += plaintext.length;
      await file.write(at, plaintext);
    }
    await file.close();
  } else {
    const parts = [];
    for await (const plaintext of api.content(linked, signal)) parts.push(plaintext);
    size = new Blob(parts).size;
  }
  const seconds = (performance.now() - started) / 1000;
  await file?.remove();
  done({ seconds, size });
})().catch((error) => done({ error: String(error) }));
"""


class Chromium:
    """A running browser without a window."""

    def __init__(self, driver: Chrome) -> None:
        self._driver = driver

    def download(self, url: str, size: int, *, to_disk: bool) -> Sample:
        """Open a link and verify its file of some bytes; keep it in memory, or on the disk.

        The disk is the private file system of the page, which browsers use without a file picker,
        written by a worker as the page does.
        """
        found = self._driver.execute_async_script(_DOWNLOAD, url, to_disk)
        if found.get("size") != size:
            raise FailedError(f"Chromium: {found.get('error', 'another size')}")
        return Sample(found["seconds"])


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """Run a browser on a page that has the modules of `web/`; `MissingError` without one."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        raise MissingError("there is no Chromium (Debian: apt install chromium-driver)")
    options = ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={folder}")
    with _modules() as page:
        browser = Chrome(options=options, service=ChromeService(driver))
        try:
            browser.set_script_timeout(_TIMEOUT_S)
            browser.get(page)
            yield Chromium(browser)
        finally:
            browser.quit()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def _modules() -> Iterator[str]:
    """Serve the folder `web/`; yield the URL of a file in it."""
    handler = functools.partial(_Quiet, directory=str(ROOT / "web"))
    server = ThreadingHTTPServer((LOOPBACK, 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}/README.md"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
