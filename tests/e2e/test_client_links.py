"""Public links: given by a person with an account, received without account and home."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fsclient.app import App
from fsclient.connection.retry import Timeouts
from fsproto.link import parse_address
from tests.support.client_processes import CONFLICT, NOT_FOUND, UNREACHABLE, USAGE, Client
from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.fixed_keys import stretch
from tests.support.proxy import To
from tests.support.world import Ran, ran

LARGE = stretch("large file", 5_300_000)
"""Six segments, enough to be resumed."""


class Receiver:
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

    def files(self) -> dict[str, bytes]:
        """Return all files in the folder by their paths."""
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}


@pytest.fixture
def receiver(tmp_path: Path) -> Receiver:
    folder = tmp_path / "received"
    folder.mkdir()
    return Receiver(folder)


def put(client: Client, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        client.write(f"{client.room}/{name}", content)
    client.quick("put", client.room, "/").ok()


def link(client: Client, path: str, *options: str) -> str:
    made = client.quick("link", *options, path).ok()
    return client.server.reachable(made.text.strip())


def test_a_file_is_received_without_account_and_home(client, receiver):
    put(client, {"report.pdf": b"the report\n"})
    url = link(client, f"{client.room}/report.pdf", "--note", "For Monday.")
    listed = receiver.run("ls", url)
    assert listed.succeeds() == b"report.pdf\n"
    assert "For Monday." in listed.err
    receiver.run("get", url).succeeds()
    assert receiver.files() == {"report.pdf": b"the report\n"}
    local, there = receiver.folder / "report.pdf", client.folder / client.room / "report.pdf"
    assert local.stat().st_mtime_ns == there.stat().st_mtime_ns
    assert receiver.run("get", url, "-").succeeds() == b"the report\n"


def test_a_folder_is_received_whole(client, receiver):
    files = {"a.txt": b"a", "sub/b.txt": b"bb", "sub/ü/c": b"", "large.bin": LARGE}
    put(client, files)
    client.quick("mkdir", f"{client.room}/empty/inside").ok()
    url = link(client, client.room, "--name", "plans")
    receiver.run("get", url, "here/").succeeds()
    assert receiver.files() == {f"here/plans/{name}": data for name, data in files.items()}
    assert (receiver.folder / "here/plans/empty/inside").is_dir()
    assert receiver.run("ls", url).succeeds().decode().splitlines() == [
        "plans/a.txt", "plans/large.bin", "plans/sub/b.txt", "plans/sub/ü/c", "plans/empty/inside/",
    ]  # fmt: skip


def test_a_link_opens_the_version_that_was_linked(client, receiver):
    put(client, {"notes": b"first"})
    path = f"{client.room}/notes"
    url = link(client, path)
    put(client, {"notes": b"second"})
    client.quick("mv", path, f"{client.room}/moved").ok()
    receiver.run("get", url).succeeds()
    assert receiver.files() == {"notes": b"first"}


def test_removing_the_file_ends_the_link_and_restoring_does_not_bring_it_back(client, receiver):
    put(client, {"notes": b"first"})
    path = f"{client.room}/notes"
    url = link(client, path)
    client.quick("rm", path).ok()
    receiver.run("get", url).fails(NOT_FOUND)
    client.quick("restore", path).ok()
    receiver.run("get", url).fails(NOT_FOUND)
    assert receiver.files() == {}


def test_removing_one_file_of_a_linked_folder_removes_it_from_the_link(client, receiver):
    put(client, {"kept": b"kept", "gone": b"gone"})
    url = link(client, client.room)
    client.quick("rm", f"{client.room}/gone").ok()
    told = receiver.run("get", url)
    assert told.status == CONFLICT
    assert "no longer has this file" in told.err
    assert receiver.files() == {f"{client.room}/kept": b"kept"} | {
        name: data for name, data in receiver.files().items() if name.endswith(".fs-part")
    }


def test_a_password_is_needed_and_a_blank_at_its_end_is_not(client, receiver, monkeypatch):
    put(client, {"notes": b"secret notes"})
    with monkeypatch.context() as typed:
        typed.setattr("fsclient.app.App.link_password", lambda *_, **__: "the word")
        url = link(client, f"{client.room}/notes", "--password")
    assert "password" in receiver.run("get", url).fails(USAGE)
    assert "the password is wrong" in receiver.run("get", url, password="a word").fails(NOT_FOUND)
    receiver.run("get", url, password="the word ").succeeds()
    assert receiver.files() == {"notes": b"secret notes"}


def test_the_last_permitted_download_is_the_last(client, receiver):
    put(client, {"notes": b"once"})
    url = link(client, f"{client.room}/notes", "--max-downloads", "1")
    receiver.run("ls", url).succeeds()
    receiver.run("get", url, "one").succeeds()
    receiver.run("get", url, "two").fails(NOT_FOUND)
    receiver.run("ls", url).fails(NOT_FOUND)
    assert receiver.files() == {"one": b"once"}


def test_links_are_listed_and_ended(client, receiver):
    put(client, {"one": b"1", "two": b"2"})
    one, two = f"{client.room}/one", f"{client.room}/two"
    first = client.quick("link", "--json", "--expires", "never", one).ok().json()
    second = client.quick("link", "--json", "--max-downloads", "3", two).ok().json()
    url = client.server.reachable(second["url"])
    receiver.run("get", url).succeeds()
    known = {row["id"]: row for row in client.quick("links", "--json").ok().json()}
    assert known[first["id"]]["path"] == one
    assert known[first["id"]]["expires_ms"] is None
    assert (known[second["id"]]["downloads"], known[second["id"]]["max_downloads"]) == (1, 3)
    assert abs(second["expires_ms"] - (time.time() + 7 * 86400) * 1000) < 600_000
    assert client.quick("unlink", "--json", second["id"][:8]).ok().json()["ended"] == [second["id"]]
    receiver.run("get", url, "again").fails(NOT_FOUND)
    assert client.quick("unlink", "--json", one).ok().json()["ended"] == [first["id"]]
    client.quick("unlink", one).fails(NOT_FOUND, "no link")
    assert not {first["id"], second["id"]} & {
        row["id"] for row in client.quick("links", "--json").ok().json()
    }


def test_only_the_owner_can_link(client, receiver, newcomer):
    other = newcomer().enrol()
    put(client, {"notes": b"hers"})
    client.quick("share", client.room, other.name).ok()
    shared = f"{client.name}:{client.room}/notes"
    other.quick("link", shared).fails(6, "owner")


@pytest.mark.parametrize(
    ("bent", "told"),
    [
        (lambda url: url[:-1], "42 of 43"),
        (lambda url: url.partition("#")[0], "no '#'"),
        (lambda url: url + "x", "too many"),
        (lambda url: url.replace("/l#", "/x#"), "something else"),
    ],
)
def test_a_url_that_was_cut_or_changed_is_refused_in_one_sentence(receiver, bent, told):
    url = "https://files.example.org/l#" + "A" * 43
    assert told in receiver.run("get", bent(url)).fails(USAGE)
    assert told in receiver.run("ls", bent(url)).fails(USAGE)
    assert receiver.files() == {}


def test_a_url_that_a_mail_program_has_wrapped_works(client, receiver):
    put(client, {"notes": b"wrapped"})
    url = link(client, f"{client.room}/notes")
    receiver.run("get", f"<{url.replace('#', '%23')}>", "one").succeeds()
    receiver.run("get", url.replace("#", "?utm_source=mail#") + "?fbclid=1", "two").succeeds()
    assert receiver.files() == {"one": b"wrapped", "two": b"wrapped"}


def test_a_link_from_a_server_that_is_not_there_fails_in_one_sentence(receiver):
    receiver.run("get", "http://127.0.0.1:1/l#" + "A" * 43).fails(UNREACHABLE)


def test_an_interrupted_download_is_resumed_and_counted_once(client, receiver):
    put(client, {"large.bin": LARGE})
    url = link(client, f"{client.room}/large.bin", "--max-downloads", "1")
    web = client.server.web.removeprefix("http://")
    with CuttingProxy(parse_address(web), [Cut(To.CLIENT, 3_000_000)]) as proxy:
        receiver.run("get", url.replace(web, str(proxy.address))).fails(UNREACHABLE)
    assert "large.bin" not in receiver.files()
    receiver.run("get", url).succeeds()
    assert receiver.files() == {"large.bin": LARGE}
    receiver.run("get", url, "again").fails(NOT_FOUND)
