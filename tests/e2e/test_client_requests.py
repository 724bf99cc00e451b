"""Request links: made by a person with an account, used by uploaders without one."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from fsclient.app import App
from fsclient.connection.retry import Timeouts
from fsproto.link import parse_address
from tests.support.client_processes import (
    NOT_FOUND,
    SECURITY,
    UNREACHABLE,
    USAGE,
    Client,
)
from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.fixed_keys import stretch
from tests.support.proxy import To
from tests.support.world import Ran, ran

LARGE = stretch("large file to send", 10_300_000)
"""Ten segments: more than one request carries, and enough to be resumed."""


class Uploader:
    """A person without an account, with a folder and no home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder.parent / "home-of-nobody"

    def run(self, *args: str | Path, password: str | None = None) -> Ran:
        app = App(Timeouts(give_up_s=0))
        app.options.link_password = password
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            return ran(app, "--home", self.home, *args)
        finally:
            os.chdir(before)
            assert not self.home.exists()

    def write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def send(self, url: str, *args: str) -> dict[str, str]:
        """Send files; return the receipts by name."""
        said = json.loads(self.run("--json", "drop", url, *args).succeeds())
        return {one["name"]: one["receipt"] for one in said["sent"]}


@pytest.fixture
def uploader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Uploader:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "outgoing"
    folder.mkdir()
    return Uploader(folder)


class Request:
    """A request link of the client, for its own room."""

    def __init__(self, client: Client, *options: str) -> None:
        made = client.quick("--json", "request", *options, f"{client.room}/in").ok().json()
        self.client, self.id = client, made["id"]
        self.url = client.server.reachable(made["url"])

    def inbox(self) -> dict[str, dict[str, Any]]:
        """Return what waits of it, by name."""
        listed = self.client.quick("--json", "inbox").ok().json()
        return {one["name"]: one for one in listed if one["request"] == self.id}

    def accept(self) -> dict[str, bytes]:
        """Accept all of it; return the new files by their paths in the folder."""
        for one in self.inbox().values():
            self.client.quick("inbox", "accept", one["id"]).ok()
        top = self.client.folder / "accepted"
        self.client.quick("get", f"{self.client.room}/in", str(top)).ok()
        return {
            str(path.relative_to(top)): path.read_bytes()
            for path in top.rglob("*")
            if path.is_file()
        }

    def listed(self) -> dict[str, Any]:
        known = self.client.quick("--json", "requests").ok().json()
        return next(one for one in known if one["id"] == self.id)


def test_files_are_sent_and_accepted_with_equal_receipts(client, uploader):
    request = Request(client, "--note", "Your scans.")
    uploader.write("a.txt", b"the first\n")
    uploader.write("photos/b.jpg", b"bb")
    uploader.write("photos/ü/c", b"")
    uploader.write("large.bin", LARGE)
    receipts = uploader.send(request.url, "a.txt", "photos", "large.bin", "--from", "Bob")
    waiting = request.inbox()
    assert {name: one["receipt"] for name, one in waiting.items()} == receipts
    assert {one["note"] for one in waiting.values()} == {"Your scans."}
    assert {one["sender"] for one in waiting.values()} == {"Bob"}
    assert request.listed()["files"] == 4
    assert request.accept() == {
        "a.txt": b"the first\n", "photos/b.jpg": b"bb", "photos/ü/c": b"", "large.bin": LARGE,
    }  # fmt: skip
    shown = client.quick("ls", "-l", f"{client.room}/in").ok().text
    assert "request link 'Your scans.' by Bob" in shown


def test_the_uploader_reads_whose_request_it_is(client, uploader):
    request = Request(client, "--note", "Your scans.", "--max-files", "3")
    uploader.write("a", b"1")
    said = uploader.run("drop", request.url, "a")
    assert said.succeeds().decode().split()[1] == "a"
    assert "Your scans." in said.err
    assert "at most 3 files" in said.err


def test_standard_input_is_sent_under_a_name(client, uploader, monkeypatch):
    request = Request(client)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LARGE)))
    uploader.send(request.url, "-", "--name", "backup.tar")
    assert request.accept() == {"backup.tar": LARGE}
    uploader.run("drop", request.url, "-").fails(USAGE)


def test_a_password_is_needed_and_a_wrong_one_is_refused(client, uploader, monkeypatch):
    with monkeypatch.context() as typed:
        typed.setattr("fsclient.app.App.link_password", lambda *_, **__: "zebra")
        request = Request(client, "--password")
    uploader.write("a", b"1")
    wrong = uploader.run("drop", request.url, "a", password="horse")
    wrong.fails(NOT_FOUND)
    assert "the password is wrong" in wrong.err
    uploader.run("drop", request.url, "a", password=" zebra\n").succeeds()
    assert request.accept() == {"a": b"1"}


