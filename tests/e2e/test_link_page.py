"""The page of public links in a real Chromium, with the web listener of a real server."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fsd.web_page import made_page
from fsproto.link import parse_address
from fsproto.links import url_secret
from tests.attacks.test_hostile_links import LARGE, LIES, OTHER, SMALL, Made, Server
from tests.e2e.test_client_links import link, put
from tests.e2e.test_client_requests import Request
from tests.support.browser import ELSEWHERE, Page
from tests.support.client_processes import Client
from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.proxy import To

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

COMPLETE = "is complete. Every part was checked."
CLOSED = "This link does not open. It may have expired or been used up"


@pytest.fixture
def page(chromium: WebDriver, tmp_path: Path) -> Page:
    return Page(chromium, tmp_path / "downloads")


def test_a_file_is_shown_and_saved(client: Client, page: Page):
    put(client, {"plän 2026.bin": LARGE})
    page.open(link(client, f"{client.room}/plän 2026.bin", "--note", "For\nMonday."))
    page.wait_for("plän 2026.bin")
    for text in ("5.24 MB", "For\nMonday.", "The server cannot read this."):
        assert text in page.shown
    page.press()
    page.wait_for(COMPLETE)
    assert page.saved("plän 2026.bin") == LARGE


def test_a_folder_is_saved_as_an_archive_or_file_by_file(client: Client, page: Page):
    files = {"a.txt": b"a", "sub/b.txt": b"bb", "sub/large": LARGE, "x \u202egpj.exe": b""}
    put(client, files)
    client.quick("mkdir", f"{client.room}/empty").ok()
    page.open(link(client, client.room, "--name", "plans"))
    page.wait_for("Folder with 4 files")
    assert "x \\u202egpj.exe" in page.shown
    page.press()
    page.wait_for("“plans.zip” " + COMPLETE)
    with zipfile.ZipFile(io.BytesIO(page.saved("plans.zip"))) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    expected = {f"plans/{name.replace(chr(0x202E), '_')}": data for name, data in files.items()}
    assert found == {"plans/empty/": b"", **expected}
    page.press(2)
    page.wait_for("“b.txt” " + COMPLETE)
    assert page.saved("b.txt") == b"bb"


def test_a_password_is_asked_for(client: Client, page: Page, monkeypatch):
    for name, value in (("_PASSES", 3), ("_LANES", 4), ("_MEMORY_KIB", 64 * 1024)):
        monkeypatch.setattr(url_secret, name, value)  # the page derives keys at full cost
    put(client, {"notes.txt": b"secret notes"})
    monkeypatch.setattr("fsclient.app.App.link_password", lambda *_, **__: "thé wörd")
    page.open(link(client, f"{client.room}/notes.txt", "--password"))
    page.wait_for("This link has a password")
    assert "notes.txt" not in page.shown
    page.type("another word")
    page.wait_for("This link does not open with that password.")
    page.type(" thé wörd ")
    page.wait_for("notes.txt")
    page.press()
    page.wait_for(COMPLETE)
    assert page.saved("notes.txt") == b"secret notes"


def test_links_that_open_nothing_are_one_sentence(client: Client, page: Page):
    put(client, {"once": b"once", "ended": b"ended"})
    expiring = link(client, f"{client.room}/once", "--expires", "6s")
    once = link(client, f"{client.room}/once", "--max-downloads", "1")
    page.open(once)
    page.wait_for("once")
    page.press()
    page.wait_for(COMPLETE)
    page.open(once)
    page.wait_for(CLOSED)
    ended = link(client, f"{client.room}/ended")
    client.quick("unlink", f"{client.room}/ended").ok()
    page.open(ended)
    page.wait_for(CLOSED)
    page.open(ended[:-1] + ("A" if ended[-1] != "A" else "E"))
    page.wait_for(CLOSED)
    page.open(ended[:-7])
    page.wait_for("This link is not complete.")
    page.type("https://files.example.org/")
    page.wait_for("This is not a link.")
    put(client, {"other": b"other"})
    page.type(f" <{link(client, f'{client.room}/other')}> ")
    page.wait_for("5 bytes")
    while CLOSED not in page.shown:  # until its six seconds have passed
        page.open(expiring)
        page.wait_for_any("once", CLOSED)


def test_a_download_resumes_after_a_lost_connection_and_counts_once(client: Client, page: Page):
    put(client, {"large.bin": LARGE})
    url = link(client, f"{client.room}/large.bin", "--max-downloads", "1")
    web = client.server.web.removeprefix("http://")
    # The page comes over the first connection, and whole.
    cuts = [Cut(To.CLIENT, len(made_page()) + 1_700_000), Cut(To.CLIENT, 2_000_000)]
    with CuttingProxy(parse_address(web), cuts) as proxy:
        page.open(url.replace(web, str(proxy.address)))
        page.wait_for("large.bin")
        page.press()
        page.wait_for(COMPLETE)
        assert page.saved("large.bin") == LARGE
        assert proxy.cuts == []
        assert proxy.passed[To.CLIENT] < len(LARGE) * 1.6


def test_a_page_without_webcrypto_says_what_to_do(client: Client, page: Page):
    put(client, {"notes.txt": b"notes"})
    url = link(client, f"{client.room}/notes.txt")
    page.open(url.replace("127.0.0.1", ELSEWHERE))
    page.wait_for("This browser cannot open the link on this page. The page must come over https")
    assert "notes.txt" not in page.shown


def test_nothing_of_the_page_remembers_the_secret(client: Client, page: Page):
    put(client, {"name of the file": b"x"})
    page.open(link(client, f"{client.room}/name of the file"))
    page.wait_for("name of the file")
    assert page.run("return document.title") == "A file for you"
    assert page.run("return document.cookie + JSON.stringify([localStorage, sessionStorage])") == (
        "[{},{}]"
    )


def test_files_are_sent_through_a_proxy_that_cuts_and_accepted(
    client: Client, page: Page, tmp_path: Path
):
    files = {"page 1 ü.txt": b"page 1", "large.bin": LARGE, "a\u202egpj.exe": b""}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    request = Request(client, "--note", "Your scans.", "--max-files", "3")
    web = client.server.web.removeprefix("http://")
    # Chromium chooses which of its connections it uses.
    cuts = [Cut(To.SERVER, 3_000_000)] * 6
    with CuttingProxy(parse_address(web), cuts) as proxy:
        page.open(request.url.replace(web, str(proxy.address)))
        page.wait_for(f"Send files to {client.name}")
        for text in ("Your scans.", "At most 3 files"):
            assert text in page.shown
        page.choose(*(tmp_path / name for name in files))
        page.fill("sender", "Bob")
        page.press_send()
        page.wait_for("All 3 files were sent.")
        assert proxy.connections > 1
    waiting = request.inbox()
    assert {one["sender"] for one in waiting.values()} == {"Bob"}
    assert [one["receipt"] for one in waiting.values() if one["receipt"] not in page.shown] == []
    assert request.accept() == files


# --- a server that lies


@pytest.fixture
def hostile() -> Iterator[Server]:
    links = (Made("one", "notes.txt", SMALL), Made("two", "notes.txt", OTHER))
    with Server(*links, Made("three", "large.bin", LARGE)) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


DAMAGED = "What the server sent is not what the sender sealed. Nothing was saved."


def test_no_lie_about_a_name_or_a_size_is_shown(hostile: Server, page: Page):
    lies = [lie.description for name, lie in LIES.items() if "description" in name]
    lies += [LIES["another_name"].description, LIES["another_size"].description]
    for lie in lies:
        hostile.lie.description = lie
        page.open(hostile.url(hostile.links[0]))
        page.wait_for(DAMAGED)
        for text in ("notes.txt", "run-me.sh"):
            assert text not in page.shown


@pytest.mark.cases(2)
@pytest.mark.parametrize("case", ["changed", "another", "older", "cut", "longer", "swapped"])
def test_content_that_was_not_linked_is_not_saved(hostile: Server, page: Page, case: str):
    one, two, large = hostile.links
    segment = 1 << 20
    lies = {
        "changed": lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]),
        "another": lambda _: two.blob,
        "older": LIES["an_older_version"].content,
        "cut": lambda blob: blob[:-1],
        "longer": lambda blob: blob + b"\0",
        "swapped": lambda blob: blob[:segment] + blob[2 * segment : 3 * segment] + blob[segment:],
    }
    hostile.lie.content = lies[case]
    made = large if case == "swapped" else one
    page.open(hostile.url(made))
    page.wait_for(made.file.path)
    page.press()
    page.wait_for(DAMAGED)
    assert list(page.downloads.iterdir()) == []


def test_a_lost_connection_is_made_again_and_the_download_goes_on(hostile: Server, page: Page):
    large = hostile.links[2]
    page.open(hostile.url(large))
    page.wait_for("large.bin")
    hostile.lie.stops_after = 2_500_000
    page.press()
    page.wait_for(COMPLETE)
    assert page.saved("large.bin") == LARGE
    contents = [path for path in hostile.lie.asked if path.count("/") == 4]
    assert len(contents) == 2
