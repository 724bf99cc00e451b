"""The library for browsers passes the vectors and its tests, in Node and in Chromium."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.servers import ROOT

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

_OLDEST_NODE = 20
TESTS = sorted((ROOT / "web" / "test").glob("*.test.js"))
FOR_BROWSERS = [path for path in TESTS if not path.name.endswith(".node.test.js")]
"""All but those that start programs."""
LEAST = 150
"""A run of fewer tests has not found the vectors."""


def _node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node: the library for browsers is not tested (Debian: apt install nodejs)")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    match = re.match(r"v(\d+)\.", version.stdout)
    if match is None or int(match[1]) < _OLDEST_NODE:
        pytest.skip(f"Node is {version.stdout.strip()}: the library for browsers needs 20 or later")
    return found


def test_the_library_passes_the_vectors_and_its_tests_in_node():
    ran = subprocess.run(
        [_node(), "--test", *map(str, TESTS)],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"^\D*pass (\d+)$", ran.stdout, re.MULTILINE)
    assert passed, ran.stdout
    assert int(passed[1]) > LEAST


class Sources(SimpleHTTPRequestHandler):
    """The checkout, a page that runs the tests, and the hash that browsers do not have."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args, directory=str(ROOT))  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/":
            self._say(_page().encode(), "text/html; charset=utf-8")
        elif url.path == "/shake256":
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            hashed = hashlib.shake_256(asked["text"].encode()).digest(int(asked["size"]))
            self._say(hashed, "application/octet-stream")
        else:
            super().do_GET()

    def _say(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _page() -> str:
    browser = "/web/test/browser"
    modules = {
        "node:test": f"{browser}/node-test.js",
        "node:assert/strict": f"{browser}/node-assert.js",
        "node:fs": f"{browser}/node-io.js",
        "node:crypto": f"{browser}/node-io.js",
    }
    tests = [f"/{path.relative_to(ROOT).as_posix()}" for path in FOR_BROWSERS]
    return (
        "<!doctype html><title>tests</title><link rel=icon href=data:,>"
        f'<script type="importmap">{json.dumps({"imports": modules})}</script>'
        f'<script type="module">import {{ run }} from "{modules["node:test"]}";\n'
        f"for (const path of {json.dumps(tests)}) await import(path);\n"
        "globalThis.results = await run();</script>"
    )


@pytest.fixture
def sources() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Sources) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


PATIENCE_S = 280.0


def test_the_library_passes_the_vectors_and_its_tests_in_chromium(
    chromium: WebDriver, sources: str
):
    chromium.get("about:blank")
    chromium.execute_script("location = arguments[0]", sources)
    deadline = time.monotonic() + PATIENCE_S
    while (results := chromium.execute_script("return globalThis.results ?? null")) is None:
        assert time.monotonic() < deadline, chromium.get_log("browser")
        time.sleep(0.2)
    assert [one for one in results if one["error"] is not None] == []
    assert len(results) > LEAST