def test_a_large_file_resumes_after_a_cut(client, uploader):
    request = Request(client)
    uploader.write("large.bin", LARGE)
    web = client.server.web.removeprefix("http://")
    with CuttingProxy(parse_address(web), [Cut(To.SERVER, 9_500_000)]) as proxy:
        through = request.url.replace(web, str(proxy.address))
        uploader.run("drop", through, "large.bin").fails(UNREACHABLE)
    assert request.inbox() == {}
    with CuttingProxy(parse_address(web)) as proxy:
        uploader.send(request.url.replace(web, str(proxy.address)), "large.bin")
        assert proxy.passed[To.SERVER] < 3_000_000
    assert request.accept() == {"large.bin": LARGE}
    assert request.listed()["files"] == 1


def test_a_file_that_changed_since_the_cut_is_sent_anew(client, uploader):
    request = Request(client)
    uploader.write("large.bin", LARGE)
    web = client.server.web.removeprefix("http://")
    with CuttingProxy(parse_address(web), [Cut(To.SERVER, 9_500_000)]) as proxy:
        through = request.url.replace(web, str(proxy.address))
        uploader.run("drop", through, "large.bin").fails(UNREACHABLE)
    uploader.write("large.bin", LARGE[::-1])
    uploader.send(request.url, "large.bin")
    assert request.accept() == {"large.bin": LARGE[::-1]}


def test_a_full_request_link_says_so_and_keeps_nothing(client, uploader):
    request = Request(client, "--max-files", "1", "--max-bytes", "1K")
    uploader.write("large", bytes(2000))
    uploader.write("small", b"1")
    refused = uploader.run("drop", request.url, "large")
    assert "larger than what this request link still permits" in refused.err
    assert refused.status != 0
    uploader.send(request.url, "small")
    assert "is full" in uploader.run("drop", request.url, "small").err
    assert set(request.inbox()) == {"small"}


def test_an_ended_request_link_takes_nothing_and_keeps_what_it_has(client, uploader):
    request = Request(client)
    uploader.write("a", b"1")
    uploader.send(request.url, "a")
    client.quick("unrequest", request.id[:8]).ok()
    uploader.run("drop", request.url, "a").fails(NOT_FOUND)
    assert not request.listed()["open"]
    assert request.accept() == {"a": b"1"}


def test_urls_of_the_other_kind_and_cut_ones_are_named(client, uploader):
    request = Request(client)
    uploader.write("a", b"1")
    cut = uploader.run("drop", request.url[:-5], "a")
    assert "cut" in cut.err
    cut.fails(USAGE)
    public = request.url.replace("/r#", "/l#")
    assert "gives files, and takes none" in uploader.run("drop", public, "a").err
    assert "takes files, and gives none" in uploader.run("get", request.url).err


def test_another_bundle_in_the_url_is_refused_before_anything_is_sent(client, uploader):
    request = Request(client)
    start, digits = request.url.split("#")
    uploader.write("a", b"1")
    swapped = f"{start}#{digits[:60]}{'A' if digits[60] != 'A' else 'B'}{digits[61:]}"
    uploader.run("drop", swapped, "a").fails(SECURITY)
    assert request.inbox() == {}


def test_names_that_no_file_can_have_are_left_out(client, uploader):
    request = Request(client)
    uploader.write("ok", b"1")
    uploader.write("folder/bad\nname", b"2")
    uploader.write("folder/good", b"3")
    (uploader.folder / "folder" / "link").symlink_to("good")
    ran = uploader.run("--json", "drop", request.url, "ok", "folder")
    assert ran.status != 0
    said = json.loads(ran.out)
    assert [one["name"] for one in said["sent"]] == ["ok", "folder/good"]
    assert len(said["failed"]) == len(said["left_out"]) == 1
    assert set(request.inbox()) == {"ok", "folder/good"}


def test_new_keys_end_the_request_links_and_say_how_many(newcomer):
    person = newcomer().enrol()
    person.quick("mkdir", "in").ok()
    for _ in range(2):
        person.quick("request", "in").ok()
    ended = person.quick("--json", "request", "in").ok().json()["id"]
    person.quick("unrequest", ended).ok()
    rotated = person.quick("--otp", person.app.fresh(), "keys", "rotate").ok()
    assert "2 request links ended" in rotated.err
    assert [one for one in person.quick("--json", "requests").ok().json() if one["open"]] == []
    person.quick("request", "in").ok()
    again = person.quick("--json", "--otp", person.app.fresh(), "keys", "rotate").ok()
    assert again.json()["ended_request_links"] == 1
